/* names.h - finding things by the many names that people give them. */
#ifndef SDG_BASE_NAMES_H
#define SDG_BASE_NAMES_H

#include <stdbool.h>
#include <stddef.h>

/* Is `name` one of `spellings` (separated by '|'), without regard to case, spaces, '_' and '-'? */
bool sdg_name_matches(const char *name, const char *spellings);

/* How far `name` is from the nearest of `spellings`: single-character edits, swaps of neighbours
 * included, after the same simplification. */
int sdg_name_distance(const char *name, const char *spellings);

#endif
