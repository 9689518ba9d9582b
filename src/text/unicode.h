/* unicode.h - the little of Unicode that the tokenizer needs: classes of characters, lower case,
 * canonical composition. The tables are asked of the original tokenizer
 * (tools/gen_unicode.py), so they know exactly the characters that it knows. */
#ifndef SDG_TEXT_UNICODE_H
#define SDG_TEXT_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/utf8.h"

struct sdg_code_range;
/* The number that the sorted ranges [count] give to a code point, 0 outside all of them. */
int sdg_range_value(const struct sdg_code_range *ranges, size_t count, uint32_t code);

/* The values are those of sdg_class_ranges. */
enum sdg_char_class { SDG_CHAR_OTHER, SDG_CHAR_SPACE, SDG_CHAR_LETTER, SDG_CHAR_NUMBER };
enum sdg_char_class sdg_char_class(uint32_t code);

/* A growing list of code points. Zero-initialise. The functions that fill one return false when
 * memory cannot be had. */
struct sdg_codes {
    uint32_t *at;
    size_t count, capacity;
};
void sdg_codes_free(struct sdg_codes *codes);
bool sdg_codes_push(struct sdg_codes *codes, uint32_t code);

/* to += text[length], decoded. */
bool sdg_codes_decode(struct sdg_codes *to, const char *text, size_t length);
/* to += the lower case of `from`, character by character: no rule looks at neighbours, so a final
 * sigma stays the ordinary one. */
bool sdg_codes_lower(struct sdg_codes *to, const struct sdg_codes *from);
/* to = Normalization Form C of `from` (UAX #15). Cost n log n, whatever the order of the marks. */
bool sdg_codes_nfc(struct sdg_codes *to, const struct sdg_codes *from);

#endif
