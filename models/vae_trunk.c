/* vae_trunk.c - see vae_trunk.h. The order of the steps is vae.c's. */
#include "models/vae_trunk.h"

#include <string.h>

enum { WINDOW_BYTES = 8 << 20 }; /* of a strip's input, about */

/* ---- the buffer ------------------------------------------------------------------------------ */

static size_t size_of(const struct sdg_vae_trunk *x)
{
    return x->h * x->w * x->c;
}

static void ask_for(struct sdg_vae_trunk *x, size_t floats)
{
    if (floats > x->need) x->need = floats;
}

void sdg_vae_shape(struct sdg_vae_trunk *x, size_t h, size_t w, size_t c)
{
    x->h = h;
    x->w = w;
    x->c = c;
    ask_for(x, size_of(x));
}

float *sdg_vae_room(struct sdg_vae_trunk *x, size_t before, size_t count)
{
    ask_for(x, size_of(x) + before + count);
    return x->data + size_of(x) + before;
}

void sdg_vae_settle(struct sdg_vae_trunk *x, const float *y, size_t h, size_t w, size_t c)
{
    sdg_vae_shape(x, h, w, c);
    if (!x->o->dry && y != x->data) memmove(x->data, y, size_of(x) * sizeof *y);
}

static size_t out_channels(const struct sdg_conv *conv)
{
    return (size_t)conv->weight.shape[0];
}

float *sdg_vae_convolve(struct sdg_vae_trunk *x, const struct sdg_prologue *pro,
                        const struct sdg_conv *conv)
{
    const struct sdg_conv_geometry same = sdg_conv_same(1, x->h, x->w, 3);
    float *y = sdg_vae_room(x, 0, x->h * x->w * out_channels(conv));
    sdg_op_conv(x->o, y, x->data, pro, conv, NULL, NULL, &same);
    return y;
}

/* ---- strips ---------------------------------------------------------------------------------- */

/* A map [h][w][c] that lies in strips of `lines` lines, `step` floats from one to the next. */
struct strips {
    const float *data;
    size_t h, line; /* line: floats, w * c */
    size_t lines, step;
};

/* A copy of some lines of it, from which a convolution reads while the originals are overwritten.
 */
struct window {
    float *data;
    size_t first, count; /* lines that it holds */
};

/* Lines of a strip of a map whose lines have `line` floats: the input of about WINDOW_BYTES. A map
 * of one column goes in one piece, since a layer of a single token has rules of its own (ops.h). */
static size_t strip_lines(const struct sdg_ops *o, size_t h, size_t w, size_t line)
{
    const size_t wish =
        o->strip_bytes && o->strip_bytes < WINDOW_BYTES ? o->strip_bytes : (size_t)WINDOW_BYTES;
    size_t lines = wish / (line * sizeof(float)) / SDG_STRIP_STEP * SDG_STRIP_STEP;
    if (lines < SDG_STRIP_STEP) lines = SDG_STRIP_STEP;
    return w == 1 || lines > h ? h : lines;
}

static struct window take_window(const struct sdg_ops *o, const struct strips *s, size_t lines)
{
    const size_t most = lines + 2 < s->h ? lines + 2 : s->h;
    return (struct window) {.data = sdg_arena_floats(o->work, most * s->line)};
}

/* Lines [from, to) of the map behind those that the window holds. */
static void copy_lines(struct sdg_ops *o, struct window *win, const struct strips *s, size_t from,
                       size_t to)
{
    const struct sdg_prologue as_it_is = {0};
    while (from < to) {
        const size_t end = (from / s->lines + 1) * s->lines, last = end < to ? end : to;
        const float *x = s->data + from / s->lines * s->step + from % s->lines * s->line;
        sdg_op_apply(o, win->data + (from - win->first) * s->line, x, &as_it_is, 1, last - from,
                     s->line);
        from = last;
    }
    win->count = to - win->first;
}

