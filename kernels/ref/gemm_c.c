/* gemm_c.c - matrix product in plain C; contract in kernels.h.
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
 * Every kc products the tile is added to C: that bounds the chain of roundings, and keeps what a
 * tile reads of B (kc * nr floats, 8 KiB) in the first cache while all rows of A pass by. */
#include "kernels.h"

#include <string.h>

#include "tiers.h"

enum { MR = SDG_GEMM_C_MR, NR = SDG_GEMM_C_NR, KC = SDG_GEMM_C_KC };

void sdg_gemm_pack_b_c(float *bp, const float *b, size_t b_row, size_t b_col, size_t n, size_t k)
{
    for (size_t p = 0; p < k; p++)
        for (size_t j = 0; j < NR; j++) bp[p * NR + j] = j < n ? b[j * b_row + p * b_col] : 0.0f;
}

/* sums [MR][NR] = A[MR][k] B[NR][k]^T; row[i] is where row i of A begins. Summed in a local array,
 * which a compiler keeps in registers; six rows, because gcc 12 then sees vectors along j (with
 * four it tries its luck along p, at a third of the speed). */
static void tile(float sums[MR][NR], const float *const row[MR], const float *bp, size_t k)
{
    float s[MR][NR] = {{0}};
    for (size_t p = 0; p < k; p++)
        for (size_t i = 0; i < MR; i++)
            for (size_t j = 0; j < NR; j++) s[i][j] += row[i][p] * bp[p * NR + j];
    memcpy(sums, s, sizeof s);
}

void sdg_gemm_run_c(float *c, size_t ldc, const float *a, size_t lda, const float *bp, size_t m,
                    size_t n, size_t k, bool accumulate)
{
    size_t p = 0;
    do { /* also once where k is 0, to clear c */
        const size_t length = k - p < KC ? k - p : KC;
        for (size_t i = 0; i < m; i += MR) {
            float sums[MR][NR];
            const float *row[MR];
            for (size_t r = 0; r < MR; r++) row[r] = a + (i + r < m ? i + r : m - 1) * lda + p;
            tile(sums, row, bp + p * NR, length);
            for (size_t r = 0; r < MR && i + r < m; r++)
                for (size_t j = 0; j < n; j++) {
                    float *to = c + (i + r) * ldc + j;
                    *to = accumulate || p ? *to + sums[r][j] : sums[r][j];
                }
        }
        p += length;
    } while (p < k);
}
