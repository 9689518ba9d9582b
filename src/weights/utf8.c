/* utf8.c - see utf8.h. The byte ranges are those of RFC 3629, section 4. */
#include "weights/utf8.h"

size_t sdg_utf8_length(const uint8_t *p, size_t size)
{
    if (size == 0) return 0;
    const uint8_t c = p[0];
    if (c < 0x80) return 1;
    const size_t n = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
    if (c < 0xc2 || c > 0xf4 || size < n) return 0;
    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80) return 0;
    /* The second byte is narrower where the first alone allows overlong forms, surrogates or too
     * large numbers. */
    if ((c == 0xe0 && p[1] < 0xa0) || (c == 0xed && p[1] > 0x9f) || (c == 0xf0 && p[1] < 0x90) ||
        (c == 0xf4 && p[1] > 0x8f))
        return 0;
    return n;
}

bool sdg_utf8_is_name(const uint8_t *p, size_t size)
{
    for (size_t i = 0, n; i < size; i += n) {
        n = sdg_utf8_length(p + i, size - i);
        if (n == 0 || p[i] == 0) return false;
    }
    return true;
}

size_t sdg_utf8_write(char out[4], uint32_t c)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    const size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--, c >>= 6) out[i] = (char)(0x80 | (c & 0x3f));
    out[0] = (char)((0xf00u >> n & 0xff) | c); /* 110x, 1110, 1111 0 */
    return n;
}
