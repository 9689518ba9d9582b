/* opcase.h - an operation of src/ops with its arguments, to be run under every circumstance: what
 * test_ops.c and test_ops_large.c share.
 *
 * All memory of a case comes from one pool, so that a dry run can be made to fault on any touch. */
#ifndef SDG_TESTS_SUPPORT_OPCASE_H
#define SDG_TESTS_SUPPORT_OPCASE_H

#include "kernels.h"
#include "ops/ops.h"
#include "files/weights.h"

/* Errors, of the largest value: f32 sums of at most a few hundred terms; inputs of 8 bits. */
#define TEST_OP_BOUND 2e-6
#define TEST_OP_BOUND_BF16 1e-2

enum { TEST_POOL_BYTES = 48 << 20 };
struct test_pool {
    char *base;
    size_t used;
};

struct test_pool test_pool_open(void);
void test_pool_close(struct test_pool *p);
float *test_pool_floats(struct test_pool *p, size_t count);

/* A hashed input of variance 1 (hashweights.h), by name. */
float *test_pool_input(struct test_pool *p, size_t count, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The hashed weight "op.i.part" as it may lie in a file: in its own type (F32, F16, BF16 or F64),
 * at an odd address; f32 also where it can be used in place, for even i. */
struct sdg_tensor test_pool_weight(struct test_pool *p, const char *op, int i, const char *part,
                                   enum sdg_dtype dtype, int rank, const int64_t *shape);
struct sdg_tensor test_pool_vector(struct test_pool *p, const char *op, int i, const char *part,
                                   enum sdg_dtype dtype, size_t count);

/* An operation with its arguments; writes y [n][per_image]. run computes images [first, first + n).
 */
struct test_op {
    void (*run)(struct sdg_ops *o, const struct test_op *j, size_t first, size_t n);
    struct test_pool pool;
    const int64_t *p;
    float *y, *start; /* start: what y holds before, NULL: does not matter */
    size_t n, per_image;
    bool bf16; /* products of bf16 */
    const float *x, *k, *v, *extra, *residual;
    struct sdg_tensor weight, bias;
    struct sdg_norm norm;
};

/* Runs images [first, first + n) in exactly as much scratch as a dry run asked for, which may not
 * touch the pool. */
void test_op_run(const struct test_op *j, const struct sdg_kernels *k, int threads,
                 const int *cancel, size_t first, size_t n);

/* Fails the test unless y comes within the bound of want, with the same bits from 1, 2 and 3
 * threads, the latter with the smallest strips, and from images alone, and a cancelled run returns.
 */
void test_op_check(const struct test_op *j, const struct sdg_kernels *k, const float *want,
                   const char *what);

/* The same against a golden tensor, in every tier, emulated where this machine lacks it; j->bf16 is
 * set to false and to true. */
void test_op_check_golden(struct test_op *j, const struct sdg_weights *golden, const char *name);

/* Parameters of a convolution and of a linear layer, and the functions that run them. */
enum {
    CONV_N,
    CONV_H,
    CONV_W,
    CONV_IN,
    CONV_OUT,
    CONV_KERNEL,
    CONV_STRIDE,
    CONV_PAD,
    CONV_UP,
    CONV_VH,
    CONV_VW,
    CONV_OH,
    CONV_OW,
    CONV_GROUPS, /* of the normalisation in front; 0: none */
    CONV_SILU,
    CONV_EXTRAS,
    CONV_DTYPE,
    CONV_PARAMETERS
};
enum {
    LINEAR_N,
    LINEAR_T,
    LINEAR_IN,
    LINEAR_OUT,
    LINEAR_ADD,
    LINEAR_BIAS,
    LINEAR_DTYPE,
    LINEAR_RANK
};
void test_op_run_conv(struct sdg_ops *o, const struct test_op *j, size_t first, size_t n);
void test_op_run_linear(struct sdg_ops *o, const struct test_op *j, size_t first, size_t n);

#endif
