/* layout.c - moving values without changing them: the order of axes, table rows. */
#include "ops/work.h"

#include <string.h>

#include "kernels.h"

enum { TASK_FLOATS = 1 << 15 };

/* ---- channels last and first ----------------------------------------------------------------- */

struct turn {
    float *y;
    const float *x;
    struct sdg_cut chunks; /* of the pixels of one image */
    size_t c, hw;
};

static void turn_last(void *arg, size_t task, int worker)
{
    (void)worker;
    const struct turn *t = arg;
    const struct sdg_span s = sdg_cut_piece(&t->chunks, task % t->chunks.count);
    const size_t image = task / t->chunks.count * t->c * t->hw;
    for (size_t p = s.first; p < s.first + s.count; p++)
        for (size_t i = 0; i < t->c; i++) t->y[image + p * t->c + i] = t->x[image + i * t->hw + p];
}

static void turn_first(void *arg, size_t task, int worker)
{
    (void)worker;
    const struct turn *t = arg;
    const struct sdg_span s = sdg_cut_piece(&t->chunks, task % t->chunks.count);
    const size_t image = task / t->chunks.count * t->c * t->hw;
    for (size_t i = 0; i < t->c; i++)
        for (size_t p = s.first; p < s.first + s.count; p++)
            t->y[image + i * t->hw + p] = t->x[image + p * t->c + i];
}

static void turn(struct sdg_ops *o, void (*fn)(void *, size_t, int), float *y, const float *x,
                 size_t n, size_t c, size_t hw)
{
    if (o->dry || n == 0 || c == 0 || hw == 0) return;
    struct turn t = {.y = y, .x = x, .c = c, .hw = hw};
    t.chunks = sdg_cut_at_most(hw, TASK_FLOATS / c + 1, 16);
    sdg_ops_for(o, n * t.chunks.count, fn, &t);
}

void sdg_op_to_channels_last(struct sdg_ops *o, float *y, const float *x, size_t n, size_t c,
                             size_t hw)
{
    turn(o, turn_last, y, x, n, c, hw);
}

void sdg_op_to_channels_first(struct sdg_ops *o, float *y, const float *x, size_t n, size_t c,
                              size_t hw)
{
    turn(o, turn_first, y, x, n, c, hw);
}

/* ---- tables ---------------------------------------------------------------------------------- */

void sdg_op_embed(struct sdg_ops *o, float *y, const int32_t *ids,
                  const struct sdg_embedding *table, const struct sdg_embedding *positions,
                  size_t n, size_t t)
{
    const size_t c = (size_t)table->weight.shape[1], mark = sdg_arena_mark(o->work);
    float *position = sdg_arena_floats(o->work, c);
    for (size_t i = 0; i < n * t && !o->dry; i++) {
        sdg_widen(o->k, y + i * c, &table->weight, (size_t)ids[i] * c, c);
        sdg_widen(o->k, position, &positions->weight, i % t * c, c);
        o->k->add(y + i * c, position, c);
    }
    sdg_arena_release(o->work, mark);
}
