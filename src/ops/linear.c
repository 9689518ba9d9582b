/* linear.c - linear layers (and 1x1 convolutions, which are the same thing on channels-last maps).
 *
 * y = x W^T + b is one matrix product per image. A weight that is f32 and aligned is used where it
 * lies in the file, any other goes through f32 scratch. Two ways to cut the work, chosen by the
 * shape of one image:
 *   many rows   Weights, up to PANEL_FLOATS of them at a time, are widened by all workers together.
 *               Then a task is a strip of rows of x by a group of output columns.
 *   few rows    There weights outweigh the rows. A task is a group of output columns: it widens
 * their weights into scratch of its worker and multiplies image after image. */
#include "ops/gemm.h"

#include <stdint.h>
#include <string.h>

#include "kernels.h"

enum {
    PANEL_FLOATS = 4 << 20,
    MOST_ROWS = 512,
    GROUP = 160, /* few rows: output columns of a task */
    WIDEN_FLOATS = 1 << 15,
};

struct linear {
    const struct sdg_ops *o;
    float *y;
    const float *x;
    const struct sdg_tensor *weight;
    const float *in_place; /* the weight as f32 in the file, or NULL */
    const float *bias;     /* [out], or NULL */
    size_t n, t, in, out;
    bool add;
    struct sdg_scratch scratch; /* of a worker: weights of a group (few rows); packing */
    size_t weight_floats;

    float *panel; /* many rows: widened weights of columns `span`, [span.count][in] */
    struct sdg_span span;
    struct sdg_cut widening;
    struct sdg_grid grid;

    struct sdg_cut groups; /* few rows */
};

/* y [rows] = bias, or y += bias: what the product is then added to. */
static void prefill(const struct linear *l, float *y, const float *bias, size_t rows, size_t count)
{
    for (size_t r = 0; r < rows; r++, y += l->out)
        if (l->add)
            l->o->k->add(y, bias, count);
        else
            memcpy(y, bias, count * sizeof *y);
}

/* y [rows][columns] of one image, from weights [columns][in]. */
static void multiply(const struct linear *l, size_t image, const struct sdg_span *rows,
                     const struct sdg_span *columns, const float *weights, float *packing)
{
    const size_t row = image * l->t + rows->first;
    float *y = l->y + row * l->out + columns->first;
    if (l->bias) prefill(l, y, l->bias + columns->first, rows->count, columns->count);
    const struct sdg_gemm g = {
        .c = y,
        .ldc = l->out,
        .a = l->x + row * l->in,
        .lda = l->in,
        .b = weights,
        .b_row = l->in,
        .b_col = 1,
        .m = rows->count,
        .n = columns->count,
        .k = l->in,
        .accumulate = l->add || l->bias,
    };
    sdg_gemm_run(l->o, &g, packing);
}

/* ---- many rows ------------------------------------------------------------------------------- */

static void widen_rows(void *arg, size_t task, int worker)
{
    (void)worker;
    const struct linear *l = arg;
    const struct sdg_span rows = sdg_cut_piece(&l->widening, task);
    sdg_ops_widen(l->o, l->panel + rows.first * l->in, l->weight,
                  (l->span.first + rows.first) * l->in, rows.count * l->in);
}

static void run_strip(void *arg, size_t task, int worker)
{
    const struct linear *l = arg;
    const size_t groups = l->grid.columns.count, per_image = l->grid.rows.count * groups;
    const size_t image = task / per_image, rest = task % per_image;
    const struct sdg_span rows = sdg_cut_piece(&l->grid.rows, rest / groups);
    struct sdg_span columns = sdg_cut_piece(&l->grid.columns, rest % groups);
    const float *panel = l->in_place ? l->in_place + l->span.first * l->in : l->panel;
    const float *weights = panel + columns.first * l->in;
    columns.first += l->span.first;
    multiply(l, image, &rows, &columns, weights, sdg_scratch_of(&l->scratch, worker));
}

static void run_many_rows(struct linear *l)
{
    const size_t in = l->in ? l->in : 1, fit = PANEL_FLOATS / in ? PANEL_FLOATS / in : 1;
    const struct sdg_cut panels = sdg_cut_at_most(l->out, fit, 16);
    l->scratch = sdg_scratch_take(l->o, sdg_gemm_scratch(l->o, l->in));
    if (!l->in_place) l->panel = sdg_arena_floats(l->o->work, panels.size * l->in);
    for (size_t p = 0; p < panels.count && !l->o->dry; p++) {
        l->span = sdg_cut_piece(&panels, p);
        l->grid = sdg_grid_of(l->t, l->span.count, MOST_ROWS, 1);
        l->widening = sdg_cut_at_most(l->span.count, WIDEN_FLOATS / in + 1, 1);
        if (!l->in_place) sdg_ops_for(l->o, l->widening.count, widen_rows, l);
        sdg_ops_for(l->o, l->n * l->grid.rows.count * l->grid.columns.count, run_strip, l);
    }
}

/* ---- few rows -------------------------------------------------------------------------------- */

static void run_group(void *arg, size_t task, int worker)
{
    const struct linear *l = arg;
    const struct sdg_span columns = sdg_cut_piece(&l->groups, task), all = {0, l->t};
    float *wide = sdg_scratch_of(&l->scratch, worker), *packing = wide + l->weight_floats;
    const size_t first = columns.first * l->in;
    if (!l->in_place) sdg_ops_widen(l->o, wide, l->weight, first, columns.count * l->in);
    for (size_t i = 0; i < l->n; i++)
        multiply(l, i, &all, &columns, l->in_place ? l->in_place + first : wide, packing);
}

static void run_few_rows(struct linear *l)
{
    l->groups = sdg_cut_at_most(l->out, GROUP, 16);
    l->weight_floats = l->in_place ? 0 : l->groups.size * l->in;
    l->scratch = sdg_scratch_take(l->o, l->weight_floats + sdg_gemm_scratch(l->o, l->in));
    if (!l->o->dry) sdg_ops_for(l->o, l->groups.count, run_group, l);
}

/* ---- the whole ------------------------------------------------------------------------------- */

void sdg_op_linear(struct sdg_ops *o, float *y, const float *x, const struct sdg_linear *w,
                   size_t n, size_t t, bool add)
{
    struct linear l = {.o = o, .y = y, .x = x, .weight = &w->weight, .n = n, .t = t, .add = add};
    l.out = (size_t)w->weight.shape[0];
    l.in = (size_t)w->weight.shape[1];
    if (o->dry) o->macs += (double)n * (double)t * (double)l.in * (double)l.out;
    if (n == 0 || t == 0 || l.out == 0) return;

    const size_t mark = sdg_arena_mark(o->work);
    if (w->weight.dtype == SDG_F32 && (uintptr_t)w->weight.data % sizeof(float) == 0)
        l.in_place = w->weight.data;
    const float *bias = sdg_ops_vector(o, &w->bias, l.out);
    if (w->bias.data) l.bias = bias;
    if (t <= MOST_ROWS)
        run_few_rows(&l);
    else
        run_many_rows(&l);
    sdg_arena_release(o->work, mark);
}
