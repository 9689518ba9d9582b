/* quants.c - see quants.h. One function per type and direction, each for one block. Every product
 * and sum is rounded to f32 once, in the order of the originals: that makes the bits equal. */
#include "base/quants.h"

#include <math.h>
#include <string.h>

enum { SMALL = 32, LARGE = 256 };

static float half_at(const uint8_t *p)
{
    return sdg_half_value((uint16_t)(p[0] | p[1] << 8));
}

static void put_half(uint8_t *p, float x)
{
    const uint16_t bits = sdg_half_from(x);
    p[0] = (uint8_t)(bits & 0xff);
    p[1] = (uint8_t)(bits >> 8);
}

/* ---- blocks of 32 -----------------------------------------------------------------------------
 * Nibbles: byte j holds number j below and number j + 16 above; bit i of qh is the fifth bit of
 * number i. */

static int nibble(const uint8_t *q, int i)
{
    return i < SMALL / 2 ? q[i] & 15 : q[i - SMALL / 2] >> 4;
}

static int fifth(const uint8_t *qh, int i)
{
    return (qh[i / 8] >> i % 8 & 1) << 4;
}

/* {d, q[16]}: (q - 8) d */
static void widen_q4_0(float *y, const uint8_t *x)
{
    const float d = half_at(x);
    for (int i = 0; i < SMALL; i++) y[i] = d * (float)(nibble(x + 2, i) - 8);
}

/* {d, m, q[16]}: q d + m */
static void widen_q4_1(float *y, const uint8_t *x)
{
    const float d = half_at(x), m = half_at(x + 2);
    for (int i = 0; i < SMALL; i++) y[i] = d * (float)nibble(x + 4, i) + m;
}

/* {d, qh[4], q[16]}: (q - 16) d */
static void widen_q5_0(float *y, const uint8_t *x)
{
    const float d = half_at(x);
    for (int i = 0; i < SMALL; i++) y[i] = d * (float)((nibble(x + 6, i) | fifth(x + 2, i)) - 16);
}

/* {d, m, qh[4], q[16]}: q d + m */
static void widen_q5_1(float *y, const uint8_t *x)
{
    const float d = half_at(x), m = half_at(x + 2);
    for (int i = 0; i < SMALL; i++) y[i] = d * (float)(nibble(x + 8, i) | fifth(x + 4, i)) + m;
}

/* {d, q[32]}: q d, q signed */
static void widen_q8_0(float *y, const uint8_t *x)
{
    const float d = half_at(x);
    for (int i = 0; i < SMALL; i++) y[i] = (float)(int8_t)x[2 + i] * d;
}

/* ---- blocks of 256 ----------------------------------------------------------------------------
 */

/* A group of 16 numbers under one scale, number g of 16: its pairs of bits lie in 16 of the bytes
 * at q, 32 bytes for 128 numbers, two bits higher for every 32 numbers. */
static const uint8_t *pairs_of(int *shift, const uint8_t *q, int g)
{
    *shift = 2 * (g / 2 % 4);
    return q + g / 8 * 32 + g % 2 * 16;
}

/* {scales[16], q[64], d, dmin}: the low nibble of a scale times d is the step, its high nibble
 * times dmin is taken off. */
static void widen_q2_k(float *y, const uint8_t *x)
{
    const float d = half_at(x + 80), dmin = half_at(x + 82);
    for (int g = 0; g < 16; g++) {
        int shift;
        const uint8_t *q = pairs_of(&shift, x + 16, g);
        const float step = d * (float)(x[g] & 15), base = dmin * (float)(x[g] >> 4);
        for (int i = 0; i < 16; i++) y[16 * g + i] = step * (float)(q[i] >> shift & 3) - base;
    }
}

/* Scale i of the sixteen 6-bit ones of Q3_K: low nibbles in the first eight bytes, high pairs of
 * bits in the last four. */
static int scale_q3(const uint8_t *s, int i)
{
    const int low = i < 8 ? s[i] & 15 : s[i - 8] >> 4;
    return (low | (s[8 + i % 4] >> 2 * (i / 4) & 3) << 4) - 32;
}

/* {mask[32], q[64], scales[12], d}: pairs of bits as in Q2_K, less four where the mask has no bit:
 * number 32 s + l has bit s of mask[l]. */
