/* tensor_values.h - what kinds of numbers a tensor holds, for those who look for what is broken. */
#ifndef SDG_FILES_TENSOR_VALUES_H
#define SDG_FILES_TENSOR_VALUES_H

#include "base/tensor.h"

struct sdg_value_counts {
    size_t nan, inf, denormal, zero;
};

/* By the stored bits of each value, so nothing overflows on the way; quantised ones by their value
 * in f32. Integers are only counted where they are zero. */
void sdg_count_values(struct sdg_value_counts *n, const struct sdg_tensor *t);

#endif
