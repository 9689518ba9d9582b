/* utf8.c - see utf8.h. */
#define _GNU_SOURCE
#include "base/utf8.h"

#include <string.h>

/* The second byte of a sequence has a narrower range after four lead bytes: no overlong forms, no
 * surrogates, nothing above U+10FFFF (The Unicode Standard, table 3-7). */
static bool continues(unsigned char lead, size_t position, unsigned char byte)
{
    unsigned low = 0x80, high = 0xbf;
    if (position == 1) {
        if (lead == 0xe0) low = 0xa0;
        if (lead == 0xed) high = 0x9f;
        if (lead == 0xf0) low = 0x90;
        if (lead == 0xf4) high = 0x8f;
    }
    return byte >= low && byte <= high;
}

size_t sdg_utf8_decode(uint32_t *code, const char *text, size_t length)
{
    unsigned char lead = (unsigned char)text[0];
    size_t size = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4, used = 1;
    *code = SDG_UTF8_REPLACEMENT;
    if (size == 1) *code = lead;
    if (size == 1 || lead < 0xc2 || lead > 0xf4) return 1;
    uint32_t value = lead & (0x7fu >> size);
    while (used < size && used < length && continues(lead, used, (unsigned char)text[used]))
        value = value << 6 | ((unsigned char)text[used++] & 0x3f);
    if (used == size) *code = value;
    return used;
}

size_t sdg_utf8_encode(char to[4], uint32_t code)
{
    size_t size = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = size; --i > 0; code >>= 6) to[i] = (char)(0x80 | (code & 0x3f));
    to[0] = (char)(lead[size] | code);
    return size;
}

uint32_t sdg_utf8_next(const char **s)
{
    uint32_t code = 0;
    if (**s) *s += sdg_utf8_decode(&code, *s, strnlen(*s, 4));
    return code;
}

bool sdg_utf8_is_control(uint32_t code)
{
    return code < 0x20 || (code >= 0x7f && code < 0xa0);
}

void sdg_utf8_clean(char *text)
{
    char *to = text;
    for (const char *at = text, *start; *(start = at);) {
        const uint32_t code = sdg_utf8_next(&at);
        const size_t n = (size_t)(at - start);
        if (sdg_utf8_is_control(code) || !sdg_utf8_length((const uint8_t *)start, n)) {
            *to++ = '?';
        } else {
            memmove(to, start, n);
            to += n;
        }
    }
    *to = 0;
}

size_t sdg_utf8_length(const uint8_t *p, size_t size)
{
    uint32_t code;
    if (size == 0) return 0;
    const size_t used = sdg_utf8_decode(&code, (const char *)p, size);
    const bool replaced = code == SDG_UTF8_REPLACEMENT && !(used == 3 && p[0] == 0xef);
    return replaced ? 0 : used; /* U+FFFD itself is EF BF BD, and no broken EF takes three bytes */
}

bool sdg_utf8_is_name(const uint8_t *p, size_t size)
{
    for (size_t i = 0, n; i < size; i += n) {
        n = sdg_utf8_length(p + i, size - i);
        if (n == 0 || p[i] == 0) return false;
    }
    return true;
}
