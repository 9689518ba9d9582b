/* prompt_text.c - characters, numbers and growing lists for the readers of prompts
 * (prompt_parts.h).
 *
 * The programs that are followed are written in Python, so white space, words, digits and numbers
 * are what Python's re module and float() take for such. */
#include "text/prompt_parts.h"

#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include "text/unicode.h"

/* ---- characters ---- */

/* Four separators more than the tokenizer's white space. */
bool sdg_prompt_space(uint32_t code)
{
    if (code < 0x80) return code == ' ' || (code >= 9 && code <= 13) || (code >= 28 && code <= 31);
    return sdg_char_class(code) == SDG_CHAR_SPACE;
}

/* Up to characters that one Unicode version has and another has not. */
bool sdg_prompt_word(uint32_t code)
{
    enum sdg_char_class class = sdg_char_class(code);
    return class == SDG_CHAR_LETTER || class == SDG_CHAR_NUMBER || code == '_';
}

/* Decimal digits come in runs of ten; here is the zero of each (Unicode 14, category Nd). */
int sdg_prompt_digit(uint32_t code)
{
    static const uint32_t zeros[] = {
        0x30,    0x660,   0x6f0,   0x7c0,   0x966,   0x9e6,   0xa66,   0xae6,   0xb66,   0xbe6,
        0xc66,   0xce6,   0xd66,   0xde6,   0xe50,   0xed0,   0xf20,   0x1040,  0x1090,  0x17e0,
        0x1810,  0x1946,  0x19d0,  0x1a80,  0x1a90,  0x1b50,  0x1bb0,  0x1c40,  0x1c50,  0xa620,
        0xa8d0,  0xa900,  0xa9d0,  0xa9f0,  0xaa50,  0xabf0,  0xff10,  0x104a0, 0x10d30, 0x11066,
        0x110f0, 0x11136, 0x111d0, 0x112f0, 0x11450, 0x114d0, 0x11650, 0x116c0, 0x11730, 0x118e0,
        0x11950, 0x11c50, 0x11d50, 0x11da0, 0x16a60, 0x16ac0, 0x16b50, 0x1d7ce, 0x1d7d8, 0x1d7e2,
        0x1d7ec, 0x1d7f6, 0x1e140, 0x1e2f0, 0x1e950, 0x1fbf0};
    if (code < 0x80) return code >= '0' && code <= '9' ? (int)(code - '0') : -1;
    for (size_t i = 0; i < sizeof zeros / sizeof zeros[0]; i++)
        if (code >= zeros[i] && code < zeros[i] + 10) return (int)(code - zeros[i]);
    return -1;
}

/* The character that ends before text[at], 0 at the start. */
static uint32_t code_before(const char *text, size_t at)
{
    uint32_t code = 0;
    size_t start = at;
    if (at == 0) return 0;
    do start--;
    while (start > 0 && at - start < 4 && ((unsigned char)text[start] & 0xc0) == 0x80);
    while (start < at) start += sdg_utf8_decode(&code, text + start, at - start);
    return code;
}

bool sdg_prompt_word_at(const char *text, size_t length, size_t at, const char *word)
{
    const size_t n = strlen(word);
    uint32_t code = 0;
    if (length - at < n || memcmp(text + at, word, n) != 0) return false;
    if (at > 0 && sdg_prompt_word(code_before(text, at))) return false;
    if (at + n < length) sdg_utf8_decode(&code, text + at + n, length - at - n);
    return !sdg_prompt_word(code);
}

size_t sdg_prompt_spaces(const char *text, size_t length)
{
    size_t at = 0;
    while (at < length) {
        uint32_t code;
        const size_t n = sdg_utf8_decode(&code, text + at, length - at);
        if (!sdg_prompt_space(code)) break;
        at += n;
    }
    return at;
}

size_t sdg_prompt_spaces_before(const char *text, size_t length)
{
    size_t at = length;
    while (at > 0 && sdg_prompt_space(code_before(text, at))) {
        do at--;
        while (at > 0 && ((unsigned char)text[at] & 0xc0) == 0x80);
    }
    return length - at;
}

size_t sdg_prompt_place(const char *text, size_t at)
{
    size_t place = 1;
    for (size_t i = 0; i < at; place++) {
        uint32_t code;
        i += sdg_utf8_decode(&code, text + i, at - i);
    }
    return place;
}

/* ---- numbers ---- */

/* strtod of a text that holds ASCII digits, sign, point and exponent; hosts may have set a locale
 * with another point. */
