/* gather.c - see gather.h. */
#include "ops/gather.h"

#include <string.h>

#include "kernels.h"

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

static struct source find_source(const struct sdg_gather *c, size_t image,
                                 const struct sdg_span *pixels)
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
static void apply_prologue(const struct sdg_gather *c, struct source *s, size_t image,
                           float *buffer)
{
    const struct sdg_kernels *k = c->kernels;
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
static void gather_taps(const struct sdg_gather *c, float *to, const float *row, ptrdiff_t x,
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
static void gather_pixels(const struct sdg_gather *c, float *strip, const struct source *s,
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

void sdg_gather_strip(const struct sdg_gather *c, float *strip, size_t image,
                      const struct sdg_span *pixels, float *scratch)
{
    struct source s = find_source(c, image, pixels);
    if (c->pro) apply_prologue(c, &s, image, scratch);
    gather_pixels(c, strip, &s, pixels);
}

size_t sdg_gather_scratch(const struct sdg_gather *c, size_t pixels)
{
    if (!c->pro) return 0;
    const size_t stride = (size_t)c->g.stride, up = (size_t)c->g.up;
    const size_t lines = pixels > c->g.ow ? (pixels + c->g.ow - 2) / c->g.ow + 1 : 2;
    size_t rows = ((lines - 1) * stride + c->kh) / up + 2;
    if (rows > c->g.h) rows = c->g.h;
    return rows * c->g.w * c->in;
}
