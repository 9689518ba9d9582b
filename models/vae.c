/* vae.c - see vae.h. Both passes; the weights are vae_bind.c's.
 *
 * Memory decides the shape of this file: under SD1 at 512 x 512 a map of level 0 behind the last
 * upsampling has 256 channels and takes 256 MiB. So the map that flows through the network lives in
 * two buffers that take turns, a residual block that keeps its width works in place, normalisation
 * and SiLU happen while a convolution gathers its input, and doubling is part of the convolution's
 * geometry: no normalised and no doubled map is ever stored. */
#include "models/vae.h"

enum { GROUPS = 32 };
#define VAE_NORM_EPS 1e-6f

/* ---- the map that flows ---------------------------------------------------------------------- */

/* x [n][h][w][c] lives in buffer[at]. */
struct trunk {
    struct sdg_ops *o;
    float *buffer[2];
    size_t need[2]; /* floats that buffer[i] must hold: what a walk over the network finds out */
    int at;
    size_t n, h, w, c;
};

static float *here(const struct trunk *x)
{
    return x->buffer[x->at];
}

/* Declares the map to be [n][h][w][c] in the other buffer from now on. */
static void move_on(struct trunk *x, size_t h, size_t w, size_t c)
{
    x->at = !x->at;
    x->h = h;
    x->w = w;
    x->c = c;
    const size_t count = x->n * h * w * c;
    if (count > x->need[x->at]) x->need[x->at] = count;
}

static size_t out_channels(const struct sdg_tensor *weight)
{
    return (size_t)weight->shape[0];
}

/* x = conv3x3(prologue(x)), same extent, in the other buffer. pro may be NULL. */
static void convolve(struct trunk *x, const struct sdg_prologue *pro, const struct sdg_conv *conv)
{
    const struct sdg_conv_geometry same = sdg_conv_same(x->n, x->h, x->w, 3);
    const float *in = here(x);
    move_on(x, x->h, x->w, out_channels(&conv->weight));
    sdg_op_conv(x->o, here(x), in, pro, conv, NULL, NULL, &same);
}

/* ---- blocks ---------------------------------------------------------------------------------- */

/* x = shortcut(x) + conv2(SiLU(GN(conv1(SiLU(GN(x)))))): the UNet's block without time. In place,
 * or, where the width changes, into the other buffer. */
static void resblock(struct trunk *x, const struct sdg_vae_resblock *r)
{
    struct sdg_ops *o = x->o;
    const size_t mark = sdg_arena_mark(o->work), hw = x->h * x->w;
    const size_t c_out = out_channels(&r->conv1.weight);
    const struct sdg_conv_geometry same = sdg_conv_same(x->n, x->h, x->w, 3);
    struct sdg_prologue pro;

    float *inner = sdg_arena_floats(o->work, x->n * hw * c_out);
    sdg_op_groupnorm(o, &pro, here(x), &r->norm1, x->n, hw, x->c, GROUPS, VAE_NORM_EPS, true);
    sdg_op_conv(o, inner, here(x), &pro, &r->conv1, NULL, NULL, &same);
    if (r->shortcut.weight.data) {
        const struct sdg_linear shortcut = {r->shortcut.weight, r->shortcut.bias};
        const float *in = here(x);
        move_on(x, x->h, x->w, c_out);
        sdg_op_linear(o, here(x), in, NULL, &shortcut, x->n, hw, false);
    }
    sdg_op_groupnorm(o, &pro, inner, &r->norm2, x->n, hw, c_out, GROUPS, VAE_NORM_EPS, true);
    sdg_op_conv(o, here(x), inner, &pro, &r->conv2, NULL, here(x), &same);
    sdg_arena_release(o->work, mark);
}

/* x += out(softmax(q k^T / sqrt(c)) v), q, k, v from GN(x): one head as wide as the map, over all
 * pixels. In place. */
static void attend(struct trunk *x, const struct sdg_vae_attention *a)
{
    struct sdg_ops *o = x->o;
    const size_t mark = sdg_arena_mark(o->work), t = x->h * x->w, c = x->c, n = x->n;
    float *y = sdg_arena_floats(o->work, n * t * c);
    float *q = sdg_arena_floats(o->work, n * t * c);
    float *k = sdg_arena_floats(o->work, n * t * c);
    float *v = sdg_arena_floats(o->work, n * t * c);
    struct sdg_prologue pro;
    sdg_op_groupnorm(o, &pro, here(x), &a->norm, n, t, c, GROUPS, VAE_NORM_EPS, false);
    sdg_op_apply(o, y, here(x), &pro, n, t, c);
    float *const qkv[] = {q, k, v};
    const struct sdg_linear *const layers[] = {&a->q, &a->k, &a->v};
    sdg_op_linears(o, qkv, y, layers, 3, n, t);
    sdg_op_attention(o, y, q, k, v, n, t, t, 1, c, c, c, c, false);
    sdg_op_linear(o, here(x), y, NULL, &a->out, n, t, true);
    sdg_arena_release(o->work, mark);
}

static void middle(struct trunk *x, const struct sdg_vae_middle *m)
{
    resblock(x, &m->block1);
    attend(x, &m->attention);
    resblock(x, &m->block2);
}

