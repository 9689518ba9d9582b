/* softmax_block_avx512bf16.c - softmax_block.inc for avx512bf16, over as many columns as
 * matmul_avx512bf16.c has. */
#include "vec_avx512bf16.h"

enum { NV = 2 };
#include "softmax_block.inc"
