/* utf8.h - whether bytes from a file are well-formed UTF-8 (RFC 3629). */
#ifndef SDG_WEIGHTS_UTF8_H
#define SDG_WEIGHTS_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Length of the character at p, of which size bytes can be read: 1 to 4, or 0 when it is malformed:
 * overlong, cut, a surrogate, or above U+10FFFF. */
size_t sdg_utf8_length(const uint8_t *p, size_t size);

/* Text that can be a C string: well-formed and without a zero byte. */
bool sdg_utf8_is_name(const uint8_t *p, size_t size);

/* The bytes of code point c, which is no surrogate, into out; gives their number. */
size_t sdg_utf8_write(char out[4], uint32_t c);

#endif
