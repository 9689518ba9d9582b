/* tokenizer.c - see tokenizer.h. From text to ids, in the order of transformers' CLIPTokenizer
 * (models/clip/tokenization_clip.py, version 5, configured as Stable Diffusion 1's files do):
 *
 *   1. "<|endoftext|>" is cut out of the raw text, exactly as spelled
 *   2. what lies between is put into NFC and lower case
 *   3. "<|startoftext|>" is cut out of that, and so in any letter case of the raw text
 *   4. the rest is cut into pieces: contractions, words, single digits, runs of anything else
 *   5. the UTF-8 bytes of a piece are merged (merge.c)
 *
 * Nothing is unknown: what the merges do not know stays bytes. OpenAI's own tokenizer also repairs
 * the text (ftfy, HTML entities); this one does not. */
#define _GNU_SOURCE
#include "text/tokenizer.h"

#include <stdlib.h>
#include <string.h>
#include "text/unicode.h"
#include "text/vocabulary.h"

static const char end_text[] = "<|endoftext|>", start_text[] = "<|startoftext|>";
enum { END_LENGTH = sizeof end_text - 1, START_LENGTH = sizeof start_text - 1 };

struct sdg_tokenizer {
    struct sdg_vocabulary vocabulary;
};

/* Everything that one call needs. The functions below return false when memory cannot be had. */
struct work {
    const struct sdg_vocabulary *vocabulary;
    struct sdg_tokens *out;
    struct sdg_codes raw, composed,
        text;             /* of the segment at work; text is what is cut in pieces */
    struct sdg_codes ids; /* of the piece at work */
};

static bool push_id(struct sdg_tokens *out, int32_t id)
{
    if (out->count == out->capacity) {
        size_t capacity = out->capacity ? 2 * out->capacity : 80;
        if (capacity > SIZE_MAX / sizeof *out->ids) return false;
        int32_t *ids = realloc(out->ids, capacity * sizeof *ids);
        if (!ids) return false;
        out->ids = ids;
        out->capacity = capacity;
    }
    out->ids[out->count++] = id;
    return true;
}

void sdg_tokens_free(struct sdg_tokens *tokens)
{
    free(tokens->ids);
    *tokens = (struct sdg_tokens) {0};
}

/* Does code[n] begin with the ASCII word? */
static bool begins(const uint32_t *code, size_t n, const char *word)
{
    size_t i = 0;
    while (word[i] && i < n && code[i] == (unsigned char)word[i]) i++;
    return !word[i];
}

/* ---- pieces ---- */

/* Appends the ids of the piece code[n]. */
static bool encode_piece(struct work *w, const uint32_t *code, size_t n)
{
    size_t count;
    w->ids.count = 0;
    for (size_t i = 0; i < n; i++) {
        char bytes[4];
        size_t size = sdg_utf8_encode(bytes, code[i]);
        for (size_t k = 0; k < size; k++)
            if (!sdg_codes_push(&w->ids, sdg_byte_id((unsigned char)bytes[k]))) return false;
    }
    if (!sdg_merge_piece(w->ids.at, &count, w->ids.count, w->vocabulary)) return false;
    for (size_t i = 0; i < count; i++)
        if (!push_id(w->out, (int32_t)w->ids.at[i])) return false;
    return true;
}

/* Length of the run of characters of one class at the front of code[n]. */
static size_t run_length(const uint32_t *code, size_t n, enum sdg_char_class class)
{
    size_t length = 0;
    while (length < n && sdg_char_class(code[length]) == class) length++;
    return length;
}

/* Length of the piece at the front of code[n], by the alternatives of
 *     's | 't | 're | 've | 'm | 'll | 'd | letters+ | number | (neither space, letter nor number)+
 * in this order (openai/CLIP, simple_tokenizer.py). A contraction needs no word before it. */
