/* unicode_tables.h - sizes and names of the tables in unicode_tables.c. Written by tools/gen_unicode.py.
 * Do not edit. */
#ifndef SDG_TEXT_UNICODE_TABLES_H
#define SDG_TEXT_UNICODE_TABLES_H

#include <stdint.h>

/* Below this code point NFC changes nothing and joins nothing. */
#define SDG_NFC_FIRST 0x0300

/* Code points first..last and a number that they share. */
struct sdg_code_range {
    uint32_t first, last;
    int value;
};
/* Code points first, first + step, ..., last: the lower case is `difference` away. */
struct sdg_lower_range {
    uint32_t first, last, step;
    int32_t difference;
};
struct sdg_code_pair {
    uint32_t code, first, second;
};

/* value: enum sdg_char_class */
extern const struct sdg_code_range sdg_class_ranges[831];
/* value: rank of the canonical combining class */
extern const struct sdg_code_range sdg_mark_ranges[334];
/* lower case, where it is one character */
extern const struct sdg_lower_range sdg_lower_ranges[185];
/* lower case, where it is two */
extern const struct sdg_code_pair sdg_lower_pairs[1];
/* sorted by code; first may decompose further, second is 0 if there is none */
extern const struct sdg_code_pair sdg_decompositions[2060];
/* sorted by second, then first */
extern const struct sdg_code_pair sdg_compositions[940];

#endif
