/* prepare.c - see prepare.h. */
#include "ops/prepare.h"

#include <stdint.h>
#include <string.h>

#include "ops/panel.h"

enum { TASK_FLOATS = 1 << 14, ALIASING = 1024 }; /* rows a multiple of 4 KiB apart share a set */

bool sdg_prepare_is_needless(const struct sdg_matmul *mul, size_t in,
                             const struct sdg_prologue *pro)
{
    return mul->input == SDG_INPUT_F32 && !pro && in % mul->k_step == 0 && in % ALIASING != 0;
}

/* ---- rows ------------------------------------------------------------------------------------ */

struct rows {
    char *y;
    size_t pitch; /* bytes */
    const struct sdg_matmul *mul;
    const float *x;
    size_t in, depth, t, first;
    const struct sdg_prologue *pro;
    struct sdg_cut chunks;
};

/* A chunk of rows, image by image, as each has its own scale. */
static void prepare_chunk(void *arg, size_t task, int worker)
{
    (void)worker;
    const struct rows *r = arg;
    struct sdg_span rows = sdg_cut_piece(&r->chunks, task);
    while (rows.count) {
        const size_t token = r->first + rows.first, image = token / r->t;
        size_t count = r->pro ? (image + 1) * r->t - token : rows.count;
        if (count > rows.count) count = rows.count;
        const float *scale = r->pro ? r->pro->scale + image * r->in : NULL;
        const float *shift = r->pro ? r->pro->shift + image * r->in : NULL;
        r->mul->prep(r->y + rows.first * r->pitch, r->pitch / sdg_matmul_element(r->mul),
                     r->x + token * r->in, r->in, scale, shift, r->pro && r->pro->silu, count,
                     r->in, r->depth);
        rows.first += count;
        rows.count -= count;
    }
}

void sdg_prepare_rows(const struct sdg_ops *o, void *y, size_t pitch, const struct sdg_matmul *mul,
                      const float *x, size_t in, const struct sdg_prologue *pro, size_t t,
                      const struct sdg_span *tokens)
{
    if (o->dry) return;
    struct rows r = {.y = y,
                     .pitch = pitch * sdg_matmul_element(mul),
                     .mul = mul,
                     .x = x,
                     .in = in,
                     .depth = sdg_matmul_depth(mul, in),
                     .t = t,
                     .first = tokens->first,
                     .pro = pro,
                     .chunks = sdg_cut_at_most(tokens->count, TASK_FLOATS / in + 1, 1)};
    sdg_ops_for(o, r.chunks.count, prepare_chunk, &r);
}

/* ---- maps ------------------------------------------------------------------------------------ */

struct map {
    const struct sdg_padded *to;
    const struct sdg_matmul *mul;
    const float *x;
    size_t in, depth;
    const struct sdg_prologue *pro;
    const struct sdg_conv_geometry *g;
};

/* Pixels of source line `i` of an image, at columns pad, pad + up, ... of a padded line; doubled
 * columns are then copied from their left neighbours. */
static void fill_pixels(const struct map *m, char *line, size_t image, size_t i)
{
    const struct sdg_conv_geometry *g = m->g;
    const size_t element = sdg_matmul_element(m->mul), pixel = m->to->pitch * element;
    const size_t up = (size_t)g->up, pad = (size_t)g->pad;
    const size_t room = m->to->columns > pad ? m->to->columns - pad : 0;
    const size_t wide = g->vw < room ? g->vw : room, sources = (wide + up - 1) / up;
    const float *scale = m->pro ? m->pro->scale + image * m->in : NULL;
    const float *shift = m->pro ? m->pro->shift + image * m->in : NULL;
    const float *x = m->x + (image * g->h + i) * g->w * m->in;
    memset(line, 0, pad * pixel);
    m->mul->prep(line + pad * pixel, up * m->to->pitch, x, m->in, scale, shift,
                 m->pro && m->pro->silu, sources, m->in, m->depth);
    for (size_t j = 1; up == 2 && j < wide; j += 2)
        memcpy(line + (pad + j) * pixel, line + (pad + j - 1) * pixel, m->depth * element);
    memset(line + (pad + wide) * pixel, 0, (m->to->columns - pad - wide) * pixel);
}

static void fill_line(void *arg, size_t task, int worker)
{
    (void)worker;
    const struct map *m = arg;
    const struct sdg_conv_geometry *g = m->g;
    const size_t bytes = m->to->columns * m->to->pitch * sdg_matmul_element(m->mul);
    const size_t at = m->to->line + task % m->to->lines, pad = (size_t)g->pad;
    char *line = (char *)m->to->y + task * bytes;
    if (at < pad || at - pad >= g->vh)
        memset(line, 0, bytes);
    else
        fill_pixels(m, line, m->to->image + task / m->to->lines, (at - pad) / (size_t)g->up);
}

void sdg_prepare_map(const struct sdg_ops *o, const struct sdg_padded *to,
                     const struct sdg_matmul *mul, const float *x, size_t in,
                     const struct sdg_prologue *pro, const struct sdg_conv_geometry *g)
{
    if (o->dry) return;
    struct map m = {.to = to, .mul = mul, .x = x, .in = in, .pro = pro, .g = g};
    m.depth = sdg_matmul_depth(mul, in);
    sdg_ops_for(o, to->images * to->lines, fill_line, &m);
}
