/* softmax_block_avx2.c - softmax_block.inc for avx2, over as many columns as matmul_avx2.c has. */
#include "vec_avx2.h"

enum { NV = 2 };
#include "softmax_block.inc"
