/* vec_emulated.h - the words of kernels/x86/vec_*.h and kernels/arm/vec_neon.h for machines that
 * have none of these: vectors of the compiler's own, nothing beyond the baseline of any processor.
 *
 * A file defines SDG_EMULATED_LANES (4 as NEON, 8 as AVX2, 16 as AVX-512) and, for the words of
 * AVX512-BF16, SDG_EMULATED_BF16 before it includes this. Every word gives the bits of the
 * instructions that it stands for, but for the payload of a NaN. */
#ifndef SDG_TESTS_EMULATED_VEC_EMULATED_H
#define SDG_TESTS_EMULATED_VEC_EMULATED_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifndef SDG_EMULATED_LANES
#define SDG_EMULATED_LANES 16
#endif

/* A hundred instructions each: inlined, they would keep the compiler busy for minutes. */
#define SLOW __attribute__((noinline, unused))
#define UNROLLED

enum { VF = SDG_EMULATED_LANES };
typedef float vf __attribute__((vector_size(4 * SDG_EMULATED_LANES)));
typedef int32_t vf_int __attribute__((vector_size(4 * SDG_EMULATED_LANES)));
typedef double vd __attribute__((vector_size(8 * SDG_EMULATED_LANES)));
typedef int64_t vd_int __attribute__((vector_size(8 * SDG_EMULATED_LANES)));

/* ---- memory ---- */

static inline vf vf_load(const float *p)
{
    vf x;
    memcpy(&x, p, sizeof x);
    return x;
}

static inline void vf_store(float *p, vf x)
{
    memcpy(p, &x, sizeof x);
}

static inline vf vf_load_part(const float *p, size_t n)
{
    vf x = {0};
    memcpy(&x, p, n * sizeof *p);
    return x;
}

static inline void vf_store_part(float *p, vf x, size_t n)
{
    memcpy(p, &x, n * sizeof *p);
}

/* IEEE 754-2008, section 3.4; the significand of a denormal counts units of 2^-24. */
static SLOW float vf_half(uint16_t h)
{
    const uint32_t sign = (uint32_t)(h & 0x8000) << 16, e = h >> 10 & 31, m = h & 0x3ff;
    const float denormal = (float)m * (sign ? -0x1p-24f : 0x1p-24f);
    uint32_t bits = sign | (e == 31 ? 0x7f800000 : (e + 112) << 23) | m << 13;
    if (e == 0) memcpy(&bits, &denormal, sizeof bits);
    float y;
    memcpy(&y, &bits, sizeof y);
    return y;
}

static inline vf vf_load_f16(const void *p)
{
    float y[VF];
    for (int i = 0; i < VF; i++) {
        uint16_t h;
        memcpy(&h, (const char *)p + 2 * i, sizeof h);
        y[i] = vf_half(h);
    }
    return vf_load(y);
}

static inline vf vf_load_bf16(const void *p)
{
    uint16_t half[VF];
    vf_int bits;
    memcpy(half, p, sizeof half);
    for (int i = 0; i < VF; i++) bits[i] = (int32_t)((uint32_t)half[i] << 16);
    return (vf)bits;
}

/* x where the mask is all ones, else y. */
static inline vf vf_choose(vf_int mask, vf x, vf y)
{
    return (vf)(((vf_int)x & mask) | ((vf_int)y & ~mask));
}

static inline vf vf_set(float x)
{
    return x - (vf) {0};
}

static inline vf_int vf_set_int(int32_t x)
{
    return x - (vf_int) {0};
}

static inline vf vf_abs(vf x)
{
    return (vf)((vf_int)x & vf_set_int(0x7fffffff));
}

/* Numbers below 2^-126 become 0, as in all instructions of AVX512-BF16 and AMX. */
static inline vf vf_flush(vf x)
{
    return (vf)((vf_int)x & ((vf_abs(x) >= vf_set(0x1p-126f)) | (x != x) | vf_set_int(INT32_MIN)));
}

/* The upper halves, rounded to nearest even; NaN stays NaN. */
static inline vf_int vf_narrow(vf x)
{
#ifdef SDG_EMULATED_BF16
    x = vf_flush(x);
#endif
    typedef uint32_t words __attribute__((vector_size(4 * SDG_EMULATED_LANES)));
    const words bits = (words)x, odd = bits >> 16 & 1, up = bits + 0x7fff + odd;
    const vf_int y = (vf_int)vf_choose(x != x, (vf)(bits | 0x400000), (vf)up);
    return (vf_int)((words)y >> 16);
}

static inline void vf_store_bf16(uint16_t *p, vf x)
{
    const vf_int half = vf_narrow(x);
    for (int i = 0; i < VF; i++) p[i] = (uint16_t)half[i];
}

static inline void vf_store_pairs(uint16_t *p, vf first, vf second)
{
    const vf_int pair = vf_narrow(first) | vf_narrow(second) << 16;
    memcpy(p, &pair, sizeof pair);
}