static void widen_q3_k(float *y, const uint8_t *x)
{
    const float d = half_at(x + 108);
    for (int g = 0; g < 16; g++) {
        int shift;
        const uint8_t *q = pairs_of(&shift, x + 32, g), *mask = x + g % 2 * 16;
        const float step = d * (float)scale_q3(x + 96, g);
        for (int i = 0; i < 16; i++) {
            const int missing = 4 - 4 * (mask[i] >> g / 2 & 1);
            y[16 * g + i] = step * (float)((q[i] >> shift & 3) - missing);
        }
    }
}

/* Scale and offset i of the eight pairs of 6-bit numbers in 12 bytes, of Q4_K and Q5_K. */
static void scale_q4(int *scale, int *offset, const uint8_t *s, int i)
{
    if (i < 4) {
        *scale = s[i] & 63;
        *offset = s[i + 4] & 63;
    } else {
        *scale = (s[i + 4] & 15) | s[i - 4] >> 6 << 4;
        *offset = s[i + 4] >> 4 | s[i] >> 6 << 4;
    }
}

/* 32 numbers a scale. Number 64 g + l has the low nibble of q[32 g + l], 64 g + 32 + l the high
 * one; number 32 s + l of Q5_K has bit s of qh[l] above (NULL: none). */
static void widen_q45_k(float *y, const uint8_t *x, const uint8_t *qh, const uint8_t *q)
{
    const float d = half_at(x), dmin = half_at(x + 2);
    for (int s = 0; s < 8; s++) {
        int scale, offset;
        scale_q4(&scale, &offset, x + 4, s);
        const float step = d * (float)scale, base = dmin * (float)offset;
        for (int l = 0; l < 32; l++) {
            const int low = s % 2 ? q[s / 2 * 32 + l] >> 4 : q[s / 2 * 32 + l] & 15;
            const int high = qh ? (qh[l] >> s & 1) << 4 : 0;
            y[32 * s + l] = step * (float)(low | high) - base;
        }
    }
}

/* {d, dmin, scales[12], q[128]} */
static void widen_q4_k(float *y, const uint8_t *x)
{
    widen_q45_k(y, x, NULL, x + 16);
}

/* {d, dmin, scales[12], qh[32], q[128]} */
static void widen_q5_k(float *y, const uint8_t *x)
{
    widen_q45_k(y, x, x + 16, x + 48);
}

/* {ql[128], qh[64], scales[16] signed, d}: a nibble of ql, 64 bytes for 128 numbers, the high ones
 * for the second 64; above it pairs of bits as in Q2_K; less 32. */
static void widen_q6_k(float *y, const uint8_t *x)
{
    const int8_t *scales = (const int8_t *)(x + 192);
    const float d = half_at(x + 208);
    for (int g = 0; g < 16; g++) {
        int shift;
        const uint8_t *high = pairs_of(&shift, x + 128, g), *low = x + g / 8 * 64 + g % 4 * 16;
        const int low_shift = g / 4 % 2 * 4;
        const float step = d * (float)scales[g];
        for (int i = 0; i < 16; i++) {
            const int q = (low[i] >> low_shift & 15) | (high[i] >> shift & 3) << 4;
            y[16 * g + i] = step * (float)(q - 32);
        }
    }
}

typedef void (*widen_fn)(float *y, const uint8_t *x);

static widen_fn widen_of(enum sdg_dtype d)
{
    static const widen_fn all[SDG_DTYPE_COUNT] = {
        [SDG_Q4_0] = widen_q4_0, [SDG_Q4_1] = widen_q4_1, [SDG_Q5_0] = widen_q5_0,
        [SDG_Q5_1] = widen_q5_1, [SDG_Q8_0] = widen_q8_0, [SDG_Q2_K] = widen_q2_k,
        [SDG_Q3_K] = widen_q3_k, [SDG_Q4_K] = widen_q4_k, [SDG_Q5_K] = widen_q5_k,
        [SDG_Q6_K] = widen_q6_k,
    };
    return all[d];
}

