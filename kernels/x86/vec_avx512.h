/* vec_avx512.h - sixteen f32 in a register; the words are explained in vec_avx2.h. */
#ifndef SDG_X86_VEC_AVX512_H
#define SDG_X86_VEC_AVX512_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define SDG_TIER(name) name##_avx512

enum { VF = 16 };
typedef __m512 vf;
typedef struct {
    __m512d low, high;
} vd;

/* ---- memory ---- */

static inline vf vf_load(const float *p)
{
    return _mm512_loadu_ps(p);
}

static inline void vf_store(float *p, vf x)
{
    _mm512_storeu_ps(p, x);
}

static inline __mmask16 vf_first(size_t n)
{
    return (__mmask16)((1u << n) - 1);
}

static inline vf vf_load_part(const float *p, size_t n)
{
    return _mm512_maskz_loadu_ps(vf_first(n), p);
}

static inline void vf_store_part(float *p, vf x, size_t n)
{
    _mm512_mask_storeu_ps(p, vf_first(n), x);
}

static inline vf vf_load_f16(const void *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256(p));
}

static inline vf vf_load_bf16(const void *p)
{
    const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}

/* Sixteen bf16, rounded to nearest even; NaN stays NaN. */
static inline void vf_store_bf16(uint16_t *p, vf x)
{
    const __m512i bits = _mm512_castps_si512(x);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i up = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    const __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
    const __m512i y = _mm512_mask_or_epi32(up, nan, bits, _mm512_set1_epi32(0x400000));
    _mm256_storeu_si256((__m256i *)p, _mm512_cvtepi32_epi16(_mm512_srli_epi32(y, 16)));
}

/* Sixteen pairs of bf16, `first` in the lower halves; rounded to nearest even. No NaN. */
static inline void vf_store_pairs(uint16_t *p, vf first, vf second)
{
    const __m512i one = _mm512_set1_epi32(1), half = _mm512_set1_epi32(0x7fff);
    const __m512i a = _mm512_castps_si512(first), b = _mm512_castps_si512(second);
    const __m512i la = _mm512_and_si512(_mm512_srli_epi32(a, 16), one);
    const __m512i lb = _mm512_and_si512(_mm512_srli_epi32(b, 16), one);
    const __m512i ra = _mm512_add_epi32(a, _mm512_add_epi32(la, half));
    const __m512i rb = _mm512_add_epi32(b, _mm512_add_epi32(lb, half));
    const __m512i y = _mm512_mask_blend_epi16(0xaaaaaaaau, _mm512_srli_epi32(ra, 16), rb);
    _mm512_storeu_si512(p, y);
}

/* ---- arithmetic ---- */

static inline vf vf_set(float x)
{
    return _mm512_set1_ps(x);
}

static inline vf vf_add(vf a, vf b)
{
    return _mm512_add_ps(a, b);
}

static inline vf vf_sub(vf a, vf b)
{
    return _mm512_sub_ps(a, b);
}

static inline vf vf_mul(vf a, vf b)
{
    return _mm512_mul_ps(a, b);
}

static inline vf vf_div(vf a, vf b)
{
    return _mm512_div_ps(a, b);
}

static inline vf vf_fma(vf a, vf b, vf c)
{
    return _mm512_fmadd_ps(a, b, c);
}

static inline vf vf_fnma(vf a, vf b, vf c)
{
    return _mm512_fnmadd_ps(a, b, c);
}

static inline vf vf_max(vf bound, vf x)
{
    return _mm512_max_ps(bound, x);
}

static inline vf vf_min(vf bound, vf x)
{
    return _mm512_min_ps(bound, x);
}

static inline vf vf_abs(vf x)
{
    return _mm512_abs_ps(x);
}

static inline vf vf_keep_from(vf bound, vf value, vf x)
{
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(value, bound, _CMP_NLT_UQ), x);
}

static inline vf vf_by_sign(vf x, vf negative, vf positive)
{
    return _mm512_mask_blend_ps(_mm512_movepi32_mask(_mm512_castps_si512(x)), positive, negative);
}

static inline vf vf_round(vf x)
{
    return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

static inline vf vf_scale(vf x, vf n)
{
    return _mm512_scalef_ps(x, n);
}

/* sum + a.low * b.low + a.high * b.high, a lane of 32 bits being a pair of bf16. */
static inline vf vf_dot(vf a, vf b, vf sum)
{
    const vf high = _mm512_castsi512_ps(_mm512_set1_epi32((int)0xffff0000u));
    const vf al = _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_castps_si512(a), 16));
    const vf bl = _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_castps_si512(b), 16));
    sum = _mm512_fmadd_ps(_mm512_and_ps(a, high), _mm512_and_ps(b, high), sum);
    return _mm512_fmadd_ps(al, bl, sum);
}

/* ---- across lanes; in double ---- */

static inline float vf_sum(vf x)
{
    return _mm512_reduce_add_ps(x);
}

static inline float vf_top(vf x)
{
    return _mm512_reduce_max_ps(x);
}

static inline vd vd_zero(void)
{
    return (vd) {_mm512_setzero_pd(), _mm512_setzero_pd()};
}

static inline vd vd_load(const double *p)
{
    return (vd) {_mm512_loadu_pd(p), _mm512_loadu_pd(p + VF / 2)};
}

static inline void vd_store(double *p, vd x)
{
    _mm512_storeu_pd(p, x.low);
    _mm512_storeu_pd(p + VF / 2, x.high);
}

static inline vd vd_widen(vf x)
{
    return (vd) {_mm512_cvtps_pd(_mm512_castps512_ps256(x)),
                 _mm512_cvtps_pd(_mm512_extractf32x8_ps(x, 1))};
}

static inline vd vd_add(vd a, vd b)
{
    return (vd) {_mm512_add_pd(a.low, b.low), _mm512_add_pd(a.high, b.high)};
}

static inline vd vd_square_add(vd a, vd c)
{
    return (vd) {_mm512_fmadd_pd(a.low, a.low, c.low), _mm512_fmadd_pd(a.high, a.high, c.high)};
}

static inline double vd_sum(vd x)
{
    return _mm512_reduce_add_pd(_mm512_add_pd(x.low, x.high));
}

#endif
