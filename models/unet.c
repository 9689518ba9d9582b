/* unet.c - see unet.h. The way of one pass through the blocks; the blocks are unet_blocks.c's, the
 * time embedding is unet_time.c's, their weights are unet_bind.c's.
 *
 * Memory: what the input blocks leave for the way back and what every block hands on stays in the
 * work arena until the pass ends (about 60 MB an image of 512 x 512 pixels under SD1); everything
 * inside a block is given back at once. */
#include "models/unet.h"

#include "models/unet_blocks.h"

/* A map on its way: data [n][h][w][c]. */
struct map {
    float *data;
    size_t h, w, c;
};

/* What all blocks of one pass share. */
struct pass {
    struct sdg_ops *o;
    const struct sdg_unet_time *time;
    const struct sdg_unet_condition *condition;
    size_t n;
};

static struct map take_map(const struct pass *p, size_t h, size_t w, int c)
{
    return (struct map) {sdg_arena_floats(p->o->work, p->n * h * w * (size_t)c), h, w, (size_t)c};
}

/* ---- resampling ------------------------------------------------------------------------------ */

/* 3x3 convolution with stride 2, a pixel of zeros all round: h x w to (h+1)/2 x (w+1)/2. */
static struct map downsample(const struct pass *p, const struct map *x, const struct sdg_conv *conv)
{
    const struct map y = take_map(p, (x->h + 1) / 2, (x->w + 1) / 2, (int)x->c);
    struct sdg_conv_geometry g = sdg_conv_same(p->n, x->h, x->w, 3);
    g.oh = y.h;
    g.ow = y.w;
    g.stride = 2;
    sdg_op_conv(p->o, y.data, x->data, NULL, conv, NULL, NULL, &g);
    return y;
}

/* Nearest x2, then 3x3 convolution, to the extent of y: twice that of x, or one less where the
 * level is odd. The rules differ in what the last output row and column see beyond the edge: zeros
 * (diffusers and ComfyUI resize to y's extent, then convolve) or the doubled pixel (A1111 convolves
 * at full double size and drops a row). */
static void upsample(const struct pass *p, struct map *y, const struct map *x,
                     const struct sdg_conv *conv, enum sdg_unet_upsampling rule)
{
    const bool before = rule == SDG_UPSAMPLE_CROP_BEFORE;
    struct sdg_conv_geometry g = sdg_conv_same(p->n, x->h, x->w, 3);
    g.up = 2;
    g.vh = before ? y->h : 2 * x->h;
    g.vw = before ? y->w : 2 * x->w;
    g.oh = y->h;
    g.ow = y->w;
    sdg_op_conv(p->o, y->data, x->data, NULL, conv, NULL, NULL, &g);
}

/* ---- blocks ---------------------------------------------------------------------------------- */

static const struct sdg_beside alone = {0};

/* y = transformer(res([x | beside])); all have the same extent. */
static void run_block(const struct pass *p, const struct map *y, const struct map *x,
                      struct sdg_beside beside, const struct sdg_unet_block *b)
{
    sdg_unet_resblock(p->o, y->data, x->data, beside, p->time, &b->res, p->n, x->h, x->w);
    if (b->transformer.depth)
        sdg_unet_transform(p->o, y->data, p->condition, &b->transformer, p->n, y->h * y->w);
}

static struct map input_block(const struct pass *p, const struct map *x,
                              const struct sdg_unet_block *b)
{
    if (!b->has_res) return downsample(p, x, &b->resample);
    const struct map y = take_map(p, x->h, x->w, b->res.c_out);
    run_block(p, &y, x, alone, b);
    return y;
}

static struct map middle_block(const struct pass *p, const struct map *x, const struct sdg_unet *m)
{
    if (m->config.middle == 0) return *x;
    const struct map y = take_map(p, x->h, x->w, m->middle->res.c_out);
    run_block(p, &y, x, alone, m->middle);
    if (m->config.middle > 1)
        sdg_unet_resblock(p->o, y.data, y.data, alone, p->time, &m->middle_res2, p->n, y.h, y.w);
    return y;
}

