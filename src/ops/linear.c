/* linear.c - linear layers (and 1x1 convolutions, which are the same thing on channels-last maps).
 *
 * y = x W^T + b is one matrix product per image. The weight goes through f32 scratch in panels of
 * output channels, at most PANEL_FLOATS each, widened by all workers together; a weight that is f32
 * and aligned already is used where it lies in the file. Then the outputs of a panel are cut into
 * tasks: strips of rows of x by groups of the panel's columns. */
#include "ops/gemm.h"

#include <stdint.h>
#include <string.h>

#include "kernels.h"

enum { PANEL_FLOATS = 4 << 20, MOST_ROWS = 512, WIDEN_FLOATS = 1 << 15 };

struct linear {
    const struct sdg_ops *o;
    float *y;
    const float *x;
    const struct sdg_tensor *weight;
    const float *bias;    /* [out], or NULL */
    float *panel;         /* room for the widened panel */
    const float *b;       /* its weights, [span.count][in] */
    struct sdg_span span; /* its output channels */
    struct sdg_grid grid;
    struct sdg_cut widening;
    struct sdg_scratch scratch;
    size_t t, in, out;
    bool add;
};

static void widen_rows(void *arg, size_t task, int worker)
{
    (void)worker;
    const struct linear *l = arg;
    const struct sdg_span rows = sdg_cut_piece(&l->widening, task);
    sdg_ops_widen(l->o, l->panel + rows.first * l->in, l->weight,
                  (l->span.first + rows.first) * l->in, rows.count * l->in);
}

/* y [rows] = bias, or y += bias: what the product is then added to. */
static void prefill(const struct linear *l, float *y, const float *bias, size_t rows, size_t count)
{
    for (size_t r = 0; r < rows; r++, y += l->out)
        if (l->add)
            l->o->k->add(y, bias, count);
        else
            memcpy(y, bias, count * sizeof *y);
}

static void multiply(void *arg, size_t task, int worker)
{
    const struct linear *l = arg;
    const size_t columns = l->grid.columns.count, per_image = l->grid.rows.count * columns;
    const size_t image = task / per_image, rest = task % per_image;
    const struct sdg_span r = sdg_cut_piece(&l->grid.rows, rest / columns);
    const struct sdg_span c = sdg_cut_piece(&l->grid.columns, rest % columns);
    const size_t row = image * l->t + r.first, channel = l->span.first + c.first;
    float *y = l->y + row * l->out + channel;
    if (l->bias) prefill(l, y, l->bias + channel, r.count, c.count);
    const struct sdg_gemm g = {
        .c = y,
        .ldc = l->out,
        .a = l->x + row * l->in,
        .lda = l->in,
        .b = l->b + c.first * l->in,
        .b_row = l->in,
        .b_col = 1,
        .m = r.count,
        .n = c.count,
        .k = l->in,
        .accumulate = l->add || l->bias,
    };
    sdg_gemm_run(l->o, &g, sdg_scratch_of(&l->scratch, worker));
}

static bool usable_in_place(const struct sdg_tensor *w)
{
    return w->dtype == SDG_F32 && (uintptr_t)w->data % sizeof(float) == 0;
}

void sdg_op_linear(struct sdg_ops *o, float *y, const float *x, const struct sdg_linear *w,
                   size_t n, size_t t, bool add)
{
    struct linear l = {.o = o, .y = y, .x = x, .weight = &w->weight, .t = t, .add = add};
    l.out = (size_t)w->weight.shape[0];
    l.in = (size_t)w->weight.shape[1];
    if (o->dry) o->macs += (double)n * (double)t * (double)l.in * (double)l.out;
    if (n == 0 || t == 0 || l.out == 0) return;

    const size_t mark = sdg_arena_mark(o->work), rows = l.in ? l.in : 1;
    const size_t fit = PANEL_FLOATS / rows ? PANEL_FLOATS / rows : 1;
    const struct sdg_cut panels = sdg_cut_at_most(l.out, fit, 16);
    const bool in_place = usable_in_place(&w->weight);
    const float *bias = sdg_ops_vector(o, &w->bias, l.out);
    l.bias = w->bias.data ? bias : NULL;
    if (!in_place) l.panel = sdg_arena_floats(o->work, panels.size * l.in);
    l.scratch = sdg_scratch_take(o, sdg_gemm_scratch(o, l.in));

    for (size_t p = 0; p < panels.count && !o->dry; p++) {
        l.span = sdg_cut_piece(&panels, p);
        l.grid = sdg_grid_of(t, l.span.count, MOST_ROWS, 1);
        l.b = in_place ? (const float *)w->weight.data + l.span.first * l.in : l.panel;
        if (!in_place) {
            l.widening = sdg_cut_at_most(l.span.count, WIDEN_FLOATS / rows + 1, 1);
            sdg_ops_for(o, l.widening.count, widen_rows, &l);
        }
        sdg_ops_for(o, n * l.grid.rows.count * l.grid.columns.count, multiply, &l);
    }
    sdg_arena_release(o->work, mark);
}
