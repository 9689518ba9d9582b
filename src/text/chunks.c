/* chunks.c - see chunks.h. A text encoder reads 77 places: start, 75 tokens, end. What the programs
 * do with a longer prompt differs, and a chunk is cut exactly where the followed program cuts it.
 *
 * Every segment of a prompt is tokenised by itself, so no token spans two weights. Tokens go
 * straight into their row; a row is closed with the end token and filled up with it. */
#include "text/prompt_parts.h"

#include <stdlib.h>
#include <string.h>

/* How far back A1111 looks for a comma to cut at ("comma padding backtrack", its default). */
enum { BACKTRACK = 20 };
/* ComfyUI (comfy/sd1_clip.py, max_word_length): smaller groups are not split. */
enum { LARGE_GROUP = 8 };

/* The chunk that is being filled is the row behind the last counted one. */
struct filler {
    struct sdg_chunks *c;
    size_t fill;         /* of SDG_CHUNK_TEXT */
    size_t behind_comma; /* place behind the last comma of this chunk, 0: none */
    bool no_memory;
};

/* ---- rows ---- */

static bool reserve(struct sdg_chunks *c, size_t count)
{
    if (count <= c->capacity) return true;
    const size_t twice = c->capacity + c->capacity / 2, capacity = count > twice ? count : twice;
    if (capacity > SIZE_MAX / (SDG_CHUNK_LENGTH * sizeof *c->ids)) return false;
    int32_t *ids = realloc(c->ids, capacity * SDG_CHUNK_LENGTH * sizeof *ids);
    if (ids) c->ids = ids;
    float *weights = realloc(c->weights, capacity * SDG_CHUNK_LENGTH * sizeof *weights);
    if (weights) c->weights = weights;
    if (!ids || !weights) return false;
    c->capacity = capacity;
    return true;
}

static void put(struct filler *f, int32_t id, float weight)
{
    const size_t at = f->c->count * SDG_CHUNK_LENGTH + 1 + f->fill++;
    f->c->ids[at] = id;
    f->c->weights[at] = weight;
}

/* Start, and room for the next chunk. */
static void open_chunk(struct filler *f)
{
    f->fill = f->behind_comma = 0;
    if (!reserve(f->c, f->c->count + 1)) {
        f->no_memory = true;
        return;
    }
    f->c->ids[f->c->count * SDG_CHUNK_LENGTH] = SDG_TOKEN_START;
    f->c->weights[f->c->count * SDG_CHUNK_LENGTH] = 1;
}

/* End, padding by end, and the next chunk. */
static void close_chunk(struct filler *f)
{
    while (f->fill < SDG_CHUNK_LENGTH - 1) put(f, SDG_TOKEN_END, 1);
    f->c->count++;
    open_chunk(f);
}

/* ---- A1111 ---- */

/* The tokens behind the last comma move on into a new chunk. */
static void move_back(struct filler *f)
{
    int32_t ids[BACKTRACK + 1];
    float weights[BACKTRACK + 1];
    const size_t moved = f->fill - f->behind_comma;
    const size_t from = f->c->count * SDG_CHUNK_LENGTH + 1 + f->behind_comma;
    memcpy(ids, f->c->ids + from, moved * sizeof *ids);
    memcpy(weights, f->c->weights + from, moved * sizeof *weights);
    f->fill = f->behind_comma;
    close_chunk(f);
    for (size_t i = 0; i < moved && !f->no_memory; i++) put(f, ids[i], weights[i]);
}

/* A1111's walk (modules/sd_hijack_clip.py, tokenize_line): a full chunk whose last comma is among
 * its last 20 tokens ends behind that comma, unless the token that no longer fits is a comma
 * itself. A comma that was itself the first to overflow is not remembered by the chunk it opens. */
static void add_a1111(struct filler *f, const struct sdg_tokens *tokens, float weight)
{
    for (size_t i = 0; i < tokens->count && !f->no_memory; i++) {
        const bool full = f->fill == SDG_CHUNK_TEXT, comma = tokens->ids[i] == SDG_TOKEN_COMMA;
        if (full) {
            const bool back =
                !comma && f->behind_comma && f->fill - (f->behind_comma - 1) <= BACKTRACK;
            if (back)
                move_back(f);
            else
                close_chunk(f);
        } else if (comma) {
            f->behind_comma = f->fill + 1;
        }
        if (f->fill == SDG_CHUNK_TEXT) close_chunk(f);
        if (!f->no_memory) put(f, tokens->ids[i], weight);
    }
}

/* ---- others ---- */

/* diffusers: what no longer fits is counted and dropped. */
static void add_truncated(struct filler *f, const struct sdg_tokens *tokens, float weight)
{
    for (size_t i = 0; i < tokens->count; i++) {
        if (f->fill < SDG_CHUNK_TEXT)
            put(f, tokens->ids[i], weight);
        else
            f->c->dropped++;
    }
}

