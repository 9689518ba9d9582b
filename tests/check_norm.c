/* check_norm.c - softmax, LayerNorm and channel sums, against double with the contract's bounds. */
#include "tests/check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- softmax --------------------------------------------------------------------------------- */

static void check_softmax_size(const struct check_context *c, size_t rows, size_t cols, size_t gap,
                               float spread)
{
    const size_t ld = cols + gap, count = (rows - 1) * ld + cols;
    const float scale = check_uniform(0.05f, 1.5f);
    float *x = check_floats(count), *y = check_floats(count);
    double *want = check_doubles(count), *bound = check_doubles(count);
    for (size_t i = 0; i < count; i++) {
        x[i] *= spread;
        want[i] = (double)y[i]; /* between the rows nothing changes */
    }
    for (size_t r = 0; r < rows; r++) {
        double top = -INFINITY, sum = 0.0;
        for (size_t i = 0; i < cols; i++)
            if ((double)x[r * ld + i] > top) top = (double)x[r * ld + i];
        for (size_t i = 0; i < cols; i++) sum += exp((double)scale * ((double)x[r * ld + i] - top));
        for (size_t i = 0; i < cols; i++) {
            const size_t at = r * ld + i;
            const double d = (double)scale * (top - (double)x[at]);
            want[at] = exp(-d) / sum;
            bound[at] = ((double)cols / 8.0 + 24.0 + 2.0 * d) * CHECK_U * want[at] + 0x1p-100;
        }
    }
    c->k->softmax(y, x, rows, cols, ld, scale);
    check_close("softmax", y, want, bound, count);
    c->k->softmax(x, x, rows, cols, ld, scale);
    for (size_t r = 0; r < rows; r++)
        check_equal("softmax in place", x + r * ld, y + r * ld, cols * sizeof *x);
}

static void check_softmax(const struct check_context *c)
{
    static const float spreads[] = {0.0f, 1.0f, 30.0f, 300.0f};
    for (int s = 1; s < CHECK_SIZE_COUNT; s++)
        for (int i = 0; i < 4; i++)
            check_softmax_size(c, 3, check_sizes[s], (size_t)s % 4, spreads[i]);
    check_softmax_size(c, 2, 4096, 0, 10.0f);
    float row[5] = {1.0f, NAN, 0.0f, 2.0f, 3.0f};
    c->k->softmax(row, row, 1, 5, 5, 1.0f);
    check_true("softmax: NaN must spread over its row", isnan(row[0]) && isnan(row[4]));
}

/* ---- LayerNorm ------------------------------------------------------------------------------- */

static void check_layernorm_size(const struct check_context *c, size_t n, float shift, float spread)
{
    const size_t rows = 3;
    const float eps = 1e-5f;
    float *x = check_floats(rows * n), *y = check_floats(rows * n);
    const float *gamma = check_floats(n), *beta = check_floats(n);
    double *want = check_doubles(rows * n), *bound = check_doubles(rows * n);
    for (size_t i = 0; i < rows * n; i++) x[i] = x[i] * spread + shift;
    for (size_t r = 0; r < rows; r++) {
        double mean = 0.0, variance = 0.0;
        for (size_t i = 0; i < n; i++) mean += (double)x[r * n + i] / (double)n;
        for (size_t i = 0; i < n; i++) {
            const double d = (double)x[r * n + i] - mean;
            variance += d * d / (double)n;
        }
        const double inverse = 1.0 / sqrt(variance + (double)eps);
        for (size_t i = 0; i < n; i++) {
            const double v = (double)x[r * n + i], g = (double)gamma[i];
            want[r * n + i] = (v - mean) * inverse * g + (double)beta[i];
            bound[r * n + i] = 8.0 * CHECK_U *
                               (fabs(g) * (fabs(v) + fabs(mean)) * inverse + fabs(want[r * n + i]));
        }
    }
    c->k->layernorm(y, x, gamma, beta, rows, n, eps);
    check_close("layernorm", y, want, bound, rows * n);
    c->k->layernorm(x, x, gamma, beta, rows, n, eps);
    check_equal("layernorm in place", x, y, rows * n * sizeof *x);
}

static void check_layernorm(const struct check_context *c)
{
    for (int s = 1; s < CHECK_SIZE_COUNT; s++) {
        check_layernorm_size(c, check_sizes[s], 0.0f, 1.0f);
        check_layernorm_size(c, check_sizes[s], 3.0f, 0.01f);
        check_layernorm_size(c, check_sizes[s], -0.25f, 0.0f); /* constant rows: y = beta */
    }
}

/* ---- channel sums ---------------------------------------------------------------------------- */

/* Bit for bit: the order of the sums is part of the contract. */
static void check_channel_sums(const struct check_context *c)
{
    static const size_t row_counts[] = {0, 1, 2, 7, 8, 9, 64};
    for (int s = 0; s < CHECK_SIZE_COUNT; s++)
        for (int k = 0; k < 7; k++) {
            const size_t n = check_sizes[s], rows = row_counts[k];
            const float *x = check_floats(rows * n);
            double *sum = check_doubles(n), *square = check_doubles(n);
            double *want_sum = check_doubles(n), *want_square = check_doubles(n);
            for (size_t i = 0; i < n; i++) {
                want_sum[i] = sum[i] = (double)check_uniform(-1.0f, 1.0f);
                want_square[i] = square[i] = (double)check_uniform(0.0f, 1.0f);
            }
            for (size_t i = 0; i < rows * n; i++) {
                want_sum[i % n] += (double)x[i];
                want_square[i % n] += (double)x[i] * (double)x[i];
            }
            c->k->channel_sums(sum, square, x, rows, n);
            check_equal("channel_sums", sum, want_sum, n * sizeof *sum);
            check_equal("channel_sums, squares", square, want_square, n * sizeof *sum);
        }
}

/* ---- speed ----------------------------------------------------------------------------------- */

struct call {
    const struct sdg_kernels *k;
    float *x, *y, *gamma;
    double *sum;
};

static void call_softmax(void *arg)
{
    const struct call *c = arg;
    c->k->softmax(c->y, c->x, 4, 4096, 4096, 1.0f);
}

static void bench_softmax(const struct check_context *c)
{
    struct call call = {.k = c->k, .x = check_floats(16384), .y = check_floats(16384)};
    check_report("softmax 4 x 4096", check_time(call_softmax, &call), 16384, "values");
}

static void call_layernorm(void *arg)
{
    const struct call *c = arg;
    c->k->layernorm(c->y, c->x, c->gamma, c->gamma, 16, 320, 1e-5f);
}

static void bench_layernorm(const struct check_context *c)
{
    struct call call = {
        .k = c->k, .x = check_floats(5120), .y = check_floats(5120), .gamma = check_floats(320)};
    check_report("layernorm 16 x 320", check_time(call_layernorm, &call), 5120, "values");
}

static void call_sums(void *arg)
{
    const struct call *c = arg;
    c->k->channel_sums(c->sum, c->sum + 320, c->x, 64, 320);
}

static void bench_channel_sums(const struct check_context *c)
{
    struct call call = {.k = c->k, .x = check_floats(20480), .sum = check_doubles(640)};
    check_report("channel_sums 64 x 320", check_time(call_sums, &call), 20480, "values");
}

#define SLOT(name) offsetof(struct sdg_kernels, name)
const struct check_test check_norm_tests[] = {
    {"softmax", SLOT(softmax), check_softmax, bench_softmax},
    {"layernorm", SLOT(layernorm), check_layernorm, bench_layernorm},
    {"channel_sums", SLOT(channel_sums), check_channel_sums, bench_channel_sums},
    {0},
};
