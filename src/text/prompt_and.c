/* prompt_and.c - "a cat :1.2 AND a dog": the sides of a composition (Liu et al. 2022) and their
 * weights, as get_multicond_prompt_list in modules/prompt_parser.py of AUTOMATIC1111
 * stable-diffusion-webui 1.10 takes them apart. AND is looked for before any bracket is, so it
 * splits inside of them too. */
#include "text/prompt_parts.h"

/* Digits of any script at text[at...], at most to `end`; returns how many bytes they take. */
static size_t digits_at(const char *text, size_t at, size_t end)
{
    const size_t start = at;
    while (at < end) {
        uint32_t code;
        const size_t n = sdg_utf8_decode(&code, text + at, end - at);
        if (sdg_prompt_digit(code) < 0) break;
        at += n;
    }
    return at - start;
}

/* [+-] followed by digits, digits and a point, or digits after a point, and nothing else. */
static bool is_weight(const char *text, size_t length)
{
    size_t at = length > 0 && (text[0] == '+' || text[0] == '-');
    const size_t whole = digits_at(text, at, length);
    at += whole;
    if (at == length) return whole > 0;
    if (text[at] != '.') return false;
    const size_t rest = digits_at(text, at + 1, length);
    return at + 1 + rest == length && (whole > 0 || rest > 0);
}

/* A weight stands behind the last colon. White space at the end goes, with or without one. */
static void take_weight(struct sdg_side *side, const char *all)
{
    const char *text = all + side->start;
    size_t length = side->length - sdg_prompt_spaces_before(text, side->length);
    size_t colon = length;
    side->length = length;
    while (colon > 0 && text[colon - 1] != ':') colon--;
    if (colon == 0) return;
    const size_t number = colon + sdg_prompt_spaces(text + colon, length - colon);
    if (!is_weight(text + number, length - number)) return;
    if (!sdg_prompt_float(&side->weight, text + number, length - number)) return;
    side->length = colon - 1 - sdg_prompt_spaces_before(text, colon - 1);
}

static bool add_side(struct sdg_sides *sides, const char *text, size_t start, size_t end)
{
    if (!sdg_list_grow((void **)&sides->at, &sides->capacity, sides->count, sizeof *sides->at))
        return false;
    struct sdg_side *side = &sides->at[sides->count++];
    *side = (struct sdg_side) {.start = start, .length = end - start, .weight = 1};
    take_weight(side, text);
    return true;
}

bool sdg_prompt_split_and(struct sdg_sides *sides, const char *text, size_t length)
{
    size_t start = 0;
    for (size_t i = 0; i + 3 <= length; i++) {
        if (text[i] != 'A' || !sdg_prompt_word_at(text, length, i, "AND")) continue;
        if (!add_side(sides, text, start, i)) return false;
        start = i + 3;
        i += 2;
    }
    return add_side(sides, text, start, length);
}
