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
    /* Blocks of numbers that share a scale, as GGUF files hold them (quants.h). */
    SDG_Q4_0,
    SDG_Q4_1,
    SDG_Q5_0,
    SDG_Q5_1,
    SDG_Q8_0,
    SDG_Q2_K,
    SDG_Q3_K,
    SDG_Q4_K,
    SDG_Q5_K,
    SDG_Q6_K,
    SDG_DTYPE_COUNT
};

enum { SDG_MAX_DIMS = 8, SDG_MAX_BLOCK = 256 };

/* Contiguous, C order (last dimension fastest), little-endian, at any alignment; quantised types in
 * whole blocks along that order, of which a row may share one with the next.
 * rank 0 is one element; data == NULL means "not there" (an optional weight that the file lacks).
 */
struct sdg_tensor {
    const void *data;
    enum sdg_dtype dtype;
    int rank;
    int64_t shape[SDG_MAX_DIMS];
};

size_t sdg_dtype_size(enum sdg_dtype d);      /* bytes per block, which mostly is one element */
size_t sdg_dtype_block(enum sdg_dtype d);     /* elements per block: 1, 32 or 256 */
const char *sdg_dtype_name(enum sdg_dtype d); /* "F32", "BF16", ... as safetensors spells it, and
                                                 "Q8_0", "Q4_K", ... as GGUF does */
bool sdg_dtype_is_float(enum sdg_dtype d);    /* numbers with a fraction; quantised ones too */
bool sdg_dtype_is_quantised(enum sdg_dtype d);

/* Bytes of count elements, which are whole blocks: also the place of element number count. */
size_t sdg_dtype_bytes(enum sdg_dtype d, size_t count);

/* Number of elements of a view that has been validated (no overflow check). */
size_t sdg_tensor_count(const struct sdg_tensor *t);
size_t sdg_tensor_bytes(const struct sdg_tensor *t);

/* product of shape[0..rank) times item into *bytes; false on overflow or a negative dimension. */
bool sdg_shape_bytes(size_t *bytes, const int64_t *shape, int rank, size_t item);

/* The same for elements of a type; false also when they are no whole number of blocks. */
bool sdg_shape_storage(size_t *bytes, const int64_t *shape, int rank, enum sdg_dtype d);

/* "[320,4,3,3]" into text, cut at size. Returns text. */
char *sdg_shape_text(char *text, size_t size, const int64_t *shape, int rank);

/* y[i] = (float)x[first + i], i < count, from any dtype at any alignment. The scalar specification
 * of widening (f16: IEEE 754-2008 binary16; bf16: upper half of binary32; f8: OCP 8-bit formats,
 * "FN" for E4M3, so 0x7f and 0xff are NaN; integers and f64 round to nearest; quantised types:
 * quants.h). */
void sdg_tensor_widen(float *y, const struct sdg_tensor *x, size_t first, size_t count);

/* y[count] of type d from x: F32, F16 and BF16 (to nearest, ties to even; too large is infinite,
 * NaN stays NaN) and the types that sdg_quantise writes, in whole blocks. */
void sdg_tensor_narrow(void *y, enum sdg_dtype d, const float *x, size_t count);
bool sdg_dtype_is_narrowed(enum sdg_dtype d); /* whether sdg_tensor_narrow can write it */

/* IEEE binary16, to nearest, ties to even; and back. */
uint16_t sdg_half_from(float x);
float sdg_half_value(uint16_t bits);

#endif
