/* conv.c - convolution as matrix products over gathered input (im2col; Chellapilla et al. 2006,
 * "High Performance Convolutional Neural Networks for Document Processing").
 *
 *      strip [pixels][k] (gather.h)  x  weight [out][ky][kx][in]  ->  y [pixels][out]
 *
 * k = kh * kw * in; weights are widened and permuted from [out][in][ky][kx], so that a tap is a run
 * of neighbouring floats. Two ways to cut the work, chosen by the shape of one image:
 *   large maps   Weights, up to PANEL_FLOATS of them at a time, are made ready by all workers
 *                together. Then a task is a strip of pixels by a group of output channels; it
 * gathers its strip into scratch of its worker and multiplies. small maps   (the whole gathered
 * image takes no more than SMALL_FLOATS) There weights outweigh the map. All images are gathered
 * first; then a task is a group of output channels: it makes their weights ready in scratch of its
 * worker, where they stay close, and multiplies image after image. */
#include "ops/gather.h"
#include "ops/gemm.h"

#include <string.h>

#include "kernels.h"

enum {
    PANEL_FLOATS = 4 << 20,
    STRIP_FLOATS = 3 << 19,
    SMALL_FLOATS = 6 << 20,
    GATHERED_FLOATS = 12 << 20, /* small maps: of several images */
    LEAST_PIXELS = 128,
    MOST_PIXELS = 1024,
    GROUP = 160, /* small maps: output channels of a task */
    PIECE_FLOATS = 2048,
};

struct conv {
    const struct sdg_ops *o;
    struct sdg_gather in;
    float *y;
    const struct sdg_tensor *weight;
    const float *base;     /* [n][out]: bias and channel bias; NULL: none */
    const float *residual; /* [n][pixels][out], or NULL */
    size_t out, k, pixels;
    struct sdg_cut strips; /* of the pixels of an image */

    float *panel; /* large maps: weights of channels `span`, [span.count][k] */
    struct sdg_span span;
    struct sdg_grid grid;

    float *gathered; /* small maps: images `images`, [images.count][pixels][k] */
    struct sdg_span images;
    struct sdg_cut groups; /* of output channels */

    struct sdg_scratch scratch; /* of a worker: */
    size_t rows_floats;         /* source pixels behind the prologue */
    size_t large_floats;        /* then a strip, or weights of a group */
    size_t piece_floats; /* then a piece of one channel's weights; then packing of the product */
};

/* ---- weights --------------------------------------------------------------------------------- */

/* to[tap * in + j] = piece[j * taps + tap] for `count` input channels; four at a time, so that a
 * compiler stores vectors. */
static void permute_piece(float *to, const float *piece, size_t in, size_t count, size_t taps)
{
    enum { BLOCK = 4 };
    size_t j = 0;
    for (; j + BLOCK <= count; j += BLOCK, piece += BLOCK * taps)
        for (size_t tap = 0; tap < taps; tap++) {
            const float four[BLOCK] = {piece[tap], piece[taps + tap], piece[2 * taps + tap],
                                       piece[3 * taps + tap]};
            memcpy(to + tap * in + j, four, sizeof four);
        }
    for (; j < count; j++, piece += taps)
        for (size_t tap = 0; tap < taps; tap++) to[tap * in + j] = piece[tap];
}

/* to [tap][in] = weight[channel][in][tap], a piece of input channels at a time. */
static void permute_channel(const struct conv *c, float *to, size_t channel, float *piece)
{
    const size_t in = c->in.in, taps = c->in.kh * c->in.kw, most = c->piece_floats / taps;
    for (size_t i = 0; i < in; i += most, to += most) {
        const size_t count = in - i < most ? in - i : most;
        sdg_ops_widen(c->o, piece, c->weight, channel * c->k + i * taps, count * taps);
        permute_piece(to, piece, in, count, taps);
    }
}

/* ---- product --------------------------------------------------------------------------------- */

/* What the product is added to: y = base + residual (which may be y itself). False: to nothing. */
static bool prefill(const struct conv *c, float *y, const float *residual, const float *base,
                    size_t rows, size_t count)
{
    if (!base && !residual) return false;
    for (size_t r = 0; r < rows; r++, y += c->out) {
        if (residual) {
            if (residual != y) memcpy(y, residual, count * sizeof *y);
            if (base) c->o->k->add(y, base, count);
            residual += c->out;
        } else {
            memcpy(y, base, count * sizeof *y);
        }
    }
    return true;
}

