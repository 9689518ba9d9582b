/* norm.c - GroupNorm as a multiply-add per channel, and LayerNorm.
 *
 * GroupNorm (Wu & He 2018, eq. 1) needs two numbers per group before it can touch a value, so it
 * takes a pass over the map on its own. Here that pass only sums; what to do to each value is left
 * to whoever reads it next, as a prologue: gamma (x - mean) / sqrt(var + eps) + beta is
 * scale x + shift with scale = gamma / sqrt(var + eps) and shift = beta - mean scale. */
#include "ops/work.h"

#include <math.h>
#include <string.h>

#include "kernels.h"

enum { SUM_ROWS = 64, MOST_CHUNKS = 64, TASK_FLOATS = 1 << 14 };

/* ---- GroupNorm ------------------------------------------------------------------------------- */

/* Rows of one image whose sums are taken together. */
static struct sdg_cut chunks_of(size_t hw)
{
    const size_t least = (hw + MOST_CHUNKS - 1) / MOST_CHUNKS;
    return sdg_cut_at_most(hw, least > SUM_ROWS ? least : SUM_ROWS, 8);
}

struct sums {
    const struct sdg_ops *o;
    const float *x; /* row `first` of each image's map, [rows][c - beside.c] */
    struct sdg_beside beside;
    double *parts; /* [n][chunks][2][c]: sums and sums of squares of each chunk of rows */
    struct sdg_cut chunks;
    size_t c, first, rows;
    size_t chunk, chunk_count; /* those that the rows touch */
};

/* Adds what the rows at hand have in a chunk. */
static void sum_chunk(void *arg, size_t task, int worker)
{
    (void)worker;
    const struct sums *s = arg;
    const size_t image = task / s->chunk_count, chunk = s->chunk + task % s->chunk_count;
    const struct sdg_span all = sdg_cut_piece(&s->chunks, chunk);
    const size_t end = all.first + all.count, have = s->first + s->rows;
    const size_t from = all.first > s->first ? all.first : s->first, to = end < have ? end : have;
    const size_t at = image * s->rows + from - s->first, cb = s->beside.c, ca = s->c - cb;
    double *sum = s->parts + (image * s->chunks.count + chunk) * 2 * s->c, *square = sum + s->c;
    if (from == all.first) memset(sum, 0, 2 * s->c * sizeof *sum);
    s->o->k->channel_sums(sum, square, s->x + at * ca, to - from, ca);
    if (cb) s->o->k->channel_sums(sum + ca, square + ca, s->beside.x + at * cb, to - from, cb);
}

static void add_rows(struct sums *s, size_t n)
{
    s->chunk = s->first / s->chunks.size;
    s->chunk_count = (s->first + s->rows - 1) / s->chunks.size - s->chunk + 1;
    sdg_ops_for(s->o, n * s->chunk_count, sum_chunk, s);
}

/* scale, shift [c] of one image from its chunks, added in their order. */
static void fold(float *scale, float *shift, const double *part, const struct sdg_cut *chunks,
                 size_t c, const float *gamma, const float *beta, size_t groups, float eps)
{
    const size_t width = c / groups, step = 2 * c;
    const double count = (double)chunks->total * (double)width;
    for (size_t g = 0; g < groups; g++) {
        double sum = 0.0, square = 0.0;
        for (size_t k = 0; k < chunks->count; k++)
            for (size_t i = g * width; i < (g + 1) * width; i++) {
                sum += part[k * step + i];
                square += part[k * step + c + i];
            }
        const double mean = sum / count;
        double variance = square / count - mean * mean;
        if (variance < 0.0) variance = 0.0; /* rounding of a constant group; NaN stays */
        const double inverse = 1.0 / sqrt(variance + (double)eps);
        for (size_t i = g * width; i < (g + 1) * width; i++) {
            const double factor = (double)gamma[i] * inverse;
            scale[i] = (float)factor;
            shift[i] = (float)((double)beta[i] - mean * factor);
        }
    }
}

void sdg_op_groupnorm_beside(struct sdg_ops *o, struct sdg_prologue *p, const float *x,
                             struct sdg_beside beside, const struct sdg_norm *w, size_t n,
                             size_t hw, size_t c, size_t groups, float eps, bool silu)
{
    float *scale = sdg_arena_floats(o->work, n * c), *shift = sdg_arena_floats(o->work, n * c);
    *p = (struct sdg_prologue) {.scale = scale, .shift = shift, .silu = silu, .beside = beside};
    if (n == 0 || hw == 0 || c == 0) return;
    const size_t mark = sdg_arena_mark(o->work);
    struct sums s = {.o = o, .x = x, .beside = beside, .chunks = chunks_of(hw), .c = c, .rows = hw};
    s.parts = sdg_arena_alloc(o->work, n * s.chunks.count * 2 * c, sizeof *s.parts);
    const float *gamma = sdg_ops_vector(o, &w->weight, c), *beta = sdg_ops_vector(o, &w->bias, c);
    if (!o->dry) {
        add_rows(&s, n);
        for (size_t i = 0; i < n && !sdg_ops_cancelled(o); i++)
            fold(scale + i * c, shift + i * c, s.parts + i * s.chunks.count * 2 * c, &s.chunks, c,
                 gamma, beta, groups, eps);
    }
    sdg_arena_release(o->work, mark);
}

