/* conditioning.c - see conditioning.h.
 *
 * How texts of unequal length meet follows AUTOMATIC1111 stable-diffusion-webui 1.10, the only
 * program in which one prompt has several. modules/prompt_parser.py (get_learned_conditioning)
 * encodes all turns of a part as one batch: shorter ones get empty chunks (modules/
 * sd_hijack_clip.py, forward), and what emphasis restores is the mean over that batch, chunk by
 * chunk. Parts of an AND are encoded on their own; where one is shorter its last row is repeated
 * (prompt_parser.py, stack_conds).
 *
 * Prompt and negative prompt need no common length here: each image of a UNet pass brings a context
 * of its own (unet.h). A1111 makes two passes then, ComfyUI repeats the shorter one, which changes
 * no softmax over it. */
#include "pipeline/conditioning.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- layout ---- */

/* How long the encoding of a text is; one made of pieces has a chunk for each section. */
static size_t chunks_of(const struct sdg_prompt_text *text)
{
    return text->piece_count ? text->section_count : text->chunks.count;
}

static int by_text(const void *a, const void *b)
{
    const size_t x = ((const struct sdg_encoding *)a)->text;
    const size_t y = ((const struct sdg_encoding *)b)->text;
    return x < y ? -1 : x > y;
}

/* Appends the distinct texts of a part to e; returns how many. */
static size_t lay_out_part(struct sdg_encoding *e, const struct sdg_prompt *prompt,
                           const struct sdg_prompt_part *part)
{
    size_t count = 0, chunks = 1;
    for (size_t i = 0; i < part->count; i++) {
        const size_t text = part->turns[i].text, n = chunks_of(&prompt->texts[text]);
        e[i] = (struct sdg_encoding) {.text = text, .turns = 1};
        if (n > chunks) chunks = n;
    }
    qsort(e, part->count, sizeof *e, by_text);
    for (size_t i = 0; i < part->count; i++)
        if (count > 0 && e[count - 1].text == e[i].text)
            e[count - 1].turns++;
        else
            e[count++] = e[i];
    for (size_t i = 0; i < count; i++) e[i].chunks = chunks;
    return count;
}

sdgen_status sdg_conditioning_make(struct sdg_conditioning *c, const struct sdg_prompt *prompt,
                                   size_t width, sdgen_error *err)
{
    size_t turns = 0, longest = 1;
    for (size_t i = 0; i < prompt->part_count; i++) turns += prompt->parts[i].count;
    *c = (struct sdg_conditioning) {.prompt = prompt, .width = width};
    c->encodings = calloc(turns + 1, sizeof *c->encodings);
    c->first = calloc(prompt->part_count + 1, sizeof *c->first);
    if (!c->encodings || !c->first) {
        sdg_conditioning_free(c);
        return sdg_fail(err, SDGEN_ERR_MEMORY, "out of memory for a prompt of %zu turns", turns);
    }
    for (size_t i = 0; i < prompt->part_count; i++) {
        struct sdg_encoding *e = c->encodings + c->first[i];
        c->first[i + 1] = c->first[i] + lay_out_part(e, prompt, &prompt->parts[i]);
        if (prompt->parts[i].count > 0 && e->chunks > longest) longest = e->chunks;
    }
    c->rows = longest * SDG_CHUNK_LENGTH;
    return SDGEN_OK;
}

void sdg_conditioning_free(struct sdg_conditioning *c)
{
    free(c->encodings);
    free(c->first);
    *c = (struct sdg_conditioning) {0};
}

size_t sdg_conditioning_count(const struct sdg_conditioning *c)
{
    return c->prompt ? c->first[c->prompt->part_count] : 0;
}

void sdg_conditioning_reserve(struct sdg_conditioning *c, struct sdg_arena *arena)
{
    const size_t count = sdg_conditioning_count(c);
    c->z = sdg_arena_floats(arena, count * c->rows * c->width);
    c->empty = sdg_arena_floats(arena, SDG_CHUNK_LENGTH * c->width);
}

static float *encoding_at(const struct sdg_conditioning *c, size_t i)
{
    return c->z + i * c->rows * c->width;
}

const float *sdg_conditioning_at(const struct sdg_conditioning *c, size_t part, int call)
{
    const struct sdg_encoding wanted = {.text = sdg_prompt_text_at(&c->prompt->parts[part], call)};
    const struct sdg_encoding *found =
        bsearch(&wanted, c->encodings + c->first[part], c->first[part + 1] - c->first[part],
                sizeof wanted, by_text);
    return encoding_at(c, (size_t)(found - c->encodings));
}

/* ---- weights ---- */

/* Chunk i of a text as chunks of its own; false where the text has ended. */
static bool chunk_of(struct sdg_chunks *one, const struct sdg_chunks *all, size_t i)
{
    if (i >= all->count) return false;
    *one = (struct sdg_chunks) {.ids = all->ids + i * SDG_CHUNK_LENGTH,
                                .weights = all->weights + i * SDG_CHUNK_LENGTH,
                                .count = 1,
                                .capacity = 1};
    return true;
}

static bool is_weighted(const struct sdg_chunks *chunks)
{
    for (size_t i = 0; i < chunks->count * SDG_CHUNK_LENGTH; i++)
        if (chunks->weights[i] != 1) return true;
    return false;
}

static double sum_of(const float *z, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++) sum += (double)z[i];
    return sum;
}

/* A1111's "Original" over several texts: z *= w, then the mean of chunk i over all turns is what it
 * was. [from, to) are the encodings of a part. */
