/* emulated_avx512bf16.c - the bf16 product of the AVX512-BF16 tier. */
#define SDG_EMULATED_LANES 16
#define SDG_EMULATED_BF16
#include "tests/emulated/emulated.h"
#include "tests/emulated/vec_emulated.h"

#define SDG_TIER(name) name##_emulated_avx512bf16
enum { MR = 14, NV = 2, NR = NV * VF, K_STEP = 2 };
#include "vec/matmul.inc"
#include "vec/prep.inc"
#include "vec/softmax_block.inc"
#include "vec/winograd.inc"
