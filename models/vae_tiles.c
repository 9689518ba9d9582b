/* vae_tiles.c - decoding tile by tile with blended seams: see sdg_vae_decode_tiled in vae.h.
 *
 * What diffusers does (models/autoencoders/autoencoder_kl.py, AutoencoderKL.tiled_decode): tiles of
 * the latent overlap, each is decoded as a picture of its own, and where two overlap the later one
 * is faded in, first from above, then from the left.
 *
 *      +-------+---+-------+      Rows are made from left to right and from top to bottom. A tile
 *      |       | / |       |      that is finished leaves its last columns to its right neighbour
 *      +-------+---+-------+      and its last lines to the one below, blended as they are; all
 * that | / / / |   | / / / |      the neighbours will not blend over goes into the picture.
 *      +-------+---+-------+
 *
 * GroupNorm's statistics are those of a tile, so a tiled picture is not the whole one: its shades
 * differ a little from tile to tile, which the blending hides. */
#include "models/vae.h"

#include <string.h>

/* A row or column of tiles. */
struct axis {
    size_t size, step, count; /* latent: of a tile, from one tile to the next; tiles */
    size_t total;             /* latent */
    size_t blend;             /* pixels that are blended */
};

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static struct axis axis_of(size_t total, size_t tile, double overlap, size_t factor)
{
    struct axis a = {.size = smaller(tile, total), .total = total};
    a.step = (size_t)((double)tile * (1 - overlap));
    if (a.step < 1) a.step = 1;
    a.blend = (tile - a.step) * factor;
    a.count = (total + a.step - 1) / a.step;
    return a;
}

/* A latent that fits into a tile is decoded as a whole; one that is larger in one direction is cut
 * in both, as diffusers does, where a last tile may bring nothing but lines to blend. */
static void cut(struct axis *rows, struct axis *columns, size_t h, size_t w,
                const struct sdg_vae_tiling *t, size_t factor)
{
    const bool fits = h <= t->h && w <= t->w;
    *rows = axis_of(h, fits ? h : t->h, fits ? 0 : t->overlap, factor);
    *columns = axis_of(w, fits ? w : t->w, fits ? 0 : t->overlap, factor);
}

/* Extent of tile i in the latent. */
static size_t extent_of(const struct axis *a, size_t i)
{
    const size_t left = a->total - i * a->step;
    return left < a->size ? left : a->size;
}

struct tiles {
    struct sdg_ops *o;
    const struct sdg_vae *m;
    struct axis rows, columns;
    size_t factor, channels; /* of the image */
    float *z;                /* [z][h][w] of a tile */
    float *tile;             /* [c][h][w], decoded */
    float *left;             /* [c][h][blend]: last columns of the tile before */
    float *above;            /* [columns][c][blend][w]: last lines of the row before */
};

/* ---- seams ----------------------------------------------------------------------------------- */

/* b = a (1 - i/n) + b i/n, rounded as torch rounds it. */
static void fade(float *b, const float *a, size_t count, size_t i, size_t n)
{
    const double share = (double)i / (double)n;
    const float of_a = (float)(1.0 - share), of_b = (float)share;
    for (size_t k = 0; k < count; k++) b[k] = a[k] * of_a + b[k] * of_b;
}

/* Lines of the tile [c][h][w], faded in over the last ones of the tile above it. */
static void blend_from_above(const struct tiles *t, const float *above, size_t h, size_t w)
{
    const size_t room = t->rows.blend, n = smaller(room, h);
    for (size_t c = 0; c < t->channels; c++)
        for (size_t i = 0; i < n; i++)
            fade(t->tile + (c * h + i) * w, above + (c * room + room - n + i) * w, w, i, n);
}

static void blend_from_left(const struct tiles *t, size_t h, size_t w)
{
    const size_t room = t->columns.blend, n = smaller(room, w);
    for (size_t line = 0; line < t->channels * h; line++)
        for (size_t j = 0; j < n; j++)
            fade(t->tile + line * w + j, t->left + line * room + room - n + j, 1, j, n);
}

