/* tensor.c - see tensor.h. Bit layouts: IEEE 754-2008 for binary16/32/64; OCP "8-bit Floating Point
 * Specification" (OFP8, 2023) for E4M3 and E5M2. */
#include "base/tensor.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    size_t size;
} dtypes[SDG_DTYPE_COUNT] = {
    [SDG_F32] = {"F32", 4}, [SDG_F16] = {"F16", 2},         [SDG_BF16] = {"BF16", 2},
    [SDG_F64] = {"F64", 8}, [SDG_F8_E4M3] = {"F8_E4M3", 1}, [SDG_F8_E5M2] = {"F8_E5M2", 1},
    [SDG_I64] = {"I64", 8}, [SDG_I32] = {"I32", 4},         [SDG_I16] = {"I16", 2},
    [SDG_I8] = {"I8", 1},   [SDG_U64] = {"U64", 8},         [SDG_U32] = {"U32", 4},
    [SDG_U16] = {"U16", 2}, [SDG_U8] = {"U8", 1},           [SDG_BOOL] = {"BOOL", 1},
};

size_t sdg_dtype_size(enum sdg_dtype d)
{
    return dtypes[d].size;
}

const char *sdg_dtype_name(enum sdg_dtype d)
{
    return dtypes[d].name;
}

bool sdg_dtype_is_float(enum sdg_dtype d)
{
    return d <= SDG_F8_E5M2;
}

size_t sdg_tensor_count(const struct sdg_tensor *t)
{
    size_t count = 1;
    for (int i = 0; i < t->rank; i++) count *= (size_t)t->shape[i];
    return count;
}

bool sdg_shape_bytes(size_t *bytes, const int64_t *shape, int rank, size_t item)
{
    size_t count = 1;
    for (int i = 0; i < rank; i++)
        if (shape[i] < 0 || __builtin_mul_overflow(count, (size_t)shape[i], &count)) return false;
    return !__builtin_mul_overflow(count, item, bytes);
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

/* Loads element i of the typed array p at any alignment. */
#define LOAD(type, p, i, value) \
    type value;                 \
    memcpy(&value, (const char *)(p) + (i) * sizeof(type), sizeof(type))

static float widen_one(const struct sdg_tensor *x, size_t i)
{
    const void *p = x->data;
    switch (x->dtype) {
    case SDG_F32: {
        LOAD(float, p, i, v);
        return v;
    }
    case SDG_F64: {
        LOAD(double, p, i, v);
        return (float)v;
    }
    case SDG_F16: {
        LOAD(uint16_t, p, i, v);
        return widen_small(v, 5, 10, true);
    }
    case SDG_BF16: {
        LOAD(uint16_t, p, i, v);
        return widen_bf16(v);
    }
    case SDG_F8_E4M3: {
        LOAD(uint8_t, p, i, v);
        return widen_small(v, 4, 3, false);
    }
    case SDG_F8_E5M2: {
        LOAD(uint8_t, p, i, v);
        return widen_small(v, 5, 2, true);
    }
    case SDG_I64: {
        LOAD(int64_t, p, i, v);
        return (float)v;
    }
    case SDG_I32: {
        LOAD(int32_t, p, i, v);
        return (float)v;
    }
    case SDG_I16: {
        LOAD(int16_t, p, i, v);
        return (float)v;
    }
    case SDG_I8: {
        LOAD(int8_t, p, i, v);
        return (float)v;
    }
    case SDG_U64: {
        LOAD(uint64_t, p, i, v);
        return (float)v;
    }
    case SDG_U32: {
        LOAD(uint32_t, p, i, v);
        return (float)v;
    }
    case SDG_U16: {
        LOAD(uint16_t, p, i, v);
        return (float)v;
    }
    case SDG_U8: {
        LOAD(uint8_t, p, i, v);
        return (float)v;
    }
    case SDG_BOOL: {
        LOAD(uint8_t, p, i, v);
        return v ? 1.0f : 0.0f;
    }
    case SDG_DTYPE_COUNT: break;
    }
    return 0.0f;
}

void sdg_tensor_widen(float *y, const struct sdg_tensor *x, size_t first, size_t count)
{
    if (x->dtype == SDG_F32 && count)
        memcpy(y, (const char *)x->data + first * sizeof(float), count * sizeof(float));
    else
        for (size_t i = 0; i < count; i++) y[i] = widen_one(x, first + i);
}
