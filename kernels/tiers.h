/* tiers.h - prototypes of all versions of the kernels, for kernels.c and the files that define
 * them. The contracts are kernels.h's. */
#ifndef SDG_TIERS_H
#define SDG_TIERS_H

#include <stdbool.h>
#include <stddef.h>

#if defined(__x86_64__)
#define SDG_HAVE_X86 1
#else
#define SDG_HAVE_X86 0
#endif

#define SDG_DECLARE_KERNELS(isa)                                                                 \
    void sdg_widen_f16_##isa(float *y, const void *x, size_t n);                                 \
    void sdg_widen_bf16_##isa(float *y, const void *x, size_t n);                                \
    void sdg_softmax_##isa(float *y, const float *x, size_t rows, size_t cols, size_t ld,        \
                           float scale);                                                         \
    void sdg_silu_##isa(float *y, const float *x, size_t n);                                     \
    void sdg_gelu_##isa(float *y, const float *x, size_t n);                                     \
    void sdg_quick_gelu_##isa(float *y, const float *x, size_t n);                               \
    void sdg_geglu_##isa(float *y, const float *x, size_t rows, size_t c);                       \
    void sdg_layernorm_##isa(float *y, const float *x, const float *gamma, const float *beta,    \
                             size_t rows, size_t c, float eps);                                  \
    void sdg_channel_sums_##isa(double *sum, double *square, const float *x, size_t rows,        \
                                size_t c);                                                       \
    void sdg_affine_##isa(float *y, const float *x, const float *scale, const float *shift,      \
                          size_t rows, size_t c);                                                \
    void sdg_affine_silu_##isa(float *y, const float *x, const float *scale, const float *shift, \
                               size_t rows, size_t c);                                           \
    void sdg_add_##isa(float *y, const float *x, size_t n)

SDG_DECLARE_KERNELS(c);
SDG_DECLARE_KERNELS(avx2);
SDG_DECLARE_KERNELS(avx512);

enum { SDG_GEMM_C_MR = 6, SDG_GEMM_C_NR = 8, SDG_GEMM_C_KC = 256 };
void sdg_gemm_pack_b_c(float *bp, const float *b, size_t b_row, size_t b_col, size_t n, size_t k);
void sdg_gemm_run_c(float *c, size_t ldc, const float *a, size_t lda, const float *bp, size_t m,
                    size_t n, size_t k, bool accumulate);

#endif
