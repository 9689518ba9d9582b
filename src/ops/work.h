/* work.h - what all operations share: how work is cut, run on threads and given memory, and weights
 * in f32. */
#ifndef SDG_OPS_WORK_H
#define SDG_OPS_WORK_H

#include "ops/ops.h"

/* Runs tasks on o->threads workers; a cancelled run skips the rest. */
void sdg_ops_for(const struct sdg_ops *o, size_t tasks, void (*fn)(void *, size_t, int), void *arg);

/* `floats` of scratch for each worker. Worker i's part is base + i * stride. */
struct sdg_scratch {
    float *base;
    size_t stride;
};
struct sdg_scratch sdg_scratch_take(const struct sdg_ops *o, size_t floats);
float *sdg_scratch_of(const struct sdg_scratch *s, int worker);

/* pro, or NULL where it leaves its input as it is. */
const struct sdg_prologue *sdg_ops_prologue(const struct sdg_prologue *pro);

/* Scratch of a strip: an operation's own choice, or less where o asks for less. */
size_t sdg_strip_bytes(const struct sdg_ops *o, size_t own);

/* The tier's product of f32, or of bf16 where that is chosen and `exact` is not. */
const struct sdg_matmul *sdg_ops_matmul(const struct sdg_ops *o, bool exact);

/* y[0, count) = elements [first, first + count) of t in f32. */
void sdg_widen(const struct sdg_kernels *k, float *y, const struct sdg_tensor *t, size_t first,
               size_t count);

/* The vector t [count] in f32 from o->work; zeros where t has no data. In a dry run only taken. */
float *sdg_ops_vector(const struct sdg_ops *o, const struct sdg_tensor *t, size_t count);

/* [0, total) in `count` pieces of `size` (the last may be shorter, none is empty). */
struct sdg_cut {
    size_t total, size, count;
};

/* The fewest pieces of at most `most` each, evened out to a multiple of `step`. total >= 1. */
struct sdg_cut sdg_cut_at_most(size_t total, size_t most, size_t step);

struct sdg_span {
    size_t first, count;
};
struct sdg_span sdg_cut_piece(const struct sdg_cut *cut, size_t i);

#endif
