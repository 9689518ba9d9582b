/* widen_c.c - 16-bit floats to f32 in plain C; contracts in kernels.h. */
#include "kernels.h"

#include <stdint.h>
#include <string.h>

#include "tiers.h"

static float from_bits(uint32_t bits)
{
    float y;
    memcpy(&y, &bits, sizeof y);
    return y;
}

static uint32_t load_half(const void *x, size_t i)
{
    uint16_t bits;
    memcpy(&bits, (const char *)x + 2 * i, sizeof bits);
    return bits;
}

/* binary16 is 1 sign, 5 exponent (bias 15) and 10 fraction bits (IEEE 754-2008, section 3.6).
 * Moving exponent and fraction up by 13 bits puts them where binary32 has its own, and the product
 * with 2^112 = 2^(127 - 15) mends the bias, denormal numbers included: exact, being a power of 2.
 * Infinity and NaN (exponent all ones) get binary32's exponent instead. */
static float widen_half(uint32_t h)
{
    const uint32_t sign = (h & 0x8000u) << 16, rest = (h & 0x7fffu) << 13;
    if (rest >= 0x0f800000u) return from_bits(sign | rest | 0x7f800000u);
    return from_bits(sign | 0x3f800000u) * (from_bits(rest) * 0x1p112f);
}

void sdg_widen_f16_c(float *y, const void *x, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] = widen_half(load_half(x, i));
}

void sdg_widen_bf16_c(float *y, const void *x, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] = from_bits(load_half(x, i) << 16);
}
