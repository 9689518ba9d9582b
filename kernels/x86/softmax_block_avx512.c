/* softmax_block_avx512.c - softmax_block.inc for avx512, over as many columns as matmul_avx512.c
 * has. */
#include "vec_avx512.h"

enum { NV = 2, NR = NV * VF, K_STEP = 2 };
#include "vec/softmax_block.inc"
