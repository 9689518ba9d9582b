/* nonfinite.h - counts the values of a tensor that are no numbers. */
#ifndef SDG_WEIGHTS_NONFINITE_H
#define SDG_WEIGHTS_NONFINITE_H

#include "base/tensor.h"

struct sdg_nonfinite {
    size_t nan, inf;
};

/* By the stored bits of each value, so nothing overflows on the way; quantised ones by their value.
 * Integers have neither. */
void sdg_count_nonfinite(struct sdg_nonfinite *n, const struct sdg_tensor *t);

#endif
