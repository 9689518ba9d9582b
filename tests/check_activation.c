/* check_activation.c - point-wise kernels, against the formula in double with the contract's
 * bounds. */
#include "tests/check.h"

#include <math.h>
#include <string.h>

#define TINY 0x1p-119 /* what may be lost where the exact result is nearly nothing */

/* ---- exact values and bounds ----------------------------------------------------------------- */

struct expected {
    double value, bound;
};

static struct expected silu(double x)
{
    const double y = x / (1.0 + exp(-x));
    return (struct expected) {y, 4.0 * CHECK_U * fabs(y) + TINY};
}

static struct expected gelu(double x)
{
    const double y = 0.5 * x * erfc(-x * sqrt(0.5));
    return (struct expected) {y, (12.0 + 2.0 * x * x) * CHECK_U * fabs(y) + TINY};
}

static struct expected quick_gelu(double x)
{
    const double y = x / (1.0 + exp(-(double)1.702f * x));
    return (struct expected) {y, (12.0 + 4.0 * fabs(x)) * CHECK_U * fabs(y) + TINY};
}

typedef struct expected exact_fn(double x);
typedef void unary_fn(float *y, const float *x, size_t n);

/* ---- y = f(x) -------------------------------------------------------------------------------- */

static void compare(const char *what, unary_fn *fn, exact_fn *exact, float *y, const float *x,
                    size_t n)
{
    double *want = check_doubles(n), *bound = check_doubles(n);
    for (size_t i = 0; i < n; i++) {
        const struct expected e = exact((double)x[i]);
        want[i] = e.value;
        bound[i] = e.bound;
    }
    fn(y, x, n);
    check_close(what, y, want, bound, n);
}

/* From deep left tail to far right; the neighbours of 0; huge numbers. */
static void check_range(const char *what, unary_fn *fn, exact_fn *exact)
{
    enum { N = 200001 };
    static const float special[] = {0.0f,   -0.0f,   1e-38f, -1e-38f, 1e-45f,  -1e-45f,
                                    1e-7f,  -1e-7f,  -87.2f, -87.4f,  -88.0f,  -88.8f,
                                    -90.0f, -104.0f, 88.0f,  89.0f,   1e4f,    -1e4f,
                                    1e19f,  -1e19f,  1e30f,  -1e30f,  3.4e38f, -3.4e38f};
    float *x = check_floats(N), *y = check_floats(N);
    for (size_t i = 0; i < N; i++)
        x[i] = i < sizeof special / sizeof *special ? special[i]
               : i % 2                              ? check_uniform(-8.0f, 8.0f)
                                                    : -130.0f + 260.0f * (float)i / N;
    compare(what, fn, exact, y, x, N);
}

static void check_unary(const char *what, unary_fn *fn, exact_fn *exact)
{
    for (int s = 0; s < CHECK_SIZE_COUNT; s++) {
        float *x = check_floats(check_sizes[s]), *y = check_floats(check_sizes[s]);
        for (size_t i = 0; i < check_sizes[s]; i++) x[i] *= 6.0f;
        compare(what, fn, exact, y, x, check_sizes[s]);
        fn(x, x, check_sizes[s]);
        check_equal("in place", x, y, check_sizes[s] * sizeof *x);
    }
    check_range(what, fn, exact);
    float nan = NAN;
    fn(&nan, &nan, 1);
    check_true("NaN must stay", isnan(nan));
}

static void check_silu(const struct check_context *c)
{
    check_unary("silu", c->k->silu, silu);
}

static void check_gelu(const struct check_context *c)
{
    check_unary("gelu", c->k->gelu, gelu);
}

static void check_quick_gelu(const struct check_context *c)
{
    check_unary("quick_gelu", c->k->quick_gelu, quick_gelu);
}

/* ---- rows ------------------------------------------------------------------------------------ */

