/* unet_blocks.c - see unet_blocks.h. The wiring between the blocks is unet.c's. */
#include "models/unet_blocks.h"

#include <string.h>

/* Two epsilons live in one network: the transformer's GroupNorm was made by another hand. */
#define TRANSFORMER_NORM_EPS 1e-6f
#define LAYERNORM_EPS 1e-5f

/* ---- residual block -------------------------------------------------------------------------- */

void sdg_unet_resblock(struct sdg_ops *o, float *y, const float *x, struct sdg_beside beside,
                       const struct sdg_unet_time *t, const struct sdg_unet_resblock *r, size_t n,
                       size_t h, size_t w)
{
    const size_t c_in = (size_t)r->c_in, c_out = (size_t)r->c_out, mark = sdg_arena_mark(o->work);
    const struct sdg_conv_geometry same = sdg_conv_same(n, h, w, 3);
    struct sdg_prologue pro;

    float *time = sdg_arena_floats(o->work, n * c_out);
    float *inner = sdg_arena_floats(o->work, n * h * w * c_out);
    sdg_op_linear(o, time, t->emb, NULL, &r->time, t->shared ? 1 : n, 1, false);
    for (size_t i = 1; t->shared && !o->dry && i < n; i++)
        memcpy(time + i * c_out, time, c_out * sizeof *time);
    sdg_op_groupnorm_beside(o, &pro, x, beside, &r->norm1, n, h * w, c_in, SDG_UNET_GROUPS,
                            SDG_UNET_NORM_EPS, true);
    sdg_op_conv(o, inner, x, &pro, &r->conv1, time, NULL, &same);

    const float *residual = x;
    if (r->skip.weight.data) { /* a 1x1 convolution on channels-last maps is a linear layer */
        const struct sdg_linear skip = {r->skip.weight, r->skip.bias};
        const struct sdg_prologue both = {.beside = beside};
        sdg_op_linear(o, y, x, &both, &skip, n, h * w, false);
        residual = y;
    }
    sdg_op_groupnorm(o, &pro, inner, &r->norm2, n, h * w, c_out, SDG_UNET_GROUPS, SDG_UNET_NORM_EPS,
                     true);
    sdg_op_conv(o, y, inner, &pro, &r->conv2, NULL, residual, &same);
    sdg_arena_release(o->work, mark);
}

/* ---- transformer ----------------------------------------------------------------------------- */

/* Extent of the token maps of one transformer. */
struct tokens {
    size_t n, t, c, heads;
};

/* x += out(attention(LN(x) -> q, k, v)). x [n][t][c]. */
static void self_attend(struct sdg_ops *o, float *x, const struct sdg_norm *norm,
                        const struct sdg_unet_attention *a, const struct tokens *s)
{
    const size_t mark = sdg_arena_mark(o->work), count = s->n * s->t * s->c, c = s->c;
    float *y = sdg_arena_floats(o->work, count);
    float *q = sdg_arena_floats(o->work, count);
    float *k = sdg_arena_floats(o->work, count);
    float *v = sdg_arena_floats(o->work, count);
    struct sdg_prologue pro;
    sdg_op_layernorm_prologue(o, &pro, norm, c, LAYERNORM_EPS);
    float *const qkv[] = {q, k, v};
    const struct sdg_linear *const layers[] = {&a->q, &a->k, &a->v};
    sdg_op_linears(o, qkv, x, &pro, layers, 3, s->n, s->t);
    sdg_op_attention(o, y, q, k, v, s->n, s->t, s->t, s->heads, c / s->heads, c, c, c, false);
    sdg_op_linear(o, x, y, NULL, &a->out, s->n, s->t, true);
    sdg_arena_release(o->work, mark);
}

/* K [t][c], then V [t][c] of a context. */
static void make_keys(struct sdg_ops *o, float *keys, const struct sdg_unet_context *context,
                      const struct sdg_unet_attention *a, size_t c)
{
    float *const kv[] = {keys, keys + context->t * c};
    const struct sdg_linear *const layers[] = {&a->k, &a->v};
    sdg_op_linears(o, kv, context->data, NULL, layers, 2, 1, context->t);
}

size_t sdg_unet_layer_keys(const struct sdg_unet_transformer *m)
{
    return (m->only_cross ? 2 : 1) * (size_t)m->c;
}

void sdg_unet_remember_layers(struct sdg_ops *o, float *keys,
                              const struct sdg_unet_context *context,
                              const struct sdg_unet_transformer *m)
{
    const size_t c = (size_t)m->c, t = context->t;
    keys += 2 * t * m->keys_at;
    for (size_t i = 0; i < (size_t)m->depth; i++, keys += 2 * t * sdg_unet_layer_keys(m)) {
        if (m->only_cross) make_keys(o, keys, context, &m->layers[i].self, c);
        make_keys(o, keys + (m->only_cross ? 2 * t * c : 0), context, &m->layers[i].cross, c);
    }
}

