/* phases.c - a 3x3 convolution behind a nearest-neighbour doubling, on the small map.
 *
 * Of the three lines that an output line reads in the doubled map two are the same line of the
 * small one; so their weights can be added beforehand. Which two depends on the line being even or
 * odd, and likewise for columns: four phases, each a 2x2 filter on the small map.
 *
 *      doubled   a a b b c c       even output 2i:   (w0) x[i-1] + (w1 + w2) x[i]
 *      taps      . w0 w1 w2 .      odd output 2i+1:  (w0 + w1) x[i] + (w2) x[i+1]
 *
 * 16 products for four outputs instead of 36, a quarter of the input to prepare, and the same in
 * exact arithmetic: a line of zeros around the doubled map is one around the small map. The trick
 * is older than networks, a polyphase filter (Vaidyanathan 1990, "Multirate digital filters"). */
#include "ops/phases.h"

#include <string.h>

#include "ops/prepare.h"

enum {
    STRIP_BYTES = 16 << 20,
    MOST_ROWS = 448,   /* of A in a task */
    MOST_DEPTH = 4096, /* of a panel at a time */
};

struct phases {
    const struct sdg_convolution *c;
    struct sdg_conv_geometry small; /* of the map as it is */
    struct sdg_padded strip;
    struct sdg_cut images, bands;
    struct sdg_span at, lines; /* images and lines of the strip at hand */
    struct sdg_cut blocks;     /* of its lines */
    struct sdg_scratch scratch;
    size_t tap; /* weights of a panel's tap */
    size_t raw_floats, wide_floats, folded_floats;
};

/* ---- plan ------------------------------------------------------------------------------------ */

static struct phases plan(const struct sdg_convolution *c)
{
    struct phases g = {.c = c, .small = c->g};
    g.small.vh = g.small.oh = c->g.h;
    g.small.vw = g.small.ow = c->g.w;
    g.small.up = 1;
    const struct sdg_matmul *mul = c->panels.mul;
    const size_t element = sdg_matmul_element(mul);
    g.strip.pitch = sdg_row_pitch(mul, c->panels.in);
    g.strip.columns = c->g.w + 2;
    const size_t line = g.strip.columns * g.strip.pitch * element, all = c->g.oh / 2;
    const size_t lines = sdg_strip_bytes(c->o, STRIP_BYTES) / line, fit = lines / (all + 2);
    g.images = sdg_cut_at_most(c->g.n, fit ? fit : 1, 1);
    g.bands = sdg_cut_at_most(all, fit ? all : lines > 3 ? lines - 2 : 1, 1);
    g.strip.y = sdg_arena_alloc(c->o->work, g.images.size * (g.bands.size + 2), line);

    g.tap = c->panels.depth * mul->nr;
    g.raw_floats = (sdg_panel_scratch(&c->panels) + 15) / 16 * 16;
    g.wide_floats = 9 * g.tap;
    g.folded_floats = 4 * g.tap;
    g.scratch = sdg_scratch_take(c->o, g.raw_floats + g.wide_floats + g.folded_floats + g.tap);
    return g;
}

/* ---- weights --------------------------------------------------------------------------------- */

/* Panel i in f32, [9][tap]. */
static const float *widen(const struct phases *g, size_t i, float *raw, float *wide)
{
    const struct sdg_panels *p = &g->c->panels;
    const void *panel = sdg_panel_get(p, i, raw);
    if (p->mul->input == SDG_INPUT_F32) return panel;
    g->c->o->k->widen_bf16(wide, panel, 9 * g->tap);
    return wide;
}

/* Which lines of the filter fall onto line r of the 2x2 filter of a phase. */
static struct sdg_span lines_of(size_t phase, size_t r)
{
    if (r == 0) return (struct sdg_span) {0, phase + 1};
    return (struct sdg_span) {phase + 1, 2 - phase};
}

/* The four taps of phase (a, b), in the type that the product reads. */
static void fold(const struct phases *g, char *folded, const float *wide, float *sum, size_t a,
                 size_t b)
{
    const struct sdg_matmul *mul = g->c->panels.mul;
    const size_t bytes = g->tap * sdg_matmul_element(mul);
    for (size_t t = 0; t < 4; t++) {
        const struct sdg_span rows = lines_of(a, t / 2), columns = lines_of(b, t % 2);
        float *to = mul->input == SDG_INPUT_F32 ? (float *)(void *)(folded + t * bytes) : sum;
        bool first = true;
        for (size_t i = rows.first; i < rows.first + rows.count; i++)
            for (size_t j = columns.first; j < columns.first + columns.count; j++) {
                const float *from = wide + (i * 3 + j) * g->tap;
                if (first)
                    memcpy(to, from, g->tap * sizeof *to);
                else
                    g->c->o->k->add(to, from, g->tap);
                first = false;
            }
        if (to == sum)
            mul->prep(folded + t * bytes, g->tap, sum, g->tap, NULL, NULL, false, 1, g->tap,
                      g->tap);
    }
}

