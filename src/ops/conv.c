/* conv.c - convolution as matrix products over strips of gathered input (im2col; Chellapilla et al.
 * 2006, "High Performance Convolutional Neural Networks for Document Processing").
 *
 *      x [h][w][in]          strip: one row per output pixel            weight [out][ky][kx][in]
 *      . . . . . .           [ky kx in . . . . . . . . . . . .]  pixel
 *      . a b c . .    --->   [a      b      c      d  ...     ]   x     (permuted from
 * [out][in][ky][kx] . d e f . .           [ ...                            ]          so that a tap
 * is a run of . g h i . .            k = kh * kw * in                           neighbouring
 * floats)
 *
 * Tasks are strips of output pixels by groups of output channels; each gathers its strip into
 * scratch of its worker, at most STRIP_FLOATS (a single pixel may need more), and multiplies. The
 * prologue (normalisation, SiLU) is applied to the rows of x that the strip reads, once each,
 * before they are gathered; padding stays zero behind it. Doubling of the input is a matter of
 * addresses. */
#include "ops/gemm.h"

#include <string.h>

#include "kernels.h"

enum {
    PANEL_FLOATS = 4 << 20,
    STRIP_FLOATS = 3 << 19,
    MOST_PIXELS = 1024,
    PIECE_FLOATS = 2048,
};

struct conv {
    const struct sdg_ops *o;
    float *y;
    const float *x;
    const struct sdg_prologue *pro; /* NULL: none */
    const struct sdg_tensor *weight;
    const float *base;     /* [n][out]: bias and channel bias; NULL: none */
    const float *residual; /* [n][oh*ow][out], or NULL */
    struct sdg_conv_geometry g;
    size_t in, out, kh, kw, k;
    float *panel; /* [span.count][k] */
    struct sdg_span span;
    struct sdg_grid grid;
    struct sdg_scratch scratch;
    size_t rows_floats, strip_floats; /* parts of a worker's scratch */
};

/* ---- weights --------------------------------------------------------------------------------- */

/* panel[channel][tap][in] = weight[channel][in][tap], a piece of input channels at a time. */
static void permute_channel(void *arg, size_t task, int worker)
{
    const struct conv *c = arg;
    const size_t taps = c->kh * c->kw, most = PIECE_FLOATS / taps ? PIECE_FLOATS / taps : 1;
    float *piece = sdg_scratch_of(&c->scratch, worker), *to = c->panel + task * c->k;
    for (size_t i = 0; i < c->in; i += most, to += most) {
        const size_t count = c->in - i < most ? c->in - i : most;
        const size_t first = (c->span.first + task) * c->k + i * taps;
        sdg_ops_widen(c->o, piece, c->weight, first, count * taps);
        for (size_t tap = 0; tap < taps; tap++)
            for (size_t j = 0; j < count; j++) to[tap * c->in + j] = piece[j * taps + tap];
    }
}

/* ---- input ----------------------------------------------------------------------------------- */

/* The rectangle of source pixels that a strip reads, as rows of `columns.count` pixels. */
struct source {
    struct sdg_span rows, columns;
    const float *at; /* pixel (rows.first, columns.first) */
    size_t pitch;    /* floats from row to row */
};

/* Source lines that output lines [first, last] read, along one axis: `virtual` lines, each `up`
 * times in the enlarged input. */
static struct sdg_span source_span(size_t first, size_t last, size_t kernel, size_t extent,
                                   const struct sdg_conv_geometry *g)
{
    const ptrdiff_t stride = g->stride, pad = g->pad;
    ptrdiff_t low = (ptrdiff_t)first * stride - pad;
    ptrdiff_t high = (ptrdiff_t)last * stride - pad + (ptrdiff_t)kernel; /* exclusive */
    if (low < 0) low = 0;
    if (high > (ptrdiff_t)extent) high = (ptrdiff_t)extent;
    if (high <= low) return (struct sdg_span) {0, 0};
    const size_t up = (size_t)g->up, begin = (size_t)low / up, end = ((size_t)high - 1) / up + 1;
    return (struct sdg_span) {begin, end - begin};
}

