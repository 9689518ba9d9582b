/* tensor.c - see tensor.h. Bit layouts: IEEE 754-2008 for binary16/32/64; OCP "8-bit Floating Point
 * Specification" (OFP8, 2023) for E4M3 and E5M2. */
#include "base/tensor.h"

#include <stdio.h>
#include <string.h>

#include "base/quants.h"

static const struct {
    const char *name;
    size_t size, block; /* bytes of a block, elements in it */
} dtypes[SDG_DTYPE_COUNT] = {
    [SDG_F32] = {"F32", 4, 1},         [SDG_F16] = {"F16", 2, 1},
    [SDG_BF16] = {"BF16", 2, 1},       [SDG_F64] = {"F64", 8, 1},
    [SDG_F8_E4M3] = {"F8_E4M3", 1, 1}, [SDG_F8_E5M2] = {"F8_E5M2", 1, 1},
    [SDG_I64] = {"I64", 8, 1},         [SDG_I32] = {"I32", 4, 1},
    [SDG_I16] = {"I16", 2, 1},         [SDG_I8] = {"I8", 1, 1},
    [SDG_U64] = {"U64", 8, 1},         [SDG_U32] = {"U32", 4, 1},
    [SDG_U16] = {"U16", 2, 1},         [SDG_U8] = {"U8", 1, 1},
    [SDG_BOOL] = {"BOOL", 1, 1},       [SDG_Q4_0] = {"Q4_0", 18, 32},
    [SDG_Q4_1] = {"Q4_1", 20, 32},     [SDG_Q5_0] = {"Q5_0", 22, 32},
    [SDG_Q5_1] = {"Q5_1", 24, 32},     [SDG_Q8_0] = {"Q8_0", 34, 32},
    [SDG_Q2_K] = {"Q2_K", 84, 256},    [SDG_Q3_K] = {"Q3_K", 110, 256},
    [SDG_Q4_K] = {"Q4_K", 144, 256},   [SDG_Q5_K] = {"Q5_K", 176, 256},
    [SDG_Q6_K] = {"Q6_K", 210, 256},
};

size_t sdg_dtype_size(enum sdg_dtype d)
{
    return dtypes[d].size;
}

size_t sdg_dtype_block(enum sdg_dtype d)
{
    return dtypes[d].block;
}

size_t sdg_dtype_bytes(enum sdg_dtype d, size_t count)
{
    return count / sdg_dtype_block(d) * dtypes[d].size;
}

const char *sdg_dtype_name(enum sdg_dtype d)
{
    return dtypes[d].name;
}

bool sdg_dtype_is_float(enum sdg_dtype d)
{
    return d <= SDG_F8_E5M2 || sdg_dtype_is_quantised(d);
}

bool sdg_dtype_is_quantised(enum sdg_dtype d)
{
    return dtypes[d].block > 1;
}

size_t sdg_tensor_count(const struct sdg_tensor *t)
{
    size_t count = 1;
    for (int i = 0; i < t->rank; i++) count *= (size_t)t->shape[i];
    return count;
}

size_t sdg_tensor_bytes(const struct sdg_tensor *t)
{
    return sdg_dtype_bytes(t->dtype, sdg_tensor_count(t));
}

bool sdg_shape_bytes(size_t *bytes, const int64_t *shape, int rank, size_t item)
{
    size_t count = 1;
    for (int i = 0; i < rank; i++)
        if (shape[i] < 0 || __builtin_mul_overflow(count, (size_t)shape[i], &count)) return false;
    return !__builtin_mul_overflow(count, item, bytes);
}

bool sdg_shape_storage(size_t *bytes, const int64_t *shape, int rank, enum sdg_dtype d)
{
    size_t count;
    const size_t block = sdg_dtype_block(d);
    if (!sdg_shape_bytes(&count, shape, rank, 1) || count % block != 0) return false;
    return !__builtin_mul_overflow(count / block, sdg_dtype_size(d), bytes);
}

char *sdg_shape_text(char *text, size_t size, const int64_t *shape, int rank)
{
    size_t used = 0;
    text[0] = 0;
    for (int i = 0; i <= rank && used < size; i++) {
        const int n = i < rank ? snprintf(text + used, size - used, "%c%lld", i ? ',' : '[',
                                          (long long)shape[i])
                               : snprintf(text + used, size - used, rank ? "]" : "[]");
        used += (size_t)n;
    }
    return text;
}

/* A small binary float with `mantissa` fraction bits and the given exponent bias, widened exactly.
 * infinities: whether the top exponent means Inf/NaN (false for E4M3, whose only NaN is all ones).
 */
static float widen_small(unsigned bits, int exponent_bits, int mantissa_bits, bool infinities)
{
    const unsigned sign = bits >> (exponent_bits + mantissa_bits) & 1;
    const unsigned top = (1u << exponent_bits) - 1, all = (1u << mantissa_bits) - 1;
    const unsigned e = bits >> mantissa_bits & top, m = bits & all;
    const int bias = (int)(top >> 1);
    uint32_t out;
    if (e == top && (infinities || m == all)) {
        out = 0x7f800000u | (infinities ? m << (23 - mantissa_bits) : 0x400000u);
    } else if (e == 0) { /* denormal: m * 2^(1 - bias - mantissa_bits), exact in f32 */
        float v = (float)m;
        for (int i = 0; i < bias - 1 + mantissa_bits; i++) v *= 0.5f;
        memcpy(&out, &v, 4);
    } else {
        out = (e + 127u - (unsigned)bias) << 23 | m << (23 - mantissa_bits);
    }
    out |= sign << 31;
    float y;
    memcpy(&y, &out, 4);
    return y;
}

