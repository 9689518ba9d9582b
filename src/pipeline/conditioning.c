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
                                   const struct sdg_encoders *encoders, size_t label,
                                   sdgen_error *err)
{
    size_t turns = 0, longest = 1;
    for (size_t i = 0; i < prompt->part_count; i++) turns += prompt->parts[i].count;
    *c = (struct sdg_conditioning) {.prompt = prompt, .encoders = encoders, .label = label};
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
    for (int i = 0; i < encoders->count; i++)
        c->of[i].width = (size_t)encoders->of[i].clip->config.width;
    c->all.width = encoders->width;
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

static void reserve_encoded(struct sdg_encoded *e, const struct sdg_conditioning *c,
                            struct sdg_arena *arena)
{
    const size_t count = sdg_conditioning_count(c);
    e->z = sdg_arena_floats(arena, count * c->rows * e->width);
    e->empty = sdg_arena_floats(arena, SDG_CHUNK_LENGTH * e->width);
}

void sdg_conditioning_reserve(struct sdg_conditioning *c, struct sdg_arena *arena)
{
    for (int i = 0; i < c->encoders->count; i++) reserve_encoded(&c->of[i], c, arena);
    if (c->encoders->count > 1)
        reserve_encoded(&c->all, c, arena);
    else
        c->all = c->of[0];
    if (c->label) c->labels = sdg_arena_floats(arena, sdg_conditioning_count(c) * c->label);
}

static float *encoding_at(const struct sdg_conditioning *c, const struct sdg_encoded *e, size_t i)
{
    return e->z + i * c->rows * e->width;
}

/* The encoding that counts in `part` at model call `call`. */
static size_t find_encoding(const struct sdg_conditioning *c, size_t part, int call)
{
    const struct sdg_encoding wanted = {.text = sdg_prompt_text_at(&c->prompt->parts[part], call)};
    const struct sdg_encoding *found =
        bsearch(&wanted, c->encodings + c->first[part], c->first[part + 1] - c->first[part],
                sizeof wanted, by_text);
    return (size_t)(found - c->encodings);
}

const float *sdg_conditioning_at(const struct sdg_conditioning *c, size_t part, int call)
{
    return encoding_at(c, &c->all, find_encoding(c, part, call));
}

const float *sdg_conditioning_label(const struct sdg_conditioning *c, size_t part, int call)
{
    return c->label ? c->labels + find_encoding(c, part, call) * c->label : NULL;
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
static void emphasise_together(const struct sdg_conditioning *c, const struct sdg_encoded *of,
                               size_t from, size_t to, size_t i)
{
    const size_t count = SDG_CHUNK_LENGTH * of->width;
    double before = 0, after = 0;
    for (size_t k = from; k < to; k++) {
        const struct sdg_encoding *e = &c->encodings[k];
        float *z = encoding_at(c, of, k) + i * count;
        struct sdg_chunks one;
        before += (double)e->turns * sum_of(z, count);
        if (chunk_of(&one, &c->prompt->texts[e->text].chunks, i))
            sdg_emphasise(z, &one, NULL, of->width, SDG_EMPHASIS_NO_NORM);
        after += (double)e->turns * sum_of(z, count);
    }
    const float ratio = (float)(before / after);
    for (size_t k = from; k < to && isfinite(ratio); k++) {
        float *z = encoding_at(c, of, k) + i * count;
        for (size_t j = 0; j < count; j++) z[j] *= ratio;
    }
}

static void emphasise_part(const struct sdg_conditioning *c, const struct sdg_encoded *of,
                           size_t part, enum sdg_emphasis emphasis)
{
    const size_t from = c->first[part], to = c->first[part + 1];
    bool weighted = false;
    for (size_t k = from; k < to; k++)
        weighted |= is_weighted(&c->prompt->texts[c->encodings[k].text].chunks);
    if (!weighted || emphasis == SDG_EMPHASIS_IGNORE || emphasis == SDG_EMPHASIS_NONE) return;
    if (emphasis == SDG_EMPHASIS_ORIGINAL && to - from > 1)
        for (size_t i = 0; i < c->encodings[from].chunks; i++)
            emphasise_together(c, of, from, to, i);
    else
        for (size_t k = from; k < to; k++) {
            const struct sdg_prompt_text *text = &c->prompt->texts[c->encodings[k].text];
            if (text->piece_count) continue; /* its pieces were weighted one by one */
            sdg_emphasise(encoding_at(c, of, k), &text->chunks, of->empty, of->width, emphasis);
        }
}

static void emphasise(const struct sdg_conditioning *c, const struct sdg_encoded *of,
                      enum sdg_emphasis emphasis)
{
    for (size_t i = 0; i < c->prompt->part_count; i++) emphasise_part(c, of, i, emphasis);
}

/* ---- encoding ---- */

/* ids [n][77] for an encoder that pads with another token than the one that ends a text. */
static const int32_t *padded_ids(struct sdg_ops *o, const int32_t *ids, size_t n, int32_t pad)
{
    if (pad == SDG_TOKEN_END) return ids;
    int32_t *own = sdg_arena_alloc(o->work, n * SDG_CHUNK_LENGTH, sizeof *own);
    for (size_t i = 0; i < n && !o->dry; i++) {
        bool ended = false;
        for (size_t j = i * SDG_CHUNK_LENGTH; j < (i + 1) * SDG_CHUNK_LENGTH; j++) {
            own[j] = ended ? pad : ids[j];
            ended |= ids[j] == SDG_TOKEN_END;
        }
    }
    return own;
}

/* y [n][77][width] = what the encoder says of n chunks; with `pools` pooled [n][its width] too. */
static void read_chunks(struct sdg_ops *o, float *y, float *pooled, bool pools, const int32_t *ids,
                        const uint8_t *masked, const struct sdg_encoder *e, size_t n)
{
    const size_t mark = sdg_arena_mark(o->work);
    struct sdg_clip_take take = e->take;
    take.pooled = pools;
    const int32_t *own = padded_ids(o, ids, n, e->pad);
    sdg_clip_encode(o, y, pooled, own, masked, e->clip, n, SDG_CHUNK_LENGTH, &take);
    sdg_arena_release(o->work, mark);
}

static void encode_empty(const struct sdg_encoded *of, struct sdg_ops *o,
                         const struct sdg_encoder *encoder)
{
    int32_t ids[SDG_CHUNK_LENGTH];
    for (int i = 0; i < SDG_CHUNK_LENGTH; i++) ids[i] = i ? SDG_TOKEN_END : SDG_TOKEN_START;
    read_chunks(o, of->empty, NULL, false, ids, NULL, encoder, 1);
}

/* The rest of encoding k up to the chunks of its part: empty ones. */
static void pad_with_empty(const struct sdg_conditioning *c, const struct sdg_encoded *of, size_t k)
{
    const size_t count = SDG_CHUNK_LENGTH * of->width;
    const struct sdg_encoding *e = &c->encodings[k];
    for (size_t i = chunks_of(&c->prompt->texts[e->text]); i < e->chunks; i++)
        memcpy(encoding_at(c, of, k) + i * count, of->empty, count * sizeof(float));
}

/* The rest of encoding k up to the rows of all: its last row. */
static void pad_with_last_row(const struct sdg_conditioning *c, size_t k)
{
    const size_t have = c->encodings[k].chunks * SDG_CHUNK_LENGTH, width = c->all.width;
    float *z = encoding_at(c, &c->all, k);
    for (size_t i = have; i < c->rows; i++)
        memcpy(z + i * width, z + (have - 1) * width, width * sizeof(float));
}

/* A text of compel's, piece by piece: encoded, weighted, added to its section. Weights of a whole
 * text (blend, and) act even where those of words are ignored; then nothing is hidden. */
static void encode_pieces(const struct sdg_encoded *of, float *y,
                          const struct sdg_prompt_text *text, struct sdg_ops *o,
                          const struct sdg_encoder *encoder, enum sdg_emphasis emphasis)
{
    const size_t count = SDG_CHUNK_LENGTH * of->width, mark = sdg_arena_mark(o->work);
    const bool ignored = emphasis == SDG_EMPHASIS_IGNORE || emphasis == SDG_EMPHASIS_NONE;
    float *z = sdg_arena_floats(o->work, count);
    if (!o->dry) memset(y, 0, text->section_count * count * sizeof *y);
    for (size_t i = 0; i < text->piece_count; i++) {
        const struct sdg_prompt_piece *piece = &text->pieces[i];
        read_chunks(o, z, NULL, false, piece->chunks.ids, ignored ? NULL : piece->hidden, encoder,
                    1);
        if (o->dry) continue;
        sdg_emphasise(z, &piece->chunks, of->empty, of->width, emphasis);
        sdg_add_piece(y, z, piece, of->width);
    }
    sdg_arena_release(o->work, mark);
}

/* All texts through encoder `which`; the last one's pooled vectors, of the first chunk of each
 * text, go to where the labels begin. */
static void encode_all(struct sdg_conditioning *c, struct sdg_ops *o, int which,
                       enum sdg_emphasis emphasis)
{
    const struct sdg_encoded *of = &c->of[which];
    const struct sdg_encoder *encoder = &c->encoders->of[which];
    const bool pools = c->label && c->encoders->pooled && which + 1 == c->encoders->count;
    encode_empty(of, o, encoder);
    for (size_t k = 0; k < sdg_conditioning_count(c); k++) {
        const struct sdg_prompt_text *text = &c->prompt->texts[c->encodings[k].text];
        const size_t mark = sdg_arena_mark(o->work), n = text->chunks.count;
        float *pooled = pools ? sdg_arena_floats(o->work, n * c->encoders->pooled) : NULL;
        if (!text->piece_count || pools)
            read_chunks(o, encoding_at(c, of, k), pooled, pools, text->chunks.ids, NULL, encoder,
                        n);
        if (pools && !o->dry)
            memcpy(c->labels + k * c->label, pooled, c->encoders->pooled * sizeof *pooled);
        if (text->piece_count) encode_pieces(of, encoding_at(c, of, k), text, o, encoder, emphasis);
        if (!o->dry) pad_with_empty(c, of, k);
        sdg_arena_release(o->work, mark);
    }
}

/* y [rows][width of all] = the rows of the encoders side by side; from: offsets into of[i]. */
static void join_rows(float *y, const struct sdg_conditioning *c, const float *const *x,
                      size_t rows)
{
    for (size_t r = 0; r < rows; r++)
        for (int i = 0; i < c->encoders->count; i++) {
            const size_t width = c->of[i].width;
            memcpy(y, x[i] + r * width, width * sizeof *y);
            y += width;
        }
}

static void join(const struct sdg_conditioning *c)
{
    const size_t count = sdg_conditioning_count(c);
    const float *z[SDG_MAX_ENCODERS], *empty[SDG_MAX_ENCODERS];
    for (int i = 0; i < c->encoders->count; i++) {
        z[i] = c->of[i].z;
        empty[i] = c->of[i].empty;
    }
    join_rows(c->all.z, c, z, count * c->rows);
    join_rows(c->all.empty, c, empty, SDG_CHUNK_LENGTH);
}

static void make_labels(const struct sdg_conditioning *c, const struct sdg_conditioning_rules *r)
{
    for (size_t k = 0; k < sdg_conditioning_count(c); k++) {
        float *label = c->labels + k * c->label;
        if (r->zero_pooled) memset(label, 0, c->encoders->pooled * sizeof *label);
        sdg_label_make(label, c->encoders->pooled, &r->sizes, c->label);
    }
}

void sdg_conditioning_encode(struct sdg_conditioning *c, struct sdg_ops *o,
                             const struct sdg_conditioning_rules *rules)
{
    const size_t count = sdg_conditioning_count(c);
    const bool several = c->encoders->count > 1, together = several && rules->emphasis_of_all;
    for (int i = 0; i < c->encoders->count; i++) {
        encode_all(c, o, i, rules->emphasis);
        if (!o->dry && !together) emphasise(c, &c->of[i], rules->emphasis);
    }
    if (o->dry) return;
    if (several) join(c);
    if (together) emphasise(c, &c->all, rules->emphasis);
    for (size_t k = 0; k < count; k++) pad_with_last_row(c, k);
    if (rules->zero_text) memset(c->all.z, 0, count * c->rows * c->all.width * sizeof(float));
    if (c->label) make_labels(c, rules);
}