static void check_geglu(const struct check_context *c)
{
    for (int s = 0; s < CHECK_SIZE_COUNT; s++) {
        const size_t n = check_sizes[s], rows = 3;
        float *x = check_floats(rows * 2 * n), *y = check_floats(rows * n);
        double *want = check_doubles(rows * n), *bound = check_doubles(rows * n);
        for (size_t i = 0; i < rows * 2 * n; i++) x[i] *= 5.0f;
        for (size_t i = 0; i < rows * n; i++) {
            const size_t at = i / n * 2 * n + i % n;
            const struct expected g = gelu((double)x[at + n]);
            want[i] = (double)x[at] * g.value;
            bound[i] = fabs((double)x[at]) * g.bound + CHECK_U * fabs(want[i]);
        }
        c->k->geglu(y, x, rows, n);
        check_close("geglu", y, want, bound, rows * n);
    }
}

/* affine and affine_silu: the derivative of silu lies between -0.1 and 1.1. */
static void check_affine_with(const struct check_context *c, bool activated)
{
    void (*fn)(float *, const float *, const float *, const float *, size_t, size_t) =
        activated ? c->k->affine_silu : c->k->affine;
    for (int s = 0; s < CHECK_SIZE_COUNT; s++) {
        const size_t n = check_sizes[s], rows = 3;
        float *x = check_floats(rows * n), *y = check_floats(rows * n);
        const float *scale = check_floats(n), *shift = check_floats(n);
        double *want = check_doubles(rows * n), *bound = check_doubles(rows * n);
        for (size_t i = 0; i < rows * n; i++) {
            const double product = (double)scale[i % n] * (double)x[i];
            want[i] = product + (double)shift[i % n];
            bound[i] = 2.0 * CHECK_U * (fabs(product) + fabs(want[i]));
            if (!activated) continue;
            const struct expected e = silu(want[i]);
            want[i] = e.value;
            bound[i] = 1.2 * bound[i] + e.bound;
        }
        fn(y, x, scale, shift, rows, n);
        check_close("affine", y, want, bound, rows * n);
        fn(x, x, scale, shift, rows, n);
        check_equal("affine in place", x, y, rows * n * sizeof *x);
    }
}

static void check_affine(const struct check_context *c)
{
    check_affine_with(c, false);
}

static void check_affine_silu(const struct check_context *c)
{
    check_affine_with(c, true);
}

static void check_add(const struct check_context *c)
{
    for (int s = 0; s < CHECK_SIZE_COUNT; s++) {
        const size_t n = check_sizes[s];
        float *y = check_floats(n), *want = check_floats(n);
        const float *x = check_floats(n);
        for (size_t i = 0; i < n; i++) want[i] = y[i] + x[i];
        c->k->add(y, x, n);
        check_equal("add", y, want, n * sizeof *y);
    }
}

/* ---- speed ----------------------------------------------------------------------------------- */

enum { BENCH_COUNT = 4096 };
struct call {
    unary_fn *fn;
    float *y, *x;
};

static void call_once(void *arg)
{
    const struct call *c = arg;
    c->fn(c->y, c->x, BENCH_COUNT);
}

static void bench(const char *what, unary_fn *fn)
{
    struct call call = {fn, check_floats(BENCH_COUNT), check_floats(BENCH_COUNT)};
    check_report(what, check_time(call_once, &call), BENCH_COUNT, "values");
}

static void bench_silu(const struct check_context *c)
{
    bench("silu of 4096", c->k->silu);
}

static void bench_gelu(const struct check_context *c)
{
    bench("gelu of 4096", c->k->gelu);
}

static void bench_add(const struct check_context *c)
{
    bench("add of 4096", c->k->add);
}

#define SLOT(name) offsetof(struct sdg_kernels, name)
const struct check_test check_activation_tests[] = {
    {"silu", SLOT(silu), check_silu, bench_silu},
    {"gelu", SLOT(gelu), check_gelu, bench_gelu},
    {"quick_gelu", SLOT(quick_gelu), check_quick_gelu, NULL},
    {"geglu", SLOT(geglu), check_geglu, NULL},
    {"affine", SLOT(affine), check_affine, NULL},
    {"affine_silu", SLOT(affine_silu), check_affine_silu, NULL},
    {"add", SLOT(add), check_add, bench_add},
    {0},
};
