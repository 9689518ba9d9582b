/* unicode.c - see unicode.h. Composition has its own file, nfc.c. */
#include "text/unicode.h"

#include <stdlib.h>
#include "text/unicode_tables.h"

#define LENGTH(array) (sizeof(array) / sizeof(array)[0])

void sdg_codes_free(struct sdg_codes *codes)
{
    free(codes->at);
    *codes = (struct sdg_codes) {0};
}

bool sdg_codes_push(struct sdg_codes *codes, uint32_t code)
{
    if (codes->count == codes->capacity) {
        size_t capacity = codes->capacity ? 2 * codes->capacity : 64;
        if (capacity > SIZE_MAX / sizeof *codes->at) return false;
        uint32_t *at = realloc(codes->at, capacity * sizeof *at);
        if (!at) return false;
        codes->at = at;
        codes->capacity = capacity;
    }
    codes->at[codes->count++] = code;
    return true;
}

bool sdg_codes_decode(struct sdg_codes *to, const char *text, size_t length)
{
    for (size_t i = 0; i < length;) {
        uint32_t code;
        i += sdg_utf8_decode(&code, text + i, length - i);
        if (!sdg_codes_push(to, code)) return false;
    }
    return true;
}

int sdg_range_value(const struct sdg_code_range *ranges, size_t count, uint32_t code)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (code < ranges[middle].first)
            high = middle;
        else if (code > ranges[middle].last)
            low = middle + 1;
        else
            return ranges[middle].value;
    }
    return 0;
}

enum sdg_char_class sdg_char_class(uint32_t code)
{
    return (enum sdg_char_class)sdg_range_value(sdg_class_ranges, LENGTH(sdg_class_ranges), code);
}

/* The lower case of a character that has one of a single character, else the character. */
static uint32_t lower(uint32_t code)
{
    size_t low = 0, high = LENGTH(sdg_lower_ranges);
    while (low < high) {
        size_t middle = (low + high) / 2;
        const struct sdg_lower_range *range = &sdg_lower_ranges[middle];
        if (code < range->first)
            high = middle;
        else if (code > range->last)
            low = middle + 1;
        else
            return (code - range->first) % range->step == 0 ? code + (uint32_t)range->difference
                                                            : code;
    }
    return code;
}

bool sdg_codes_lower(struct sdg_codes *to, const struct sdg_codes *from)
{
    for (size_t i = 0; i < from->count; i++) {
        const struct sdg_code_pair *pair = sdg_lower_pairs;
        const struct sdg_code_pair *end = pair + LENGTH(sdg_lower_pairs);
        while (pair < end && pair->code != from->at[i]) pair++;
        if (!sdg_codes_push(to, pair < end ? pair->first : lower(from->at[i]))) return false;
        if (pair < end && !sdg_codes_push(to, pair->second)) return false;
    }
    return true;
}
