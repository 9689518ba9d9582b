/* taesd.c - see taesd.h. Both passes; the weights are taesd_bind.c's.
 *
 * Memory: the map and two more of its size while a block works, 64 channels each: 192 MiB where a
 * picture of 512 x 512 pixels is made. */
#include "models/taesd.h"

#include <math.h>

/* The map x [n][h][w][c] and room for two more of the largest one's size. */
struct flow {
    struct sdg_ops *o;
    float *x, *room[2];
    size_t n, h, w;
};

static struct flow begin(struct sdg_ops *o, const struct sdg_taesd *m, size_t n, size_t h, size_t w)
{
    const size_t most = n * h * w * (size_t)m->config.width;
    struct flow f = {.o = o, .n = n};
    f.x = sdg_arena_floats(o->work, most);
    for (int i = 0; i < 2; i++) f.room[i] = sdg_arena_floats(o->work, most);
    return f;
}

static size_t out_channels(const struct sdg_conv *conv)
{
    return (size_t)conv->weight.shape[0];
}

static void relu(const struct flow *f, float *y, const struct sdg_conv *conv)
{
    sdg_op_activate(f->o, y, y, SDG_RELU, f->n * f->h * f->w * out_channels(conv));
}

/* The map becomes conv(in), of extent oh x ow. */
static void convolve(struct flow *f, const float *in, const struct sdg_conv *conv,
                     const struct sdg_conv_geometry *g)
{
    sdg_op_conv(f->o, f->room[0], in, NULL, conv, NULL, NULL, g);
    float *y = f->room[0];
    f->room[0] = f->x;
    f->x = y;
    f->h = g->oh;
    f->w = g->ow;
}

static void block(struct flow *f, const struct sdg_taesd_block *b)
{
    const struct sdg_conv_geometry same = sdg_conv_same(f->n, f->h, f->w, 3);
    sdg_op_conv(f->o, f->room[0], f->x, NULL, &b->conv[0], NULL, NULL, &same);
    relu(f, f->room[0], &b->conv[0]);
    sdg_op_conv(f->o, f->room[1], f->room[0], NULL, &b->conv[1], NULL, NULL, &same);
    relu(f, f->room[1], &b->conv[1]);
    sdg_op_conv(f->o, f->x, f->room[1], NULL, &b->conv[2], NULL, f->x, &same);
    relu(f, f->x, &b->conv[2]);
}

static void blocks(struct flow *f, const struct sdg_taesd_stage *s)
{
    for (int i = 0; i < SDG_TAESD_BLOCKS; i++) block(f, &s->blocks[i]);
}

/* y [n][c][h][w] from the map, scaled. */
static void leave(const struct flow *f, float *y, size_t c, float scale, float shift)
{
    const size_t hw = f->h * f->w;
    sdg_op_to_channels_first(f->o, y, f->x, f->n, c, hw);
    for (size_t i = 0; !f->o->dry && i < f->n * c * hw; i++) y[i] = y[i] * scale + shift;
}

/* The map = the image or latent x [n][c][h][w]; it is changed in place by `fn`. */
static void enter(struct flow *f, const float *x, size_t c, size_t h, size_t w, float (*fn)(float))
{
    f->h = h;
    f->w = w;
    sdg_op_to_channels_last(f->o, f->x, x, f->n, c, h * w);
    for (size_t i = 0; !f->o->dry && i < f->n * c * h * w; i++) f->x[i] = fn(f->x[i]);
}

static float clamp_softly(float x)
{
    return tanhf(x / 3) * 3;
}

static float to_unit(float x)
{
    return (x + 1) / 2;
}

void sdg_taesd_decode(struct sdg_ops *o, float *image, const float *z, const struct sdg_taesd *m,
                      size_t n, size_t h, size_t w)
{
    const struct sdg_taesd_half *d = &m->decoder;
    const size_t mark = sdg_arena_mark(o->work), factor = SDG_TAESD_FACTOR;
    struct flow f = begin(o, m, n, h * factor, w * factor);
    struct sdg_conv_geometry g = sdg_conv_same(n, h, w, 3);
    enter(&f, z, (size_t)m->config.z_channels, h, w, clamp_softly);
    convolve(&f, f.x, &d->conv_in, &g);
    relu(&f, f.x, &d->conv_in);
    for (int s = 0; s < SDG_TAESD_STAGES; s++) {
        blocks(&f, &d->stages[s]);
        g = sdg_conv_same(n, f.h, f.w, 3);
        g.up = 2;
        g.vh = g.oh = 2 * f.h;
        g.vw = g.ow = 2 * f.w;
        convolve(&f, f.x, &d->stages[s].resample, &g);
    }
    block(&f, &d->block);
    g = sdg_conv_same(n, f.h, f.w, 3);
    convolve(&f, f.x, &d->conv_out, &g);
    leave(&f, image, (size_t)m->config.image_channels, 2, -1);
    sdg_arena_release(o->work, mark);
}

void sdg_taesd_encode(struct sdg_ops *o, float *z, const float *image, const struct sdg_taesd *m,
                      size_t n, size_t h, size_t w)
{
    const struct sdg_taesd_half *e = &m->encoder;
    const size_t mark = sdg_arena_mark(o->work);
    struct flow f = begin(o, m, n, h, w);
    struct sdg_conv_geometry g = sdg_conv_same(n, h, w, 3);
    enter(&f, image, (size_t)m->config.image_channels, h, w, to_unit);
    convolve(&f, f.x, &e->conv_in, &g);
    block(&f, &e->block);
    for (int s = 0; s < SDG_TAESD_STAGES; s++) {
        g = sdg_conv_same(n, f.h, f.w, 3);
        g.oh = f.h / 2;
        g.ow = f.w / 2;
        g.stride = 2;
        convolve(&f, f.x, &e->stages[s].resample, &g);
        blocks(&f, &e->stages[s]);
    }
    g = sdg_conv_same(n, f.h, f.w, 3);
    convolve(&f, f.x, &e->conv_out, &g);
    leave(&f, z, (size_t)m->config.z_channels, 1, 0);
    sdg_arena_release(o->work, mark);
}