/* Makes the window hold lines [from - 1, to + 1), as far as there are any. With `onward` the window
 * comes from the strip above: the lines they share are kept, because the map may have lost them. */
static void move_window(struct sdg_ops *o, struct window *win, const struct strips *s, size_t from,
                        size_t to, bool onward)
{
    const size_t first = from ? from - 1 : 0, last = to < s->h ? to + 1 : to;
    const size_t held = win->first + win->count, kept = onward && held > first ? held - first : 0;
    if (kept && !o->dry)
        memmove(win->data, win->data + (first - win->first) * s->line,
                kept * s->line * sizeof *win->data);
    win->first = first;
    copy_lines(o, win, s, first + kept, last);
}

/* ---- residual block -------------------------------------------------------------------------- */

/* The width stays: x waits in its place, what flows through the block lies behind it. */
static void keep_width(struct sdg_vae_trunk *x, const struct sdg_vae_resblock *r)
{
    struct sdg_ops *o = x->o;
    const size_t hw = x->h * x->w;
    const struct sdg_conv_geometry same = sdg_conv_same(1, x->h, x->w, 3);
    struct sdg_prologue pro;
    sdg_op_groupnorm(o, &pro, x->data, &r->norm1, 1, hw, x->c, SDG_VAE_GROUPS, SDG_VAE_NORM_EPS,
                     true);
    float *inner = sdg_vae_convolve(x, &pro, &r->conv1);
    sdg_op_groupnorm(o, &pro, inner, &r->norm2, 1, hw, x->c, SDG_VAE_GROUPS, SDG_VAE_NORM_EPS,
                     true);
    sdg_op_conv(o, x->data, inner, &pro, &r->conv2, NULL, x->data, &same);
}

/* The width changes: what flows through the block, and the shortcut behind that. */
static void change_width(struct sdg_vae_trunk *x, const struct sdg_vae_resblock *r)
{
    struct sdg_ops *o = x->o;
    const size_t hw = x->h * x->w, c_out = out_channels(&r->conv1);
    const struct sdg_conv_geometry same = sdg_conv_same(1, x->h, x->w, 3);
    const struct sdg_linear shortcut = {r->shortcut.weight, r->shortcut.bias};
    struct sdg_prologue pro;
    sdg_op_groupnorm(o, &pro, x->data, &r->norm1, 1, hw, x->c, SDG_VAE_GROUPS, SDG_VAE_NORM_EPS,
                     true);
    float *inner = sdg_vae_convolve(x, &pro, &r->conv1);
    float *y = sdg_vae_room(x, hw * c_out, hw * c_out);
    sdg_op_linear(o, y, x->data, NULL, &shortcut, 1, hw, false);
    sdg_op_groupnorm(o, &pro, inner, &r->norm2, 1, hw, c_out, SDG_VAE_GROUPS, SDG_VAE_NORM_EPS,
                     true);
    sdg_op_conv(o, y, inner, &pro, &r->conv2, NULL, y, &same);
    sdg_vae_settle(x, y, x->h, x->w, c_out);
}

/* What the two passes of a narrowing block share. */
struct narrowing {
    struct sdg_vae_trunk *x;
    const struct sdg_vae_resblock *r;
    struct strips in, inner; /* x, and the result of conv1 in its place */
    size_t c_out;
};

static size_t strip_end(const struct strips *s, size_t from)
{
    return from + s->lines < s->h ? from + s->lines : s->h;
}

/* Each strip of x becomes conv1(SiLU(GN(x))) and, behind it, shortcut(x): twice as many values of
 * half as many channels. Collects the sums of the former. */