static float widen_bf16(uint16_t bits)
{
    const uint32_t wide = (uint32_t)bits << 16;
    float y;
    memcpy(&y, &wide, 4);
    return y;
}

float sdg_half_value(uint16_t bits)
{
    return widen_small(bits, 5, 10, true);
}

/* Every value of an 8-bit format. */
static void table_of_8_bits(float table[256], enum sdg_dtype d)
{
    const bool e5m2 = d == SDG_F8_E5M2;
    for (unsigned i = 0; i < 256; i++) table[i] = widen_small(i, e5m2 ? 5 : 4, e5m2 ? 2 : 3, e5m2);
}

/* y[i] = (float)p[i], p an array of the type at any alignment. */
#define WIDEN_ALL(type)                                     \
    for (size_t i = 0; i < count; i++) {                    \
        type value;                                         \
        memcpy(&value, p + i * sizeof value, sizeof value); \
        y[i] = (float)value;                                \
    }                                                       \
    break

void sdg_tensor_widen(float *y, const struct sdg_tensor *x, size_t first, size_t count)
{
    const size_t size = sdg_dtype_size(x->dtype);
    const uint8_t *p = x->data;
    float table[256];
    if (count == 0) return;
    if (sdg_dtype_is_quantised(x->dtype)) {
        sdg_dequantise(y, x->dtype, x->data, first, count);
        return;
    }
    p += first * size;
    switch (x->dtype) {
    case SDG_F32: memcpy(y, p, count * sizeof *y); break;
    case SDG_F64: WIDEN_ALL(double);
    case SDG_I64: WIDEN_ALL(int64_t);
    case SDG_I32: WIDEN_ALL(int32_t);
    case SDG_I16: WIDEN_ALL(int16_t);
    case SDG_I8: WIDEN_ALL(int8_t);
    case SDG_U64: WIDEN_ALL(uint64_t);
    case SDG_U32: WIDEN_ALL(uint32_t);
    case SDG_U16: WIDEN_ALL(uint16_t);
    case SDG_U8: WIDEN_ALL(uint8_t);
    case SDG_BOOL:
        for (size_t i = 0; i < count; i++) y[i] = p[i] ? 1.0f : 0.0f;
        break;
    case SDG_F16:
    case SDG_BF16:
        for (size_t i = 0; i < count; i++) {
            uint16_t bits;
            memcpy(&bits, p + i * sizeof bits, sizeof bits);
            y[i] = x->dtype == SDG_F16 ? sdg_half_value(bits) : widen_bf16(bits);
        }
        break;
    case SDG_F8_E4M3:
    case SDG_F8_E5M2:
        table_of_8_bits(table, x->dtype);
        for (size_t i = 0; i < count; i++) y[i] = table[p[i]];
        break;
    default: break;
    }
}

/* ---- to fewer bits --------------------------------------------------------------------------- */

/* Drops the lowest `bits` bits of x, to nearest, ties to even. */
static uint32_t drop(uint32_t x, int bits)
{
    const uint32_t half = (1u << (bits - 1)) - 1;
    return (x + half + (x >> bits & 1)) >> bits;
}

uint16_t sdg_half_from(float x)
{
    uint32_t bits, y;
    memcpy(&bits, &x, sizeof bits);
    const uint32_t sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
    const int exponent = (int)(magnitude >> 23) - 127;
    if (magnitude > 0x7f800000)
        y = 0x7e00 | (magnitude >> 13 & 0x3ff); /* NaN, quiet */
    else if (exponent > 15)
        y = 0x7c00;
    else if (exponent >= -14) /* the exponent loses 112; a carry moves on by itself, to infinity */
        y = drop(magnitude - (112u << 23), 13);
    else if (exponent >= -25) /* denormal: units of 2^-24 */
        y = drop((magnitude & 0x7fffff) | 0x800000, -exponent - 1);
    else
        y = 0;
    return (uint16_t)(sign | y);
}

static uint16_t bf16_from(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if ((bits & 0x7fffffff) > 0x7f800000) return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)drop(bits, 16);
}

bool sdg_dtype_is_narrowed(enum sdg_dtype d)
{
    return d <= SDG_BF16 || (d >= SDG_Q4_0 && d <= SDG_Q8_0);
}

void sdg_tensor_narrow(void *y, enum sdg_dtype d, const float *x, size_t count)
{
    if (d == SDG_F32 && count) memcpy(y, x, count * sizeof *x);
    if (sdg_dtype_is_quantised(d)) sdg_quantise(y, d, x, count);
    if (d != SDG_F16 && d != SDG_BF16) return;
    for (size_t i = 0; i < count; i++) {
        const uint16_t bits = d == SDG_F16 ? sdg_half_from(x[i]) : bf16_from(x[i]);
        memcpy((char *)y + i * sizeof bits, &bits, sizeof bits);
    }
}
