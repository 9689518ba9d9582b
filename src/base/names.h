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

/* The index of `name` among `choices` ("a|b|c", each with its spellings between '=':
 * "cpu|cuda=nv"), found like sdg_name_matches; -1: none of them. */
int sdg_name_choice(const char *name, const char *choices);

#endif