/* ---- arithmetic ---- */

static inline vf vf_add(vf a, vf b)
{
    return a + b;
}

static inline vf vf_sub(vf a, vf b)
{
    return a - b;
}

static inline vf vf_mul(vf a, vf b)
{
    return a * b;
}

static inline vf vf_div(vf a, vf b)
{
    return a / b;
}

/* a * b + c, rounded once. The product is exact in double; the sum is rounded to odd there, so that
 * the last rounding is right (Boldo & Melquiond 2008, "Emulation of a FMA and correctly rounded
 * sums"). What the sum loses is found by Knuth's TwoSum. */
static SLOW vf vf_fma(vf a, vf b, vf c)
{
    const vd product = __builtin_convertvector(a, vd) * __builtin_convertvector(b, vd);
    const vd wide = __builtin_convertvector(c, vd), sum = product + wide;
    const vd part = sum - product, lost = (product - (sum - part)) + (wide - part);
    const vd_int inexact = (lost != 0.0) & (lost == lost), even = ((vd_int)sum & 1) - 1;
    const vd_int away = (lost > 0.0) ^ (sum > 0.0); /* 0: bits + 1 goes towards what was lost */
    const vd_int odd = (vd_int)sum + (inexact & even & (1 + 2 * away));
    return __builtin_convertvector((vd)odd, vf);
}

static inline vf vf_fnma(vf a, vf b, vf c)
{
    return vf_fma(-a, b, c);
}

static inline vf vf_max(vf bound, vf x)
{
    return vf_choose(bound > x, bound, x);
}

static inline vf vf_min(vf bound, vf x)
{
    return vf_choose(bound < x, bound, x);
}

static inline vf vf_keep_from(vf bound, vf value, vf x)
{
    return vf_choose(value < bound, vf_set(0.0f), x);
}

static inline vf vf_by_sign(vf x, vf negative, vf positive)
{
    return vf_choose((vf_int)x < 0, negative, positive);
}

/* |x| < 2^22: beyond 1.5 * 2^23 lie whole numbers only. */
static inline vf vf_round(vf x)
{
    return x + 0x1.8p23f - 0x1.8p23f;
}

/* x * 2^n. AVX-512's instruction rounds once; the others build 2^n, which is infinite for 128. */
static inline vf vf_scale(vf x, vf n)
{
    const vf bounded = vf_choose(n == n, n, vf_set(0.0f));
#if SDG_EMULATED_LANES == 16
    const vd_int power = (__builtin_convertvector(bounded, vd_int) + 1023) << 52;
    return __builtin_convertvector(__builtin_convertvector(x, vd) * (vd)power, vf);
#else
    const vf_int power = (__builtin_convertvector(bounded, vf_int) + 127) << 23;
    return x * (vf)power;
#endif
}

/* A pair of bf16 in every lane. VDPBF16PS adds the upper product first and flushes what is denormal
 * (Intel SDM volume 2, VDPBF16PS). */
static SLOW vf vf_dot(vf a, vf b, vf sum)
{
    typedef uint32_t words __attribute__((vector_size(4 * SDG_EMULATED_LANES)));
    const vf al = (vf)((words)a << 16), ah = (vf)((words)a & 0xffff0000u);
    const vf bl = (vf)((words)b << 16), bh = (vf)((words)b & 0xffff0000u);
#ifdef SDG_EMULATED_BF16
    sum = vf_flush(vf_fma(vf_flush(ah), vf_flush(bh), vf_flush(sum)));
    return vf_flush(vf_fma(vf_flush(al), vf_flush(bl), sum));
#else
    return vf_fma(al, bl, vf_fma(ah, bh, sum));
#endif
}

/* ---- across lanes, by halves; in double ---- */

static inline float vf_sum(vf x)
{
    for (int half = VF / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++) x[i] += x[i + half];
    return x[0];
}

static inline float vf_top(vf x)
{
    for (int half = VF / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++) x[i] = x[i] > x[i + half] ? x[i] : x[i + half];
    return x[0];
}

static inline vd vd_zero(void)
{
    return (vd) {0};
}

static inline vd vd_load(const double *p)
{
    vd x;
    memcpy(&x, p, sizeof x);
    return x;
}

static inline void vd_store(double *p, vd x)
{
    memcpy(p, &x, sizeof x);
}

static inline vd vd_widen(vf x)
{
    return __builtin_convertvector(x, vd);
}

static inline vd vd_add(vd a, vd b)
{
    return a + b;
}

/* a came from f32, so that its square is exact. */
static inline vd vd_square_add(vd a, vd c)
{
    return a * a + c;
}

static inline double vd_sum(vd x)
{
    for (int half = VF / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++) x[i] += x[i + half];
    return x[0];
}

#endif
