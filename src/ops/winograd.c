/* winograd.c - convolution by Winograd's minimal filtering (Lavin & Gray 2016; the equation stands
 * in kernels.h): of an m x m tile of outputs, (m + 2)^2 points instead of 9 m^2 products.
 *
 *      padded strip      V [slice][point][tile][channels]     y
 *      + - - +           of a slice of the channels: for      each task makes a block of
 *      | tile|   ----->  every point the rows of A of a  ---> tiles, all channels of one
 *      + - - +   input   matrix product                       panel of outputs
 *
 * A task goes slice by slice: transforms the panel's weights of the slice into its scratch, then
 * multiplies point by point onto the sums [point][tile][nr] that wait there too; after the last
 * slice they are transformed into y. So transformed weights, four times as large as the filter,
 * never exist as a whole. Small blocks keep the sums in a core's second cache: twice or four times
 * as many tiles were slower. But transforming weights takes the instructions of 5 tiles of products
 * (4x4), or of 10 (2x2, bf16), so where there is enough work for all threads a task takes several
 * blocks, one after the other under the same weights; not so many that the third cache would lose
 * their inputs before the next panel.
 *
 * Tiles are rows of A, which do not know each other: neither blocks and their groups nor strips
 * nor other images can change a bit. */
#include "ops/winograd.h"

#include "ops/prepare.h"

enum {
    STRIP_BYTES = 40 << 20, /* of V */
    MOST_TILES = 56,        /* of a block */
    MOST_BLOCKS = 4,        /* of a task */
    LEAST_TASKS = 8,        /* for each thread, if a task is to have more than one; */
    GROUP_BYTES = 8 << 20,  /* then the most of V that one reads, which panel after panel reads */
    SLICE_BYTES = 1280,     /* of a tile's channels at a time */
    LINE = SDG_ARENA_ALIGN
};

struct winograd {
    const struct sdg_convolution *c;
    const struct sdg_winograd *w;
    const struct sdg_matmul *mul;
    size_t points, tile_rows, tile_columns; /* of an image */
    struct sdg_cut slices;                  /* of channels */
    struct sdg_cut images, bands;           /* strips: several images, or a band of tile rows */
    struct sdg_padded strip;
    char *v;
    size_t v_point;            /* elements */
    struct sdg_span at, lines; /* images and tile rows of the strip at hand */
    struct sdg_cut blocks;     /* of its tiles */
    struct sdg_cut groups;     /* of its blocks */
    size_t most_blocks;        /* of a group */
    struct sdg_scratch scratch;
    size_t u_point, m_point; /* elements */
    size_t raw_floats, u_floats;
    size_t block_floats; /* of the sums of a block */
};

const struct sdg_matmul *sdg_winograd_product(const struct sdg_convolution *c, size_t tile)
{
    return tile == 4 ? &c->o->k->matmul_f32 : c->panels.mul;
}

const struct sdg_winograd *sdg_winograd_of(const struct sdg_convolution *c, size_t tile)
{
    const struct sdg_kernels *k = c->o->k;
    if (tile == 4) return &k->winograd_4_f32;
    return c->panels.mul->input == SDG_INPUT_BF16 ? &k->winograd_2_bf16 : &k->winograd_2_f32;
}

/* ---- plan ------------------------------------------------------------------------------------ */

/* Elements, rounded up to an odd number of cache lines: points lie apart by what no cache folds
 * onto a few of its sets. */
static size_t odd_lines(size_t elements, size_t element)
{
    const size_t lines = (elements * element + LINE - 1) / LINE;
    return (lines | 1) * LINE / element;
}

static void plan_scratch(struct winograd *g)
{
    const struct sdg_panels *p = &g->c->panels;
    const size_t element = sdg_matmul_element(g->mul), nr = g->mul->nr;
    g->u_point = odd_lines(g->slices.size * nr, element);
    g->m_point = odd_lines(MOST_TILES * nr, sizeof(float));
    g->raw_floats = p->packed.data ? 0 : (sdg_panel_scratch(p) + 15) / 16 * 16;
    g->u_floats = g->points * g->u_point * element / sizeof(float);
    g->block_floats = g->points * g->m_point;
    g->scratch =
        sdg_scratch_take(g->c->o, g->raw_floats + g->u_floats + g->most_blocks * g->block_floats);
}

/* Blocks of a task, for a strip of so many tiles. */
static size_t blocks_of_task(const struct winograd *g, size_t tiles)
{
    const size_t threads = g->c->o->threads > 1 ? (size_t)g->c->o->threads : 1;
    const size_t blocks = (tiles + MOST_TILES - 1) / MOST_TILES;
    const size_t fit = blocks * g->c->panels.count / (LEAST_TASKS * threads);
    const size_t v = MOST_TILES * g->points * g->slices.count * g->slices.size;
    const size_t cached = GROUP_BYTES / (v * sdg_matmul_element(g->mul));
    size_t most = fit < MOST_BLOCKS ? fit : MOST_BLOCKS;
    if (most > cached) most = cached;
    return most < 1 ? 1 : most < blocks ? most : blocks;
}