void sdg_dequantise(float *y, enum sdg_dtype d, const void *x, size_t first, size_t count)
{
    const widen_fn widen = widen_of(d);
    const size_t block = sdg_dtype_block(d), size = sdg_dtype_size(d);
    const uint8_t *p = (const uint8_t *)x + first / block * size;
    size_t skip = first % block;
    float whole[SDG_MAX_BLOCK];
    for (; count > 0; p += size, skip = 0) {
        const size_t n = block - skip < count ? block - skip : count;
        widen(n == block ? y : whole, p);
        if (n < block) memcpy(y, whole + skip, n * sizeof *y);
        y += n;
        count -= n;
    }
}

/* ---- the other way ----------------------------------------------------------------------------
 * Scales are used at full f32 precision for rounding, then stored in binary16. */

/* (integer)x for a number in [0, top + 1/2], what is above as top; NaN is zero. */
static uint8_t cut(float x, int top)
{
    if (!(x >= 0.0f)) return 0;
    return (uint8_t)(x < (float)top ? (int)x : top);
}

static void put_nibbles(uint8_t *y, const uint8_t *q)
{
    for (int i = 0; i < SMALL / 2; i++)
        y[i] = (uint8_t)((q[i] & 15) | (q[i + SMALL / 2] & 15) << 4);
}

static void put_fifths(uint8_t *y, const uint8_t *q)
{
    memset(y, 0, SMALL / 8);
    for (int i = 0; i < SMALL; i++) y[i / 8] |= (uint8_t)((q[i] >> 4) << i % 8);
}

/* The number farthest from zero, the first of several, becomes -half; zero is `half`. */
static void quantise_0(uint8_t *scale, uint8_t *q, const float *x, int half)
{
    float most = x[0];
    for (int i = 1; i < SMALL; i++)
        if (fabsf(x[i]) > fabsf(most)) most = x[i];
    const float d = most / (float)-half, inverse = d == 0.0f ? 0.0f : 1.0f / d;
    put_half(scale, d);
    for (int i = 0; i < SMALL; i++) q[i] = cut(x[i] * inverse + ((float)half + 0.5f), 2 * half - 1);
}

/* The smallest number becomes 0, the largest `top`. */
static void quantise_1(uint8_t *scale, uint8_t *q, const float *x, int top)
{
    float least = x[0], most = x[0];
    for (int i = 1; i < SMALL; i++) {
        if (x[i] < least) least = x[i];
        if (x[i] > most) most = x[i];
    }
    const float d = (most - least) / (float)top, inverse = d == 0.0f ? 0.0f : 1.0f / d;
    put_half(scale, d);
    put_half(scale + 2, least);
    for (int i = 0; i < SMALL; i++) q[i] = cut((x[i] - least) * inverse + 0.5f, top);
}

/* The number farthest from zero becomes 127 or -127; halves go away from zero. */
static void quantise_8(uint8_t *y, const float *x)
{
    float most = 0.0f;
    for (int i = 0; i < SMALL; i++)
        if (fabsf(x[i]) > most) most = fabsf(x[i]);
    const float d = most / 127.0f, inverse = d == 0.0f ? 0.0f : 1.0f / d;
    put_half(y, d);
    for (int i = 0; i < SMALL; i++) {
        const float v = roundf(x[i] * inverse);
        y[2 + i] = (uint8_t)(int8_t)(v >= -128.0f && v <= 127.0f ? v : 0.0f);
    }
}

void sdg_quantise(void *y, enum sdg_dtype d, const float *x, size_t count)
{
    uint8_t *p = y, q[SMALL];
    for (size_t i = 0; i + SMALL <= count; i += SMALL, p += sdg_dtype_size(d)) {
        switch (d) {
        case SDG_Q4_0:
            quantise_0(p, q, x + i, 8);
            put_nibbles(p + 2, q);
            break;
        case SDG_Q4_1:
            quantise_1(p, q, x + i, 15);
            put_nibbles(p + 4, q);
            break;
        case SDG_Q5_0:
            quantise_0(p, q, x + i, 16);
            put_fifths(p + 2, q);
            put_nibbles(p + 6, q);
            break;
        case SDG_Q5_1:
            quantise_1(p, q, x + i, 31);
            put_fifths(p + 4, q);
            put_nibbles(p + 8, q);
            break;
        case SDG_Q8_0: quantise_8(p, x + i); break;
        default: return;
        }
    }
}
