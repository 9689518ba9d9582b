/* op.h - one operation at one shape, ready to be called again and again. */
#ifndef SDG_BENCH_OP_H
#define SDG_BENCH_OP_H

#include "bench/shapes.h"
#include "ops/conv_plan.h"

/* How operations are to run. */
struct bench_way {
    const struct sdg_kernels *k;
    int threads;
    bool bf16;              /* as in struct sdg_ops */
    enum sdg_dtype weights; /* as the file stores them: SDG_F16, SDG_BF16 or SDG_F32 */
    bool exact_conv;        /* as in struct sdg_ops */
    enum sdg_conv_way conv; /* of convolutions; SDG_CONV_WAYS: by the rule of the operations */
};

struct bench_op {
    struct bench_shape shape;
    struct bench_way way;
    struct sdg_ops ops;
    struct sdg_arena work;
    struct sdg_packs *packs;
    bool possible; /* whether the way of convolutions can do this one */
    float *x, *y, *z, *bias;
    void *weight, *more[2]; /* more: keys and values of a product of three */
};

/* Makes inputs, weights, packed weights and the scratch that a dry run asks for. False when there
 * is not enough memory or the way of convolutions cannot do it; close accepts what is left. */
bool bench_op_open(struct bench_op *op, const struct bench_shape *shape,
                   const struct bench_way *way);
void bench_op_close(struct bench_op *op);

/* One call, with the weights packed before or packed by the call. */
void bench_op_run(struct bench_op *op, bool packed);

#endif
