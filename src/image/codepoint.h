/* codepoint.h - reads the characters of UTF-8 text one by one. */
#ifndef SDG_IMAGE_CODEPOINT_H
#define SDG_IMAGE_CODEPOINT_H

#include <stdint.h>

enum { SDG_REPLACEMENT = 0xFFFD };

/* The code point at *s, which moves past it. Bytes that are no well-formed UTF-8 (RFC 3629: nothing
 * over-long, no surrogates, nothing above U+10FFFF) give U+FFFD, one per byte. 0 at the end of the
 * string, where *s stays. */
uint32_t sdg_codepoint_next(const char **s);

#endif