static struct source find_source(const struct conv *c, size_t image, const struct sdg_span *pixels)
{
    const struct sdg_conv_geometry *g = &c->g;
    const size_t last = pixels->first + pixels->count - 1;
    const size_t top = pixels->first / g->ow, bottom = last / g->ow;
    const bool one_row = top == bottom;
    struct source s = {.pitch = g->w * c->in};
    s.rows = source_span(top, bottom, c->kh, g->vh, g);
    s.columns = source_span(one_row ? pixels->first % g->ow : 0, one_row ? last % g->ow : g->ow - 1,
                            c->kw, g->vw, g);
    s.at = c->x + ((image * g->h + s.rows.first) * g->w + s.columns.first) * c->in;
    return s;
}

/* Moves the source into `buffer`, with the prologue applied. */
static void apply_prologue(const struct conv *c, struct source *s, size_t image, float *buffer)
{
    const struct sdg_kernels *k = c->o->k;
    const float *scale = c->pro->scale + image * c->in, *shift = c->pro->shift + image * c->in;
    const size_t width = s->columns.count;
    for (size_t r = 0; r < s->rows.count; r++) {
        float *to = buffer + r * width * c->in;
        const float *from = s->at + r * s->pitch;
        if (c->pro->silu)
            k->affine_silu(to, from, scale, shift, width, c->in);
        else
            k->affine(to, from, scale, shift, width, c->in);
    }
    s->at = buffer;
    s->pitch = width * c->in;
}

/* One row of taps of one output pixel: kw pixels from virtual column x of the source row `row`
 * (NULL: outside), zero outside [0, vw). */
static void gather_taps(const struct conv *c, float *to, const float *row, ptrdiff_t x,
                        size_t first_column)
{
    const ptrdiff_t vw = (ptrdiff_t)c->g.vw, kw = (ptrdiff_t)c->kw;
    const size_t in = c->in;
    const ptrdiff_t left = x >= 0 ? 0 : -x < kw ? -x : kw;
    ptrdiff_t right = vw - x < kw ? vw - x : kw; /* taps [left, right) lie inside */
    if (!row || right < left) right = left;
    if (left) memset(to, 0, (size_t)left * in * sizeof *to);
    if (c->g.up == 1 && right > left)
        memcpy(to + (size_t)left * in, row + ((size_t)(x + left) - first_column) * in,
               (size_t)(right - left) * in * sizeof *to);
    else
        for (ptrdiff_t i = left; i < right; i++)
            memcpy(to + (size_t)i * in,
                   row + ((size_t)(x + i) / (size_t)c->g.up - first_column) * in, in * sizeof *to);
    if (right < kw) memset(to + (size_t)right * in, 0, (size_t)(kw - right) * in * sizeof *to);
}

/* strip [pixels][kh][kw][in]. */
static void gather(const struct conv *c, float *strip, const struct source *s,
                   const struct sdg_span *pixels)
{
    const struct sdg_conv_geometry *g = &c->g;
    for (size_t i = 0; i < pixels->count; i++) {
        const size_t p = pixels->first + i;
        const ptrdiff_t y = (ptrdiff_t)(p / g->ow) * g->stride - g->pad;
        const ptrdiff_t x = (ptrdiff_t)(p % g->ow) * g->stride - g->pad;
        for (size_t ky = 0; ky < c->kh; ky++, strip += c->kw * c->in) {
            const ptrdiff_t v = y + (ptrdiff_t)ky;
            const bool inside = v >= 0 && v < (ptrdiff_t)g->vh;
            const float *row =
                inside ? s->at + ((size_t)v / (size_t)g->up - s->rows.first) * s->pitch : NULL;
            gather_taps(c, strip, row, x, s->columns.first);
        }
    }
}

/* ---- output ---------------------------------------------------------------------------------- */

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

