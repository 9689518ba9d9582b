/* linear.c - linear layers (and 1x1 convolutions, which are the same thing on channels-last maps).
 *
 * y = x W^T + b is one matrix product over the tokens of all images. x is read where it lies if it
 * is what the product reads; else a strip of tokens at a time is prepared first: normalised,
 * rounded, padded, with a pitch that the cache likes. */
#include "ops/prepare.h"
#include "ops/product.h"

#include <string.h>

enum { LINE = 224, STRIP_BYTES = 8 << 20 };

struct linear {
    struct sdg_ops *o;
    const struct sdg_matmul *mul;
    const float *x;
    const struct sdg_prologue *pro;
    size_t n, t, in;
    size_t pitch; /* of the prepared rows */
    void *rows;   /* [strip][pitch] */
    struct sdg_cut strips;
    bool in_place;
};

/* One layer on rows [first, first + count) of the prepared input. */
static void multiply(const struct linear *l, float *y, const struct sdg_linear *w, const void *a,
                     size_t lda, size_t first, size_t count, bool add, bool geglu)
{
    const ptrdiff_t tap = 0;
    const struct sdg_panels panels = sdg_panels_of(l->o, l->mul, &w->weight, l->n * l->t);
    const size_t mark = sdg_arena_mark(l->o->work), out = geglu ? panels.out / 2 : panels.out;
    const float *bias = sdg_ops_vector(l->o, &w->bias, panels.out);
    const struct sdg_multiply m = {
        .panels = &panels,
        .images = 1,
        .lines = (count + LINE - 1) / LINE,
        .rows = count < LINE ? count : LINE,
        .last_rows = (count - 1) % LINE + 1,
        .a = a,
        .a_at = {0, LINE * lda, lda},
        .taps = &tap,
        .y = y + first * out,
        .residual = add ? y + first * out : NULL,
        .y_at = {0, LINE * out, out},
        .bias = w->bias.data ? bias : NULL,
        .geglu = geglu,
    };
    sdg_multiply(l->o, &m);
    sdg_arena_release(l->o->work, mark);
}

/* All layers on all rows, a strip at a time. */
static void run(struct linear *l, float *const *y, const struct sdg_linear *const *w, int layers,
                bool add, bool geglu)
{
    struct sdg_ops *o = l->o;
    const size_t mark = sdg_arena_mark(o->work), tokens = l->n * l->t;
    const size_t element = sdg_matmul_element(l->mul);
    l->pitch = sdg_row_pitch(l->mul, l->in);
    l->in_place = sdg_prepare_is_needless(l->mul, l->in, l->pro);
    const size_t most = sdg_strip_bytes(o, STRIP_BYTES) / (l->pitch * element);
    l->strips = sdg_cut_at_most(tokens, l->in_place ? tokens : most ? most : 1, LINE);
    l->rows = l->in_place ? NULL : sdg_arena_alloc(o->work, l->strips.size, l->pitch * element);
    for (size_t i = 0; i < l->strips.count; i++) {
        const struct sdg_span s = sdg_cut_piece(&l->strips, i);
        const void *a = l->in_place ? (const void *)(l->x + s.first * l->in) : l->rows;
        if (!l->in_place)
            sdg_prepare_rows(o, l->rows, l->pitch, l->mul, l->x, l->in, l->pro, l->t, &s);
        for (int j = 0; j < layers; j++)
            multiply(l, y[j], w[j], a, l->in_place ? l->in : l->pitch, s.first, s.count, add,
                     geglu);
        if (o->dry) break; /* the first strip is the largest */
    }
    sdg_arena_release(o->work, mark);
}

static struct linear begin(struct sdg_ops *o, const float *x, const struct sdg_prologue *pro,
                           const struct sdg_linear *w, size_t n, size_t t)
{
    return (struct linear) {.o = o,
                            .mul = sdg_ops_matmul(o, t == 1),
                            .x = x,
                            .pro = sdg_ops_prologue(pro),
                            .n = n,
                            .t = t,
                            .in = (size_t)w->weight.shape[1]};
}

static void count_macs(struct sdg_ops *o, const struct sdg_linear *w, size_t n, size_t t)
{
    if (o->dry)
        o->macs += (double)n * (double)t * (double)w->weight.shape[0] * (double)w->weight.shape[1];
}

static bool empty(const struct sdg_linear *w, size_t n, size_t t)
{
    return n == 0 || t == 0 || w->weight.shape[0] == 0;
}

void sdg_op_linear(struct sdg_ops *o, float *y, const float *x, const struct sdg_prologue *pro,
                   const struct sdg_linear *w, size_t n, size_t t, bool add)
{
    struct linear l = begin(o, x, pro, w, n, t);
    count_macs(o, w, n, t);
    if (!empty(w, n, t)) run(&l, &y, &w, 1, add, false);
}

void sdg_op_linears(struct sdg_ops *o, float *const *y, const float *x,
                    const struct sdg_prologue *pro, const struct sdg_linear *const *w, int count,
                    size_t n, size_t t)
{
    struct linear l = begin(o, x, pro, w[0], n, t);
    for (int i = 0; i < count; i++) count_macs(o, w[i], n, t);
    if (!empty(w[0], n, t)) run(&l, y, w, count, false, false);
}

void sdg_op_linear_geglu(struct sdg_ops *o, float *y, const float *x,
                         const struct sdg_prologue *pro, const struct sdg_linear *w, size_t n,
                         size_t t)
{
    struct linear l = begin(o, x, pro, w, n, t);
    const struct sdg_panels panels = sdg_panels_of(o, l.mul, &w->weight, n * t);
    count_macs(o, w, n, t);
    if (empty(w, n, t)) return;
    if (sdg_multiply_can_geglu(&panels)) {
        run(&l, &y, &w, 1, false, true);
        return;
    }
    const size_t mark = sdg_arena_mark(o->work);
    float *both = sdg_arena_floats(o->work, n * t * panels.out);
    run(&l, &both, &w, 1, false, false);
    sdg_op_geglu(o, y, both, n * t, panels.out / 2);
    sdg_arena_release(o->work, mark);
}
