/* check_widen.c - 16-bit floats: all 65536 values, bit for bit, at odd addresses. The oracle takes
 * the formats' definition: (-1)^sign * significand * 2^exponent, in double, where every value is
 * exact. */
#include "tests/check.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

/* Value of a binary float of the given field widths (IEEE 754-2008, section 3.4). */
static double value_of(unsigned bits, int exponent_bits, int fraction_bits)
{
    const int top = (1 << exponent_bits) - 1, bias = top >> 1;
    const int e = (int)(bits >> fraction_bits) & top;
    const double f = (double)(bits & ((1u << fraction_bits) - 1)) * ldexp(1.0, -fraction_bits);
    const double sign = bits >> (exponent_bits + fraction_bits) ? -1.0 : 1.0;
    if (e == top) return f == 0.0 ? sign * INFINITY : NAN;
    return sign * (e ? ldexp(1.0 + f, e - bias) : ldexp(f, 1 - bias));
}

typedef void widen_fn(float *y, const void *x, size_t n);

static void check_all(const char *what, widen_fn *fn, int exponent_bits, int fraction_bits)
{
    enum { COUNT = 65536 };
    unsigned char *x = check_bytes(2 * COUNT);
    for (unsigned i = 0; i < COUNT; i++) {
        const uint16_t bits = (uint16_t)i;
        memcpy(x + 2 * i, &bits, 2);
    }
    float *y = check_floats(COUNT);
    fn(y, x, COUNT);
    for (unsigned i = 0; i < COUNT; i++) {
        const double want = value_of(i, exponent_bits, fraction_bits);
        check_true(what, isnan(want) ? isnan(y[i])
                                     : (double)y[i] == want && !signbit(y[i]) == !signbit(want));
    }
}

/* Short runs that end at the guard page, at even and at odd addresses. */
static void check_runs(const char *what, widen_fn *fn, int exponent_bits, int fraction_bits)
{
    for (int s = 0; s < CHECK_SIZE_COUNT; s++) {
        const size_t n = check_sizes[s];
        unsigned char *end = check_bytes(2 * n + 1);
        for (size_t odd = 0; odd < 2; odd++) {
            const unsigned char *x = end + odd;
            float *y = check_floats(n);
            fn(y, x, n);
            for (size_t i = 0; i < n; i++) {
                uint16_t bits;
                memcpy(&bits, x + 2 * i, 2);
                const double want = value_of(bits, exponent_bits, fraction_bits);
                check_true(what, isnan(want) ? isnan(y[i]) : (double)y[i] == want);
            }
        }
    }
}

static void check_f16(const struct check_context *c)
{
    check_all("widen_f16", c->k->widen_f16, 5, 10);
    check_runs("widen_f16", c->k->widen_f16, 5, 10);
}

static void check_bf16(const struct check_context *c)
{
    check_all("widen_bf16", c->k->widen_bf16, 8, 7);
    check_runs("widen_bf16", c->k->widen_bf16, 8, 7);
}

enum { BENCH_COUNT = 11520 }; /* the inputs of one output channel, 1280 x 3 x 3 */
struct call {
    widen_fn *fn;
    float *y;
    void *x;
};

static void call_once(void *arg)
{
    const struct call *c = arg;
    c->fn(c->y, c->x, BENCH_COUNT);
}

static void bench(const char *what, widen_fn *fn)
{
    struct call call = {fn, check_floats(BENCH_COUNT), check_bytes(2 * BENCH_COUNT)};
    check_report(what, check_time(call_once, &call), BENCH_COUNT, "values");
}

static void bench_f16(const struct check_context *c)
{
    bench("11520 f16", c->k->widen_f16);
}

static void bench_bf16(const struct check_context *c)
{
    bench("11520 bf16", c->k->widen_bf16);
}

const struct check_test check_widen_tests[] = {
    {"widen_f16", offsetof(struct sdg_kernels, widen_f16), check_f16, bench_f16},
    {"widen_bf16", offsetof(struct sdg_kernels, widen_bf16), check_bf16, bench_bf16},
    {0},
};
