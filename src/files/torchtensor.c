/* torchtensor.c - see torchtensor.h. Rules of a valid window: torch.Tensor.set_ (ATen/native/
 * Resize.h, setStrided): non-negative offset and strides, last element inside the storage. */
#include "files/torchtensor.h"

#include <string.h>

const char *sdg_torch_window(struct sdg_torch_tensor *t, const struct sdg_torch_storage *s,
                             int64_t offset)
{
    const size_t item = sdg_dtype_size(t->dtype);
    const uint64_t room = s->bytes / item;
    uint64_t last = 0; /* index of the last element */
    size_t bytes;
    if (!sdg_shape_bytes(&bytes, t->shape, t->rank, item))
        return "a tensor has a negative or absurd size";
    if (offset < 0 || (uint64_t)offset > room) return "a tensor begins outside its storage";
    last = (uint64_t)offset;
    for (int i = 0; i < t->rank; i++) {
        uint64_t span;
        if (t->stride[i] < 0) return "a tensor has a negative stride";
        if (t->shape[i] == 0) continue;
        if (__builtin_mul_overflow((uint64_t)t->shape[i] - 1, (uint64_t)t->stride[i], &span) ||
            __builtin_add_overflow(last, span, &last))
            return "a tensor reaches beyond its storage";
    }
    if (bytes > 0 && last >= room) return "a tensor reaches beyond its storage";
    t->storage = s;
    t->first = (uint64_t)offset;
    return NULL;
}

const uint8_t *sdg_torch_data(const struct sdg_torch_tensor *t)
{
    return t->storage->data + t->first * sdg_dtype_size(t->dtype);
}

bool sdg_torch_contiguous(const struct sdg_torch_tensor *t)
{
    uint64_t wanted = 1;
    bool contiguous = true;
    for (int i = t->rank - 1; i >= 0; i--) {
        if (t->shape[i] == 0) return true;
        contiguous &= t->shape[i] == 1 || (uint64_t)t->stride[i] == wanted;
        wanted *= (uint64_t)t->shape[i]; /* cannot overflow: the window was checked */
    }
    return contiguous;
}

/* One row: `count` elements that lie `stride` elements apart. The sizes are constants so that each
 * copy is one move. */
static void gather_row(uint8_t *y, const uint8_t *x, size_t count, size_t stride, size_t item)
{
    switch (item) {
    case 1:
        for (size_t i = 0; i < count; i++) y[i] = x[i * stride];
        break;
    case 2:
        for (size_t i = 0; i < count; i++) memcpy(y + 2 * i, x + 2 * i * stride, 2);
        break;
    case 4:
        for (size_t i = 0; i < count; i++) memcpy(y + 4 * i, x + 4 * i * stride, 4);
        break;
    default:
        for (size_t i = 0; i < count; i++) memcpy(y + 8 * i, x + 8 * i * stride, 8);
        break;
    }
}

void sdg_torch_gather(void *y, const struct sdg_torch_tensor *t)
{
    const size_t item = sdg_dtype_size(t->dtype);
    const int inner = t->rank - 1;
    const size_t row = t->rank ? (size_t)t->shape[inner] : 1;
    const uint8_t *data = sdg_torch_data(t);
    size_t rows = 1, at = 0; /* at: element where the current row begins */
    int64_t index[SDG_MAX_DIMS] = {0};
    for (int i = 0; i < inner; i++) rows *= (size_t)t->shape[i];
    if (row == 0) return;
    for (size_t r = 0; r < rows; r++) {
        gather_row((uint8_t *)y + r * row * item, data + at * item, row,
                   t->rank ? (size_t)t->stride[inner] : 0, item);
        for (int i = inner - 1; i >= 0; i--) { /* the next row, as an odometer counts */
            at += (size_t)t->stride[i];
            if (++index[i] < t->shape[i]) break;
            at -= (size_t)t->shape[i] * (size_t)t->stride[i];
            index[i] = 0;
        }
    }
}