static struct winograd plan(const struct sdg_convolution *c, size_t tile)
{
    struct winograd g = {.c = c, .w = sdg_winograd_of(c, tile)};
    g.mul = sdg_winograd_product(c, tile);
    const size_t element = sdg_matmul_element(g.mul);
    g.points = (tile + 2) * (tile + 2);
    g.tile_rows = (c->g.oh + tile - 1) / tile;
    g.tile_columns = (c->g.ow + tile - 1) / tile;
    g.slices = sdg_cut_at_most(c->panels.depth, SLICE_BYTES / element, LINE / element);
    g.slices.size = (g.slices.size + LINE / element - 1) / (LINE / element) * (LINE / element);
    const size_t padded = g.slices.count * g.slices.size;
    const size_t row = g.tile_columns * padded * g.points * element;
    const size_t fit = sdg_strip_bytes(c->o, STRIP_BYTES) / row;
    g.images = sdg_cut_at_most(c->g.n, fit > g.tile_rows ? fit / g.tile_rows : 1, 1);
    g.bands = sdg_cut_at_most(g.tile_rows, fit ? fit : 1, 1);

    const size_t rows = g.images.size * g.bands.size;
    g.v_point = odd_lines(rows * g.tile_columns * g.slices.size, element);
    g.v = sdg_arena_alloc(c->o->work, g.slices.count * g.points * g.v_point, element);
    g.strip.pitch = sdg_row_pitch(&c->o->k->matmul_f32, c->panels.in);
    g.strip.columns = g.tile_columns * tile + 2;
    g.strip.y = sdg_arena_floats(c->o->work, g.images.size * (g.bands.size * tile + 2) *
                                                 g.strip.columns * g.strip.pitch);
    g.most_blocks = blocks_of_task(&g, rows * g.tile_columns);
    plan_scratch(&g);
    return g;
}

/* ---- input ----------------------------------------------------------------------------------- */

static struct sdg_span slice_of(const struct winograd *g, size_t i)
{
    return sdg_cut_piece(&g->slices, i);
}

/* Point q of a slice, from a tile of the strip on. */
static char *v_at(const struct winograd *g, size_t slice, size_t q, size_t tile)
{
    const size_t at = (slice * g->points + q) * g->v_point + tile * g->slices.size;
    return g->v + at * sdg_matmul_element(g->mul);
}

/* A row of tiles, a slice of channels. */
static void input_task(void *arg, size_t task, int worker)
{
    (void)worker;
    const struct winograd *g = arg;
    const size_t slice = task % g->slices.count, row = task / g->slices.count;
    const size_t image = row / g->lines.count, line = row % g->lines.count;
    const struct sdg_span channels = slice_of(g, slice);
    const struct sdg_padded *s = &g->strip;
    const size_t in = g->c->panels.in, left = in - channels.first;
    const struct sdg_winograd_input p = {
        .v = v_at(g, slice, 0, row * g->tile_columns),
        .v_point = g->v_point,
        .v_tile = g->slices.size,
        .x = (const float *)s->y + (image * s->lines + line * g->w->tile) * s->columns * s->pitch +
             channels.first,
        .x_line = s->columns * s->pitch,
        .x_pixel = s->pitch,
        .tiles = g->tile_columns,
        .c = left < channels.count ? left : channels.count,
        .padded = channels.count,
    };
    g->w->input(&p);
}

/* ---- products -------------------------------------------------------------------------------- */

/* The type of the panels' numbers, in which the transform reads them. */
static enum sdg_number number_of(const struct winograd *g)
{
    const struct sdg_panels *p = &g->c->panels;
    if (p->mul->input == SDG_INPUT_BF16)
        return g->w->type == SDG_INPUT_BF16 ? SDG_NUMBER_BF16 : SDG_NUMBER_PAIRS;
    if (!p->packed.data || p->packed.dtype == SDG_F32) return SDG_NUMBER_F32;
    return p->packed.dtype == SDG_F16 ? SDG_NUMBER_F16 : SDG_NUMBER_BF16;
}

/* Panel i as it is packed, without being widened first. */
static const char *panel_of(const struct winograd *g, size_t i, float *scratch)
{
    const struct sdg_panels *p = &g->c->panels;
    if (!p->packed.data) return sdg_panel_get(p, i, scratch);
    return (const char *)p->packed.data + i * sdg_panel_size(p) * sdg_dtype_size(p->packed.dtype);
}

/* The weights of a slice of channels, ready for the products. */
static void transform_slice(const struct winograd *g, float *u, const char *panel, size_t slice)
{
    const enum sdg_number from = number_of(g);
    const struct sdg_span channels = slice_of(g, slice);
    const size_t nr = g->mul->nr;
    const size_t stored = from == SDG_NUMBER_F32 ? 4 : 2;
    const struct sdg_winograd_weights weights = {.u = u,
                                                 .u_point = g->u_point,
                                                 .g = panel + channels.first * nr * stored,
                                                 .g_tap = g->c->panels.depth * nr,
                                                 .from = from,
                                                 .depth = channels.count,
                                                 .nr = nr};
    g->w->weights(&weights);
}

