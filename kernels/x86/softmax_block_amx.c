/* softmax_block_amx.c - softmax_block.inc with results in the tiles that matmul_amx.c reads. */
#include "vec_avx512bf16.h"

#undef SDG_TIER
#define SDG_TIER(name) name##_amx
enum { NV = 2, NR = NV * VF, K_STEP = 32 };
#include "vec/softmax_block.inc"
