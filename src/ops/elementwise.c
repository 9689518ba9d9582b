/* elementwise.c - operations on each value alone, cut into runs of TASK_FLOATS. */
#include "ops/work.h"

#include "kernels.h"

enum { TASK_FLOATS = 1 << 14 };

struct elementwise {
    void (*unary)(float *y, const float *x, size_t n);
    void (*rows)(float *y, const float *x, size_t rows, size_t c);
    float *y;
    const float *x;
    struct sdg_cut chunks;
    size_t c;
};

static void run_unary(void *arg, size_t task, int worker)
{
    (void)worker;
    const struct elementwise *e = arg;
    const struct sdg_span s = sdg_cut_piece(&e->chunks, task);
    e->unary(e->y + s.first, e->x + s.first, s.count);
}

static void run_geglu(void *arg, size_t task, int worker)
{
    (void)worker;
    const struct elementwise *e = arg;
    const struct sdg_span s = sdg_cut_piece(&e->chunks, task);
    e->rows(e->y + s.first * e->c, e->x + s.first * 2 * e->c, s.count, e->c);
}

static void unary(struct sdg_ops *o, void (*fn)(float *, const float *, size_t), float *y,
                  const float *x, size_t count)
{
    if (o->dry || count == 0) return;
    struct elementwise e = {.unary = fn, .y = y, .x = x};
    e.chunks = sdg_cut_at_most(count, TASK_FLOATS, 16);
    sdg_ops_for(o, e.chunks.count, run_unary, &e);
}

/* No kernel of a tier: it waits for memory in any case. */
static void relu(float *y, const float *x, size_t count)
{
    for (size_t i = 0; i < count; i++) y[i] = x[i] < 0 ? 0 : x[i];
}

void sdg_op_activate(struct sdg_ops *o, float *y, const float *x, enum sdg_activation act,
                     size_t count)
{
    const struct sdg_kernels *k = o->k;
    switch (act) {
    case SDG_SILU: unary(o, k->silu, y, x, count); break;
    case SDG_GELU: unary(o, k->gelu, y, x, count); break;
    case SDG_QUICK_GELU: unary(o, k->quick_gelu, y, x, count); break;
    case SDG_RELU: unary(o, relu, y, x, count); break;
    }
}

void sdg_op_add(struct sdg_ops *o, float *y, const float *x, size_t count)
{
    unary(o, o->k->add, y, x, count);
}

void sdg_op_geglu(struct sdg_ops *o, float *y, const float *x, size_t rows, size_t c)
{
    if (o->dry || rows == 0 || c == 0) return;
    struct elementwise e = {.rows = o->k->geglu, .y = y, .x = x, .c = c};
    e.chunks = sdg_cut_at_most(rows, TASK_FLOATS / c + 1, 1);
    sdg_ops_for(o, e.chunks.count, run_geglu, &e);
}