/* y [pixels][channels] = strip [pixels][k] times weights [channels][k], and what is added to it. */
static void multiply(const struct conv *c, size_t image, const struct sdg_span *pixels,
                     const struct sdg_span *channels, const float *strip, const float *weights,
                     float *packing)
{
    const size_t at = (image * c->pixels + pixels->first) * c->out + channels->first;
    const float *base = c->base ? c->base + image * c->out + channels->first : NULL;
    const float *residual = c->residual ? c->residual + at : NULL;
    const struct sdg_gemm g = {
        .c = c->y + at,
        .ldc = c->out,
        .a = strip,
        .lda = c->k,
        .b = weights,
        .b_row = c->k,
        .b_col = 1,
        .m = pixels->count,
        .n = channels->count,
        .k = c->k,
        .accumulate = prefill(c, c->y + at, residual, base, pixels->count, channels->count),
    };
    sdg_gemm_run(c->o, &g, packing);
}

/* ---- large maps ------------------------------------------------------------------------------ */

static void prepare_channel(void *arg, size_t task, int worker)
{
    const struct conv *c = arg;
    float *piece = sdg_scratch_of(&c->scratch, worker) + c->rows_floats + c->large_floats;
    permute_channel(c, c->panel + task * c->k, c->span.first + task, piece);
}

static void run_strip(void *arg, size_t task, int worker)
{
    const struct conv *c = arg;
    const size_t groups = c->grid.columns.count, per_image = c->grid.rows.count * groups;
    const size_t image = task / per_image, rest = task % per_image;
    const struct sdg_span pixels = sdg_cut_piece(&c->grid.rows, rest / groups);
    struct sdg_span channels = sdg_cut_piece(&c->grid.columns, rest % groups);
    float *rows = sdg_scratch_of(&c->scratch, worker), *strip = rows + c->rows_floats;
    const float *weights = c->panel + channels.first * c->k;
    channels.first += c->span.first;
    sdg_gather_strip(&c->in, strip, image, &pixels, rows);
    multiply(c, image, &pixels, &channels, strip, weights,
             strip + c->large_floats + c->piece_floats);
}

static void run_large(struct conv *c, size_t n)
{
    const size_t fit = PANEL_FLOATS / c->k ? PANEL_FLOATS / c->k : 1;
    const struct sdg_cut panels = sdg_cut_at_most(c->out, fit, 16);
    c->panel = sdg_arena_floats(c->o->work, panels.size * c->k);
    for (size_t p = 0; p < panels.count && !c->o->dry; p++) {
        c->span = sdg_cut_piece(&panels, p);
        c->grid = sdg_grid_of(c->pixels, c->span.count, c->strips.size, c->strips.size);
        sdg_ops_for(c->o, c->span.count, prepare_channel, c);
        sdg_ops_for(c->o, n * c->grid.rows.count * c->grid.columns.count, run_strip, c);
    }
}

/* ---- small maps ------------------------------------------------------------------------------ */

static void gather_piece(void *arg, size_t task, int worker)
{
    const struct conv *c = arg;
    const size_t image = task / c->strips.count;
    const struct sdg_span pixels = sdg_cut_piece(&c->strips, task % c->strips.count);
    float *to = c->gathered + (image * c->pixels + pixels.first) * c->k;
    sdg_gather_strip(&c->in, to, c->images.first + image, &pixels,
                     sdg_scratch_of(&c->scratch, worker));
}

static void run_group(void *arg, size_t task, int worker)
{
    const struct conv *c = arg;
    const struct sdg_span channels = sdg_cut_piece(&c->groups, task), all = {0, c->pixels};
    float *weights = sdg_scratch_of(&c->scratch, worker) + c->rows_floats;
    float *piece = weights + c->large_floats;
    for (size_t i = 0; i < channels.count; i++)
        permute_channel(c, weights + i * c->k, channels.first + i, piece);
    for (size_t i = 0; i < c->images.count && !sdg_ops_cancelled(c->o); i++)
        multiply(c, c->images.first + i, &all, &channels, c->gathered + i * c->pixels * c->k,
                 weights, piece + c->piece_floats);
}

