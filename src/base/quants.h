/* quants.h - numbers in blocks that share a scale: the quantised types of GGUF files.
 *
 * A block of 32 (Q4_0, Q4_1, Q5_0, Q5_1, Q8_0) has one scale, and in the "_1" types one offset, in
 * binary16, and 4, 5 or 8 bits for each number. A block of 256 (the "K" types) has a scale for 16
 * or 32 numbers each, itself of 4 or 6 bits under a scale of the whole block.
 *
 * Layouts: ggml, ggml-common.h; values: dequantize_row_* and quantize_row_*_ref of ggml-quants.c
 * and the same in gguf-py (gguf/quants.py), with which both directions agree to the bit. */
#ifndef SDG_BASE_QUANTS_H
#define SDG_BASE_QUANTS_H

#include "base/tensor.h"

/* y[i] = element first + i of the blocks at x, i < count; first and the end may lie inside a block.
 */
void sdg_dequantise(float *y, enum sdg_dtype d, const void *x, size_t first, size_t count);

/* Whole blocks of Q4_0, Q4_1, Q5_0, Q5_1 or Q8_0 into y; other types write nothing. Each block has
 * the scale that reaches its largest number. NaN counts as zero. */
void sdg_quantise(void *y, enum sdg_dtype d, const float *x, size_t count);

#endif
