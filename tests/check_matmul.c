/* check_matmul.c - matrix product and implicit-GEMM convolution, against sums in double with the
 * bound gamma_(K+2) (|base| + |bias| + sum|a||b|) of the contract. Sizes: every rest of the
 * register tile, taps that overlap, all combinations of what the sum begins with; inputs rounded to
 * the input type first, so that one bound serves f32 and bf16. */
#include "tests/check.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* ---- bf16, once more and independently ------------------------------------------------------- */

static float bf16_value(uint16_t bits)
{
    const uint32_t wide = (uint32_t)bits << 16;
    float y;
    memcpy(&y, &wide, sizeof y);
    return y;
}

/* The nearer of the two neighbours in bf16, the even one in the middle. Finite x. */
static float bf16_rounded(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    const float below = bf16_value((uint16_t)(bits >> 16));
    const float above = bf16_value((uint16_t)((bits >> 16) + 1));
    const double down = fabs((double)x - (double)below), up = fabs((double)above - (double)x);
    if (down != up) return down < up ? below : above;
    return bits >> 16 & 1 ? above : below;
}

static float as_input(const struct sdg_matmul *g, float x)
{
    return g->input == SDG_INPUT_BF16 ? bf16_rounded(x) : x;
}

/* ---- product --------------------------------------------------------------------------------- */

struct sizes {
    size_t m, n, k, taps;
    bool transposed, base, bias;
};

static size_t round_up(size_t x, size_t step)
{
    return (x + step - 1) / step * step;
}

/* Bytes of an element of A or of packed B. */
static size_t element(const struct sdg_matmul *g)
{
    return g->input == SDG_INPUT_BF16 ? 2 : 4;
}

/* B [taps][n][k] (or [taps][k][n]) packed panel by panel: [panel][tap][padded k][nr]. */
static char *pack_all(const struct sdg_matmul *g, const float *b, const struct sizes *s)
{
    const size_t padded = round_up(s->k, g->k_step), panels = (s->n + g->nr - 1) / g->nr;
    const size_t bytes = padded * g->nr * element(g);
    char *packed = check_bytes(panels * s->taps * bytes);
    for (size_t j = 0; j < panels; j++)
        for (size_t t = 0; t < s->taps; t++) {
            const size_t left = s->n - j * g->nr, n = left < g->nr ? left : g->nr;
            const float *from = b + t * s->n * s->k + j * g->nr * (s->transposed ? 1 : s->k);
            g->pack(packed + (j * s->taps + t) * bytes, g->nr, from, s->transposed ? 1 : s->k,
                    s->transposed ? s->n : 1, n, s->k);
        }
    return packed;
}

static void multiply(const struct sdg_matmul *g, float *c, size_t ldc, const float *base,
                     const float *bias, const void *a, size_t lda, const ptrdiff_t *taps,
                     const char *packed, const struct sizes *s)
{
    const size_t padded = round_up(s->k, g->k_step), bytes = padded * g->nr * element(g);
    for (size_t j = 0; j < s->n; j += g->nr) {
        const struct sdg_product p = {
            .c = c + j,
            .ldc = ldc,
            .base = base ? base + j : NULL,
            .ld_base = ldc,
            .bias = bias ? bias + j : NULL,
            .a = a,
            .lda = lda,
            .taps = taps,
            .tap_count = s->taps,
            .b = packed + j / g->nr * s->taps * bytes,
            .m = s->m,
            .n = s->n - j < g->nr ? s->n - j : g->nr,
            .k = padded,
        };
        g->run(&p);
    }
}