/* ComfyUI (comfy/sd1_clip.py, tokenize_with_weights): a small group that no longer fits begins the
 * next chunk, a large one is cut. */
static void add_comfyui(struct filler *f, const struct sdg_tokens *tokens, float weight)
{
    const bool large = tokens->count >= LARGE_GROUP;
    if (!large && f->fill + tokens->count > SDG_CHUNK_TEXT) close_chunk(f);
    for (size_t i = 0; i < tokens->count && !f->no_memory; i++) {
        if (f->fill == SDG_CHUNK_TEXT) close_chunk(f);
        if (!f->no_memory) put(f, tokens->ids[i], weight);
    }
}

/* stable-diffusion.cpp (src/tokenizers/tokenizer.cpp): slices of 75. */
static void add_sliced(struct filler *f, const struct sdg_tokens *tokens, float weight)
{
    for (size_t i = 0; i < tokens->count && !f->no_memory; i++) {
        if (f->fill == SDG_CHUNK_TEXT) close_chunk(f);
        if (!f->no_memory) put(f, tokens->ids[i], weight);
    }
}

/* BREAK: A1111 begins a new chunk even where the last one is empty; stable-diffusion.cpp fills the
 * last one up to a multiple of 75. The other two do not know it. */
static void add_break(struct filler *f, enum sdg_chunking how)
{
    if (how == SDG_CHUNKS_A1111) close_chunk(f);
    while (how == SDG_CHUNKS_SDCPP && f->fill > 0 && f->fill < SDG_CHUNK_TEXT)
        put(f, SDG_TOKEN_END, 1);
}

static void add_tokens(struct filler *f, const struct sdg_tokens *tokens, double weight,
                       enum sdg_chunking how)
{
    f->c->tokens += tokens->count;
    switch (how) {
    case SDG_CHUNKS_A1111: add_a1111(f, tokens, (float)weight); return;
    case SDG_CHUNKS_TRUNCATE: add_truncated(f, tokens, (float)weight); return;
    case SDG_CHUNKS_COMFYUI: add_comfyui(f, tokens, (float)weight); return;
    case SDG_CHUNKS_SDCPP: add_sliced(f, tokens, (float)weight); return;
    }
}

sdgen_status sdg_chunk_segments(struct sdg_chunks *c, const struct sdg_segments *s,
                                const struct sdg_tokenizer *t, enum sdg_chunking how,
                                sdgen_error *err)
{
    struct sdg_tokens tokens = {0};
    struct filler f = {.c = c};
    sdgen_status status = SDGEN_OK;
    c->count = c->tokens = c->dropped = 0;
    open_chunk(&f);
    for (size_t i = 0; i < s->count && !f.no_memory; i++) {
        const struct sdg_segment *segment = &s->at[i];
        if (segment->ends_chunk) {
            add_break(&f, how);
            continue;
        }
        tokens.count = 0;
        SDG_TRY(sdg_tokenize(&tokens, s->text.at + segment->start, segment->length, t, err));
        add_tokens(&f, &tokens, segment->weight, how);
    }
    if (!f.no_memory && (f.fill > 0 || c->count == 0)) close_chunk(&f);
    if (f.no_memory)
        status = sdg_fail(err, SDGEN_ERR_MEMORY, "prompt: no memory for %zu tokens", c->tokens);
fail:
    sdg_tokens_free(&tokens);
    return status;
}

/* ---- plain text, padding ---- */

sdgen_status sdg_chunk_prompt(struct sdg_chunks *c, const char *prompt,
                              const struct sdg_tokenizer *t, enum sdg_chunking how,
                              sdgen_error *err)
{
    struct sdg_segments s = {0};
    sdgen_status status;
    const size_t length = strlen(prompt);
    if (sdg_segments_add(&s, prompt, length, 1))
        status = sdg_chunk_segments(c, &s, t, how, err);
    else
        status = sdg_fail(err, SDGEN_ERR_MEMORY, "prompt: no memory for %zu bytes", length);
    sdg_segments_free(&s);
    return status;
}

sdgen_status sdg_chunks_pad(struct sdg_chunks *c, size_t count, sdgen_error *err)
{
    struct filler f = {.c = c};
    if (c->count < count) open_chunk(&f);
    while (c->count < count && !f.no_memory) close_chunk(&f);
    if (f.no_memory)
        return sdg_fail(err, SDGEN_ERR_MEMORY, "prompt: no memory for %zu chunks", count);
    return SDGEN_OK;
}

void sdg_chunks_free(struct sdg_chunks *c)
{
    free(c->ids);
    free(c->weights);
    *c = (struct sdg_chunks) {0};
}