static void run_small(struct conv *c, size_t n)
{
    const size_t each = c->pixels * c->k, fit = GATHERED_FLOATS / each;
    const struct sdg_cut rounds = sdg_cut_at_most(n, fit ? fit : 1, 1);
    c->gathered = sdg_arena_floats(c->o->work, rounds.size * each);
    for (size_t r = 0; r < rounds.count && !c->o->dry; r++) {
        c->images = sdg_cut_piece(&rounds, r);
        sdg_ops_for(c->o, c->images.count * c->strips.count, gather_piece, c);
        sdg_ops_for(c->o, c->groups.count, run_group, c);
    }
}

/* ---- the whole ------------------------------------------------------------------------------- */

struct sdg_conv_geometry sdg_conv_same(size_t n, size_t h, size_t w, int kernel)
{
    return (struct sdg_conv_geometry) {.n = n,
                                       .h = h,
                                       .w = w,
                                       .vh = h,
                                       .vw = w,
                                       .oh = h,
                                       .ow = w,
                                       .up = 1,
                                       .stride = 1,
                                       .pad = kernel / 2};
}

/* Strips of the pixels of a large map: as many as fit, in whole output rows where a row fits. */
static struct sdg_cut cut_large(size_t pixels, size_t ow, size_t k)
{
    size_t most = STRIP_FLOATS / k;
    if (most > MOST_PIXELS) most = MOST_PIXELS;
    if (most < LEAST_PIXELS) most = LEAST_PIXELS;
    if (most >= ow) return sdg_cut_at_most(pixels, most / ow * ow, ow);
    return sdg_cut_at_most(pixels, sdg_cut_at_most(ow, most, 1).size, 1);
}

/* [n][out] of bias plus channel bias, NULL if there is neither. Takes memory in any case. */
static const float *combine_biases(struct sdg_ops *o, const struct sdg_tensor *bias,
                                   const float *channel_bias, size_t n, size_t out)
{
    float *sum = sdg_arena_floats(o->work, n * out);
    const float *wide = sdg_ops_vector(o, bias, out);
    if (o->dry || (!bias->data && !channel_bias)) return NULL;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < out; j++)
            sum[i * out + j] = channel_bias ? wide[j] + channel_bias[i * out + j] : wide[j];
    return sum;
}

/* Takes the scratch of both ways of cutting. */
static void plan_scratch(struct conv *c, bool small)
{
    const size_t taps = c->in.kh * c->in.kw;
    c->strips =
        small ? sdg_cut_at_most(c->pixels, c->in.g.ow, 1) : cut_large(c->pixels, c->in.g.ow, c->k);
    c->groups = sdg_cut_at_most(c->out, GROUP, 16);
    c->rows_floats = sdg_gather_scratch(&c->in, c->strips.size);
    c->large_floats = (small ? c->groups.size : c->strips.size) * c->k;
    c->piece_floats = PIECE_FLOATS > taps ? PIECE_FLOATS : taps;
    c->scratch = sdg_scratch_take(c->o, c->rows_floats + c->large_floats + c->piece_floats +
                                            sdg_gemm_scratch(c->o, c->k));
}

void sdg_op_conv(struct sdg_ops *o, float *y, const float *x, const struct sdg_prologue *pro,
                 const struct sdg_conv *w, const float *channel_bias, const float *residual,
                 const struct sdg_conv_geometry *g)
{
    const int64_t *shape = w->weight.shape;
    struct conv c = {.o = o, .y = y, .weight = &w->weight, .residual = residual};
    c.in = (struct sdg_gather) {.kernels = o->k, .x = x, .g = *g};
    c.in.pro = pro && pro->scale ? pro : NULL;
    c.out = (size_t)shape[0];
    c.in.in = (size_t)shape[1];
    c.in.kh = (size_t)shape[2];
    c.in.kw = (size_t)shape[3];
    c.k = c.in.kh * c.in.kw * c.in.in;
    c.pixels = g->oh * g->ow;
    if (o->dry) o->macs += (double)(g->n * c.pixels) * (double)c.k * (double)c.out;
    if (g->n == 0 || c.pixels == 0 || c.out == 0 || c.k == 0) return;

    const bool small = c.pixels <= MOST_PIXELS && c.pixels * c.k <= SMALL_FLOATS;
    const size_t mark = sdg_arena_mark(o->work);
    c.base = combine_biases(o, &w->bias, channel_bias, g->n, c.out);
    plan_scratch(&c, small);
    if (small)
        run_small(&c, g->n);
    else
        run_large(&c, g->n);
    sdg_arena_release(o->work, mark);
}
