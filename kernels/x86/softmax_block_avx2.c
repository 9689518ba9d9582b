/* softmax_block_avx2.c - softmax_block.inc for avx2, over as many columns as matmul_avx2.c has. */
#include "vec_avx2.h"

enum { NV = 2, NR = NV * VF, K_STEP = 2 };
#include "vec/softmax_block.inc"
