/* chunks.c - see chunks.h. A text encoder reads 77 places: start, 75 tokens, end. What the programs
 * do with a longer prompt differs, and a chunk is cut exactly where the followed program cuts it.
 */
#include "text/chunks.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* How far back A1111 looks for a comma to cut at ("comma padding backtrack", its default). */
enum { BACKTRACK = 20 };

static bool reserve(struct sdg_chunks *c, size_t count)
{
    if (count <= c->capacity) return true;
    size_t capacity = count > 2 * c->capacity ? count : 2 * c->capacity;
    if (capacity > SIZE_MAX / (SDG_CHUNK_LENGTH * sizeof *c->ids)) return false;
    int32_t *ids = realloc(c->ids, capacity * SDG_CHUNK_LENGTH * sizeof *ids);
    if (!ids) return false;
    c->ids = ids;
    c->capacity = capacity;
    return true;
}

/* Appends start, ids[n], and ends up to the 77th place; n <= 75. */
static bool add_chunk(struct sdg_chunks *c, const int32_t *ids, size_t n)
{
    if (!reserve(c, c->count + 1)) return false;
    int32_t *row = c->ids + c->count++ * SDG_CHUNK_LENGTH;
    row[0] = SDG_TOKEN_START;
    if (n > 0) memcpy(row + 1, ids, n * sizeof *ids);
    for (size_t i = n + 1; i < SDG_CHUNK_LENGTH; i++) row[i] = SDG_TOKEN_END;
    return true;
}

/* A1111's walk (modules/sd_hijack_clip.py, tokenize_line): a full chunk whose last comma is among
 * its last 20 tokens ends behind that comma, unless the token that no longer fits is a comma
 * itself. A comma that was itself the first to overflow is not remembered by the chunk it opens. */
static bool cut_a1111(struct sdg_chunks *c, const int32_t *ids, size_t n)
{
    size_t start = 0, behind_comma = 0; /* of the chunk being filled; 0: no comma in it */
    if (n == 0) return add_chunk(c, NULL, 0);
    for (size_t i = 0; i < n; i++) {
        bool full = i - start == SDG_CHUNK_TEXT, comma = ids[i] == SDG_TOKEN_COMMA;
        if (full) {
            bool back = !comma && behind_comma && i - (behind_comma - 1) <= BACKTRACK;
            size_t end = back ? behind_comma : i;
            if (!add_chunk(c, ids + start, end - start)) return false;
            start = end;
            behind_comma = 0;
        } else if (comma) {
            behind_comma = i + 1;
        }
    }
    return add_chunk(c, ids + start, n - start);
}

sdgen_status sdg_chunk_prompt(struct sdg_chunks *c, const char *prompt,
                              const struct sdg_tokenizer *t, enum sdg_chunking how,
                              sdgen_error *err)
{
    struct sdg_tokens tokens = {0};
    sdgen_status status;
    bool fine;
    c->count = c->tokens = c->dropped = 0;
    SDG_TRY(sdg_tokenize(&tokens, prompt, strlen(prompt), t, err));
    c->tokens = tokens.count;
    if (how == SDG_CHUNKS_TRUNCATE) {
        size_t kept = tokens.count < SDG_CHUNK_TEXT ? tokens.count : SDG_CHUNK_TEXT;
        c->dropped = tokens.count - kept;
        fine = add_chunk(c, tokens.ids, kept);
    } else {
        fine = cut_a1111(c, tokens.ids, tokens.count);
    }
    if (!fine)
        status = sdg_fail(err, SDGEN_ERR_MEMORY, "prompt: no memory for %zu tokens", tokens.count);
fail:
    sdg_tokens_free(&tokens);
    return status;
}

sdgen_status sdg_chunks_pad(struct sdg_chunks *c, size_t count, sdgen_error *err)
{
    while (c->count < count)
        if (!add_chunk(c, NULL, 0))
            return sdg_fail(err, SDGEN_ERR_MEMORY, "prompt: no memory for %zu chunks", count);
    return SDGEN_OK;
}

void sdg_chunks_free(struct sdg_chunks *c)
{
    free(c->ids);
    *c = (struct sdg_chunks) {0};
}
