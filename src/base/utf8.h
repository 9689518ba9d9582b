/* utf8.h - the encoding of every text that comes in: prompts, names of tensors, metadata. */
#ifndef SDG_BASE_UTF8_H
#define SDG_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SDG_UTF8_REPLACEMENT = 0xfffd };

/* Reads one code point from text[length], length >= 1, and returns how many bytes it takes. Bytes
 * that are not UTF-8 give U+FFFD, one for every maximal part of a sequence (The Unicode Standard,
 * section 3.9, "U+FFFD Substitution of Maximal Subparts"; Python's errors="replace"). */
size_t sdg_utf8_decode(uint32_t *code, const char *text, size_t length);

/* Writes one code point that is no surrogate, returns how many bytes it takes. */
size_t sdg_utf8_encode(char to[4], uint32_t code);

/* The code point at *s, which moves past it; broken ones as above. 0 at the end of the string,
 * where *s stays. */
uint32_t sdg_utf8_next(const char **s);

/* Does it steer a terminal instead of showing something? C0, DEL and C1 (The Unicode Standard,
 * section 23.1): U+009B alone begins an escape sequence. */
bool sdg_utf8_is_control(uint32_t code);

/* Makes a line of text that strangers had a hand in safe to show: control characters and bytes that
 * are not UTF-8 become '?'. In place; it may get shorter. */
void sdg_utf8_clean(char *text);

/* Length of the character at p, of which size bytes can be read: 1 to 4, or 0 when it is malformed:
 * overlong, cut, a surrogate, or above U+10FFFF. */
size_t sdg_utf8_length(const uint8_t *p, size_t size);

/* Text that can be a C string: well-formed and without a zero byte. */
bool sdg_utf8_is_name(const uint8_t *p, size_t size);

#endif
