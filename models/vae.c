/* vae.c - see vae.h. Both passes from end to end; the steps and their memory are vae_trunk.c's, the
 * weights vae_bind.c's. Images go through one by one: they share nothing but the weights. */
#include "models/vae.h"

#include "models/vae_trunk.h"

static void middle(struct sdg_vae_trunk *x, const struct sdg_vae_middle *m)
{
    sdg_vae_resblock(x, &m->block1);
    sdg_vae_attend(x, &m->attention);
    sdg_vae_resblock(x, &m->block2);
}

static void quantise(struct sdg_vae_trunk *x, const struct sdg_linear *quant)
{
    float *y = sdg_vae_room(x, 0, x->h * x->w * x->c);
    sdg_op_linear(x->o, y, x->data, NULL, quant, 1, x->h * x->w, false);
    sdg_vae_settle(x, y, x->h, x->w, x->c);
}

/* x = conv_in(in [c][h][w]). */
static void start(struct sdg_vae_trunk *x, const float *in, const struct sdg_linear *quant,
                  const struct sdg_conv *conv, size_t c, size_t h, size_t w)
{
    sdg_vae_shape(x, h, w, c);
    sdg_op_to_channels_last(x->o, x->data, in, 1, c, h * w);
    if (quant) quantise(x, quant);
    sdg_vae_settle(x, sdg_vae_convolve(x, NULL, conv), h, w, (size_t)conv->weight.shape[0]);
}

/* x = conv_out(SiLU(GN(x))). */
static void finish(struct sdg_vae_trunk *x, const struct sdg_vae_half *m)
{
    const size_t mark = sdg_arena_mark(x->o->work);
    struct sdg_prologue pro;
    sdg_op_groupnorm(x->o, &pro, x->data, &m->norm_out, 1, x->h * x->w, x->c, SDG_VAE_GROUPS,
                     SDG_VAE_NORM_EPS, true);
    const float *y = sdg_vae_convolve(x, &pro, &m->conv_out);
    sdg_vae_settle(x, y, x->h, x->w, (size_t)m->conv_out.weight.shape[0]);
    sdg_arena_release(x->o->work, mark);
}

/* y [3][h*f][w*f] = decoder(z [z][h][w]). */
static void run_decoder(struct sdg_vae_trunk *x, float *y, const float *z, const struct sdg_vae *m,
                        size_t h, size_t w)
{
    const struct sdg_vae_half *half = &m->decoder;
    start(x, z, &half->quant, &half->conv_in, (size_t)m->config.z_channels, h, w);
    middle(x, &half->middle);
    for (int level = m->config.levels - 1; level >= 0; level--) {
        for (int i = 0; i <= m->config.blocks; i++)
            sdg_vae_resblock(x, &half->levels[level].blocks[i]);
        if (level > 0) sdg_vae_upsample(x, &half->levels[level].resample);
    }
    finish(x, half);
    sdg_op_to_channels_first(x->o, y, x->data, 1, x->c, x->h * x->w);
}

/* y [2z][h/f][w/f] = encoder(image [3][h][w]). */
static void run_encoder(struct sdg_vae_trunk *x, float *y, const float *image,
                        const struct sdg_vae *m, size_t h, size_t w)
{
    const struct sdg_vae_half *half = &m->encoder;
    start(x, image, NULL, &half->conv_in, (size_t)m->config.image_channels, h, w);
    for (int level = 0; level < m->config.levels; level++) {
        for (int i = 0; i < m->config.blocks; i++)
            sdg_vae_resblock(x, &half->levels[level].blocks[i]);
        if (level + 1 < m->config.levels) sdg_vae_downsample(x, &half->levels[level].resample);
    }
    middle(x, &half->middle);
    finish(x, half);
    quantise(x, &half->quant);
    sdg_op_to_channels_first(x->o, y, x->data, 1, x->c, x->h * x->w);
}

typedef void walk_fn(struct sdg_vae_trunk *x, float *y, const float *in, const struct sdg_vae *m,
                     size_t h, size_t w);

/* How large the buffer gets: what a walk over an arena of its own finds out. */
static size_t floats_for(walk_fn *walk, const struct sdg_ops *o, const struct sdg_vae *m, size_t h,
                         size_t w)
{
    struct sdg_arena nowhere;
    sdg_arena_measure(&nowhere);
    struct sdg_ops dry = *o;
    dry.work = &nowhere;
    dry.dry = true;
    struct sdg_vae_trunk x = {.o = &dry, .data = sdg_arena_floats(&nowhere, 1)};
    walk(&x, NULL, NULL, m, h, w);
    return x.need;
}

static void run(walk_fn *walk, struct sdg_ops *o, float *y, size_t y_step, const float *in,
                size_t in_step, const struct sdg_vae *m, size_t n, size_t h, size_t w)
{
    const size_t mark = sdg_arena_mark(o->work);
    struct sdg_vae_trunk x = {.o = o, .need = floats_for(walk, o, m, h, w)};
    x.data = sdg_arena_floats(o->work, x.need);
    for (size_t i = 0; i < n; i++) {
        walk(&x, o->dry ? NULL : y + i * y_step, o->dry ? NULL : in + i * in_step, m, h, w);
    }
    sdg_arena_release(o->work, mark);
}

void sdg_vae_decode(struct sdg_ops *o, float *image, const float *z, const struct sdg_vae *m,
                    size_t n, size_t h, size_t w)
{
    const size_t f = (size_t)sdg_vae_factor(&m->config);
    run(run_decoder, o, image, (size_t)m->config.image_channels * h * f * w * f, z,
        (size_t)m->config.z_channels * h * w, m, n, h, w);
}

void sdg_vae_encode(struct sdg_ops *o, float *moments, const float *image, const struct sdg_vae *m,
                    size_t n, size_t h, size_t w)
{
    const size_t f = (size_t)sdg_vae_factor(&m->config);
    run(run_encoder, o, moments, 2 * (size_t)m->config.z_channels * (h / f) * (w / f), image,
        (size_t)m->config.image_channels * h * w, m, n, h, w);
}
