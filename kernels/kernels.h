/* kernels.h - the table of compute kernels and their contracts.
 *
 * A kernel is a reentrant, single-threaded loop over plain arrays. It does not allocate,
 * fail or keep state; shapes are the caller's business (src/ops). kernels/ref holds the plain C
 * version of each: the specification, the oracle of the tests (tests/check*.c) and the fallback of
 * every machine. Faster versions must keep to the contract written above each pointer.
 *
 * Unless a contract says otherwise: any length including 0; any alignment of f32 (4 bytes); arrays
 * of a call do not overlap; y may be x where both have the same shape; a NaN in gives NaN in every
 * output that depends on it; nothing outside the arrays is read or written. u = 2^-24, the unit
 * roundoff of f32. Errors are bounds against exact arithmetic on the given f32 inputs. */
#ifndef SDG_KERNELS_H
#define SDG_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include "cpu.h"

/* What a matrix product reads: the type of A and of packed B. Products are summed in f32.
 * A third one, int8, is not built. Its place in these contracts: prep rounds each row to 8 bits by
 * a scale of its own and leaves the scale behind the row, pack does the same to each column of a
 * panel; k_step is 4 (VPDPBUSD, SDOT) or 64 (TDPBSSD); run sums in int32, where no order matters,
 * and leaves base + bias + scale_row scale_column sum. Softmax, norms and Winograd's transforms
 * would stay in f32. */
enum sdg_matmul_input { SDG_INPUT_F32, SDG_INPUT_BF16 };

/* How pack lays out a panel of nr columns of B: an id that travels with packed panels, so that a
 * panel packed for one kernel cannot be fed to another unnoticed. Columns >= n are zero. */
enum sdg_matmul_layout {
    SDG_MATMUL_K_MAJOR, /* f32 [k][nr]: the nr values of one k side by side */
    SDG_MATMUL_PAIRS,   /* bf16 [k/2][nr][2]: the two values of a pair of k side by side */
    SDG_MATMUL_TILES    /* bf16 [k/32][nr/16][16][16][2]: tiles of 16 pairs by 16 columns */
    /* of int8: quads [k/4][nr][4], tiles [k/64][nr/16][16][16][4], f32 scales [nr] behind them */
};

/* One panel's part of a product:
 *
 *   c[i][j] = base[i][j] + bias[j] + sum_t sum_p A(i, t, p) B(j, t, p)      i < m, j < n
 *
 * A(i, t, p) = a[i * lda + taps[t] + p]: a matrix has one tap at 0; a convolution has one tap per
 * place of its filter, so that it needs no copy of its input (implicit GEMM). */
struct sdg_product {
    float *c; /* [m][ldc] */
    size_t ldc;
    const float *base; /* [m][ld_base], may be c; NULL: nothing */
    size_t ld_base;
    const float *bias; /* [n]; NULL: nothing */
    const void *a;     /* of the input type; lda and taps count elements of it */
    size_t lda;
    const ptrdiff_t *taps;
    size_t tap_count;
    const void *b;  /* [tap][panel of k]: each panel from pack with the same n and k */
    size_t m, n, k; /* n <= nr; k a multiple of k_step (zeros in A as in B) */
};

/* A matrix product: register tile, packing and kernel belong together and are replaced as a whole
 * by a tier. Per element |err| <= gamma_(K+2) (|base| + |bias| + sum|a||b|) over the K values of
 * all taps, gamma_j = j u / (1 - j u) (Higham, "Accuracy and Stability of Numerical Algorithms",
 * 2nd ed., eq. 3.5): any order, f32 accumulation, products of bf16 exact; denormal bf16 inputs may
 * count as 0. An element's bits depend on its own row, column, taps and k alone, not on where tiles
 * begin. */