static void narrow_strips(const struct narrowing *n, const struct sdg_prologue *pro,
                          struct sdg_map_sums *sums)
{
    struct sdg_ops *o = n->x->o;
    const size_t mark = sdg_arena_mark(o->work), w = n->x->w;
    const struct sdg_linear shortcut = {n->r->shortcut.weight, n->r->shortcut.bias};
    struct sdg_conv_geometry g = sdg_conv_same(1, n->x->h, w, 3);
    struct window win = take_window(o, &n->in, n->in.lines);
    for (size_t from = 0; from < n->x->h; from += n->in.lines) {
        const size_t to = strip_end(&n->in, from), rows = (to - from) * w;
        float *y = n->x->data + from * n->in.line;
        move_window(o, &win, &n->in, from, to, true);
        g.from = from;
        g.lines = to - from;
        g.x_from = win.first;
        sdg_op_conv(o, y, win.data, pro, &n->r->conv1, NULL, NULL, &g);
        sdg_op_linear(o, y + rows * n->c_out, win.data + (from - win.first) * n->in.line, NULL,
                      &shortcut, 1, rows, false);
        sdg_op_sums_add(o, sums, y, from * w, rows);
    }
    sdg_arena_release(o->work, mark);
}

/* conv2 of each strip of the inner map, added to its shortcut, moves up to where strips lie without
 * gaps: over lines that were read long ago. */
static void finish_strips(const struct narrowing *n, const struct sdg_prologue *pro)
{
    struct sdg_ops *o = n->x->o;
    const size_t mark = sdg_arena_mark(o->work), w = n->x->w;
    struct sdg_conv_geometry g = sdg_conv_same(1, n->x->h, w, 3);
    struct window win = take_window(o, &n->inner, n->inner.lines);
    for (size_t from = 0; from < n->x->h; from += n->inner.lines) {
        const size_t to = strip_end(&n->inner, from);
        const float *shortcut = n->x->data + from * n->in.line + (to - from) * n->inner.line;
        move_window(o, &win, &n->inner, from, to, true);
        g.from = from;
        g.lines = to - from;
        g.x_from = win.first;
        sdg_op_conv(o, n->x->data + from * n->inner.line, win.data, pro, &n->r->conv2, NULL,
                    shortcut, &g);
    }
    sdg_arena_release(o->work, mark);
}

/* The width is halved, or more: all in the place of x. */
static void narrow(struct sdg_vae_trunk *x, const struct sdg_vae_resblock *r)
{
    struct sdg_ops *o = x->o;
    const size_t line = x->w * x->c, lines = strip_lines(o, x->h, x->w, line);
    struct narrowing n = {.x = x, .r = r, .c_out = out_channels(&r->conv1)};
    n.in = (struct strips) {x->data, x->h, line, lines, lines * line};
    n.inner = (struct strips) {x->data, x->h, x->w * n.c_out, lines, lines * line};
    struct sdg_prologue pro;
    struct sdg_map_sums sums;
    sdg_op_groupnorm(o, &pro, x->data, &r->norm1, 1, x->h * x->w, x->c, SDG_VAE_GROUPS,
                     SDG_VAE_NORM_EPS, true);
    sdg_op_sums_begin(o, &sums, x->h * x->w, n.c_out);
    narrow_strips(&n, &pro, &sums);
    sdg_op_sums_end(o, &pro, &sums, &r->norm2, SDG_VAE_GROUPS, SDG_VAE_NORM_EPS, true);
    finish_strips(&n, &pro);
    sdg_vae_shape(x, x->h, x->w, n.c_out);
}

void sdg_vae_resblock(struct sdg_vae_trunk *x, const struct sdg_vae_resblock *r)
{
    const size_t mark = sdg_arena_mark(x->o->work);
    if (!r->shortcut.weight.data)
        keep_width(x, r);
    else if (2 * out_channels(&r->conv1) <= x->c)
        narrow(x, r);
    else
        change_width(x, r);
    sdg_arena_release(x->o->work, mark);
}

/* ---- attention, resampling ------------------------------------------------------------------- */

