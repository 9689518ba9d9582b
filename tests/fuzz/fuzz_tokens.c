/* fuzz_tokens.c - any bytes as a prompt: tokenizer and chunks. Prompt languages: fuzz_prompt.c. */
#include <stdlib.h>
#include "fuzz.h"
#include "text/chunks.h"
#include "text/tokenizer.h"

/* Every id names a piece, and no special token comes out of the text unless it was spelled out. */
static void check_ids(const struct sdg_tokens *tokens, const struct sdg_tokenizer *t)
{
    for (size_t i = 0; i < tokens->count; i++) {
        if (tokens->ids[i] < 0 || tokens->ids[i] > SDG_TOKEN_END ||
            !sdg_token_piece(t, tokens->ids[i]))
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct sdg_tokenizer *tokenizer; /* built once: it takes longer than most inputs */
    struct sdg_tokens tokens = {0};
    struct sdg_chunks chunks = {0};
    sdgen_error error;
    if (!tokenizer && sdg_tokenizer_create(&tokenizer, &error) != SDGEN_OK) abort();
    if (sdg_tokenize(&tokens, (const char *)data, size, tokenizer, &error) != SDGEN_OK) abort();
    check_ids(&tokens, tokenizer);
    char *prompt = malloc(size + 1);
    if (!prompt) abort();
    for (size_t i = 0; i < size; i++) prompt[i] = (char)data[i];
    prompt[size] = '\0';
    enum sdg_chunking how = size % 2 ? SDG_CHUNKS_A1111 : SDG_CHUNKS_TRUNCATE;
    if (sdg_chunk_prompt(&chunks, prompt, tokenizer, how, &error) != SDGEN_OK) abort();
    if (chunks.count < 1 || chunks.ids[0] != SDG_TOKEN_START) abort();
    free(prompt);
    sdg_chunks_free(&chunks);
    sdg_tokens_free(&tokens);
    return 0;
}
