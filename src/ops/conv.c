/* conv.c - convolution as an implicit matrix product.
 *
 *      padded strip [lines][columns][in]          y [oh][ow][out]
 *      0 0 0 0 0 0 0
 *      0 a b c d e 0     row of A for output      ow rows of A are one line of output pixels; the
 *      0 f g h i j 0     pixel g: a b c           product reads it once per tap of the filter, at
 *      0 k l m n o 0              f g h           another offset, so that im2col's copies (one per
 *      0 0 0 0 0 0 0              k l m           tap) never exist.
 *
 * The input is prepared a strip at a time: normalised, activated, rounded, padded with zeros, and
 * doubled where an upsampling comes before. Strips of small maps hold several images, strips of
 * large ones a band of lines with the rim that the filter needs. */
#include "ops/phases.h"
#include "ops/prepare.h"
#include "ops/product.h"
#include "ops/winograd.h"

enum { STRIP_BYTES = 16 << 20, MOST_TAPS = 64 };

struct direct {
    const struct sdg_convolution *c;
    ptrdiff_t taps[MOST_TAPS];
    struct sdg_padded strip;
    struct sdg_cut images, bands; /* bands of output lines; more than one only for single images */
};

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

/* Padded lines that `lines` output lines read. */
static size_t lines_under(const struct sdg_convolution *c, size_t lines)
{
    return (lines - 1) * (size_t)c->g.stride + c->kh;
}

/* Cuts the work into strips of about STRIP_BYTES and takes the memory of one. */
static void plan_strips(struct direct *d)
{
    const struct sdg_convolution *c = d->c;
    const struct sdg_matmul *mul = c->panels.mul;
    struct sdg_padded *s = &d->strip;
    s->pitch = sdg_row_pitch(mul, c->panels.in);
    s->columns = (c->g.ow - 1) * (size_t)c->g.stride + c->kw;
    const size_t line = s->columns * s->pitch * sdg_matmul_element(mul);
    const size_t most = sdg_strip_bytes(c->o, STRIP_BYTES);
    const size_t image = line * lines_under(c, c->g.oh), fit = most / image;
    d->images = sdg_cut_at_most(c->g.n, fit ? fit : 1, 1);
    size_t lines = most / line;
    lines = lines > c->kh ? (lines - c->kh) / (size_t)c->g.stride + 1 : 1;
    d->bands = sdg_cut_at_most(c->g.oh, fit ? c->g.oh : lines, 1);
    s->y = sdg_arena_alloc(c->o->work, d->images.size * lines_under(c, d->bands.size), line);
    for (size_t i = 0; i < c->kh * c->kw; i++)
        d->taps[i] = (ptrdiff_t)((i / c->kw * s->columns + i % c->kw) * s->pitch);
}

/* Lines `band` of images `images`. */
static void run_strip(struct direct *d, const struct sdg_span *images, const struct sdg_span *band)
{
    const struct sdg_convolution *c = d->c;
    struct sdg_padded *s = &d->strip;
    const size_t out = c->panels.out, stride = (size_t)c->g.stride, row = c->g.ow * out;
    s->image = images->first;
    s->images = images->count;
    s->line = (c->g.from + band->first) * stride;
    s->lines = lines_under(c, band->count);
    sdg_prepare_map(c->o, s, c->panels.mul, c->x, c->panels.in, c->pro, &c->g);
    const size_t at = images->first * c->g.oh * row + band->first * row;
    const struct sdg_multiply m = {
        .panels = &c->panels,
        .images = images->count,
        .lines = band->count,
        .rows = c->g.ow,
        .last_rows = c->g.ow,
        .a = s->y,
        .a_at = {s->lines * s->columns * s->pitch, stride * s->columns * s->pitch,
                 stride * s->pitch},
        .taps = d->taps,
        .y = c->y + at,
        .residual = c->residual ? c->residual + at : NULL,
        .y_at = {c->g.oh * row, row, out},
        .bias = c->bias ? c->bias + images->first * out : NULL,
        .bias_image = out,
    };
    sdg_multiply(c->o, &m);
}

static void run_direct(const struct sdg_convolution *c)
{
    struct direct d = {.c = c};
    plan_strips(&d);
    for (size_t i = 0; i < d.images.count; i++)
        for (size_t b = 0; b < d.bands.count; b++) {
            const struct sdg_span images = sdg_cut_piece(&d.images, i);
            const struct sdg_span band = sdg_cut_piece(&d.bands, b);
            run_strip(&d, &images, &band);
            if (c->o->dry) return; /* the first strip is the largest */
        }
}

static void run(const struct sdg_convolution *c, enum sdg_conv_way way)
{
    switch (way) {
    case SDG_CONV_WINOGRAD_4: sdg_winograd(c, 4); break;
    case SDG_CONV_WINOGRAD_2: sdg_winograd(c, 2); break;
    case SDG_CONV_PHASES: sdg_phases(c); break;
    default: run_direct(c); break;
    }
}

bool sdg_conv_by(struct sdg_ops *o, enum sdg_conv_way way, float *y, const float *x,
                 const struct sdg_prologue *pro, const struct sdg_conv *w,
                 const float *channel_bias, const float *residual,
                 const struct sdg_conv_geometry *g)
{
    struct sdg_convolution c = {.o = o, .y = y, .x = x, .residual = residual, .g = *g};
    c.panels = sdg_panels_of(o, sdg_ops_matmul(o, false), &w->weight, g->n * g->oh * g->ow);
    c.kh = (size_t)w->weight.shape[2];
    c.kw = (size_t)w->weight.shape[3];
    c.pro = sdg_ops_prologue(pro);
    if (way == SDG_CONV_WAYS) way = sdg_conv_choose(&c);
    if (!sdg_conv_can(&c, way)) return false;
    if (g->lines) c.g.oh = g->lines; /* the way was chosen by the whole map */
    if (o->dry)
        o->macs += (double)(g->n * c.g.oh * g->ow) * (double)c.panels.out *
                   (double)(c.panels.in * c.panels.taps);
    if (g->n == 0 || g->oh == 0 || g->ow == 0 || c.panels.out == 0 || c.panels.in == 0) return true;
    const size_t mark = sdg_arena_mark(o->work);
    c.bias = combine_biases(o, &w->bias, channel_bias, g->n, c.panels.out);
    run(&c, way);
    sdg_arena_release(o->work, mark);
    return true;
}

void sdg_op_conv(struct sdg_ops *o, float *y, const float *x, const struct sdg_prologue *pro,
                 const struct sdg_conv *w, const float *channel_bias, const float *residual,
                 const struct sdg_conv_geometry *g)
{
    sdg_conv_by(o, SDG_CONV_WAYS, y, x, pro, w, channel_bias, residual, g);
}
