/* matmul_c.c - matrix product in plain C; contract in kernels.h.
 *
 * The textbook of fast matrix products (Goto & van de Geijn 2008, "Anatomy of High-Performance
 * Matrix Multiplication"), in its smallest form:
 *
 *                 <- nr ->                C's tile of mr x nr sums lives in registers while the
 *        B packed [k][nr]                 loop runs over k: each step takes one value from each of
 *      k |        b b b b                 mr rows of A and nr neighbours from B, mr + nr loads for
 *        v                                mr * nr multiply-adds. B was packed so that its loads run
 *    A rows  k->    C tile                straight through memory; a compiler turns the innermost
 *   mr a . . .    c c c c                 loop into vectors, since the sums of one row are
 *      a . . .    c c c c                 independent of each other.
 *
 * A convolution is the same loop once per tap: the rows of A then begin elsewhere. */
#include "kernels.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "tiers.h"

enum { MR = 6, NR = 8 };

/* ---- bf16 ------------------------------------------------------------------------------------ */

/* The upper half of binary32, rounded to nearest, ties to even; NaN stays NaN. */
static uint16_t narrow(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if ((bits & 0x7fffffff) > 0x7f800000) return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static float widen(uint16_t x)
{
    const uint32_t bits = (uint32_t)x << 16;
    float y;
    memcpy(&y, &bits, sizeof y);
    return y;
}

/* ---- packing --------------------------------------------------------------------------------- */

void sdg_pack_k_major_c(void *bp, size_t nr, const float *b, size_t b_row, size_t b_col, size_t n,
                        size_t k)
{
    float *y = bp;
    for (size_t p = 0; p < k; p++, y += nr)
        for (size_t j = 0; j < nr; j++) y[j] = j < n ? b[j * b_row + p * b_col] : 0.0f;
}

void sdg_pack_pairs_c(void *bp, size_t nr, const float *b, size_t b_row, size_t b_col, size_t n,
                      size_t k)
{
    uint16_t *y = bp;
    for (size_t p = 0; p < k; p += 2, y += 2 * nr)
        for (size_t j = 0; j < nr; j++)
            for (size_t s = 0; s < 2; s++)
                y[2 * j + s] =
                    j < n && p + s < k ? narrow(b[j * b_row + (p + s) * b_col]) : (uint16_t)0;
}

/* Rounded up to whole tiles: 32 deep, 16 columns wide. */
void sdg_pack_tiles_c(void *bp, size_t nr, const float *b, size_t b_row, size_t b_col, size_t n,
                      size_t k)
{
    enum { DEEP = 32, WIDE = 16 };
    uint16_t *y = bp;
    for (size_t p = 0; p < (k + DEEP - 1) / DEEP * DEEP; p++)
        for (size_t j = 0; j < nr; j++) {
            const size_t tile = p / DEEP * (DEEP * nr) + j / WIDE * (DEEP * WIDE);
            y[tile + p % DEEP / 2 * (2 * WIDE) + j % WIDE * 2 + p % 2] =
                j < n && p < k ? narrow(b[j * b_row + p * b_col]) : (uint16_t)0;
        }
}

/* ---- preparing A ----------------------------------------------------------------------------- */

static float prepare(const float *x, const float *scale, const float *shift, bool silu, size_t i)
{
    if (!scale) return x[i];
    const float y = scale[i] * x[i] + shift[i];
    return silu ? y / (1.0f + expf(-y)) : y;
}

void sdg_prep_f32_c(void *y, size_t ldy, const float *x, size_t ldx, const float *scale,
                    const float *shift, bool silu, size_t rows, size_t c, size_t padded)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < padded; i++)
            ((float *)y)[r * ldy + i] = i < c ? prepare(x + r * ldx, scale, shift, silu, i) : 0.0f;
}

void sdg_prep_bf16_c(void *y, size_t ldy, const float *x, size_t ldx, const float *scale,
                     const float *shift, bool silu, size_t rows, size_t c, size_t padded)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < padded; i++)
            ((uint16_t *)y)[r * ldy + i] =
                i < c ? narrow(prepare(x + r * ldx, scale, shift, silu, i)) : (uint16_t)0;
}

/* ---- the product ----------------------------------------------------------------------------- */

/* s += A[MR][k] B[NR][k]^T for one tap; row[i] is where row i of A begins. Summed in a local array,
 * which a compiler keeps in registers; six rows, because gcc 12 then sees vectors along j (with
 * four it tries its luck along p, at a third of the speed). */
static void add_tap_f32(float sums[MR][NR], const float *const row[MR], const float *bp, size_t k)
{
    float s[MR][NR];
    memcpy(s, sums, sizeof s);
    for (size_t p = 0; p < k; p++)
        for (size_t i = 0; i < MR; i++)
            for (size_t j = 0; j < NR; j++) s[i][j] += row[i][p] * bp[p * NR + j];
    memcpy(sums, s, sizeof s);
}