static void check_one(const struct sdg_matmul *g, const struct sizes *s)
{
    const size_t padded = round_up(s->k, g->k_step);
    /* taps are rows further down, as in a convolution along one axis */
    const size_t lda = round_up(padded, 64), ldc = s->n + 3, rows = s->m + s->taps - 1;
    ptrdiff_t taps[16];
    for (size_t t = 0; t < s->taps; t++) taps[t] = (ptrdiff_t)(t * lda);
    const float *x = check_floats(rows * s->k), *b = check_floats(s->taps * s->n * s->k);
    char *a = check_bytes(round_up(rows * lda * element(g), 64));
    g->prep(a, lda, x, s->k, NULL, NULL, false, rows, s->k, padded);
    const char *packed = pack_all(g, b, s);
    const float *bias = s->bias ? check_floats(s->n) : NULL;
    const size_t count = (s->m - 1) * ldc + s->n;
    float *got = check_floats(count);
    double *want = check_doubles(count), *bound = check_doubles(count);
    const double u = (double)(s->taps * s->k + 2) * CHECK_U;
    for (size_t i = 0; i < count; i++) {
        const size_t r = i / ldc, j = i % ldc;
        want[i] = (double)got[i]; /* what lies between the rows must stay */
        if (j >= s->n) continue;
        double sum = s->base ? (double)got[i] : 0.0;
        if (bias) sum += (double)bias[j];
        double size = fabs(s->base ? (double)got[i] : 0.0) + fabs(bias ? (double)bias[j] : 0.0);
        for (size_t t = 0; t < s->taps; t++)
            for (size_t p = 0; p < s->k; p++) {
                const size_t at = t * s->n * s->k + (s->transposed ? p * s->n + j : j * s->k + p);
                const double product =
                    (double)as_input(g, x[(r + t) * s->k + p]) * (double)as_input(g, b[at]);
                sum += product;
                size += fabs(product);
            }
        want[i] = sum;
        bound[i] = u / (1.0 - u) * size + 0x1p-120;
    }
    multiply(g, got, ldc, s->base ? got : NULL, bias, a, lda, taps, packed, s);
    char what[128];
    snprintf(what, sizeof what, "product m=%zu n=%zu k=%zu taps=%zu transposed=%d base=%d bias=%d",
             s->m, s->n, s->k, s->taps, s->transposed, s->base, s->bias);
    check_close(what, got, want, bound, count);
}

static void check_sizes_of(const struct sdg_matmul *g)
{
    const size_t columns[] = {1, 3, g->nr / 2, g->nr / 2 + 1, g->nr - 1, g->nr, g->nr + 1, 40};
    const size_t depths[] = {1, 2, 9, 31, 32, 40, 65, 320};
    for (size_t m = 1; m <= 2 * g->mr + 1; m++)
        for (size_t j = 0; j < sizeof columns / sizeof *columns; j++) {
            const size_t k = depths[(m + j) % (sizeof depths / sizeof *depths)];
            if (m > 20 && (m + j) % 4 > 0) continue; /* large tiles: enough is enough */
            for (size_t taps = 1; taps <= 9; taps += 4)
                check_one(g, &(struct sizes) {m, columns[j], k, taps, (m + j) % 2, (m + taps) % 3,
                                              (j + taps) % 3});
        }
    for (size_t l = 0; l < sizeof depths / sizeof *depths; l++)
        check_one(g, &(struct sizes) {g->mr, g->nr, depths[l], 3, l % 2, true, true});
}

/* The bits of an element do not depend on the rows and columns beside it. */
static void check_places(const struct sdg_matmul *g)
{
    const struct sizes s = {.m = 37, .n = 41, .k = 300, .taps = 1};
    const size_t padded = round_up(s.k, g->k_step), lda = round_up(padded, 64);
    const ptrdiff_t tap = 0;
    const float *x = check_floats(s.m * s.k), *b = check_floats(s.n * s.k);
    char *a = check_bytes(round_up(s.m * lda * element(g), 64));
    g->prep(a, lda, x, s.k, NULL, NULL, false, s.m, s.k, padded);
    float *all = check_floats(s.m * s.n), *one = check_floats(1);
    multiply(g, all, s.n, NULL, NULL, a, lda, &tap, pack_all(g, b, &s), &s);
    for (size_t j = 0; j < s.n; j += 5) {
        struct sizes unit = s;
        unit.m = unit.n = 1;
        const char *packed = pack_all(g, b + j * s.k, &unit);
        for (size_t i = 0; i < s.m; i += 3) {
            multiply(g, one, 1, NULL, NULL, a + i * lda * element(g), lda, &tap, packed, &unit);
            check_equal("product: element alone and among others", one, all + i * s.n + j,
                        sizeof *one);
        }
    }
}

static void check_matmul(const struct sdg_matmul *g)
{
    check_true("matmul: record incomplete", g->mr > 0 && g->nr > 1 && g->pack && g->prep);
    check_sizes_of(g);
    check_places(g);
}

static void check_f32(const struct check_context *c)
{
    check_matmul(&c->k->matmul_f32);
}

static void check_bf16(const struct check_context *c)
{
    check_matmul(&c->k->matmul_bf16);
}

/* ---- prep ------------------------------------------------------------------------------------ */

static float prepared_value(const struct sdg_matmul *g, const char *y, size_t i)
{
    float wide;
    uint16_t narrow;
    memcpy(&wide, y + i * element(g), g->input == SDG_INPUT_F32 ? 4 : 2);
    memcpy(&narrow, y + i * element(g), 2);
    return g->input == SDG_INPUT_BF16 ? bf16_value(narrow) : wide;
}