static double plain_number(char *text)
{
    char *point = strchr(text, '.');
    if (point) *point = localeconv()->decimal_point[0];
    return strtod(text, NULL);
}

/* inf, infinity, nan with a sign, in any case. */
static bool special_number(double *value, const char *text)
{
    static const char *const names[] = {"inf", "infinity", "nan"};
    const bool minus = *text == '-';
    if (*text == '+' || *text == '-') text++;
    for (int i = 0; i < 3; i++) {
        size_t k = 0;
        while (names[i][k] && ((unsigned char)text[k] | 0x20) == (unsigned char)names[i][k]) k++;
        if (names[i][k] || text[k]) continue;
        *value = i < 2 ? 1e308 * 10 : (1e308 * 10) * 0;
        if (minus) *value = -*value;
        return true;
    }
    return false;
}

/* [+-] digits [. digits] [e [+-] digits], at least one digit before the exponent and one in it. */
static bool is_number(const char *s)
{
    size_t digits = 0;
    if (*s == '+' || *s == '-') s++;
    while (*s >= '0' && *s <= '9') s++, digits++;
    if (*s == '.') s++;
    while (*s >= '0' && *s <= '9') s++, digits++;
    if (digits == 0) return false;
    if (*s == 'e' || *s == 'E') {
        s++;
        if (*s == '+' || *s == '-') s++;
        if (*s < '0' || *s > '9') return false;
        while (*s >= '0' && *s <= '9') s++;
    }
    return *s == 0;
}

bool sdg_prompt_float(double *value, const char *text, size_t length)
{
    const size_t before = sdg_prompt_spaces(text, length);
    length -= before;
    text += before;
    length -= sdg_prompt_spaces_before(text, length);
    char small[64], *ascii = length < sizeof small ? small : malloc(length + 1);
    size_t n = 0;
    bool digit = false, fine = ascii != NULL;
    for (size_t i = 0; fine && i < length;) {
        uint32_t code;
        i += sdg_utf8_decode(&code, text + i, length - i);
        const int d = sdg_prompt_digit(code);
        if (code == '_') { /* between two digits */
            uint32_t next = 0;
            if (i < length) sdg_utf8_decode(&next, text + i, length - i);
            fine = digit && sdg_prompt_digit(next) >= 0;
        } else if (d >= 0 || (code > 0 && code < 0x80)) {
            ascii[n++] = d >= 0 ? (char)('0' + d) : (char)code;
        } else {
            fine = false;
        }
        digit = d >= 0;
    }
    if (fine) {
        ascii[n] = 0;
        fine = is_number(ascii);
        if (fine)
            *value = plain_number(ascii);
        else
            fine = special_number(value, ascii);
    }
    if (ascii != small) free(ascii);
    return fine;
}

/* ---- lists ---- */

bool sdg_list_grow(void **at, size_t *capacity, size_t count, size_t size)
{
    if (count < *capacity) return true;
    const size_t more = *capacity ? *capacity + *capacity / 2 + 1 : 16;
    if (more > SIZE_MAX / size) return false;
    void *moved = realloc(*at, more * size);
    if (!moved) return false;
    *at = moved;
    *capacity = more;
    return true;
}

bool sdg_text_add(struct sdg_text *to, const char *text, size_t length)
{
    if (to->capacity - to->count <= length) {
        const size_t capacity = to->count + length + 1 + to->count / 2;
        if (capacity < to->count) return false;
        char *at = realloc(to->at, capacity);
        if (!at) return false;
        to->at = at;
        to->capacity = capacity;
    }
    if (length > 0) memcpy(to->at + to->count, text, length);
    to->count += length;
    to->at[to->count] = 0;
    return true;
}

void sdg_text_free(struct sdg_text *text)
{
    free(text->at);
    *text = (struct sdg_text) {0};
}

bool sdg_segments_add(struct sdg_segments *s, const char *text, size_t length, double weight)
{
    const size_t start = s->text.count;
    if (!sdg_list_grow((void **)&s->at, &s->capacity, s->count, sizeof *s->at)) return false;
    if (!sdg_text_add(&s->text, text, length)) return false;
    s->at[s->count++] = (struct sdg_segment) {.start = start, .length = length, .weight = weight};
    return true;
}

void sdg_segments_reset(struct sdg_segments *s)
{
    s->count = 0;
    s->text.count = 0;
}

void sdg_segments_free(struct sdg_segments *s)
{
    sdg_text_free(&s->text);
    free(s->at);
    *s = (struct sdg_segments) {0};
}