/* x [t][c] += out(softmax(q k^T / sqrt(c)) v), all memory from o->work. */
static void attend_in(struct sdg_ops *o, float *x, const struct sdg_vae_attention *a, size_t t,
                      size_t c)
{
    float *y = sdg_arena_floats(o->work, t * c), *q = sdg_arena_floats(o->work, t * c);
    float *k = sdg_arena_floats(o->work, t * c), *v = sdg_arena_floats(o->work, t * c);
    struct sdg_prologue pro;
    sdg_op_groupnorm(o, &pro, x, &a->norm, 1, t, c, SDG_VAE_GROUPS, SDG_VAE_NORM_EPS, false);
    sdg_op_apply(o, y, x, &pro, 1, t, c);
    float *const qkv[] = {q, k, v};
    const struct sdg_linear *const layers[] = {&a->q, &a->k, &a->v};
    sdg_op_linears(o, qkv, y, NULL, layers, 3, 1, t);
    sdg_op_attention(o, y, q, k, v, 1, t, t, 1, c, c, c, c, false);
    sdg_op_linear(o, x, y, NULL, &a->out, 1, t, true);
}

/* The buffer is mostly empty in the middle: even the scratch of the operations, which grows with
 * the map here, comes from behind the map. */
void sdg_vae_attend(struct sdg_vae_trunk *x, const struct sdg_vae_attention *a)
{
    const size_t line = SDG_ARENA_ALIGN / sizeof(float);
    const size_t used = (size_of(x) + line - 1) / line * line;
    struct sdg_arena tail = {.base = (char *)(x->data + used)};
    struct sdg_ops o = *x->o;
    if (o.dry)
        sdg_arena_measure(&tail);
    else
        tail.size = (x->need - used) * sizeof(float);
    o.work = &tail;
    attend_in(&o, x->data, a, x->h * x->w, x->c);
    x->o->macs = o.macs;
    ask_for(x, used + tail.peak / sizeof(float));
}

/* The doubled map has four times the values: line i of x lies where lines i/2 of it do, so strips
 * from the last to the first write only over lines of x that lie behind what is still to be read.
 */
void sdg_vae_upsample(struct sdg_vae_trunk *x, const struct sdg_conv *conv)
{
    struct sdg_ops *o = x->o;
    const size_t mark = sdg_arena_mark(o->work), line = x->w * x->c;
    const size_t doubled = strip_lines(o, 2 * x->h, 2 * x->w, 2 * line);
    const size_t lines = doubled < 2 * x->h ? doubled / 2 : x->h;
    const struct strips s = {x->data, x->h, line, lines, lines * line};
    struct window win = take_window(o, &s, lines);
    struct sdg_conv_geometry g = sdg_conv_same(1, x->h, x->w, 3);
    g.up = 2;
    g.vh = g.oh = 2 * x->h;
    g.vw = g.ow = 2 * x->w;
    for (size_t i = (x->h + lines - 1) / lines; i-- > 0;) {
        const size_t from = i * lines, to = strip_end(&s, from);
        move_window(o, &win, &s, from, to, false);
        g.from = 2 * from;
        g.lines = 2 * (to - from);
        g.x_from = win.first;
        sdg_op_conv(o, x->data + from * 4 * line, win.data, NULL, conv, NULL, NULL, &g);
    }
    sdg_arena_release(o->work, mark);
    sdg_vae_shape(x, 2 * x->h, 2 * x->w, x->c);
}

void sdg_vae_downsample(struct sdg_vae_trunk *x, const struct sdg_conv *conv)
{
    struct sdg_conv_geometry g = sdg_conv_same(1, x->h, x->w, 3);
    g.oh = x->h / 2;
    g.ow = x->w / 2;
    g.stride = 2;
    g.pad = 0;
    float *y = sdg_vae_room(x, 0, g.oh * g.ow * x->c);
    sdg_op_conv(x->o, y, x->data, NULL, conv, NULL, NULL, &g);
    sdg_vae_settle(x, y, g.oh, g.ow, x->c);
}