/* y [t][c] = attention of q [t][c] over the images' own contexts, which may differ in length.
 * Keys that nobody remembered are made here; a context shared with the image before (a batch of one
 * prompt) keeps them. keys_at: columns of keys before those of this layer. */
static void attend_contexts(struct sdg_ops *o, float *y, const float *q,
                            const struct sdg_unet_condition *condition, size_t keys_at,
                            const struct sdg_unet_attention *a, const struct tokens *s)
{
    const size_t mark = sdg_arena_mark(o->work), c = s->c;
    const struct sdg_unet_context *made = NULL;
    float *own = NULL;
    for (size_t i = 0; i < s->n; i++) {
        const struct sdg_unet_context *context = &condition->context[i];
        const float *k = condition->keys ? condition->keys[i] : NULL;
        if (k) {
            k += 2 * context->t * keys_at;
        } else if (made && made->data == context->data && made->t == context->t) {
            k = own;
        } else {
            sdg_arena_release(o->work, mark);
            k = own = sdg_arena_floats(o->work, 2 * context->t * c);
            make_keys(o, own, context, a, c);
            made = context;
        }
        sdg_op_attention(o, y + i * s->t * c, q + i * s->t * c, k, k + context->t * c, 1, s->t,
                         context->t, s->heads, c / s->heads, c, c, c, false);
    }
    sdg_arena_release(o->work, mark);
}

/* x += out(attention(LN(x) -> q; context -> k, v)). x [n][t][c], context i [t_i][its width]. */
static void cross_attend(struct sdg_ops *o, float *x, const struct sdg_unet_condition *condition,
                         size_t keys_at, const struct sdg_norm *norm,
                         const struct sdg_unet_attention *a, const struct tokens *s)
{
    const size_t mark = sdg_arena_mark(o->work), count = s->n * s->t * s->c;
    float *y = sdg_arena_floats(o->work, count);
    float *q = sdg_arena_floats(o->work, count);
    struct sdg_prologue pro;
    sdg_op_layernorm_prologue(o, &pro, norm, s->c, LAYERNORM_EPS);
    sdg_op_linear(o, q, x, &pro, &a->q, s->n, s->t, false);
    attend_contexts(o, y, q, condition, keys_at, a, s);
    sdg_op_linear(o, x, y, NULL, &a->out, s->n, s->t, true);
    sdg_arena_release(o->work, mark);
}

/* x += ff_out(a * gelu(g)), [a | g] = ff_in(LN(x)), both 4c wide (GEGLU, Shazeer 2020). x
 * [n][t][c]. */
static void feed_forward(struct sdg_ops *o, float *x, const struct sdg_unet_layer *l,
                         const struct tokens *s)
{
    const size_t mark = sdg_arena_mark(o->work);
    struct sdg_prologue pro;
    sdg_op_layernorm_prologue(o, &pro, &l->norm3, s->c, LAYERNORM_EPS);
    sdg_op_feed_forward(o, x, &pro, &l->ff_in, &l->ff_out, s->n, s->t);
    sdg_arena_release(o->work, mark);
}

void sdg_unet_transform(struct sdg_ops *o, float *x, const struct sdg_unet_condition *condition,
                        const struct sdg_unet_transformer *m, size_t n, size_t t)
{
    const struct tokens s = {n, t, (size_t)m->c, (size_t)m->heads};
    const size_t mark = sdg_arena_mark(o->work);
    float *y = sdg_arena_floats(o->work, n * t * s.c);
    struct sdg_prologue pro;
    sdg_op_groupnorm(o, &pro, x, &m->norm, n, t, s.c, SDG_UNET_GROUPS, TRANSFORMER_NORM_EPS, false);
    sdg_op_linear(o, y, x, &pro, &m->in, n, t, false);

    for (int i = 0; i < m->depth; i++) {
        const struct sdg_unet_layer *l = &m->layers[i];
        size_t keys_at = m->keys_at + (size_t)i * sdg_unet_layer_keys(m);
        if (m->only_cross) {
            cross_attend(o, y, condition, keys_at, &l->norm1, &l->self, &s);
            keys_at += s.c;
        } else {
            self_attend(o, y, &l->norm1, &l->self, &s);
        }
        cross_attend(o, y, condition, keys_at, &l->norm2, &l->cross, &s);
        feed_forward(o, y, l, &s);
    }
    sdg_op_linear(o, x, y, NULL, &m->out, n, t, true);
    sdg_arena_release(o->work, mark);
}
