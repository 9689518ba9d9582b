/* clip_text.c - see clip_text.h. Weights bind by the two tables below; the forward pass is a plain
 * pre-norm transformer (Radford et al. 2019, section 2.3) with a causal mask, because CLIP trained
 * its text tower as a language model could be trained. Prompts longer than the position table are
 * cut into chunks by the caller. */
#include "models/clip_text.h"

#include <stdio.h>
#include <string.h>

/* LayerNorm's epsilon in every CLIP configuration. */
#define CLIP_EPS 1e-5f

/* ---- weights --------------------------------------------------------------------------------- */

enum { WIDTH, MLP, VOCAB, POSITIONS, PROJECTION };

#define AT(member) offsetof(struct sdg_clip_layer, member)
static const struct sdg_bind_row layer_rows[] = {
    {"layer_norm1.weight", AT(norm1.weight), 1, {WIDTH}, 0},
    {"layer_norm1.bias", AT(norm1.bias), 1, {WIDTH}, 0},
    {"self_attn.q_proj.weight", AT(q.weight), 2, {WIDTH, WIDTH}, 0},
    {"self_attn.q_proj.bias", AT(q.bias), 1, {WIDTH}, 0},
    {"self_attn.k_proj.weight", AT(k.weight), 2, {WIDTH, WIDTH}, 0},
    {"self_attn.k_proj.bias", AT(k.bias), 1, {WIDTH}, 0},
    {"self_attn.v_proj.weight", AT(v.weight), 2, {WIDTH, WIDTH}, 0},
    {"self_attn.v_proj.bias", AT(v.bias), 1, {WIDTH}, 0},
    {"self_attn.out_proj.weight", AT(out.weight), 2, {WIDTH, WIDTH}, 0},
    {"self_attn.out_proj.bias", AT(out.bias), 1, {WIDTH}, 0},
    {"layer_norm2.weight", AT(norm2.weight), 1, {WIDTH}, 0},
    {"layer_norm2.bias", AT(norm2.bias), 1, {WIDTH}, 0},
    {"mlp.fc1.weight", AT(fc1.weight), 2, {MLP, WIDTH}, 0},
    {"mlp.fc1.bias", AT(fc1.bias), 1, {MLP}, 0},
    {"mlp.fc2.weight", AT(fc2.weight), 2, {WIDTH, MLP}, 0},
    {"mlp.fc2.bias", AT(fc2.bias), 1, {WIDTH}, 0},
};
#undef AT

#define AT(member) offsetof(struct sdg_clip, member)
static const struct sdg_bind_row ends_rows[] = {
    {"embeddings.token_embedding.weight", AT(tokens.weight), 2, {VOCAB, WIDTH}, 0},
    {"embeddings.position_embedding.weight", AT(positions.weight), 2, {POSITIONS, WIDTH}, 0},
    {"final_layer_norm.weight", AT(final_norm.weight), 1, {WIDTH}, 0},
    {"final_layer_norm.bias", AT(final_norm.bias), 1, {WIDTH}, 0},
};
static const struct sdg_bind_row projection_rows[] = {
    {"text_projection.weight", AT(projection.weight), 2, {PROJECTION, WIDTH}, 0},
};
#undef AT

void sdg_clip_bind(struct sdg_clip *m, const struct sdg_clip_config *config, struct sdg_binder *b)
{
    *m = (struct sdg_clip) {.config = *config};
    const int64_t dims[] = {[WIDTH] = config->width,
                            [MLP] = config->mlp,
                            [VOCAB] = config->vocab,
                            [POSITIONS] = config->positions,
                            [PROJECTION] = config->projection};
    sdg_bind_rows(b, "text_model.", ends_rows, SDG_ROWS(ends_rows), dims, m);
    for (int i = 0; i < config->layers; i++) {
        char prefix[48];
        snprintf(prefix, sizeof prefix, "text_model.encoder.layers.%d.", i);
        sdg_bind_rows(b, prefix, layer_rows, SDG_ROWS(layer_rows), dims, &m->layers[i]);
    }
    if (config->projection)
        sdg_bind_rows(b, "", projection_rows, SDG_ROWS(projection_rows), dims, m);
}

/* ---- forward --------------------------------------------------------------------------------- */

/* Rows of x [t][d] whose token is not hidden, one behind the other, to y (x itself, or apart). */
static size_t gather(float *y, const float *x, const uint8_t *hidden, size_t t, size_t d)
{
    size_t seen = 0;
    for (size_t i = 0; i < t; i++)
        if (!hidden[i]) memmove(y + seen++ * d, x + i * d, d * sizeof *x);
    return seen;
}

/* Attention of one text in which some tokens are no keys, for nobody; y, q, k, v [t][d], k and v
 * are used up. The other tokens see each other as if the hidden ones were not between them: causal
 * attention over those alone. A run of hidden tokens all see the same, what is not hidden before
 * them. So nothing is masked that was computed, and no score is minus infinity. */
