/* tensor_values.c - see tensor_values.h. In every binary format an exponent of all ones means NaN,
 * or Inf when the fraction is zero, and an exponent of zero a denormal, or 0 when the fraction is
 * zero (IEEE 754-2008, 3.4; OFP8 E5M2). E4M3 "FN" has no Inf, and NaN is all ones. */
#include "files/tensor_values.h"

#include <string.h>

/* Masks of one format: no sign bit. */
struct format {
    uint64_t exponent, fraction;
};

static void count_wide(struct sdg_value_counts *n, const unsigned char *p, size_t count,
                       size_t size, const struct format *f)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t bits = 0;
        memcpy(&bits, p + i * size, size); /* little-endian: the low bytes */
        const uint64_t exponent = bits & f->exponent, fraction = bits & f->fraction;
        n->nan += exponent == f->exponent && fraction;
        n->inf += exponent == f->exponent && !fraction;
        n->denormal += exponent == 0 && fraction;
        n->zero += exponent == 0 && !fraction;
    }
}

static void count_e4m3(struct sdg_value_counts *n, const unsigned char *p, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const unsigned magnitude = p[i] & 0x7f;
        n->nan += magnitude == 0x7f;
        n->denormal += magnitude > 0 && magnitude < 8;
        n->zero += magnitude == 0;
    }
}

static void count_integers(struct sdg_value_counts *n, const unsigned char *p, size_t count,
                           size_t size)
{
    static const unsigned char zero[8];
    for (size_t i = 0; i < count; i++) n->zero += memcmp(p + i * size, zero, size) == 0;
}

static const struct format f32 = {0x7f800000, 0x007fffff};

/* Only a scale can be no number, and then all that it scales. */
static void count_quantised(struct sdg_value_counts *n, const struct sdg_tensor *t, size_t count)
{
    float y[SDG_MAX_BLOCK];
    for (size_t i = 0; i < count; i += SDG_MAX_BLOCK) {
        const size_t piece = count - i < SDG_MAX_BLOCK ? count - i : SDG_MAX_BLOCK;
        sdg_tensor_widen(y, t, i, piece);
        count_wide(n, (const unsigned char *)y, piece, sizeof *y, &f32);
    }
}

void sdg_count_values(struct sdg_value_counts *n, const struct sdg_tensor *t)
{
    static const struct format f64 = {UINT64_C(0x7ff) << 52, (UINT64_C(1) << 52) - 1},
                               f16 = {0x7c00, 0x03ff}, bf16 = {0x7f80, 0x007f}, e5m2 = {0x7c, 0x03};
    const size_t count = sdg_tensor_count(t);
    const unsigned char *p = t->data;
    *n = (struct sdg_value_counts) {0};
    if (sdg_dtype_is_quantised(t->dtype)) {
        count_quantised(n, t, count);
        return;
    }
    switch (t->dtype) { /* constant sizes, so that each loop is compiled for its width */
    case SDG_F64: count_wide(n, p, count, 8, &f64); break;
    case SDG_F32: count_wide(n, p, count, 4, &f32); break;
    case SDG_F16: count_wide(n, p, count, 2, &f16); break;
    case SDG_BF16: count_wide(n, p, count, 2, &bf16); break;
    case SDG_F8_E5M2: count_wide(n, p, count, 1, &e5m2); break;
    case SDG_F8_E4M3: count_e4m3(n, p, count); break;
    default: count_integers(n, p, count, sdg_dtype_size(t->dtype)); break;
    }
}
