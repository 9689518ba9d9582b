/* torchtensor.h - PyTorch's tensors as files describe them: a window with strides on a storage. */
#ifndef SDG_FILES_TORCHTENSOR_H
#define SDG_FILES_TORCHTENSOR_H

#include <stdbool.h>
#include <stdint.h>
#include "base/tensor.h"

/* Beside enum sdg_dtype: bytes whose type the tensor says, and types sdgen cannot compute with. */
enum { SDG_TORCH_UNTYPED = -1, SDG_TORCH_UNUSABLE = -2 };

struct sdg_torch_storage {
    const uint8_t *data; /* [bytes]; NULL until its place in the file is known */
    uint64_t bytes;
    int dtype; /* an sdg_dtype or SDG_TORCH_UNTYPED */
};

struct sdg_torch_tensor {
    const struct sdg_torch_storage *storage;
    uint64_t first; /* element of the storage where it begins */
    enum sdg_dtype dtype;
    int rank;
    int64_t shape[SDG_MAX_DIMS], stride[SDG_MAX_DIMS]; /* in elements; strides >= 0 */
};

/* Places t, with its type, shape and strides, in s, beginning at element `offset`. Returns what is
 * wrong with that, or NULL: t then lies inside s. */
const char *sdg_torch_window(struct sdg_torch_tensor *t, const struct sdg_torch_storage *s,
                             int64_t offset);

/* The first element. */
const uint8_t *sdg_torch_data(const struct sdg_torch_tensor *t);

/* Whether the elements lie one after another in C order. */
bool sdg_torch_contiguous(const struct sdg_torch_tensor *t);

/* y [elements of t] of t's type in C order. */
void sdg_torch_gather(void *y, const struct sdg_torch_tensor *t);

#endif
