/* tokenizer.h - CLIP's byte-pair encoding (Sennrich et al. 2016), byte-exact with the CLIPTokenizer
 * of transformers 5: raw special strings, NFC, white space, lower case, piece pattern, byte level,
 * merges. */
#ifndef SDG_TEXT_TOKENIZER_H
#define SDG_TEXT_TOKENIZER_H

#include <stddef.h>
#include <stdint.h>
#include "base/status.h"

enum { SDG_TOKEN_START = 49406, SDG_TOKEN_END = 49407, SDG_TOKEN_COMMA = 267 };

struct sdg_tokenizer;

/* Builds the tables from the merges embedded in the binary. Errors: SDGEN_ERR_MEMORY. */
SDGEN_MUST_CHECK sdgen_status sdg_tokenizer_create(struct sdg_tokenizer **t, sdgen_error *err);
void sdg_tokenizer_destroy(struct sdg_tokenizer *t); /* NULL is fine */

/* A growing list of ids, freed by sdg_tokens_free. Zero-initialise. */
struct sdg_tokens {
    int32_t *ids;
    size_t count, capacity;
};
void sdg_tokens_free(struct sdg_tokens *tokens);

/* Appends the ids of text[length] (UTF-8; invalid bytes are treated as U+FFFD) to *out, without
 * start, end or padding. Errors: SDGEN_ERR_MEMORY. Cost n log n in the length of a piece. */
SDGEN_MUST_CHECK sdgen_status sdg_tokenize(struct sdg_tokens *out, const char *text, size_t length,
                                           const struct sdg_tokenizer *t, sdgen_error *err);

/* The piece of an id as it stands in the vocabulary ("cat</w>", byte characters as in vocab.json),
 * UTF-8. */
const char *sdg_token_piece(const struct sdg_tokenizer *t, int32_t id);

#endif