static void keep_columns(const struct tiles *t, size_t h, size_t w)
{
    const size_t room = t->columns.blend, n = smaller(room, w);
    for (size_t line = 0; line < t->channels * h; line++)
        memcpy(t->left + (line + 1) * room - n, t->tile + (line + 1) * w - n, n * sizeof(float));
}

static void keep_lines(const struct tiles *t, float *above, size_t h, size_t w)
{
    const size_t room = t->rows.blend, n = smaller(room, h);
    for (size_t c = 1; c <= t->channels; c++)
        memcpy(above + (c * room - n) * w, t->tile + (c * h - n) * w, n * w * sizeof(float));
}

/* ---- tiles ----------------------------------------------------------------------------------- */

static void cut_latent(const struct tiles *t, const float *z, size_t row, size_t column, size_t h,
                       size_t w)
{
    for (size_t c = 0; c < (size_t)t->m->config.z_channels; c++)
        for (size_t i = 0; i < h; i++)
            memcpy(t->z + (c * h + i) * w,
                   z + (c * t->rows.total + row * t->rows.step + i) * t->columns.total +
                       column * t->columns.step,
                   w * sizeof *z);
}

/* What of the tile no later one blends over. */
static void paste(const struct tiles *t, float *image, size_t row, size_t column, size_t h,
                  size_t w)
{
    const size_t f = t->factor, width = t->columns.total * f, height = t->rows.total * f;
    const size_t lines = smaller(h, t->rows.step * f), pixels = smaller(w, t->columns.step * f);
    for (size_t c = 0; c < t->channels; c++)
        for (size_t i = 0; i < lines; i++)
            memcpy(image + (c * height + row * t->rows.step * f + i) * width +
                       column * t->columns.step * f,
                   t->tile + (c * h + i) * w, pixels * sizeof *image);
}

static void run_tile(const struct tiles *t, float *image, const float *z, size_t row, size_t column)
{
    const size_t zh = extent_of(&t->rows, row), zw = extent_of(&t->columns, column);
    const size_t h = zh * t->factor, w = zw * t->factor;
    const size_t room = t->channels * t->rows.blend * t->columns.size * t->factor;
    float *above = t->above + column * room;
    if (!t->o->dry) cut_latent(t, z, row, column, zh, zw);
    sdg_vae_decode(t->o, t->tile, t->z, t->m, 1, zh, zw);
    if (t->o->dry) return;
    if (row > 0) blend_from_above(t, above, h, w);
    if (column > 0) blend_from_left(t, h, w);
    if (column + 1 < t->columns.count) keep_columns(t, h, w);
    if (row + 1 < t->rows.count) keep_lines(t, above, h, w);
    paste(t, image, row, column, h, w);
}

size_t sdg_vae_tile_count(size_t h, size_t w, const struct sdg_vae_tiling *tiling)
{
    struct axis rows, columns;
    cut(&rows, &columns, h, w, tiling, 1);
    return rows.count * columns.count;
}

void sdg_vae_decode_tiled(struct sdg_ops *o, float *image, const float *z, const struct sdg_vae *m,
                          size_t h, size_t w, const struct sdg_vae_tiling *tiling)
{
    const size_t mark = sdg_arena_mark(o->work), f = (size_t)sdg_vae_factor(&m->config);
    struct tiles t = {.o = o, .m = m, .factor = f};
    t.channels = (size_t)m->config.image_channels;
    cut(&t.rows, &t.columns, h, w, tiling, f);
    const size_t zs = t.rows.size * t.columns.size, pixels = zs * f * f;
    t.z = sdg_arena_floats(o->work, (size_t)m->config.z_channels * zs);
    t.tile = sdg_arena_floats(o->work, t.channels * pixels);
    t.left = sdg_arena_floats(o->work, t.channels * t.rows.size * f * t.columns.blend);
    t.above =
        sdg_arena_floats(o->work, t.columns.count * t.channels * t.rows.blend * t.columns.size * f);
    for (size_t row = 0; row < t.rows.count; row++)
        for (size_t column = 0; column < t.columns.count; column++)
            run_tile(&t, image, z, row, column);
    sdg_arena_release(o->work, mark);
}
