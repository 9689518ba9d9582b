/* work.c - see work.h. */
#include "ops/work.h"

#include <string.h>

#include "base/parallel.h"
#include "kernels.h"

/* ---- threads and their memory ---------------------------------------------------------------- */

bool sdg_ops_cancelled(const struct sdg_ops *o)
{
    return o->cancel && __atomic_load_n(o->cancel, __ATOMIC_RELAXED) != 0;
}

struct loop {
    const struct sdg_ops *o;
    void (*fn)(void *, size_t, int);
    void *arg;
};

static void run_unless_cancelled(void *arg, size_t task, int worker)
{
    const struct loop *l = arg;
    if (!sdg_ops_cancelled(l->o)) l->fn(l->arg, task, worker);
}

void sdg_ops_for(const struct sdg_ops *o, size_t tasks, void (*fn)(void *, size_t, int), void *arg)
{
    if (tasks == 0 || sdg_ops_cancelled(o)) return;
    struct loop loop = {o, fn, arg};
    sdg_parallel_for(o->threads, tasks, run_unless_cancelled, &loop);
}

struct sdg_scratch sdg_scratch_take(const struct sdg_ops *o, size_t floats)
{
    const size_t line = SDG_ARENA_ALIGN / sizeof(float); /* workers share no cache line */
    const size_t stride = (floats + line - 1) / line * line;
    const size_t workers = o->threads > 1 ? (size_t)o->threads : 1;
    return (struct sdg_scratch) {sdg_arena_floats(o->work, workers * stride), stride};
}

float *sdg_scratch_of(const struct sdg_scratch *s, int worker)
{
    return s->base + (size_t)worker * s->stride;
}

const struct sdg_prologue *sdg_ops_prologue(const struct sdg_prologue *pro)
{
    return pro && (pro->scale || pro->beside.c) ? pro : NULL;
}

size_t sdg_strip_bytes(const struct sdg_ops *o, size_t own)
{
    return o->strip_bytes && o->strip_bytes < own ? o->strip_bytes : own;
}

const struct sdg_matmul *sdg_ops_matmul(const struct sdg_ops *o, bool exact)
{
    return o->bf16 && !exact ? &o->k->matmul_bf16 : &o->k->matmul_f32;
}

/* ---- weights --------------------------------------------------------------------------------- */

void sdg_widen(const struct sdg_kernels *k, float *y, const struct sdg_tensor *t, size_t first,
               size_t count)
{
    const char *p = t->data;
    if (t->dtype == SDG_F16)
        k->widen_f16(y, p + first * sizeof(uint16_t), count);
    else if (t->dtype == SDG_BF16)
        k->widen_bf16(y, p + first * sizeof(uint16_t), count);
    else
        sdg_tensor_widen(y, t, first, count);
}

float *sdg_ops_vector(const struct sdg_ops *o, const struct sdg_tensor *t, size_t count)
{
    float *y = sdg_arena_floats(o->work, count);
    if (o->dry) return y;
    if (t->data)
        sdg_widen(o->k, y, t, 0, count);
    else
        memset(y, 0, count * sizeof *y);
    return y;
}

/* ---- cutting --------------------------------------------------------------------------------- */

struct sdg_cut sdg_cut_at_most(size_t total, size_t most, size_t step)
{
    const size_t pieces = (total + most - 1) / most;
    size_t size = (total + pieces - 1) / pieces;
    size = (size + step - 1) / step * step;
    if (size > total) size = total;
    return (struct sdg_cut) {total, size, (total + size - 1) / size};
}

struct sdg_span sdg_cut_piece(const struct sdg_cut *cut, size_t i)
{
    const size_t first = i * cut->size, left = cut->total - first;
    return (struct sdg_span) {first, left < cut->size ? left : cut->size};
}
