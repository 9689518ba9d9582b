/* softmax_block_avx512bf16.c - softmax_block.inc for avx512bf16, over as many columns as
 * matmul_avx512bf16.c has. */
#include "vec_avx512bf16.h"

enum { NV = 2, NR = NV * VF, K_STEP = 2 };
#include "vec/softmax_block.inc"