struct sdg_matmul {
    enum sdg_matmul_input input;
    enum sdg_matmul_layout layout;
    size_t mr, nr;      /* register tile */
    size_t k_step;      /* depth that one instruction takes */
    size_t a_alignment; /* bytes that rows of A must be aligned to; 0: an f32 */
    /* bp [k rounded up to k_step][nr] from B, whose element (j, p) is b[j * b_row + p * b_col];
     * n <= nr; rounds to the input type. So both [n][k] and [k][n] matrices can be packed. */
    void (*pack)(void *bp, size_t nr, const float *b, size_t b_row, size_t b_col, size_t n,
                 size_t k);
    /* y[r][i] = act(scale[i] * x[r][i] + shift[i]) in the input type for i < c, 0 for c <= i <
     * padded. x [rows][ldx], y [rows][ldy]; scale and shift [c], both NULL: y = x; silu: act is
     * silu (contract of affine_silu), else nothing. */
    void (*prep)(void *y, size_t ldy, const float *x, size_t ldx, const float *scale,
                 const float *shift, bool silu, size_t rows, size_t c, size_t padded);
    void (*run)(const struct sdg_product *p);
    /* One block of keys of an online softmax (Milakov & Gimelshein 2018, algorithm 3), a query in
     * each of nr columns. s [keys][nr] are scores; with m[j] = the largest score of column j so
     * far, old and new:
     *   factor[j] = exp(scale (m_old[j] - m_new[j]))
     *   p[i][j]   = exp(scale (s[i][j] - m_new[j])), rounded to the input type
     *   sum[j]    = factor[j] sum[j] + sum_i p[i][j], before that rounding
     * p is laid out as a panel of depth `keys` rounded up to k_step, with zeros there; p may be s
     * unless the layout is SDG_MATMUL_TILES. Before the first block m is -infinity and sum 0.
     * scale > 0. A score of -infinity gives 0; |err| of exp as of softmax. */
    void (*softmax_block)(void *p, const float *s, float *m, float *sum, float *factor, size_t keys,
                          float scale);
};

/* Winograd's minimal filtering F(m x m, 3 x 3) (Lavin & Gray 2016, "Fast Algorithms for
 * Convolutional Neural Networks", section 4): m x m outputs of a 3x3 convolution of stride 1 are
 *
 *      Y = A^T [ sum_c (G g_c G^T) o (B^T d_c B) ] A
 *
 * of (m + 2) x (m + 2) inputs d: for each pair of channels (m + 2)^2 products instead of 9 m^2. At
 * each of these points the sum over c is a matrix product of all tiles by all outputs, for the
 * tier's sdg_matmul of the same type. Points are numbered row by row; steps count elements. */
struct sdg_winograd_input {
    void *v; /* point q of channel i of tile t: v[q * v_point + t * v_tile + i], i < padded */
    size_t v_point, v_tile;
    const float
        *x; /* pixel (i, j) of tile t: x + i * x_line + (t * m + j) * x_pixel, i, j < m + 2 */
    size_t x_line, x_pixel;
    size_t tiles, c, padded; /* channels [c, padded) of v become 0 */
};

/* What weights are read from: PAIRS is bf16 as in SDG_MATMUL_PAIRS; the others are [depth][nr]. */
enum sdg_number { SDG_NUMBER_F32, SDG_NUMBER_F16, SDG_NUMBER_BF16, SDG_NUMBER_PAIRS };

struct sdg_winograd_weights {
    void *u; /* [point][depth][nr], u_point from point to point */
    size_t u_point;
    const void *g; /* [9][depth][nr], g_tap from tap to tap */
    size_t g_tap;
    enum sdg_number from;
    size_t depth, nr; /* nr that of the tier's product; depth even with PAIRS */
};

struct sdg_winograd_output {
    float
        *y; /* pixel (i, j), i < lines <= m, j < pixels: y + i * y_line + j * y_pixel, n channels */
    size_t y_line, y_pixel;
    const float *residual; /* added, laid out as y, may be y; NULL: nothing */
    const float *bias;     /* [n]; NULL: nothing */
    const float *m;        /* point q of tile t: m + q * m_point + t * m_tile, n channels */
    size_t m_point, m_tile;
    size_t lines, pixels, n; /* tiles side by side until there are `pixels` columns */
};

/* Each transform is two products by a constant matrix T; per element |err| <= 16 u |T| |x| |T^T|,
 * plus half a unit of bf16 where V or U is that, and 2 u |y| for each of bias and residual. With
 * `from` as bf16 and type bf16 the order of elements is kept, so that pairs stay pairs. */
struct sdg_winograd {
    size_t tile;                                           /* m: 2 or 4 */
    enum sdg_matmul_input type;                            /* of V and U */
    void (*input)(const struct sdg_winograd_input *p);     /* V = B^T d B */
    void (*weights)(const struct sdg_winograd_weights *p); /* U = G g G^T */
    void (*output)(const struct sdg_winograd_output *p);   /* y = A^T M A + bias + residual */
};

