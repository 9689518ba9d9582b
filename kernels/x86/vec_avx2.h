/* vec_avx2.h - eight f32 in a register: the words in which the .inc files of this folder are
 * written, spoken with AVX2, FMA and F16C. vec_avx512.h has the same words for sixteen.
 *
 * vf: VF floats. vd: as many doubles. A "part" is the first n < VF elements of memory: nothing
 * beyond is touched, and missing elements read as 0. */
#ifndef SDG_X86_VEC_AVX2_H
#define SDG_X86_VEC_AVX2_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define SDG_TIER(name) name##_avx2

enum { VF = 8 };
typedef __m256 vf;
typedef struct {
    __m256d low, high;
} vd;

/* ---- memory ---- */

static inline vf vf_load(const float *p)
{
    return _mm256_loadu_ps(p);
}

static inline void vf_store(float *p, vf x)
{
    _mm256_storeu_ps(p, x);
}

/* All ones in the first n lanes. */
static inline __m256i vf_first(size_t n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

static inline vf vf_load_part(const float *p, size_t n)
{
    return _mm256_maskload_ps(p, vf_first(n));
}

static inline void vf_store_part(float *p, vf x, size_t n)
{
    _mm256_maskstore_ps(p, vf_first(n), x);
}

static inline vf vf_load_f16(const void *p)
{
    return _mm256_cvtph_ps(_mm_loadu_si128(p));
}

static inline vf vf_load_bf16(const void *p)
{
    const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}

/* Eight bf16, rounded to nearest even; NaN stays NaN. */
static inline void vf_store_bf16(uint16_t *p, vf x)
{
    const __m256i bits = _mm256_castps_si256(x);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const __m256i up = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
    const __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
    const __m256i top = _mm256_srli_epi32(_mm256_blendv_epi8(up, quiet, nan), 16);
    const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(top, top), 0x08);
    _mm_storeu_si128((__m128i *)p, _mm256_castsi256_si128(packed));
}

/* Eight pairs of bf16, `first` in the lower halves; rounded to nearest even. No NaN. */
static inline void vf_store_pairs(uint16_t *p, vf first, vf second)
{
    const __m256i one = _mm256_set1_epi32(1), half = _mm256_set1_epi32(0x7fff);
    const __m256i a = _mm256_castps_si256(first), b = _mm256_castps_si256(second);
    const __m256i la = _mm256_and_si256(_mm256_srli_epi32(a, 16), one);
    const __m256i lb = _mm256_and_si256(_mm256_srli_epi32(b, 16), one);
    const __m256i ra = _mm256_add_epi32(a, _mm256_add_epi32(la, half));
    const __m256i rb = _mm256_add_epi32(b, _mm256_add_epi32(lb, half));
    const __m256i y = _mm256_blend_epi16(_mm256_srli_epi32(ra, 16), rb, 0xaa);
    _mm256_storeu_si256((__m256i *)p, y);
}

/* ---- arithmetic ---- */

static inline vf vf_set(float x)
{
    return _mm256_set1_ps(x);
}

static inline vf vf_add(vf a, vf b)
{
    return _mm256_add_ps(a, b);
}

static inline vf vf_sub(vf a, vf b)
{
    return _mm256_sub_ps(a, b);
}

static inline vf vf_mul(vf a, vf b)
{
    return _mm256_mul_ps(a, b);
}

static inline vf vf_div(vf a, vf b)
{
    return _mm256_div_ps(a, b);
}

/* a * b + c and c - a * b, rounded once. */
static inline vf vf_fma(vf a, vf b, vf c)
{
    return _mm256_fmadd_ps(a, b, c);
}

static inline vf vf_fnma(vf a, vf b, vf c)
{
    return _mm256_fnmadd_ps(a, b, c);
}

/* Larger of the two; x where x is NaN. */
static inline vf vf_max(vf bound, vf x)
{
    return _mm256_max_ps(bound, x);
}

static inline vf vf_min(vf bound, vf x)
{
    return _mm256_min_ps(bound, x);
}

static inline vf vf_abs(vf x)
{
    return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x);
}

/* x where value >= bound or value is NaN, else 0. */
static inline vf vf_keep_from(vf bound, vf value, vf x)
{
    return _mm256_and_ps(_mm256_cmp_ps(value, bound, _CMP_NLT_UQ), x);
}

/* negative where x < 0, else positive. */
static inline vf vf_by_sign(vf x, vf negative, vf positive)
{
    return _mm256_blendv_ps(positive, negative, x);
}

static inline vf vf_round(vf x)
{
    return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

/* x * 2^n for whole n in [-126, 128]; x in (0.5, 2) or NaN. 2^128 makes infinity. */
static inline vf vf_scale(vf x, vf n)
{
    const __m256i exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
    return _mm256_mul_ps(x, _mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23)));
}

/* sum + a.low * b.low + a.high * b.high, a lane of 32 bits being a pair of bf16. */
static inline vf vf_dot(vf a, vf b, vf sum)
{
    const vf high = _mm256_castsi256_ps(_mm256_set1_epi32((int)0xffff0000u));
    const vf al = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(a), 16));
    const vf bl = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(b), 16));
    sum = _mm256_fmadd_ps(_mm256_and_ps(a, high), _mm256_and_ps(b, high), sum);
    return _mm256_fmadd_ps(al, bl, sum);
}

/* ---- across lanes; in double ---- */

static inline float vf_sum(vf x)
{
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

static inline float vf_top(vf x)
{
    __m128 s = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    s = _mm_max_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}

static inline vd vd_zero(void)
{
    return (vd) {_mm256_setzero_pd(), _mm256_setzero_pd()};
}

static inline vd vd_load(const double *p)
{
    return (vd) {_mm256_loadu_pd(p), _mm256_loadu_pd(p + VF / 2)};
}

static inline void vd_store(double *p, vd x)
{
    _mm256_storeu_pd(p, x.low);
    _mm256_storeu_pd(p + VF / 2, x.high);
}

static inline vd vd_widen(vf x)
{
    return (vd) {_mm256_cvtps_pd(_mm256_castps256_ps128(x)),
                 _mm256_cvtps_pd(_mm256_extractf128_ps(x, 1))};
}

static inline vd vd_add(vd a, vd b)
{
    return (vd) {_mm256_add_pd(a.low, b.low), _mm256_add_pd(a.high, b.high)};
}

/* a * a + c */
static inline vd vd_square_add(vd a, vd c)
{
    return (vd) {_mm256_fmadd_pd(a.low, a.low, c.low), _mm256_fmadd_pd(a.high, a.high, c.high)};
}

static inline double vd_sum(vd x)
{
    const __m256d s = _mm256_add_pd(x.low, x.high);
    const __m128d t = _mm_add_pd(_mm256_castpd256_pd128(s), _mm256_extractf128_pd(s, 1));
    return _mm_cvtsd_f64(_mm_add_sd(t, _mm_unpackhi_pd(t, t)));
}

#endif