/* x and the skip beside it through the block; then up to the extent of `next`, the
 * skip that the following block will take (NULL after the last one). */
static struct map output_block(const struct pass *p, const struct map *x, const struct map *skip,
                               const struct map *next, const struct sdg_unet_block *b,
                               enum sdg_unet_upsampling rule)
{
    const bool grows = b->resample.weight.data != NULL;
    struct map y = take_map(p, grows ? next->h : x->h, grows ? next->w : x->w, b->res.c_out);
    const size_t mark = sdg_arena_mark(p->o->work);
    const struct map inner = grows ? take_map(p, x->h, x->w, b->res.c_out) : y;
    run_block(p, &inner, x, (struct sdg_beside) {skip->data, skip->c}, b);
    if (grows) upsample(p, &y, &inner, &b->resample, rule);
    sdg_arena_release(p->o->work, mark);
    return y;
}

/* ---- ends ------------------------------------------------------------------------------------ */

static struct map read_input(const struct pass *p, const float *x, const struct sdg_unet *m,
                             size_t h, size_t w)
{
    const struct map y = take_map(p, h, w, m->config.model_channels);
    const size_t mark = sdg_arena_mark(p->o->work);
    const struct map in = take_map(p, h, w, m->config.in_channels);
    const struct sdg_conv_geometry same = sdg_conv_same(p->n, h, w, 3);
    sdg_op_to_channels_last(p->o, in.data, x, p->n, in.c, h * w);
    sdg_op_conv(p->o, y.data, in.data, NULL, &m->conv_in, NULL, NULL, &same);
    sdg_arena_release(p->o->work, mark);
    return y;
}

static void write_output(const struct pass *p, float *y, const struct map *x,
                         const struct sdg_unet *m)
{
    const struct map out = take_map(p, x->h, x->w, m->config.out_channels);
    const struct sdg_conv_geometry same = sdg_conv_same(p->n, x->h, x->w, 3);
    struct sdg_prologue pro;
    sdg_op_groupnorm(p->o, &pro, x->data, &m->norm_out, p->n, x->h * x->w, x->c, SDG_UNET_GROUPS,
                     SDG_UNET_NORM_EPS, true);
    sdg_op_conv(p->o, out.data, x->data, &pro, &m->conv_out, NULL, NULL, &same);
    sdg_op_to_channels_first(p->o, y, out.data, p->n, out.c, x->h * x->w);
}

size_t sdg_unet_keys_floats(const struct sdg_unet *m, size_t t)
{
    return 2 * t * m->key_columns;
}

void sdg_unet_remember(struct sdg_ops *o, float *keys, const struct sdg_unet_context *context,
                       const struct sdg_unet *m)
{
    for (int k = 1; k < m->inputs; k++)
        sdg_unet_remember_layers(o, keys, context, &m->input[k].transformer);
    sdg_unet_remember_layers(o, keys, context, &m->middle->transformer);
    for (int k = 0; k < m->outputs; k++)
        sdg_unet_remember_layers(o, keys, context, &m->output[k].transformer);
}

void sdg_unet_forward(struct sdg_ops *o, float *y, const float *x, const float *t,
                      const struct sdg_unet_condition *condition, const struct sdg_unet *m,
                      size_t n, size_t h, size_t w, enum sdg_unet_upsampling upsampling)
{
    const size_t mark = sdg_arena_mark(o->work);
    const struct sdg_unet_time time = sdg_unet_embed(o, t, condition, m, n);
    const struct pass p = {.o = o, .time = &time, .condition = condition, .n = n};

    struct map skips[SDG_UNET_MAX_BLOCKS];
    skips[0] = read_input(&p, x, m, h, w);
    for (int k = 1; k < m->inputs; k++) skips[k] = input_block(&p, &skips[k - 1], &m->input[k]);

    int top = m->inputs - 1;
    struct map flow = middle_block(&p, &skips[top], m);
    for (int k = 0; k < m->outputs; k++, top--)
        flow = output_block(&p, &flow, &skips[top], top ? &skips[top - 1] : NULL, &m->output[k],
                            upsampling);
    write_output(&p, y, &flow, m);
    sdg_arena_release(o->work, mark);
}
