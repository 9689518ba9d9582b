/* plain_prompt.c - does a prompt mean itself under A1111's prompt language? (chunks.h)
 *
 * What A1111 1.10 does to a prompt, in its order: it hides comments
 * (modules/processing_scripts/comments.py), takes out extra networks (modules/extra_networks.py),
 * splits at AND and takes a weight off the end (prompt_parser.py, get_multicond_prompt_list),
 * resolves editing and alternation, and reads emphasis, escapes and BREAK (prompt_parser.py). Text
 * that passes here comes through all of it unchanged: a closing bracket that closes nothing, a
 * colon, a bar and a single "<" are plain characters there too. */
#include "text/chunks.h"

#include <stdbool.h>
#include <string.h>
#include "text/unicode.h"

/* Python's \w, up to characters that one Unicode version has and another has not. */
static bool is_word(uint32_t code)
{
    enum sdg_char_class class = sdg_char_class(code);
    return class == SDG_CHAR_LETTER || class == SDG_CHAR_NUMBER || code == '_';
}

/* Python's \s, which has four separators more than the tokenizer's. */
static bool is_space(uint32_t code)
{
    return sdg_char_class(code) == SDG_CHAR_SPACE || (code >= 0x1c && code <= 0x1f);
}

/* Does the upper-case word stand at code[i], alone? */
static bool word_at(const uint32_t *code, size_t i, size_t n, const char *word)
{
    size_t length = strlen(word);
    if (n - i < length || (i > 0 && is_word(code[i - 1]))) return false;
    for (size_t k = 0; k < length; k++)
        if (code[i + k] != (unsigned char)word[k]) return false;
    return i + length == n || !is_word(code[i + length]);
}

/* "<name:anything>" at code[i] */
static bool network_at(const uint32_t *code, size_t i, size_t n)
{
    size_t k = i + 1;
    while (k < n && is_word(code[k])) k++;
    if (code[i] != '<' || k == i + 1 || k == n || code[k] != ':') return false;
    size_t argument = ++k;
    while (k < n && code[k] != '>') k++;
    return k < n && k > argument;
}

/* ":1.2" at code[i] and nothing behind it: the weight of a part of a composition, even of one part.
 */
static bool weight_at(const uint32_t *code, size_t i, size_t n)
{
    size_t k = i + 1, digits = 0, points = 0;
    if (code[i] != ':') return false;
    while (k < n && is_space(code[k])) k++;
    if (k < n && (code[k] == '+' || code[k] == '-')) k++;
    for (; k < n && (code[k] == '.' || sdg_char_class(code[k]) == SDG_CHAR_NUMBER); k++)
        *(code[k] == '.' ? &points : &digits) += 1;
    while (k < n && is_space(code[k])) k++;
    return k == n && digits > 0 && points <= 1;
}

/* What A1111 would read at code[i], as "text is a name", or NULL. */
static const char *construct_at(const uint32_t *code, size_t i, size_t n)
{
    switch (code[i]) {
    case '(': return "'(' begins an emphasis";
    case '[': return "'[' begins a de-emphasis, an editing or an alternation";
    case '\\': return "'\\' is an escape";
    case '#': return "'#' begins a comment";
    case '<': return network_at(code, i, n) ? "'<name:...>' is an extra network" : NULL;
    case ':': return weight_at(code, i, n) ? "':number' at the end is a weight" : NULL;
    case 'A': return word_at(code, i, n, "AND") ? "AND composes prompts" : NULL;
    case 'B': return word_at(code, i, n, "BREAK") ? "BREAK begins a new chunk" : NULL;
    default: return NULL;
    }
}

sdgen_status sdg_prompt_is_plain(const char *prompt, sdgen_error *err)
{
    struct sdg_codes codes = {0};
    sdgen_status status = SDGEN_OK;
    if (!sdg_codes_decode(&codes, prompt, strlen(prompt)))
        status = sdg_fail(err, SDGEN_ERR_MEMORY, "prompt: no memory for %zu bytes", strlen(prompt));
    for (size_t i = 0; i < codes.count && status == SDGEN_OK; i++) {
        const char *construct = construct_at(codes.at, i, codes.count);
        if (construct)
            status = sdg_fail(err, SDGEN_ERR_ARG,
                              "prompt: character %zu: %s in A1111's prompt language, which is not "
                              "supported yet; use --literal to draw the text as it stands",
                              i + 1, construct);
    }
    sdg_codes_free(&codes);
    return status;
}
