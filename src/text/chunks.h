/* chunks.h - a prompt as rows of 77 token ids, the way the chosen program cuts it. */
#ifndef SDG_TEXT_CHUNKS_H
#define SDG_TEXT_CHUNKS_H

#include "text/tokenizer.h"

enum { SDG_CHUNK_LENGTH = 77, SDG_CHUNK_TEXT = 75 };

enum sdg_chunking {
    SDG_CHUNKS_A1111,   /* chunks of 75 with comma backtracking of 20; at least one chunk */
    SDG_CHUNKS_TRUNCATE /* diffusers: one chunk, the first 75 tokens; the rest is dropped */
};

struct sdg_chunks {
    int32_t *ids; /* [count][77]: start, tokens, end, padding by end */
    size_t count, capacity;
    size_t tokens;  /* tokens of the prompt, special ones not counted */
    size_t dropped; /* tokens that truncation cut off */
};
void sdg_chunks_free(struct sdg_chunks *c);

/* Errors: SDGEN_ERR_MEMORY. *c is zeroed or reused. */
SDGEN_MUST_CHECK sdgen_status sdg_chunk_prompt(struct sdg_chunks *c, const char *prompt,
                                               const struct sdg_tokenizer *t, enum sdg_chunking how,
                                               sdgen_error *err);

/* Appends empty chunks (start, 76 x end) until there are `count`. */
SDGEN_MUST_CHECK sdgen_status sdg_chunks_pad(struct sdg_chunks *c, size_t count, sdgen_error *err);

/* What the prompt would mean under A1111's prompt language and sdgen does not do yet: brackets and
 * weights, escapes, BREAK, AND, prompt editing and alternation, extra networks <name:...>. Returns
 * SDGEN_ERR_ARG with one line that names the construct, its place, and how to have it read
 * literally; SDGEN_OK when the text means itself. */
SDGEN_MUST_CHECK sdgen_status sdg_prompt_is_plain(const char *prompt, sdgen_error *err);

#endif