static void emphasise_together(const struct sdg_conditioning *c, size_t from, size_t to, size_t i)
{
    const size_t count = SDG_CHUNK_LENGTH * c->width;
    double before = 0, after = 0;
    for (size_t k = from; k < to; k++) {
        const struct sdg_encoding *e = &c->encodings[k];
        float *z = encoding_at(c, k) + i * count;
        struct sdg_chunks one;
        before += (double)e->turns * sum_of(z, count);
        if (chunk_of(&one, &c->prompt->texts[e->text].chunks, i))
            sdg_emphasise(z, &one, NULL, c->width, SDG_EMPHASIS_NO_NORM);
        after += (double)e->turns * sum_of(z, count);
    }
    const float ratio = (float)(before / after);
    for (size_t k = from; k < to && isfinite(ratio); k++) {
        float *z = encoding_at(c, k) + i * count;
        for (size_t j = 0; j < count; j++) z[j] *= ratio;
    }
}

static void emphasise_part(const struct sdg_conditioning *c, size_t part,
                           enum sdg_emphasis emphasis)
{
    const size_t from = c->first[part], to = c->first[part + 1];
    bool weighted = false;
    for (size_t k = from; k < to; k++)
        weighted |= is_weighted(&c->prompt->texts[c->encodings[k].text].chunks);
    if (!weighted || emphasis == SDG_EMPHASIS_IGNORE || emphasis == SDG_EMPHASIS_NONE) return;
    if (emphasis == SDG_EMPHASIS_ORIGINAL && to - from > 1)
        for (size_t i = 0; i < c->encodings[from].chunks; i++) emphasise_together(c, from, to, i);
    else
        for (size_t k = from; k < to; k++) {
            const struct sdg_prompt_text *text = &c->prompt->texts[c->encodings[k].text];
            if (text->piece_count) continue; /* its pieces were weighted one by one */
            sdg_emphasise(encoding_at(c, k), &text->chunks, c->empty, c->width, emphasis);
        }
}

/* ---- encoding ---- */

static void encode_empty(struct sdg_conditioning *c, struct sdg_ops *o, const struct sdg_clip *clip,
                         int skip)
{
    int32_t ids[SDG_CHUNK_LENGTH];
    for (int i = 0; i < SDG_CHUNK_LENGTH; i++) ids[i] = i ? SDG_TOKEN_END : SDG_TOKEN_START;
    sdg_clip_forward(o, c->empty, ids, clip, 1, SDG_CHUNK_LENGTH, skip);
}

/* The rest of encoding k up to the chunks of its part: empty ones. */
static void pad_with_empty(struct sdg_conditioning *c, size_t k)
{
    const size_t count = SDG_CHUNK_LENGTH * c->width;
    const struct sdg_encoding *e = &c->encodings[k];
    for (size_t i = chunks_of(&c->prompt->texts[e->text]); i < e->chunks; i++)
        memcpy(encoding_at(c, k) + i * count, c->empty, count * sizeof(float));
}

/* The rest of encoding k up to the rows of all: its last row. */
static void pad_with_last_row(struct sdg_conditioning *c, size_t k)
{
    const size_t have = c->encodings[k].chunks * SDG_CHUNK_LENGTH;
    float *z = encoding_at(c, k);
    for (size_t i = have; i < c->rows; i++)
        memcpy(z + i * c->width, z + (have - 1) * c->width, c->width * sizeof(float));
}

/* A text of compel's, piece by piece: encoded, weighted, added to its section. Weights of a whole
 * text (blend, and) act even where those of words are ignored; then nothing is hidden. */
static void encode_pieces(struct sdg_conditioning *c, float *y, const struct sdg_prompt_text *text,
                          struct sdg_ops *o, const struct sdg_clip *clip, int skip,
                          enum sdg_emphasis emphasis)
{
    const size_t count = SDG_CHUNK_LENGTH * c->width, mark = sdg_arena_mark(o->work);
    const bool ignored = emphasis == SDG_EMPHASIS_IGNORE || emphasis == SDG_EMPHASIS_NONE;
    float *z = sdg_arena_floats(o->work, count);
    if (!o->dry) memset(y, 0, text->section_count * count * sizeof *y);
    for (size_t i = 0; i < text->piece_count; i++) {
        const struct sdg_prompt_piece *piece = &text->pieces[i];
        sdg_clip_forward_hiding(o, z, piece->chunks.ids, ignored ? NULL : piece->hidden, clip, 1,
                                SDG_CHUNK_LENGTH, skip);
        if (o->dry) continue;
        sdg_emphasise(z, &piece->chunks, c->empty, c->width, emphasis);
        sdg_add_piece(y, z, piece, c->width);
    }
    sdg_arena_release(o->work, mark);
}

void sdg_conditioning_encode(struct sdg_conditioning *c, struct sdg_ops *o,
                             const struct sdg_clip *clip, int skip, enum sdg_emphasis emphasis)
{
    const size_t parts = c->prompt->part_count, count = sdg_conditioning_count(c);
    encode_empty(c, o, clip, skip);
    for (size_t k = 0; k < count; k++) {
        const struct sdg_prompt_text *text = &c->prompt->texts[c->encodings[k].text];
        if (text->piece_count)
            encode_pieces(c, encoding_at(c, k), text, o, clip, skip, emphasis);
        else
            sdg_clip_forward(o, encoding_at(c, k), text->chunks.ids, clip, text->chunks.count,
                             SDG_CHUNK_LENGTH, skip);
        if (!o->dry) pad_with_empty(c, k);
    }
    for (size_t i = 0; i < parts && !o->dry; i++) emphasise_part(c, i, emphasis);
    for (size_t k = 0; k < count && !o->dry; k++) pad_with_last_row(c, k);
}
