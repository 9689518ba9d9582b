/* tensor.h - a view of stored numbers: where they are, their type and their shape. Never owns. */
#ifndef SDG_BASE_TENSOR_H
#define SDG_BASE_TENSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sdg_dtype {
    SDG_F32,
    SDG_F16,
    SDG_BF16,
    SDG_F64,
    SDG_F8_E4M3,
    SDG_F8_E5M2,
    SDG_I64,
    SDG_I32,
    SDG_I16,
    SDG_I8,
    SDG_U64,
    SDG_U32,
    SDG_U16,
    SDG_U8,
    SDG_BOOL,
    SDG_DTYPE_COUNT
};

enum { SDG_MAX_DIMS = 8 };

/* Contiguous, C order (last dimension fastest), little-endian, at any alignment.
 * rank 0 is one element; data == NULL means "not there" (an optional weight that the file lacks).
 */
struct sdg_tensor {
    const void *data;
    enum sdg_dtype dtype;
    int rank;
    int64_t shape[SDG_MAX_DIMS];
};

size_t sdg_dtype_size(enum sdg_dtype d);      /* bytes per element */
const char *sdg_dtype_name(enum sdg_dtype d); /* "F32", "BF16", ... as safetensors spells it */
bool sdg_dtype_is_float(enum sdg_dtype d);

/* Number of elements of a view that has been validated (no overflow check). */
size_t sdg_tensor_count(const struct sdg_tensor *t);

/* product of shape[0..rank) times item into *bytes; false on overflow or a negative dimension. */
bool sdg_shape_bytes(size_t *bytes, const int64_t *shape, int rank, size_t item);

/* "[320,4,3,3]" into text, cut at size. Returns text. */
char *sdg_shape_text(char *text, size_t size, const int64_t *shape, int rank);

/* y[i] = (float)x[first + i], i < count, from any dtype at any alignment. The scalar specification
 * of widening (f16: IEEE 754-2008 binary16; bf16: upper half of binary32; f8: OCP 8-bit formats,
 * "FN" for E4M3, so 0x7f and 0xff are NaN; integers and f64 round to nearest). */
void sdg_tensor_widen(float *y, const struct sdg_tensor *x, size_t first, size_t count);

#endif
