/* product.c - see product.h.
 *
 * A task is a block of about MOST_ROWS rows by a group of panels, so that its part of A stays in
 * the second cache while panel after panel passes by. Long panels are fed tap by tap, as much as
 * the second cache holds beside A: sums wait in y meanwhile, as f32, as they would in a register.
 */
#include "ops/product.h"

enum {
    MOST_ROWS = 448,
    LEAST_TASKS = 64,  /* if there are panels for it: room for many threads */
    MOST_DEPTH = 4096, /* of a panel at a time */
};

struct task_grid {
    const struct sdg_multiply *m;
    struct sdg_cut lines;  /* over the lines of all images */
    struct sdg_cut groups; /* of panels; of pairs of panels with geglu */
    struct sdg_scratch scratch;
    size_t panel_floats; /* of scratch; behind them the tile of geglu */
};

static const void *a_of(const struct sdg_multiply *m, size_t image, size_t line)
{
    const size_t at = image * m->a_at.image + line * m->a_at.line;
    return (const char *)m->a + at * sdg_matmul_element(m->panels->mul);
}

static size_t rows_of(const struct sdg_multiply *m, size_t line)
{
    return line + 1 == m->lines ? m->last_rows : m->rows;
}

/* Where in y the part of a line begins that panel `i` makes. */
static size_t place_of(const struct sdg_multiply *m, size_t i, size_t line)
{
    return line / m->lines * m->y_at.image + line % m->lines * m->y_at.line +
           i * m->panels->mul->nr;
}

/* The part of a line that panel `i` makes, from taps [tap, tap + count). */
static struct sdg_product part_of(const struct sdg_multiply *m, size_t i, const void *panel,
                                  size_t line, size_t tap, size_t count)
{
    const struct sdg_panels *p = m->panels;
    const size_t image = line / m->lines, l = line % m->lines, first = i * p->mul->nr;
    const size_t at = place_of(m, i, line);
    const size_t step = p->depth * p->mul->nr * sdg_matmul_element(p->mul);
    struct sdg_product product = {
        .c = m->next ? NULL : m->y + at,
        .ldc = m->y_at.row,
        .base = m->residual ? m->residual + at : NULL,
        .ld_base = m->y_at.row,
        .bias = m->bias ? m->bias + image * m->bias_image + first : NULL,
        .a = a_of(m, image, l),
        .lda = m->a_at.row,
        .taps = m->taps + tap,
        .tap_count = count,
        .b = (const char *)panel + tap * step,
        .m = rows_of(m, l),
        .n = p->out - first < p->mul->nr ? p->out - first : p->mul->nr,
        .k = p->depth,
    };
    if (tap) { /* the sums so far, with what they began from */
        product.base = product.c;
        product.bias = NULL;
    }
    return product;
}

static void run_panel(const struct task_grid *g, size_t i, const struct sdg_span *lines,
                      float *scratch)
{
    const struct sdg_multiply *m = g->m;
    const struct sdg_panels *p = m->panels;
    const void *panel = sdg_panel_get(p, i, scratch);
    size_t most = MOST_DEPTH / p->depth;
    if (most == 0) most = 1;
    for (size_t tap = 0; tap < p->taps; tap += most) {
        const size_t count = p->taps - tap < most ? p->taps - tap : most;
        for (size_t line = lines->first; line < lines->first + lines->count; line++) {
            const struct sdg_product product = part_of(m, i, panel, line, tap, count);
            p->mul->run(&product);
        }
    }
}

/* Value and gate of nr channels, side by side in a tile [rows][2 nr], then one out of two. */
static void run_pair(const struct task_grid *g, size_t i, const struct sdg_span *lines,
                     float *scratch)
{
    const struct sdg_multiply *m = g->m;
    const struct sdg_panels *p = m->panels;
    const size_t nr = p->mul->nr;
    float *second = scratch + sdg_panel_scratch(p), *tile = scratch + g->panel_floats;
    float *gated = tile + m->rows * 2 * nr;
    const void *value = sdg_panel_get(p, i, scratch);
    const void *gate = sdg_panel_get(p, i + p->count / 2, second);
    for (size_t line = lines->first; line < lines->first + lines->count; line++) {
        struct sdg_product product = part_of(m, i, value, line, 0, 1);
        const size_t at = place_of(m, i, line);
        product.ldc = 2 * nr;
        product.c = tile;
        p->mul->run(&product);
        product = part_of(m, i + p->count / 2, gate, line, 0, 1);
        product.ldc = 2 * nr;
        product.c = tile + nr;
        p->mul->run(&product);
        for (size_t r = 0; r < product.m && !m->next; r++)
            p->o->k->geglu(m->y + at + r * m->y_at.row, tile + r * 2 * nr, 1, nr);
        if (!m->next) continue;
        p->o->k->geglu(gated, tile, product.m, nr);
        p->mul->prep((char *)m->next + at * sdg_matmul_element(p->mul), m->y_at.row, gated, nr,
                     NULL, NULL, false, product.m, nr, nr);
    }
}

static void run_task(void *arg, size_t task, int worker)
{
    const struct task_grid *g = arg;
    const struct sdg_span lines = sdg_cut_piece(&g->lines, task / g->groups.count);
    const struct sdg_span panels = sdg_cut_piece(&g->groups, task % g->groups.count);
    float *scratch = sdg_scratch_of(&g->scratch, worker);
    for (size_t i = panels.first; i < panels.first + panels.count; i++)
        if (g->m->geglu)
            run_pair(g, i, &lines, scratch);
        else
            run_panel(g, i, &lines, scratch);
}

bool sdg_multiply_can_geglu(const struct sdg_panels *p)
{
    return p->taps == 1 && p->out % (2 * p->mul->nr) == 0;
}

void sdg_multiply(struct sdg_ops *o, const struct sdg_multiply *m)
{
    const struct sdg_panels *p = m->panels;
    struct task_grid g = {.m = m};
    const size_t mark = sdg_arena_mark(o->work), units = m->geglu ? p->count / 2 : p->count;
    g.panel_floats = sdg_panel_scratch(p) * (m->geglu ? 2 : 1);
    g.scratch = sdg_scratch_take(o, g.panel_floats +
                                        (m->geglu ? m->rows * (m->next ? 3 : 2) * p->mul->nr : 0));
    if (!o->dry && m->images && m->lines && units) {
        const size_t most = MOST_ROWS / m->rows ? MOST_ROWS / m->rows : 1;
        g.lines = sdg_cut_at_most(m->images * m->lines, most, 1);
        const size_t wanted = (LEAST_TASKS + g.lines.count - 1) / g.lines.count;
        g.groups = sdg_cut_at_most(units, (units + wanted - 1) / wanted, 1);
        sdg_ops_for(o, g.lines.count * g.groups.count, run_task, &g);
    }
    sdg_arena_release(o->work, mark);
}
