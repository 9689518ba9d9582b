/* chunks.h - a prompt as rows of 77 token ids, the way the chosen program cuts it. */
#ifndef SDG_TEXT_CHUNKS_H
#define SDG_TEXT_CHUNKS_H

#include "text/tokenizer.h"

enum { SDG_CHUNK_LENGTH = 77, SDG_CHUNK_TEXT = 75 };

enum sdg_chunking {
    SDG_CHUNKS_A1111,    /* chunks of 75 with comma backtracking of 20; at least one chunk */
    SDG_CHUNKS_TRUNCATE, /* diffusers: one chunk, the first 75 tokens; the rest is dropped */
    SDG_CHUNKS_COMFYUI,  /* groups of fewer than 8 tokens are not split */
    SDG_CHUNKS_SDCPP     /* plain slices of 75 */
};

struct sdg_chunks {
    int32_t *ids;   /* [count][77]: start, tokens, end, padding by end */
    float *weights; /* [count][77]: 1 for start, end and padding */
    size_t count, capacity;
    size_t tokens;  /* tokens of the prompt, special ones not counted */
    size_t dropped; /* tokens that truncation cut off */
};
void sdg_chunks_free(struct sdg_chunks *c);

/* The whole prompt as plain text, all weights 1. Errors: SDGEN_ERR_MEMORY. *c is zeroed or
 * reused. Prompts with a language: prompt.h. */
SDGEN_MUST_CHECK sdgen_status sdg_chunk_prompt(struct sdg_chunks *c, const char *prompt,
                                               const struct sdg_tokenizer *t, enum sdg_chunking how,
                                               sdgen_error *err);

/* Appends empty chunks (start, 76 x end) until there are `count`. */
SDGEN_MUST_CHECK sdgen_status sdg_chunks_pad(struct sdg_chunks *c, size_t count, sdgen_error *err);

#endif
