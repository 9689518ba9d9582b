/* linear.c - linear layers (and 1x1 convolutions, which are the same thing on channels-last maps),
 * alone, together and as a transformer's feed-forward.
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

/* Where a product goes. */
struct target {
    float *y;   /* [rows][ld] */
    void *next; /* or, of GEGLU, in the input type */
    size_t ld;
    bool add, geglu;
};

/* One layer on `count` rows of prepared input. */
static void multiply(const struct linear *l, const struct target *to, const struct sdg_linear *w,
                     const void *a, size_t lda, size_t count)
{
    const ptrdiff_t tap = 0;
    const struct sdg_panels panels = sdg_panels_of(l->o, l->mul, &w->weight, l->n * l->t);
    const size_t mark = sdg_arena_mark(l->o->work);
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
        .y = to->y,
        .residual = to->add ? to->y : NULL,
        .y_at = {0, LINE * to->ld, to->ld},
        .bias = w->bias.data ? bias : NULL,
        .geglu = to->geglu,
        .next = to->next,
    };
    sdg_multiply(l->o, &m);
    sdg_arena_release(l->o->work, mark);
}

/* Cuts the tokens into strips whose rows, with `more` bytes beside each, fill about `bytes`, and
 * takes the memory of prepared rows. */
static void plan(struct linear *l, size_t more, size_t bytes)
{
    const size_t element = sdg_matmul_element(l->mul), tokens = l->n * l->t;
    l->pitch = sdg_row_pitch(l->mul, l->in);
    l->in_place = sdg_prepare_is_needless(l->mul, l->in, l->pro);
    const size_t row = (l->in_place ? 0 : l->pitch * element) + more;
    const size_t most = row ? sdg_strip_bytes(l->o, bytes) / row : tokens;
    l->strips = sdg_cut_at_most(tokens, most ? most : 1, LINE);
    l->rows = l->in_place ? NULL : sdg_arena_alloc(l->o->work, l->strips.size, l->pitch * element);
}

/* The rows of a strip as the product reads them. */
static const void *prepare(const struct linear *l, const struct sdg_span *s)
{
    if (l->in_place) return l->x + s->first * l->in;
    sdg_prepare_rows(l->o, l->rows, l->pitch, l->mul, l->x, l->in, l->pro, l->t, s);
    return l->rows;
}

/* All layers on all rows, a strip at a time. */
static void run(struct linear *l, float *const *y, const struct sdg_linear *const *w, int layers,
                bool add, bool geglu)
{
    const size_t mark = sdg_arena_mark(l->o->work);
    plan(l, 0, STRIP_BYTES);
    for (size_t i = 0; i < l->strips.count; i++) {
        const struct sdg_span s = sdg_cut_piece(&l->strips, i);
        const void *a = prepare(l, &s);
        for (int j = 0; j < layers; j++) {
            const size_t out = (size_t)w[j]->weight.shape[0] / (geglu ? 2 : 1);
            const struct target to = {
                .y = y[j] + s.first * out, .ld = out, .add = add, .geglu = geglu};
            multiply(l, &to, w[j], a, l->in_place ? l->in : l->pitch, s.count);
        }
        if (l->o->dry) break; /* the first strip is the largest */
    }
    sdg_arena_release(l->o->work, mark);
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

/* In strips that read the weights no more often than they spare reading and writing the gated map,
 * which is four times as wide as x. */
static void feed_strips(struct linear *l, float *x, const struct sdg_linear *in,
                        const struct sdg_linear *out)
{
    struct sdg_ops *o = l->o;
    const bool narrow = l->mul->input == SDG_INPUT_BF16;
    const size_t mark = sdg_arena_mark(o->work), element = sdg_matmul_element(l->mul);
    const size_t pitch = sdg_row_pitch(l->mul, (size_t)out->weight.shape[1]);
    const size_t weights = sdg_tensor_bytes(&in->weight) + sdg_tensor_bytes(&out->weight);
    plan(l, pitch * element, weights > STRIP_BYTES ? weights : STRIP_BYTES);
    void *gated = sdg_arena_alloc(o->work, l->strips.size, pitch * element);
    const struct target middle = {
        .y = narrow ? NULL : gated, .next = narrow ? gated : NULL, .ld = pitch, .geglu = true};
    for (size_t i = 0; i < l->strips.count; i++) {
        const struct sdg_span s = sdg_cut_piece(&l->strips, i);
        const struct target end = {.y = x + s.first * l->in, .ld = l->in, .add = true};
        const void *a = prepare(l, &s);
        multiply(l, &middle, in, a, l->in_place ? l->in : l->pitch, s.count);
        multiply(l, &end, out, gated, pitch, s.count);
        if (o->dry) break;
    }
    sdg_arena_release(o->work, mark);
}

void sdg_op_feed_forward(struct sdg_ops *o, float *x, const struct sdg_prologue *pro,
                         const struct sdg_linear *in, const struct sdg_linear *out, size_t n,
                         size_t t)
{
    struct linear l = begin(o, x, pro, in, n, t);
    const struct sdg_panels panels = sdg_panels_of(o, l.mul, &in->weight, n * t);
    if (sdg_multiply_can_geglu(&panels)) {
        count_macs(o, in, n, t);
        count_macs(o, out, n, t);
        if (!empty(in, n, t)) feed_strips(&l, x, in, out);
        return;
    }
    const size_t mark = sdg_arena_mark(o->work);
    float *gated = sdg_arena_floats(o->work, n * t * (size_t)out->weight.shape[1]);
    sdg_op_linear_geglu(o, gated, x, pro, in, n, t);
    sdg_op_linear(o, x, gated, NULL, out, n, t, true);
    sdg_arena_release(o->work, mark);
}