static void check_prep_case(const struct sdg_matmul *g, size_t rows, size_t c, int how)
{
    const size_t padded = round_up(c, 32), ldx = c + 2, ldy = padded + 32;
    const float *x = check_floats((rows - 1) * ldx + c);
    const float *scale = how ? check_floats(c) : NULL, *shift = how ? check_floats(c) : NULL;
    char *y = check_bytes(((rows - 1) * ldy + padded) * element(g));
    const size_t count = rows * padded;
    float *got = check_floats(count);
    double *want = check_doubles(count), *bound = check_doubles(count);
    g->prep(y, ldy, x, ldx, scale, shift, how == 2, rows, c, padded);
    for (size_t i = 0; i < count; i++) {
        const size_t r = i / padded, j = i % padded;
        got[i] = prepared_value(g, y, r * ldy + j);
        if (j >= c) continue; /* wanted: exactly 0 */
        const double in = (double)x[r * ldx + j];
        const double line = how ? (double)scale[j] * in + (double)shift[j] : in;
        want[i] = how == 2 ? line / (1.0 + exp(-line)) : line;
        const double rough = how ? 2 * CHECK_U * (fabs((double)scale[j] * in) + fabs(line)) : 0;
        bound[i] = 1.1 * rough + 4 * CHECK_U * fabs(want[i]) * (how == 2) + 0x1p-119;
        if (g->input == SDG_INPUT_BF16) bound[i] += 0x1p-8 * (fabs(want[i]) + bound[i]);
    }
    char what[64];
    snprintf(what, sizeof what, "prep rows=%zu c=%zu how=%d", rows, c, how);
    check_close(what, got, want, bound, count);
}

static void check_prep(const struct sdg_matmul *g)
{
    const size_t widths[] = {1, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 40, 64, 320};
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++)
        for (int how = 0; how < 3; how++) check_prep_case(g, 1 + i % 3, widths[i], how);
    if (g->input != SDG_INPUT_BF16) return;
    /* ties go to the even neighbour; NaN stays; the largest numbers become infinite */
    const uint32_t bits[] = {0x3f808000, 0x3f818000, 0x3f80ffff,
                             0x7fc00001, 0x7f7fffff, 0x80000000};
    const uint16_t want[] = {0x3f80, 0x3f82, 0x3f81, 0, 0x7f80, 0x8000};
    float *x = check_floats(6);
    memcpy(x, bits, sizeof bits);
    uint16_t *y = check_bytes(12);
    g->prep(y, 6, x, 6, NULL, NULL, false, 1, 6, 6);
    for (size_t i = 0; i < 6; i++)
        check_true("prep: rounding to bf16", i == 3 ? (y[i] & 0x7fff) > 0x7f80 : y[i] == want[i]);
}

static void check_prep_f32(const struct check_context *c)
{
    check_prep(&c->k->matmul_f32);
}

static void check_prep_bf16(const struct check_context *c)
{
    check_prep(&c->k->matmul_bf16);
}

/* ---- softmax of a block ---------------------------------------------------------------------- */

/* Element (i, j) of a panel of `keys` rows. */
static float panel_value(const struct sdg_matmul *g, const char *p, size_t i, size_t j)
{
    if (g->layout == SDG_MATMUL_K_MAJOR) return prepared_value(g, p, i * g->nr + j);
    if (g->layout == SDG_MATMUL_PAIRS)
        return prepared_value(g, p, i / 2 * 2 * g->nr + 2 * j + i % 2);
    const size_t tile = i / 32 * 32 * g->nr + j / 16 * 512;
    return prepared_value(g, p, tile + i % 32 / 2 * 32 + j % 16 * 2 + i % 2);
}

struct running {
    double m, sum;
};

