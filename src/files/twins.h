/* twins.h - tensors of a file that are equal to another one: views of the same bytes, or copies. */
#ifndef SDG_FILES_TWINS_H
#define SDG_FILES_TWINS_H

#include <stdint.h>
#include "base/status.h"
#include "files/weights.h"

struct sdg_twins {
    uint32_t *of; /* [count of entries] the first entry with the same type, shape and bytes; itself
                     where there is no earlier one */
    size_t count; /* of those that have one */
    uint64_t bytes;
};

/* Reads every tensor once, in parallel, and those twice that look alike; tensors of less than
 * 64 KiB, which are often equal by chance, are not looked at. Errors: SDGEN_ERR_MEMORY. */
SDGEN_MUST_CHECK sdgen_status sdg_twins_find(struct sdg_twins *t, const struct sdg_weights *w,
                                             int threads, sdgen_error *err);
void sdg_twins_free(struct sdg_twins *t); /* accepts a zeroed one */

#endif
