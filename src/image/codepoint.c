/* codepoint.c - see codepoint.h. */
#include "image/codepoint.h"

uint32_t sdg_codepoint_next(const char **s)
{
    static const uint32_t smallest[] = {0, 0x80, 0x800, 0x10000}; /* by continuation bytes */
    const unsigned char *c = (const unsigned char *)*s;
    if (c[0] == 0) return 0;
    *s += 1;
    if (c[0] < 0x80) return c[0];
    const int more = c[0] >= 0xF0 ? 3 : c[0] >= 0xE0 ? 2 : 1;
    if (c[0] < 0xC2 || c[0] > 0xF4) return SDG_REPLACEMENT;
    uint32_t code = c[0] & (0x3Fu >> more);
    for (int i = 1; i <= more; i++) { /* the NUL at the end is no continuation byte */
        if ((c[i] & 0xC0) != 0x80) return SDG_REPLACEMENT;
        code = code << 6 | (c[i] & 0x3F);
    }
    if (code < smallest[more] || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000))
        return SDG_REPLACEMENT;
    *s += more;
    return code;
}