/* One block after others, column by column; scores of -infinity among them. */
static void check_block(const struct sdg_matmul *g, size_t keys, float spread, float *m, float *sum,
                        struct running *want)
{
    const size_t nr = g->nr, padded = round_up(keys, g->k_step), count = padded * nr;
    const float scale = 0.25f;
    float *s = check_floats(keys * nr), *factor = check_floats(nr), *got = check_floats(count);
    double *exact = check_doubles(count), *bound = check_doubles(count);
    double *sums = check_doubles(nr), *sum_bound = check_doubles(nr);
    for (size_t i = 0; i < keys * nr; i++) s[i] = i > nr && i % 11 == 0 ? -INFINITY : s[i] * spread;
    for (size_t j = 0; j < nr; j++) {
        double top = want[j].m, total = 0;
        for (size_t i = 0; i < keys; i++) top = fmax(top, (double)s[i * nr + j]);
        for (size_t i = 0; i < keys; i++) {
            const double d = (double)scale * (top - (double)s[i * nr + j]);
            exact[i * nr + j] = exp(-d);
            total += exp(-d);
            bound[i * nr + j] = ((24.0 + 2.0 * fmin(d, 100.0)) * CHECK_U +
                                 (g->input == SDG_INPUT_BF16 ? 0x1p-8 : 0)) *
                                    exp(-d) +
                                0x1p-100;
        }
        want[j].sum = want[j].sum * exp((double)scale * (want[j].m - top)) + total;
        want[j].m = top;
        sums[j] = want[j].sum;
        sum_bound[j] = 1e-4 * sums[j];
    }
    char *p = g->layout == SDG_MATMUL_TILES ? check_bytes(count * element(g)) : (char *)s;
    if (padded > keys && p == (char *)s) p = check_bytes(count * element(g));
    g->softmax_block(p, s, m, sum, factor, keys, scale);
    for (size_t i = 0; i < count; i++) got[i] = panel_value(g, p, i / nr, i % nr);
    check_close("softmax of a block", got, exact, bound, count);
    check_close("softmax of a block, sums", sum, sums, sum_bound, nr);
    for (size_t j = 0; j < nr; j++)
        check_true("softmax of a block, maxima", (double)m[j] == want[j].m);
}

static void check_softmax_block(const struct sdg_matmul *g)
{
    float *m = check_floats(g->nr), *sum = check_floats(g->nr);
    struct running want[64];
    check_true("nr is at most 64", g->nr <= 64);
    for (size_t j = 0; j < g->nr; j++) {
        m[j] = -INFINITY;
        sum[j] = 0.0f;
        want[j] = (struct running) {-INFINITY, 0.0};
    }
    const size_t keys[] = {128, 1, 2, 31, 32, 33, 77, 127};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        check_block(g, keys[i], i % 2 ? 200.0f : 4.0f, m, sum, want);
}

static void check_softmax_f32(const struct check_context *c)
{
    check_softmax_block(&c->k->matmul_f32);
}

static void check_softmax_bf16(const struct check_context *c)
{
    check_softmax_block(&c->k->matmul_bf16);
}

/* ---- time ------------------------------------------------------------------------------------ */

enum { BENCH_M = 224, BENCH_N = 320, BENCH_K = 320 };
struct call {
    const struct sdg_matmul *g;
    float *c;
    char *a, *packed;
};

static void call_once(void *arg)
{
    const struct call *p = arg;
    const ptrdiff_t tap = 0;
    const struct sizes s = {.m = BENCH_M, .n = BENCH_N, .k = BENCH_K, .taps = 1};
    multiply(p->g, p->c, BENCH_N, NULL, NULL, p->a, BENCH_K + 16, &tap, p->packed, &s);
}

static void bench(const struct sdg_matmul *g)
{
    const struct sizes s = {.m = BENCH_M, .n = BENCH_N, .k = BENCH_K, .taps = 1};
    struct call call = {g, check_floats(BENCH_M * BENCH_N),
                        check_bytes(BENCH_M * (BENCH_K + 32) * 4),
                        pack_all(g, check_floats(BENCH_N * BENCH_K), &s)};
    g->prep(call.a, BENCH_K + 16, check_floats(BENCH_M * BENCH_K), BENCH_K, NULL, NULL, false,
            BENCH_M, BENCH_K, BENCH_K);
    check_report("224 x 320 x 320, packed", check_time(call_once, &call),
                 2.0 * BENCH_M * BENCH_N * BENCH_K, "FLOP");
}

static void bench_f32(const struct check_context *c)
{
    bench(&c->k->matmul_f32);
}

static void bench_bf16(const struct check_context *c)
{
    bench(&c->k->matmul_bf16);
}

const struct check_test check_matmul_tests[] = {
    {"matmul_f32", offsetof(struct sdg_kernels, matmul_f32.run), check_f32, bench_f32},
    {"matmul_bf16", offsetof(struct sdg_kernels, matmul_bf16.run), check_bf16, bench_bf16},
    {"prep_f32", offsetof(struct sdg_kernels, matmul_f32.prep), check_prep_f32, NULL},
    {"prep_bf16", offsetof(struct sdg_kernels, matmul_bf16.prep), check_prep_bf16, NULL},
    {"softmax_block_f32", offsetof(struct sdg_kernels, matmul_f32.softmax_block), check_softmax_f32,
     NULL},
    {"softmax_block_bf16", offsetof(struct sdg_kernels, matmul_bf16.softmax_block),
     check_softmax_bf16, NULL},
    {0},
};