void sdg_op_groupnorm(struct sdg_ops *o, struct sdg_prologue *p, const float *x,
                      const struct sdg_norm *w, size_t n, size_t hw, size_t c, size_t groups,
                      float eps, bool silu)
{
    const struct sdg_beside nothing = {0};
    sdg_op_groupnorm_beside(o, p, x, nothing, w, n, hw, c, groups, eps, silu);
}

void sdg_op_sums_begin(struct sdg_ops *o, struct sdg_map_sums *s, size_t hw, size_t c)
{
    *s = (struct sdg_map_sums) {.hw = hw, .c = c};
    s->parts = sdg_arena_alloc(o->work, chunks_of(hw).count * 2 * c, sizeof *s->parts);
}

void sdg_op_sums_add(struct sdg_ops *o, struct sdg_map_sums *s, const float *x, size_t first,
                     size_t rows)
{
    if (o->dry || rows == 0) return;
    struct sums t = {.o = o, .x = x, .parts = s->parts, .chunks = chunks_of(s->hw), .c = s->c};
    t.first = first;
    t.rows = rows;
    add_rows(&t, 1);
}

void sdg_op_sums_end(struct sdg_ops *o, struct sdg_prologue *p, const struct sdg_map_sums *s,
                     const struct sdg_norm *w, size_t groups, float eps, bool silu)
{
    float *scale = sdg_arena_floats(o->work, s->c), *shift = sdg_arena_floats(o->work, s->c);
    const size_t mark = sdg_arena_mark(o->work);
    const struct sdg_cut chunks = chunks_of(s->hw);
    const float *gamma = sdg_ops_vector(o, &w->weight, s->c);
    const float *beta = sdg_ops_vector(o, &w->bias, s->c);
    *p = (struct sdg_prologue) {.scale = scale, .shift = shift, .silu = silu};
    if (!o->dry && !sdg_ops_cancelled(o))
        fold(scale, shift, s->parts, &chunks, s->c, gamma, beta, groups, eps);
    sdg_arena_release(o->work, mark);
}

/* ---- applying it ----------------------------------------------------------------------------- */

struct apply {
    const struct sdg_ops *o;
    float *y;
    const float *x;
    const struct sdg_prologue *p;
    struct sdg_cut chunks;
    size_t hw, c;
};

static void apply_chunk(void *arg, size_t task, int worker)
{
    (void)worker;
    const struct apply *a = arg;
    const size_t image = task / a->chunks.count;
    const struct sdg_span rows = sdg_cut_piece(&a->chunks, task % a->chunks.count);
    const size_t at = (image * a->hw + rows.first) * a->c;
    const float *scale = a->p->scale, *shift = a->p->shift;
    if (!scale) {
        if (a->y != a->x) memcpy(a->y + at, a->x + at, rows.count * a->c * sizeof *a->y);
        return;
    }
    scale += image * a->c;
    shift += image * a->c;
    if (a->p->silu)
        a->o->k->affine_silu(a->y + at, a->x + at, scale, shift, rows.count, a->c);
    else
        a->o->k->affine(a->y + at, a->x + at, scale, shift, rows.count, a->c);
}

void sdg_op_apply(struct sdg_ops *o, float *y, const float *x, const struct sdg_prologue *p,
                  size_t n, size_t hw, size_t c)
{
    if (o->dry || n == 0 || hw == 0 || c == 0) return;
    struct apply a = {.o = o, .y = y, .x = x, .p = p, .hw = hw, .c = c};
    a.chunks = sdg_cut_at_most(hw, TASK_FLOATS / c + 1, 1);
    sdg_ops_for(o, n * a.chunks.count, apply_chunk, &a);
}

/* ---- LayerNorm ------------------------------------------------------------------------------- */

void sdg_op_layernorm_prologue(struct sdg_ops *o, struct sdg_prologue *p, const struct sdg_norm *w,
                               size_t c, float eps)
{
    *p = (struct sdg_prologue) {.by_row = true, .eps = eps};
    p->scale = sdg_ops_vector(o, &w->weight, c);
    p->shift = sdg_ops_vector(o, &w->bias, c);
}

struct layernorm {
    const struct sdg_ops *o;
    float *y;
    const float *x, *gamma, *beta;
    struct sdg_cut chunks;
    size_t c;
    float eps;
};

static void normalise_chunk(void *arg, size_t task, int worker)
{
    (void)worker;
    const struct layernorm *l = arg;
    const struct sdg_span rows = sdg_cut_piece(&l->chunks, task);
    const size_t at = rows.first * l->c;
    l->o->k->layernorm(l->y + at, l->x + at, l->gamma, l->beta, rows.count, l->c, l->eps);
}

void sdg_op_layernorm(struct sdg_ops *o, float *y, const float *x, const struct sdg_norm *w,
                      size_t rows, size_t c, float eps)
{
    if (rows == 0 || c == 0) return;
    const size_t mark = sdg_arena_mark(o->work);
    struct layernorm l = {.o = o, .y = y, .x = x, .c = c, .eps = eps};
    l.gamma = sdg_ops_vector(o, &w->weight, c);
    l.beta = sdg_ops_vector(o, &w->bias, c);
    l.chunks = sdg_cut_at_most(rows, TASK_FLOATS / c + 1, 1);
    if (!o->dry) sdg_ops_for(o, l.chunks.count, normalise_chunk, &l);
    sdg_arena_release(o->work, mark);
}
