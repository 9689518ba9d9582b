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
#if defined(__aarch64__)
#define SDG_HAVE_ARM 1
#else
#define SDG_HAVE_ARM 0
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

/* Puts every kernel of a tier into the table k. */
#define SDG_TAKE_KERNELS(k, isa)                                                               \
    ((k)->widen_f16 = sdg_widen_f16_##isa, (k)->widen_bf16 = sdg_widen_bf16_##isa,             \
     (k)->matmul_f32 = sdg_matmul_f32_##isa, (k)->matmul_bf16 = sdg_matmul_bf16_##isa,         \
     (k)->softmax = sdg_softmax_##isa, (k)->silu = sdg_silu_##isa, (k)->gelu = sdg_gelu_##isa, \
     (k)->quick_gelu = sdg_quick_gelu_##isa, (k)->geglu = sdg_geglu_##isa,                     \
     (k)->layernorm = sdg_layernorm_##isa, (k)->channel_sums = sdg_channel_sums_##isa,         \
     (k)->affine = sdg_affine_##isa, (k)->affine_silu = sdg_affine_silu_##isa,                 \
     (k)->add = sdg_add_##isa)

SDG_DECLARE_KERNELS(c);
SDG_DECLARE_KERNELS(avx2);
SDG_DECLARE_KERNELS(avx512);
SDG_DECLARE_KERNELS(neon);

/* Packing is the same for all tiers of a layout. */
void sdg_pack_k_major_c(void *bp, size_t nr, const float *b, size_t b_row, size_t b_col, size_t n,
                        size_t k);
void sdg_pack_pairs_c(void *bp, size_t nr, const float *b, size_t b_row, size_t b_col, size_t n,
                      size_t k);
void sdg_pack_tiles_c(void *bp, size_t nr, const float *b, size_t b_row, size_t b_col, size_t n,
                      size_t k);

#define SDG_DECLARE_MATMUL(isa)                                                                    \
    void sdg_prep_f32_##isa(void *y, size_t ldy, const float *x, size_t ldx, const float *scale,   \
                            const float *shift, bool silu, size_t rows, size_t c, size_t padded);  \
    void sdg_prep_bf16_##isa(void *y, size_t ldy, const float *x, size_t ldx, const float *scale,  \
                             const float *shift, bool silu, size_t rows, size_t c, size_t padded); \
    void sdg_softmax_block_f32_##isa(void *p, const float *s, float *m, float *sum, float *factor, \
                                     size_t keys, float scale);                                    \
    void sdg_softmax_block_bf16_##isa(void *p, const float *s, float *m, float *sum,               \
                                      float *factor, size_t keys, float scale);                    \
    extern const struct sdg_matmul sdg_matmul_f32_##isa, sdg_matmul_bf16_##isa

struct sdg_matmul;
SDG_DECLARE_MATMUL(c);
SDG_DECLARE_MATMUL(avx2);
SDG_DECLARE_MATMUL(avx512);
SDG_DECLARE_MATMUL(avx512bf16);
SDG_DECLARE_MATMUL(amx);
SDG_DECLARE_MATMUL(neon);

#define SDG_DECLARE_WINOGRAD(isa)                                                        \
    extern const struct sdg_winograd sdg_winograd_4_f32_##isa, sdg_winograd_2_f32_##isa, \
        sdg_winograd_2_bf16_##isa
#define SDG_TAKE_WINOGRAD(k, isa)                    \
    ((k)->winograd_4_f32 = sdg_winograd_4_f32_##isa, \
     (k)->winograd_2_f32 = sdg_winograd_2_f32_##isa, \
     (k)->winograd_2_bf16 = sdg_winograd_2_bf16_##isa)

struct sdg_winograd;
SDG_DECLARE_WINOGRAD(c);
SDG_DECLARE_WINOGRAD(avx2);
SDG_DECLARE_WINOGRAD(avx512);
SDG_DECLARE_WINOGRAD(avx512bf16);
SDG_DECLARE_WINOGRAD(neon);

#endif