static void attend_hiding(struct sdg_ops *o, float *y, const float *q, float *k, float *v,
                          const uint8_t *hidden, size_t t, size_t heads, size_t d)
{
    const size_t mark = sdg_arena_mark(o->work);
    float *asking = sdg_arena_floats(o->work, t * d), *told = sdg_arena_floats(o->work, t * d);
    size_t count = 0;
    for (size_t i = 0; i < t; i++) count += !hidden[i];
    if (!o->dry) {
        gather(asking, q, hidden, t, d);
        gather(k, k, hidden, t, d);
        gather(v, v, hidden, t, d);
    }
    sdg_op_attention(o, told, asking, k, v, 1, count, count, heads, d / heads, d, d, d, true);
    for (size_t i = 0, seen = 0, end; i < t; i = end) {
        for (end = i + 1; end < t && !hidden[end] == !hidden[i];) end++;
        if (hidden[i]) {
            sdg_op_attention(o, y + i * d, q + i * d, k, v, 1, end - i, seen, heads, d / heads, d,
                             d, d, false);
        } else {
            if (!o->dry) memcpy(y + i * d, told + seen * d, (end - i) * d * sizeof *y);
            seen += end - i;
        }
    }
    sdg_arena_release(o->work, mark);
}

/* x += out(softmax(q k^T / sqrt(hd), masked) v), with q, k, v from LN1(x) (Vaswani et al. 2017, eq.
 * 1). Token i sees tokens 0..i that are not hidden. x [n][t][width]. */
static void attend(struct sdg_ops *o, float *x, const uint8_t *hidden,
                   const struct sdg_clip_layer *l, const struct sdg_clip_config *c, size_t n,
                   size_t t)
{
    const size_t d = (size_t)c->width, heads = (size_t)c->heads, mark = sdg_arena_mark(o->work);
    float *y = sdg_arena_floats(o->work, n * t * d);
    float *q = sdg_arena_floats(o->work, n * t * d);
    float *k = sdg_arena_floats(o->work, n * t * d);
    float *v = sdg_arena_floats(o->work, n * t * d);
    sdg_op_layernorm(o, y, x, &l->norm1, n * t, d, CLIP_EPS);
    float *const qkv[] = {q, k, v};
    const struct sdg_linear *const layers[] = {&l->q, &l->k, &l->v};
    sdg_op_linears(o, qkv, y, NULL, layers, 3, n, t);
    if (!hidden) sdg_op_attention(o, y, q, k, v, n, t, t, heads, d / heads, d, d, d, true);
    for (size_t i = 0; i < n * t * d && hidden; i += t * d)
        attend_hiding(o, y + i, q + i, k + i, v + i, hidden + i / d, t, heads, d);
    sdg_op_linear(o, x, y, NULL, &l->out, n, t, true);
    sdg_arena_release(o->work, mark);
}

/* x += fc2(act(fc1(LN2(x)))). x [n][t][width]. */
static void feed_forward(struct sdg_ops *o, float *x, const struct sdg_clip_layer *l,
                         const struct sdg_clip_config *c, size_t n, size_t t)
{
    const size_t d = (size_t)c->width, mlp = (size_t)c->mlp, mark = sdg_arena_mark(o->work);
    float *y = sdg_arena_floats(o->work, n * t * d);
    float *wide = sdg_arena_floats(o->work, n * t * mlp);
    sdg_op_layernorm(o, y, x, &l->norm2, n * t, d, CLIP_EPS);
    sdg_op_linear(o, wide, y, NULL, &l->fc1, n, t, false);
    sdg_op_activate(o, wide, wide, c->activation, n * t * mlp);
    sdg_op_linear(o, x, wide, NULL, &l->fc2, n, t, true);
    sdg_arena_release(o->work, mark);
}

/* pooled [n][projection] from x [n][t][d], the output of the last layer. Only one row of each text
 * is read, so only that row is normed. */
static void pool(struct sdg_ops *o, float *pooled, const float *x, const int32_t *ids,
                 const struct sdg_clip *m, size_t n, size_t t)
{
    const size_t d = (size_t)m->config.width, mark = sdg_arena_mark(o->work);
    const bool projected = m->projection.weight.data != NULL;
    float *rows = projected ? sdg_arena_floats(o->work, n * d) : pooled;
    for (size_t i = 0; i < n && !o->dry; i++) {
        size_t end = 0;
        for (size_t k = 1; k < t; k++)
            if (ids[i * t + k] > ids[i * t + end]) end = k;
        memcpy(rows + i * d, x + (i * t + end) * d, d * sizeof *rows);
    }
    sdg_op_layernorm(o, rows, rows, &m->final_norm, n, d, CLIP_EPS);
    if (projected) sdg_op_linear(o, pooled, rows, NULL, &m->projection, n, 1, false);
    sdg_arena_release(o->work, mark);
}

void sdg_clip_encode(struct sdg_ops *o, float *hidden, float *pooled, const int32_t *ids,
                     const uint8_t *masked, const struct sdg_clip *m, size_t n, size_t t,
                     const struct sdg_clip_take *take)
{
    const struct sdg_clip_config *c = &m->config;
    const size_t d = (size_t)c->width, mark = sdg_arena_mark(o->work);
    const int wanted = c->layers - take->skip, last = take->pooled ? c->layers : wanted;
    float *x = sdg_arena_floats(o->work, n * t * d);
    sdg_op_embed(o, x, ids, &m->tokens, &m->positions, n, t);
    for (int i = 0; i <= last; i++) {
        if (i == wanted && !take->plain)
            sdg_op_layernorm(o, hidden, x, &m->final_norm, n * t, d, CLIP_EPS);
        else if (i == wanted && !o->dry)
            memcpy(hidden, x, n * t * d * sizeof *x);
        if (i == last) break;
        attend(o, x, masked, &m->layers[i], c, n, t);
        feed_forward(o, x, &m->layers[i], c, n, t);
    }
    if (take->pooled) pool(o, pooled, x, ids, m, n, t);
    sdg_arena_release(o->work, mark);
}