struct sdg_kernels {
    enum sdg_isa isa;

    /* y[i] = (float)x[i], exact. x: [n] IEEE binary16 at any byte address. NaN stays NaN (payload
     * and quiet bit unspecified). */
    void (*widen_f16)(float *y, const void *x, size_t n);

    /* y[i] = (float)x[i], exact. x: [n] bfloat16 (upper half of binary32) at any byte address. */
    void (*widen_bf16)(float *y, const void *x, size_t n);

    struct sdg_matmul matmul_f32, matmul_bf16;
    struct sdg_winograd winograd_4_f32, winograd_2_f32, winograd_2_bf16;

    /* y[r][:] = softmax(scale * x[r][:]); x, y [rows][ld], of which cols >= 1 columns are touched;
     * scale > 0; y may be x. With d = scale * (max x[r] - x[r][i]) the error is at most
     * (cols/8 + 24 + 2 d) u of the exact value, plus 2^-100: what lies more than 75 below the
     * row's maximum may become 0, so that no denormal numbers arise. A row whose maximum is not
     * finite becomes NaN. */
    void (*softmax)(float *y, const float *x, size_t rows, size_t cols, size_t ld, float scale);

    /* y[i] = x[i] / (1 + exp(-x[i])). |err| <= 4u |y| + 2^-119: the last term where x < -87, whose
     * exact result (above -2^-119) may become 0. Infinite x: unspecified. y may be x. */
    void (*silu)(float *y, const float *x, size_t n);

    /* y[i] = x[i] Phi(x[i]), Phi the normal distribution: GELU with the exact erf (Hendrycks &
     * Gimpel 2016, eq. 2). |err| <= (12 + 2 x^2) u |y| + 2^-119: relative also in the left tail.
     * Infinite x: unspecified. y may be x. */
    void (*gelu)(float *y, const float *x, size_t n);

    /* y[i] = x[i] / (1 + exp(-1.702f x[i])), the activation of OpenAI's CLIP (clip/model.py,
     * QuickGELU). |err| <= (12 + 4 |x|) u |y| + 2^-119. Infinite x: unspecified. y may be x. */
    void (*quick_gelu)(float *y, const float *x, size_t n);

    /* y[r][i] = x[r][i] * gelu(x[r][c + i]) (Shazeer 2020, GEGLU). x [rows][2c], y [rows][c]; gelu
     * as above, one more rounding. */
    void (*geglu)(float *y, const float *x, size_t rows, size_t c);

    /* y[r][i] = (x[r][i] - mean_r) / sqrt(var_r + eps) * gamma[i] + beta[i] (Ba et al. 2016),
     * biased variance. x, y [rows][c], c >= 1; y may be x. Sums in f64. |err| <= 8u (|gamma|
     * (|x| + |mean|) / sqrt(var + eps) + |y|) where |mean| < 2^10 sqrt(var + eps). */
    void (*layernorm)(float *y, const float *x, const float *gamma, const float *beta, size_t rows,
                      size_t c, float eps);

    /* sum[i] += sum_r x[r][i], square[i] += sum_r x[r][i]^2, in f64, r in ascending order: the same
     * bits from every version. x [rows][c]; sum, square [c]. */
    void (*channel_sums)(double *sum, double *square, const float *x, size_t rows, size_t c);

    /* y[r][i] = scale[i] * x[r][i] + shift[i], fused or not: |err| <= 2u (|scale x| + |y|).
     * x, y [rows][c]; y may be x. */
    void (*affine)(float *y, const float *x, const float *scale, const float *shift, size_t rows,
                   size_t c);

    /* y = silu(affine(x)): errors of both. y may be x. */
    void (*affine_silu)(float *y, const float *x, const float *scale, const float *shift,
                        size_t rows, size_t c);

    /* y[i] += x[i], correctly rounded. */
    void (*add)(float *y, const float *x, size_t n);
};

/* Fills the table for a tier: everything from plain C, then tier by tier what each does better, up
 * to `isa`. Pure: no global state, no look at the machine, so that tables of several tiers can be
 * held side by side; calling a tier that the machine lacks is the caller's error. A tier of another
 * processor's is plain C. */
void sdg_kernels_init(struct sdg_kernels *k, enum sdg_isa isa);

#endif
