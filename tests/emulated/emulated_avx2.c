/* emulated_avx2.c - the kernels of the AVX2 tier, eight lanes wide. */
#define SDG_EMULATED_LANES 8
#include "tests/emulated/emulated.h"
#include "tests/emulated/vec_emulated.h"

#define SDG_TIER(name) name##_emulated_avx2
enum { MR = 6, NV = 2, NR = NV * VF, K_STEP = 2 };
#include "vec/activation.inc"
#include "vec/matmul.inc"
#include "vec/norm.inc"
#include "vec/prep.inc"
#include "vec/softmax_block.inc"
#include "vec/widen.inc"
#include "vec/winograd.inc"
