/* check_gemm.c - matrix product, against sums in double with the bound gamma_(k+1) sum|a||b| of the
 * contract. Sizes: every rest of the register tile, k around the block length, and B both ways. */
#include "tests/check.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* C[m][n] (+)= A B^T through all panels of B, as src/ops does it. */
static void multiply(const struct sdg_gemm_f32 *g, float *c, size_t ldc, const float *a, size_t lda,
                     const float *b, size_t b_row, size_t b_col, const size_t mnk[3],
                     bool accumulate)
{
    const size_t m = mnk[0], n = mnk[1], k = mnk[2];
    float *panel = check_floats(g->nr * k);
    for (size_t j = 0; j < n; j += g->nr) {
        const size_t count = n - j < g->nr ? n - j : g->nr;
        g->pack_b(panel, b + j * b_row, b_row, b_col, count, k);
        g->run(c + j, ldc, a, lda, panel, m, count, k, accumulate);
    }
}

static void check_one(const struct sdg_gemm_f32 *g, const size_t mnk[3], bool transposed,
                      bool accumulate)
{
    const size_t m = mnk[0], n = mnk[1], k = mnk[2], pitch = 3;
    const size_t lda = k + pitch, ldc = n + pitch, ldb = (transposed ? n : k) + pitch;
    const size_t b_row = transposed ? 1 : ldb, b_col = transposed ? ldb : 1;
    const float *a = check_floats(m ? (m - 1) * lda + k : 0);
    const size_t last = transposed ? (k ? (k - 1) * ldb + n : 0) : (n ? (n - 1) * ldb + k : 0);
    const float *b = check_floats(last);
    const size_t count = m ? (m - 1) * ldc + n : 0;
    float *got = check_floats(count);
    double *want = check_doubles(count), *bound = check_doubles(count);
    for (size_t i = 0; i < count; i++) {
        want[i] = (double)got[i]; /* what lies between the rows must stay */
        if (i % ldc >= n) continue;
        const size_t r = i / ldc, j = i % ldc;
        double sum = accumulate ? (double)got[i] : 0.0, size = fabs(sum);
        for (size_t p = 0; p < k; p++) {
            const double product = (double)a[r * lda + p] * (double)b[j * b_row + p * b_col];
            sum += product;
            size += fabs(product);
        }
        const double ku = (double)(k + 1) * CHECK_U;
        want[i] = sum;
        bound[i] = ku / (1.0 - ku) * size;
    }
    multiply(g, got, ldc, a, lda, b, b_row, b_col, mnk, accumulate);
    char what[96];
    snprintf(what, sizeof what, "gemm m=%zu n=%zu k=%zu transposed=%d accumulate=%d", m, n, k,
             transposed, accumulate);
    check_close(what, got, want, bound, count);
}

static void check_sizes_of(const struct check_context *c)
{
    const struct sdg_gemm_f32 *g = &c->k->gemm_f32;
    const size_t rows[] = {1, 2, 3, 4, 5, g->mr + 1, 2 * g->mr + 3};
    const size_t columns[] = {1, 3, g->nr - 1, g->nr, g->nr + 1, 40};
    const size_t depths[] = {0, 1, 2, 9, 40, g->kc - 1, g->kc, g->kc + 1, 2 * g->kc + 7};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (size_t j = 0; j < sizeof columns / sizeof *columns; j++)
            for (size_t l = 0; l < sizeof depths / sizeof *depths; l++) {
                const size_t mnk[3] = {rows[i], columns[j], depths[l]};
                check_one(g, mnk, false, false);
                check_one(g, mnk, true, (i + j + l) % 2);
            }
}

/* The bits of an element do not depend on the rows and columns beside it. */
static void check_places(const struct check_context *c)
{
    const struct sdg_gemm_f32 *g = &c->k->gemm_f32;
    enum { M = 13, N = 21, K = 300 };
    const float *a = check_floats(M * K), *b = check_floats(N * K);
    float *all = check_floats(M * N), *one = check_floats(1);
    multiply(g, all, N, a, K, b, K, 1, (const size_t[3]) {M, N, K}, false);
    for (size_t i = 0; i < M; i++)
        for (size_t j = 0; j < N; j++) {
            const size_t unit[3] = {1, 1, K};
            multiply(g, one, 1, a + i * K, K, b + j * K, K, 1, unit, false);
            check_equal("gemm: element alone and among others", one, all + i * N + j, sizeof *one);
        }
}

static void check_gemm(const struct check_context *c)
{
    check_true("gemm: record incomplete", c->k->gemm_f32.mr > 0 && c->k->gemm_f32.nr > 1);
    check_sizes_of(c);
    check_places(c);
}

enum { BENCH_M = 256, BENCH_N = 320, BENCH_K = 320 };
struct call {
    const struct sdg_gemm_f32 *g;
    float *c, *a, *b;
};

static void call_once(void *arg)
{
    const struct call *p = arg;
    for (size_t j = 0; j + p->g->nr <= BENCH_N; j += p->g->nr)
        p->g->run(p->c + j, BENCH_N, p->a, BENCH_K, p->b + j * BENCH_K, BENCH_M, p->g->nr, BENCH_K,
                  true);
}

static void bench_gemm(const struct check_context *c)
{
    struct call call = {&c->k->gemm_f32, check_floats(BENCH_M * BENCH_N),
                        check_floats(BENCH_M * BENCH_K), check_floats(BENCH_N * BENCH_K)};
    check_report("256 x 320 x 320, packed", check_time(call_once, &call),
                 2.0 * BENCH_M * BENCH_N * BENCH_K, "FLOP");
}

const struct check_test check_gemm_tests[] = {
    {"gemm_f32", offsetof(struct sdg_kernels, gemm_f32.run), check_gemm, bench_gemm},
    {0},
};