static void add_tap_bf16(float sums[MR][NR], const uint16_t *const row[MR], const uint16_t *bp,
                         size_t k)
{
    for (size_t p = 0; p < k; p++)
        for (size_t i = 0; i < MR; i++)
            for (size_t j = 0; j < NR; j++)
                sums[i][j] += widen(row[i][p]) * widen(bp[p / 2 * (2 * NR) + 2 * j + p % 2]);
}

/* Rows i .. i+MR-1; those beyond m repeat the last one and are not stored. */
static void run_tile(const struct sdg_product *p, size_t i, bool bf16)
{
    float sums[MR][NR];
    for (size_t r = 0; r < MR && i + r < p->m; r++)
        for (size_t j = 0; j < p->n; j++)
            sums[r][j] = (p->base ? p->base[(i + r) * p->ld_base + j] : 0.0f) +
                         (p->bias ? p->bias[j] : 0.0f);
    for (size_t r = 0; r < MR; r++)
        for (size_t j = i + r < p->m ? p->n : 0; j < NR; j++) sums[r][j] = 0.0f;
    for (size_t t = 0; t < p->tap_count; t++) {
        const float *wide[MR];
        const uint16_t *narrow_row[MR];
        for (size_t r = 0; r < MR; r++) {
            const size_t row = i + r < p->m ? i + r : p->m - 1;
            const ptrdiff_t at = (ptrdiff_t)(row * p->lda) + p->taps[t];
            wide[r] = (const float *)p->a + at;
            narrow_row[r] = (const uint16_t *)p->a + at;
        }
        if (bf16)
            add_tap_bf16(sums, narrow_row, (const uint16_t *)p->b + t * p->k * NR, p->k);
        else
            add_tap_f32(sums, wide, (const float *)p->b + t * p->k * NR, p->k);
    }
    for (size_t r = 0; r < MR && i + r < p->m; r++)
        memcpy(p->c + (i + r) * p->ldc, sums[r], p->n * sizeof(float));
}

static void run_f32(const struct sdg_product *p)
{
    for (size_t i = 0; i < p->m; i += MR) run_tile(p, i, false);
}

static void run_bf16(const struct sdg_product *p)
{
    for (size_t i = 0; i < p->m; i += MR) run_tile(p, i, true);
}

/* ---- softmax of a block ---------------------------------------------------------------------- */

/* p may be s: row i is read before anything is written at or behind it (the pairs of rows i and i+1
 * take the place of row i/2), but for the columns of row 0, which the row itself overwrites: hence
 * the copy of a row. */
static void softmax_block(void *p, const float *s, float *m, float *sum, float *factor, size_t keys,
                          float scale, bool bf16)
{
    for (size_t j = 0; j < NR; j++) {
        float top = m[j];
        for (size_t i = 0; i < keys; i++) top = s[i * NR + j] > top ? s[i * NR + j] : top;
        factor[j] = expf(scale * (m[j] - top));
        sum[j] *= factor[j];
        m[j] = top;
    }
    for (size_t i = 0; i < keys + (bf16 && keys % 2); i++) {
        float row[NR];
        for (size_t j = 0; j < NR; j++) row[j] = i < keys ? s[i * NR + j] : -INFINITY;
        for (size_t j = 0; j < NR; j++) {
            const float y = expf(scale * (row[j] - m[j]));
            sum[j] += y;
            if (bf16)
                ((uint16_t *)p)[i / 2 * (2 * NR) + 2 * j + i % 2] = narrow(y);
            else
                ((float *)p)[i * NR + j] = y;
        }
    }
}

static void softmax_block_f32(void *p, const float *s, float *m, float *sum, float *factor,
                              size_t keys, float scale)
{
    softmax_block(p, s, m, sum, factor, keys, scale, false);
}

static void softmax_block_bf16(void *p, const float *s, float *m, float *sum, float *factor,
                               size_t keys, float scale)
{
    softmax_block(p, s, m, sum, factor, keys, scale, true);
}

const struct sdg_matmul sdg_matmul_f32_c = {
    .input = SDG_INPUT_F32,
    .layout = SDG_MATMUL_K_MAJOR,
    .mr = MR,
    .nr = NR,
    .k_step = 1,
    .pack = sdg_pack_k_major_c,
    .prep = sdg_prep_f32_c,
    .run = run_f32,
    .softmax_block = softmax_block_f32,
};

const struct sdg_matmul sdg_matmul_bf16_c = {
    .input = SDG_INPUT_BF16,
    .layout = SDG_MATMUL_PAIRS,
    .mr = MR,
    .nr = NR,
    .k_step = 2,
    .pack = sdg_pack_pairs_c,
    .prep = sdg_prep_bf16_c,
    .run = run_bf16,
    .softmax_block = softmax_block_bf16,
};