static void multiply(void *arg, size_t task, int worker)
{
    const struct conv *c = arg;
    const size_t groups = c->grid.columns.count, per_image = c->grid.rows.count * groups;
    const size_t image = task / per_image, rest = task % per_image;
    const struct sdg_span pixels = sdg_cut_piece(&c->grid.rows, rest / groups);
    const struct sdg_span channels = sdg_cut_piece(&c->grid.columns, rest % groups);
    float *rows = sdg_scratch_of(&c->scratch, worker), *strip = rows + c->rows_floats;

    struct source s = find_source(c, image, &pixels);
    if (c->pro) apply_prologue(c, &s, image, rows);
    gather(c, strip, &s, &pixels);

    const size_t channel = c->span.first + channels.first;
    const size_t at = (image * c->g.oh * c->g.ow + pixels.first) * c->out + channel;
    const struct sdg_gemm g = {
        .c = c->y + at,
        .ldc = c->out,
        .a = strip,
        .lda = c->k,
        .b = c->panel + channels.first * c->k,
        .b_row = c->k,
        .b_col = 1,
        .m = pixels.count,
        .n = channels.count,
        .k = c->k,
        .accumulate = prefill(c, c->y + at, c->residual ? c->residual + at : NULL,
                              c->base ? c->base + image * c->out + channel : NULL, pixels.count,
                              channels.count),
    };
    sdg_gemm_run(c->o, &g, strip + c->strip_floats);
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

/* Cuts the pixels of an image into strips: as many as fit, in whole output rows where a row fits.
 */
static struct sdg_cut cut_strips(const struct conv *c)
{
    const size_t ow = c->g.ow, pixels = c->g.oh * ow;
    size_t most = STRIP_FLOATS / c->k;
    if (most > MOST_PIXELS) most = MOST_PIXELS;
    if (most < 1) most = 1;
    if (most >= ow) return sdg_cut_at_most(pixels, most / ow * ow, ow);
    return sdg_cut_at_most(pixels, sdg_cut_at_most(ow, most, 1).size, 1);
}

/* Most floats of x that a strip of `pixels` reads. */
static size_t source_floats(const struct conv *c, size_t pixels)
{
    const size_t stride = (size_t)c->g.stride, up = (size_t)c->g.up;
    const size_t lines = pixels > c->g.ow ? (pixels + c->g.ow - 2) / c->g.ow + 1 : 2;
    size_t rows = ((lines - 1) * stride + c->kh) / up + 2;
    if (rows > c->g.h) rows = c->g.h;
    return rows * c->g.w * c->in;
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

void sdg_op_conv(struct sdg_ops *o, float *y, const float *x, const struct sdg_prologue *pro,
                 const struct sdg_conv *w, const float *channel_bias, const float *residual,
                 const struct sdg_conv_geometry *g)
{
    const int64_t *shape = w->weight.shape;
    struct conv c = {.o = o, .y = y, .x = x, .weight = &w->weight, .residual = residual, .g = *g};
    c.pro = pro && pro->scale ? pro : NULL;
    c.out = (size_t)shape[0];
    c.in = (size_t)shape[1];
    c.kh = (size_t)shape[2];
    c.kw = (size_t)shape[3];
    c.k = c.kh * c.kw * c.in;
    const size_t pixels = g->oh * g->ow;
    if (o->dry) o->macs += (double)(g->n * pixels) * (double)c.k * (double)c.out;
    if (g->n == 0 || pixels == 0 || c.out == 0 || c.k == 0) return;

    const size_t mark = sdg_arena_mark(o->work), fit = PANEL_FLOATS / c.k ? PANEL_FLOATS / c.k : 1;
    const struct sdg_cut panels = sdg_cut_at_most(c.out, fit, 16);
    const struct sdg_cut strips = cut_strips(&c);
    c.base = combine_biases(o, &w->bias, channel_bias, g->n, c.out);
    c.panel = sdg_arena_floats(o->work, panels.size * c.k);
    c.rows_floats = c.pro ? source_floats(&c, strips.size) : 0;
    c.strip_floats = strips.size * c.k;
    const size_t piece = PIECE_FLOATS > c.kh * c.kw ? PIECE_FLOATS : c.kh * c.kw;
    const size_t floats = c.rows_floats + c.strip_floats + sdg_gemm_scratch(o, c.k);
    c.scratch = sdg_scratch_take(o, floats > piece ? floats : piece);

    for (size_t p = 0; p < panels.count && !o->dry; p++) {
        c.span = sdg_cut_piece(&panels, p);
        c.grid = sdg_grid_of(pixels, c.span.count, strips.size, strips.size);
        sdg_ops_for(o, c.span.count, permute_channel, &c);
        sdg_ops_for(o, g->n * c.grid.rows.count * c.grid.columns.count, multiply, &c);
    }
    sdg_arena_release(o->work, mark);
}
