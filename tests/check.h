/* check.h - the kernel harness: compares every version of every kernel with exact arithmetic in
 * double, each in a child process of its own, and times it with --bench.
 *
 * A test is a function that gets a table of kernels (check_context) and tries its kernel at awkward
 * sizes; buffers end at a page that may not be touched. Tolerances are per element and come from
 * the contract in kernels/kernels.h, which speaks of errors against exact arithmetic: so one test
 * serves the reference and every faster version alike. */
#ifndef SDG_TESTS_CHECK_H
#define SDG_TESTS_CHECK_H

#include <stddef.h>
#include "kernels.h"

struct check_context {
    const struct sdg_kernels *k;
};

struct check_test {
    const char *name;
    size_t slot; /* offsetof(struct sdg_kernels, ...) of the pointer under test */
    void (*run)(const struct check_context *c);
    void (*bench)(const struct check_context *c); /* NULL: not timed */
};

extern const struct check_test check_activation_tests[], check_norm_tests[], check_matmul_tests[],
    check_widen_tests[], check_winograd_tests[]; /* each ends with a NULL name */

enum { CHECK_SIZE_COUNT = 24 };
extern const size_t check_sizes[CHECK_SIZE_COUNT]; /* 0, 1, primes, vector widths +- 1, 1280 */

/* The unit roundoff of f32. */
#define CHECK_U 0x1p-24

/* [n] f32, uniform in [-1, 1), ending right before a page without access and beginning right behind
 * a marked zone (check_zone). Never freed: the child ends soon. */
float *check_floats(size_t n);
void *check_bytes(size_t n);     /* the same for bytes, random */
double *check_doubles(size_t n); /* plain memory, zeroed */
float check_uniform(float low, float high);

/* Fails the test unless |got - want| <= bound for every element (so NaN fails), or when memory in
 * front of got was written. */
void check_close(const char *what, const float *got, const double *want, const double *bound,
                 size_t n);
void check_equal(const char *what, const void *got, const void *want, size_t bytes);
void check_true(const char *what, int condition);

/* Seconds per call of fn(arg): the best of several batches of at least a millisecond. */
double check_time(void (*fn)(void *arg), void *arg);

/* Prints a comment line with time per call, and the rate of `amount` units per call. */
void check_report(const char *what, double seconds, double amount, const char *unit);

#endif
