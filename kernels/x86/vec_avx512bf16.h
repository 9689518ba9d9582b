/* vec_avx512bf16.h - vec_avx512.h with the three words that AVX512-BF16 says better. */
#ifndef SDG_X86_VEC_AVX512BF16_H
#define SDG_X86_VEC_AVX512BF16_H

#define vf_dot vf_dot_avx512
#define vf_store_bf16 vf_store_bf16_avx512
#define vf_store_pairs vf_store_pairs_avx512
#include "vec_avx512.h"
#undef vf_dot
#undef vf_store_bf16
#undef vf_store_pairs

#undef SDG_TIER
#define SDG_TIER(name) name##_avx512bf16

static inline vf vf_dot(vf a, vf b, vf sum)
{
    return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b);
}

static inline void vf_store_bf16(uint16_t *p, vf x)
{
    _mm256_storeu_si256((__m256i *)p, (__m256i)_mm512_cvtneps_pbh(x));
}

static inline void vf_store_pairs(uint16_t *p, vf first, vf second)
{
    const __m512i both = (__m512i)_mm512_cvtne2ps_pbh(second, first); /* first below second */
    const __m512i low = _mm512_cvtepu16_epi32(_mm512_castsi512_si256(both));
    const __m512i high = _mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(both, 1));
    _mm512_storeu_si512(p, _mm512_or_si512(low, _mm512_slli_epi32(high, 16)));
}

#endif
