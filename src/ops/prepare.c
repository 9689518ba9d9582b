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

/* ---- places ---------------------------------------------------------------------------------- */

/* What is prepared: places of all images one after the other, of `in` channels each. */
struct source {
    const struct sdg_matmul *mul;
    const float *x;
    size_t in, depth;
    const struct sdg_prologue *pro;
};

static struct source source_of(const struct sdg_matmul *mul, const float *x, size_t in,
                               const struct sdg_prologue *pro)
{
    return (struct source) {mul, x, in, sdg_matmul_depth(mul, in), pro};
}

/* `count` places of an image, the first of them place `at` of all: y [count][ldy]. Channels beside
 * x go behind those of x, as if they had been there. */
static void fill(const struct source *s, void *y, size_t ldy, size_t image, size_t at, size_t count)
{
    const struct sdg_prologue *p = s->pro;
    if (!p) {
        s->mul->prep(y, ldy, s->x + at * s->in, s->in, NULL, NULL, false, count, s->in, s->depth);
        return;
    }
    const size_t cb = p->beside.c, ca = s->in - cb;
    const float *scale = p->scale ? p->scale + image * s->in : NULL;
    const float *shift = p->scale ? p->shift + image * s->in : NULL;
    s->mul->prep(y, ldy, s->x + at * ca, ca, scale, shift, p->silu, count, ca, cb ? ca : s->depth);
    if (cb)
        s->mul->prep((char *)y + ca * sdg_matmul_element(s->mul), ldy, p->beside.x + at * cb, cb,
                     scale ? scale + ca : NULL, scale ? shift + ca : NULL, p->silu, count, cb,
                     s->depth - ca);
}

/* ---- rows ------------------------------------------------------------------------------------ */

struct rows {
    const struct sdg_ops *o;
    struct source from;
    char *y;
    size_t pitch; /* bytes */
    size_t t, first;
    struct sdg_cut chunks;
    struct sdg_scratch row; /* of each worker, where rows are normalised */
};

/* LayerNorm of `count` rows, one at a time through a row that stays in the first cache. */
static void normalise(const struct rows *r, char *y, size_t token, size_t count, int worker)
{
    const struct source *s = &r->from;
    const struct sdg_prologue *p = s->pro;
    float *row = sdg_scratch_of(&r->row, worker);
    for (size_t i = 0; i < count; i++, y += r->pitch) {
        r->o->k->layernorm(row, s->x + (token + i) * s->in, p->scale, p->shift, 1, s->in, p->eps);
        s->mul->prep(y, 0, row, 0, NULL, NULL, false, 1, s->in, s->depth);
    }
}

/* A chunk of rows, image by image, as each has its own scale. */
static void prepare_chunk(void *arg, size_t task, int worker)
{
    const struct rows *r = arg;
    struct sdg_span rows = sdg_cut_piece(&r->chunks, task);
    if (r->from.pro && r->from.pro->by_row) {
        normalise(r, r->y + rows.first * r->pitch, r->first + rows.first, rows.count, worker);
        return;
    }
    while (rows.count) {
        const size_t token = r->first + rows.first, image = token / r->t;
        size_t count = r->from.pro ? (image + 1) * r->t - token : rows.count;
        if (count > rows.count) count = rows.count;
        fill(&r->from, r->y + rows.first * r->pitch, r->pitch / sdg_matmul_element(r->from.mul),
             image, token, count);
        rows.first += count;
        rows.count -= count;
    }
}

void sdg_prepare_rows(const struct sdg_ops *o, void *y, size_t pitch, const struct sdg_matmul *mul,
                      const float *x, size_t in, const struct sdg_prologue *pro, size_t t,
                      const struct sdg_span *tokens)
{
    struct rows r = {.o = o,
                     .from = source_of(mul, x, in, pro),
                     .y = y,
                     .pitch = pitch * sdg_matmul_element(mul),
                     .t = t,
                     .first = tokens->first,
                     .chunks = sdg_cut_at_most(tokens->count, TASK_FLOATS / in + 1, 1)};
    const size_t mark = sdg_arena_mark(o->work);
    if (pro && pro->by_row) r.row = sdg_scratch_take(o, in);
    if (!o->dry) sdg_ops_for(o, r.chunks.count, prepare_chunk, &r);
    sdg_arena_release(o->work, mark);
}

/* ---- maps ------------------------------------------------------------------------------------ */

struct map {
    struct source from;
    const struct sdg_padded *to;
    const struct sdg_conv_geometry *g;
};

/* Pixels of source line `i` of an image, at columns pad, pad + up, ... of a padded line; doubled
 * columns are then copied from their left neighbours. */
static void fill_pixels(const struct map *m, char *line, size_t image, size_t i)
{
    const struct sdg_conv_geometry *g = m->g;
    const size_t element = sdg_matmul_element(m->from.mul), pixel = m->to->pitch * element;
    const size_t up = (size_t)g->up, pad = (size_t)g->pad;
    const size_t room = m->to->columns > pad ? m->to->columns - pad : 0;
    const size_t wide = g->vw < room ? g->vw : room, sources = (wide + up - 1) / up;
    memset(line, 0, pad * pixel);
    fill(&m->from, line + pad * pixel, up * m->to->pitch, image,
         (image * g->h + i - g->x_from) * g->w, sources);
    for (size_t j = 1; up == 2 && j < wide; j += 2)
        memcpy(line + (pad + j) * pixel, line + (pad + j - 1) * pixel, m->from.depth * element);
    memset(line + (pad + wide) * pixel, 0, (m->to->columns - pad - wide) * pixel);
}

static void fill_line(void *arg, size_t task, int worker)
{
    (void)worker;
    const struct map *m = arg;
    const struct sdg_conv_geometry *g = m->g;
    const size_t bytes = m->to->columns * m->to->pitch * sdg_matmul_element(m->from.mul);
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
    struct map m = {.from = source_of(mul, x, in, pro), .to = to, .g = g};
    sdg_ops_for(o, to->images * to->lines, fill_line, &m);
}
