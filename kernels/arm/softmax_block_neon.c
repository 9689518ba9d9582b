/* softmax_block_neon.c - softmax_block.inc for 64-bit ARM, over as many columns as matmul_neon.c
 * has. */
#include "vec_neon.h"

enum { NV = 4, NR = NV * VF, K_STEP = 2 };
#include "vec/softmax_block.inc"
