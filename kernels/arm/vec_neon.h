/* vec_neon.h - four f32 in a register of Advanced SIMD (Armv8-A); the words are explained in
 * x86/vec_avx2.h. */
#ifndef SDG_ARM_VEC_NEON_H
#define SDG_ARM_VEC_NEON_H

#include <arm_neon.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define SDG_TIER(name) name##_neon

enum { VF = 4 };
typedef float32x4_t vf;
typedef struct {
    float64x2_t low, high;
} vd;

/* ---- memory ---- */

static inline vf vf_load(const float *p)
{
    return vld1q_f32(p);
}

static inline void vf_store(float *p, vf x)
{
    vst1q_f32(p, x);
}

/* No masks: parts go through a buffer. */
static inline vf vf_load_part(const float *p, size_t n)
{
    float whole[4] = {0};
    memcpy(whole, p, n * sizeof *p);
    return vf_load(whole);
}

static inline void vf_store_part(float *p, vf x, size_t n)
{
    float whole[4];
    vf_store(whole, x);
    memcpy(p, whole, n * sizeof *p);
}

static inline vf vf_load_f16(const void *p)
{
    return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(p)));
}

static inline vf vf_load_bf16(const void *p)
{
    return vreinterpretq_f32_u32(vshll_n_u16(vreinterpret_u16_u8(vld1_u8(p)), 16));
}

/* Sums whose upper halves are x rounded to nearest, ties to even. */
static inline uint32x4_t vf_rounded(vf x)
{
    const uint32x4_t bits = vreinterpretq_u32_f32(x);
    const uint32x4_t odd = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
    return vaddq_u32(bits, vaddq_u32(odd, vdupq_n_u32(0x7fff)));
}

/* Four bf16; NaN stays NaN. */
static inline void vf_store_bf16(uint16_t *p, vf x)
{
    const uint32x4_t quiet = vorrq_u32(vreinterpretq_u32_f32(x), vdupq_n_u32(0x400000));
    const uint32x4_t y = vbslq_u32(vceqq_f32(x, x), vf_rounded(x), quiet);
    vst1_u16(p, vshrn_n_u32(y, 16));
}

/* Four pairs of bf16, `first` in the lower halves. No NaN. */
static inline void vf_store_pairs(uint16_t *p, vf first, vf second)
{
    const uint32x4_t y = vsriq_n_u32(vf_rounded(second), vf_rounded(first), 16);
    vst1q_u16(p, vreinterpretq_u16_u32(y));
}

/* ---- arithmetic ---- */

static inline vf vf_set(float x)
{
    return vdupq_n_f32(x);
}

static inline vf vf_add(vf a, vf b)
{
    return vaddq_f32(a, b);
}

static inline vf vf_sub(vf a, vf b)
{
    return vsubq_f32(a, b);
}

static inline vf vf_mul(vf a, vf b)
{
    return vmulq_f32(a, b);
}

static inline vf vf_div(vf a, vf b)
{
    return vdivq_f32(a, b);
}

static inline vf vf_fma(vf a, vf b, vf c)
{
    return vfmaq_f32(c, a, b);
}

static inline vf vf_fnma(vf a, vf b, vf c)
{
    return vfmsq_f32(c, a, b);
}

/* Not FMAX, which would spread a NaN of the bound too. */
static inline vf vf_max(vf bound, vf x)
{
    return vbslq_f32(vcgtq_f32(bound, x), bound, x);
}

static inline vf vf_min(vf bound, vf x)
{
    return vbslq_f32(vcltq_f32(bound, x), bound, x);
}

static inline vf vf_abs(vf x)
{
    return vabsq_f32(x);
}

static inline vf vf_keep_from(vf bound, vf value, vf x)
{
    return vbslq_f32(vcltq_f32(value, bound), vdupq_n_f32(0.0f), x);
}

static inline vf vf_by_sign(vf x, vf negative, vf positive)
{
    const uint32x4_t below = vcltq_s32(vreinterpretq_s32_f32(x), vdupq_n_s32(0));
    return vbslq_f32(below, negative, positive);
}

static inline vf vf_round(vf x)
{
    return vrndnq_f32(x);
}

static inline vf vf_scale(vf x, vf n)
{
    const int32x4_t exponent = vaddq_s32(vcvtnq_s32_f32(n), vdupq_n_s32(127));
    return vmulq_f32(x, vreinterpretq_f32_s32(vshlq_n_s32(exponent, 23)));
}

/* By widening: BFDOT is no part of the baseline, and rounds otherwise. */
static inline vf vf_dot(vf a, vf b, vf sum)
{
    const uint32x4_t x = vreinterpretq_u32_f32(a), y = vreinterpretq_u32_f32(b);
    const uint32x4_t high = vdupq_n_u32(0xffff0000u);
    const vf ah = vreinterpretq_f32_u32(vandq_u32(x, high));
    const vf bh = vreinterpretq_f32_u32(vandq_u32(y, high));
    const vf al = vreinterpretq_f32_u32(vshlq_n_u32(x, 16));
    const vf bl = vreinterpretq_f32_u32(vshlq_n_u32(y, 16));
    return vfmaq_f32(vfmaq_f32(sum, ah, bh), al, bl);
}

/* ---- across lanes, by halves; in double ---- */

static inline float vf_sum(vf x)
{
    const float32x2_t s = vadd_f32(vget_low_f32(x), vget_high_f32(x));
    return vget_lane_f32(s, 0) + vget_lane_f32(s, 1);
}

static inline float vf_top(vf x)
{
    return vmaxvq_f32(x);
}

static inline vd vd_zero(void)
{
    return (vd) {vdupq_n_f64(0.0), vdupq_n_f64(0.0)};
}

static inline vd vd_load(const double *p)
{
    return (vd) {vld1q_f64(p), vld1q_f64(p + VF / 2)};
}

static inline void vd_store(double *p, vd x)
{
    vst1q_f64(p, x.low);
    vst1q_f64(p + VF / 2, x.high);
}

static inline vd vd_widen(vf x)
{
    return (vd) {vcvt_f64_f32(vget_low_f32(x)), vcvt_high_f64_f32(x)};
}

static inline vd vd_add(vd a, vd b)
{
    return (vd) {vaddq_f64(a.low, b.low), vaddq_f64(a.high, b.high)};
}

static inline vd vd_square_add(vd a, vd c)
{
    return (vd) {vfmaq_f64(c.low, a.low, a.low), vfmaq_f64(c.high, a.high, a.high)};
}

static inline double vd_sum(vd x)
{
    const float64x2_t s = vaddq_f64(x.low, x.high);
    return vgetq_lane_f64(s, 0) + vgetq_lane_f64(s, 1);
}

#endif