/* ---- products -------------------------------------------------------------------------------- */

/* Outputs of phase (a, b) above one line of the strip, for the channels of a panel. */
static struct sdg_product line_of(const struct phases *g, size_t panel, size_t line, size_t a,
                                  size_t b)
{
    const struct sdg_convolution *c = g->c;
    const struct sdg_panels *p = &c->panels;
    const size_t image = line / g->lines.count, l = line % g->lines.count;
    const size_t first = panel * p->mul->nr, left = p->out - first;
    const size_t to_line = 2 * (g->lines.first + l) + a;
    const size_t to = (((g->at.first + image) * c->g.oh + to_line) * c->g.ow + b) * p->out + first;
    const size_t from = (image * g->strip.lines + l) * g->strip.columns * g->strip.pitch;
    return (struct sdg_product) {
        .c = c->y + to,
        .ldc = 2 * p->out,
        .base = c->residual ? c->residual + to : NULL,
        .ld_base = 2 * p->out,
        .bias = c->bias ? c->bias + (g->at.first + image) * p->out + first : NULL,
        .a = (const char *)g->strip.y + from * sdg_matmul_element(p->mul),
        .lda = g->strip.pitch,
        .m = c->g.w,
        .n = left < p->mul->nr ? left : p->mul->nr,
        .k = p->depth,
    };
}

/* Phase (a, b) of a block of lines; long panels some taps at a time, as in product.c. */
static void run_phase(const struct phases *g, size_t panel, const char *folded,
                      const struct sdg_span *lines, size_t a, size_t b)
{
    const struct sdg_padded *s = &g->strip;
    const size_t depth = g->c->panels.depth, bytes = g->tap * sdg_matmul_element(g->c->panels.mul);
    const size_t most = 4 * depth <= MOST_DEPTH ? 4 : 2 * depth <= MOST_DEPTH ? 2 : 1;
    ptrdiff_t taps[4];
    for (size_t t = 0; t < 4; t++)
        taps[t] = (ptrdiff_t)(((a + t / 2) * s->columns + b + t % 2) * s->pitch);
    for (size_t t = 0; t < 4; t += most)
        for (size_t line = lines->first; line < lines->first + lines->count; line++) {
            struct sdg_product product = line_of(g, panel, line, a, b);
            product.taps = taps + t;
            product.tap_count = most;
            product.b = folded + t * bytes;
            if (t) { /* the sums so far, with what they began from */
                product.base = product.c;
                product.bias = NULL;
            }
            g->c->panels.mul->run(&product);
        }
}

static void run_task(void *arg, size_t task, int worker)
{
    const struct phases *g = arg;
    const size_t panel = task % g->c->panels.count;
    const struct sdg_span lines = sdg_cut_piece(&g->blocks, task / g->c->panels.count);
    float *raw = sdg_scratch_of(&g->scratch, worker), *wide = raw + g->raw_floats;
    float *folded = wide + g->wide_floats, *sum = folded + g->folded_floats;
    const float *weights = widen(g, panel, raw, wide);
    for (size_t phase = 0; phase < 4; phase++) {
        fold(g, (char *)folded, weights, sum, phase / 2, phase % 2);
        run_phase(g, panel, (const char *)folded, &lines, phase / 2, phase % 2);
    }
}

/* ---- strips ---------------------------------------------------------------------------------- */

static void run_strip(struct phases *g)
{
    const struct sdg_convolution *c = g->c;
    g->strip.image = g->at.first;
    g->strip.images = g->at.count;
    g->strip.line = c->g.from / 2 + g->lines.first;
    g->strip.lines = g->lines.count + 2;
    sdg_prepare_map(c->o, &g->strip, c->panels.mul, c->x, c->panels.in, c->pro, &g->small);
    const size_t lines = g->at.count * g->lines.count, most = MOST_ROWS / c->g.w;
    g->blocks = sdg_cut_at_most(lines, most ? most : 1, 1);
    sdg_ops_for(c->o, g->blocks.count * c->panels.count, run_task, g);
}

void sdg_phases(const struct sdg_convolution *c)
{
    const size_t mark = sdg_arena_mark(c->o->work);
    struct phases g = plan(c);
    for (size_t i = 0; !c->o->dry && i < g.images.count; i++)
        for (size_t b = 0; b < g.bands.count; b++) {
            g.at = sdg_cut_piece(&g.images, i);
            g.lines = sdg_cut_piece(&g.bands, b);
            run_strip(&g);
        }
    sdg_arena_release(c->o->work, mark);
}