/* Adds a slice of channels to the sums of a block of tiles. */
static void multiply_slice(const struct winograd *g, float *sums, const float *u, size_t slice,
                           const struct sdg_span *tiles, size_t n)
{
    static const ptrdiff_t whole = 0;
    const struct sdg_span channels = slice_of(g, slice);
    const size_t nr = g->mul->nr, element = sdg_matmul_element(g->mul);
    for (size_t q = 0; q < g->points; q++) {
        float *c = sums + q * g->m_point;
        const struct sdg_product product = {
            .c = c,
            .ldc = nr,
            .base = slice ? c : NULL,
            .ld_base = nr,
            .a = v_at(g, slice, q, tiles->first),
            .lda = g->slices.size,
            .taps = &whole,
            .tap_count = 1,
            .b = (const char *)u + q * g->u_point * element,
            .m = tiles->count,
            .n = n,
            .k = channels.count,
        };
        g->mul->run(&product);
    }
}

/* Sums of a block into y, channels [first, first + n), one run of tiles per row of them. */
static void write_block(const struct winograd *g, const float *sums, const struct sdg_span *tiles,
                        size_t first, size_t n)
{
    const struct sdg_convolution *c = g->c;
    const size_t out = c->panels.out, m = g->w->tile;
    for (size_t t = tiles->first, end = t + tiles->count; t < end;) {
        const size_t row = t / g->tile_columns, column = t % g->tile_columns;
        const size_t room = g->tile_columns - column, count = room < end - t ? room : end - t;
        const size_t image = g->at.first + row / g->lines.count;
        const size_t line = (g->lines.first + row % g->lines.count) * m;
        const size_t at = ((image * c->g.oh + line) * c->g.ow + column * m) * out + first;
        const size_t lines = c->g.oh - line, pixels = c->g.ow - column * m;
        const struct sdg_winograd_output p = {
            .y = c->y + at,
            .y_line = c->g.ow * out,
            .y_pixel = out,
            .residual = c->residual ? c->residual + at : NULL,
            .bias = c->bias ? c->bias + image * out + first : NULL,
            .m = sums + (t - tiles->first) * g->mul->nr,
            .m_point = g->m_point,
            .m_tile = g->mul->nr,
            .lines = lines < m ? lines : m,
            .pixels = pixels < count * m ? pixels : count * m,
            .n = n,
        };
        g->w->output(&p);
        t += count;
    }
}

/* A group of blocks of tiles, a panel of outputs: panels change first, so that what all threads
 * read of V at a time is a few blocks. */
static void multiply_task(void *arg, size_t task, int worker)
{
    const struct winograd *g = arg;
    const struct sdg_panels *p = &g->c->panels;
    const struct sdg_span group = sdg_cut_piece(&g->groups, task / p->count);
    const size_t i = task % p->count, nr = g->mul->nr, left = p->out - i * nr;
    const size_t n = left < nr ? left : nr;
    float *raw = sdg_scratch_of(&g->scratch, worker), *u = raw + g->raw_floats;
    float *sums = u + g->u_floats;
    const char *panel = panel_of(g, i, raw);
    for (size_t s = 0; s < g->slices.count; s++) {
        transform_slice(g, u, panel, s);
        for (size_t b = 0; b < group.count; b++) {
            const struct sdg_span tiles = sdg_cut_piece(&g->blocks, group.first + b);
            multiply_slice(g, sums + b * g->block_floats, u, s, &tiles, n);
        }
    }
    for (size_t b = 0; b < group.count; b++) {
        const struct sdg_span tiles = sdg_cut_piece(&g->blocks, group.first + b);
        write_block(g, sums + b * g->block_floats, &tiles, i * nr, n);
    }
}

/* ---- strips ---------------------------------------------------------------------------------- */

static void run_strip(struct winograd *g)
{
    const struct sdg_convolution *c = g->c;
    struct sdg_padded *s = &g->strip;
    s->image = g->at.first;
    s->images = g->at.count;
    s->line = c->g.from + g->lines.first * g->w->tile;
    s->lines = g->lines.count * g->w->tile + 2;
    sdg_prepare_map(c->o, s, &c->o->k->matmul_f32, c->x, c->panels.in, c->pro, &c->g);
    const size_t rows = g->at.count * g->lines.count;
    sdg_ops_for(c->o, rows * g->slices.count, input_task, g);
    g->blocks = sdg_cut_at_most(rows * g->tile_columns, MOST_TILES, 1);
    g->groups = sdg_cut_at_most(g->blocks.count, g->most_blocks, 1);
    sdg_ops_for(c->o, g->groups.count * c->panels.count, multiply_task, g);
}

void sdg_winograd(const struct sdg_convolution *c, size_t tile)
{
    const size_t mark = sdg_arena_mark(c->o->work);
    struct winograd g = plan(c, tile);
    for (size_t i = 0; !c->o->dry && i < g.images.count; i++)
        for (size_t b = 0; b < g.bands.count; b++) {
            g.at = sdg_cut_piece(&g.images, i);
            g.lines = sdg_cut_piece(&g.bands, b);
            run_strip(&g);
        }
    sdg_arena_release(c->o->work, mark);
}