/* x = conv3x3(x doubled). */
static void upsample(struct trunk *x, const struct sdg_conv *conv)
{
    const size_t h = 2 * x->h, w = 2 * x->w;
    struct sdg_conv_geometry g = sdg_conv_same(x->n, x->h, x->w, 3);
    g.up = 2;
    g.vh = g.oh = h;
    g.vw = g.ow = w;
    const float *in = here(x);
    move_on(x, h, w, x->c);
    sdg_op_conv(x->o, here(x), in, NULL, conv, NULL, NULL, &g);
}

/* x = conv3x3 with stride 2 of x, padded on the right and at the bottom only: the first tap lies on
 * the first pixel, unlike in the UNet. */
static void downsample(struct trunk *x, const struct sdg_conv *conv)
{
    struct sdg_conv_geometry g = sdg_conv_same(x->n, x->h, x->w, 3);
    g.oh = x->h / 2;
    g.ow = x->w / 2;
    g.stride = 2;
    g.pad = 0;
    const float *in = here(x);
    move_on(x, g.oh, g.ow, x->c);
    sdg_op_conv(x->o, here(x), in, NULL, conv, NULL, NULL, &g);
}

/* x = conv_out(SiLU(GN(x))). */
static void finish(struct trunk *x, const struct sdg_vae_half *m)
{
    const size_t mark = sdg_arena_mark(x->o->work);
    struct sdg_prologue pro;
    sdg_op_groupnorm(x->o, &pro, here(x), &m->norm_out, x->n, x->h * x->w, x->c, GROUPS,
                     VAE_NORM_EPS, true);
    convolve(x, &pro, &m->conv_out);
    sdg_arena_release(x->o->work, mark);
}

/* ---- passes ---------------------------------------------------------------------------------- */

static void quantise(struct trunk *x, const struct sdg_linear *quant)
{
    const float *in = here(x);
    move_on(x, x->h, x->w, x->c);
    sdg_op_linear(x->o, here(x), in, NULL, quant, x->n, x->h * x->w, false);
}

/* y [n][3][h*f][w*f] = decoder(z [n][z][h][w]). */
static void run_decoder(struct trunk *x, float *y, const float *z, const struct sdg_vae *m,
                        size_t h, size_t w)
{
    const struct sdg_vae_half *half = &m->decoder;
    move_on(x, h, w, (size_t)m->config.z_channels);
    sdg_op_to_channels_last(x->o, here(x), z, x->n, x->c, h * w);
    quantise(x, &half->quant);
    convolve(x, NULL, &half->conv_in);
    middle(x, &half->middle);
    for (int level = m->config.levels - 1; level >= 0; level--) {
        for (int i = 0; i <= m->config.blocks; i++) resblock(x, &half->levels[level].blocks[i]);
        if (level > 0) upsample(x, &half->levels[level].resample);
    }
    finish(x, half);
    sdg_op_to_channels_first(x->o, y, here(x), x->n, x->c, x->h * x->w);
}

/* y [n][2z][h/f][w/f] = encoder(image [n][3][h][w]). */
static void run_encoder(struct trunk *x, float *y, const float *image, const struct sdg_vae *m,
                        size_t h, size_t w)
{
    const struct sdg_vae_half *half = &m->encoder;
    move_on(x, h, w, (size_t)m->config.image_channels);
    sdg_op_to_channels_last(x->o, here(x), image, x->n, x->c, h * w);
    convolve(x, NULL, &half->conv_in);
    for (int level = 0; level < m->config.levels; level++) {
        for (int i = 0; i < m->config.blocks; i++) resblock(x, &half->levels[level].blocks[i]);
        if (level + 1 < m->config.levels) downsample(x, &half->levels[level].resample);
    }
    middle(x, &half->middle);
    finish(x, half);
    quantise(x, &half->quant);
    sdg_op_to_channels_first(x->o, y, here(x), x->n, x->c, x->h * x->w);
}

typedef void walk_fn(struct trunk *x, float *y, const float *in, const struct sdg_vae *m, size_t h,
                     size_t w);

/* Walks twice: dry, over an arena of its own, to learn how large the buffers get; then for good. */
static void run(walk_fn *walk, struct sdg_ops *o, float *y, const float *in,
                const struct sdg_vae *m, size_t n, size_t h, size_t w)
{
    struct sdg_arena nowhere;
    sdg_arena_measure(&nowhere);
    struct sdg_ops dry = *o;
    dry.work = &nowhere;
    dry.dry = true;
    struct trunk plan = {.o = &dry, .n = n};
    for (int i = 0; i < 2; i++) plan.buffer[i] = sdg_arena_floats(&nowhere, 1);
    walk(&plan, y, in, m, h, w);

    const size_t mark = sdg_arena_mark(o->work);
    struct trunk x = {.o = o, .n = n};
    for (int i = 0; i < 2; i++) x.buffer[i] = sdg_arena_floats(o->work, plan.need[i]);
    walk(&x, y, in, m, h, w);
    sdg_arena_release(o->work, mark);
}

void sdg_vae_decode(struct sdg_ops *o, float *image, const float *z, const struct sdg_vae *m,
                    size_t n, size_t h, size_t w)
{
    run(run_decoder, o, image, z, m, n, h, w);
}

void sdg_vae_encode(struct sdg_ops *o, float *moments, const float *image, const struct sdg_vae *m,
                    size_t n, size_t h, size_t w)
{
    run(run_encoder, o, moments, image, m, n, h, w);
}
