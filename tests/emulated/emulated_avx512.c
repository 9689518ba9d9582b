/* emulated_avx512.c - the kernels of the AVX-512 tier, sixteen lanes wide. */
#define SDG_EMULATED_LANES 16
#include "tests/emulated/emulated.h"
#include "tests/emulated/vec_emulated.h"

#define SDG_TIER(name) name##_emulated_avx512
enum { MR = 14, NV = 2, NR = NV * VF, K_STEP = 2 };
#include "vec/activation.inc"
#include "vec/matmul.inc"
#include "vec/norm.inc"
#include "vec/prep.inc"
#include "vec/softmax_block.inc"
#include "vec/widen.inc"
#include "vec/winograd.inc"