static size_t piece_length(const uint32_t *code, size_t n)
{
    static const char contractions[][4] = {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"};
    for (size_t i = 0; code[0] == '\'' && i < sizeof contractions / sizeof contractions[0]; i++)
        if (begins(code, n, contractions[i])) return strlen(contractions[i]);
    enum sdg_char_class class = sdg_char_class(code[0]);
    return class == SDG_CHAR_NUMBER ? 1 : run_length(code, n, class);
}

/* The pattern also has the special strings as first alternatives. "<|endoftext|>" gets this far
 * when the raw text had capitals in it; the byte-level step, which cuts a second time, then takes
 * its letters out of the marks. So its only effect is that the marks do not join others behind
 * them. */
static bool encode_spelled_end(struct work *w, const uint32_t *code)
{
    return encode_piece(w, code, 2) && encode_piece(w, code + 2, END_LENGTH - 4) &&
           encode_piece(w, code + END_LENGTH - 2, 2);
}

static bool encode_pieces(struct work *w, const uint32_t *code, size_t n)
{
    for (size_t i = 0, length; i < n; i += length) {
        if (sdg_char_class(code[i]) == SDG_CHAR_SPACE) {
            length = 1;
        } else if (begins(code + i, n - i, end_text)) {
            length = END_LENGTH;
            if (!encode_spelled_end(w, code + i)) return false;
        } else {
            length = piece_length(code + i, n - i);
            if (!encode_piece(w, code + i, length)) return false;
        }
    }
    return true;
}

/* ---- segments ---- */

/* Steps 2 and 3 on raw text[length] that holds no "<|endoftext|>". */
static bool encode_segment(struct work *w, const char *text, size_t length)
{
    w->raw.count = w->composed.count = w->text.count = 0;
    if (!sdg_codes_decode(&w->raw, text, length) || !sdg_codes_nfc(&w->composed, &w->raw) ||
        !sdg_codes_lower(&w->text, &w->composed))
        return false;
    const uint32_t *code = w->text.at;
    size_t done = 0, n = w->text.count;
    for (size_t i = 0; i < n; i++) {
        if (!begins(code + i, n - i, start_text)) continue;
        if (!encode_pieces(w, code + done, i - done)) return false;
        if (!push_id(w->out, SDG_TOKEN_START)) return false;
        done = i + START_LENGTH;
        i = done - 1;
    }
    return n == done || encode_pieces(w, code + done, n - done);
}

static bool encode_text(struct work *w, const char *text, size_t length)
{
    for (;;) {
        const char *end = length ? memmem(text, length, end_text, END_LENGTH) : NULL;
        size_t segment = end ? (size_t)(end - text) : length;
        if (segment && !encode_segment(w, text, segment)) return false;
        if (!end) return true;
        if (!push_id(w->out, SDG_TOKEN_END)) return false;
        text = end + END_LENGTH;
        length -= segment + END_LENGTH;
    }
}

sdgen_status sdg_tokenize(struct sdg_tokens *out, const char *text, size_t length,
                          const struct sdg_tokenizer *t, sdgen_error *err)
{
    struct work w = {.vocabulary = &t->vocabulary, .out = out};
    bool fine = encode_text(&w, text, length);
    sdg_codes_free(&w.raw);
    sdg_codes_free(&w.composed);
    sdg_codes_free(&w.text);
    sdg_codes_free(&w.ids);
    if (fine) return SDGEN_OK;
    return sdg_fail(err, SDGEN_ERR_MEMORY, "prompt: no memory for the tokens of %zu bytes", length);
}

/* ---- the object ---- */

sdgen_status sdg_tokenizer_create(struct sdg_tokenizer **t, sdgen_error *err)
{
    *t = calloc(1, sizeof **t);
    if (*t && sdg_vocabulary_create(&(*t)->vocabulary)) return SDGEN_OK;
    sdg_tokenizer_destroy(*t);
    *t = NULL;
    return sdg_fail(err, SDGEN_ERR_MEMORY, "tokenizer: no memory for its tables");
}

void sdg_tokenizer_destroy(struct sdg_tokenizer *t)
{
    if (!t) return;
    sdg_vocabulary_destroy(&t->vocabulary);
    free(t);
}

const char *sdg_token_piece(const struct sdg_tokenizer *t, int32_t id)
{
    if (id < 0 || id >= SDG_VOCABULARY) return NULL;
    return t->vocabulary.letters + t->vocabulary.starts[id];
}
