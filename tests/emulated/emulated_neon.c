/* emulated_neon.c - the kernels of the NEON tier, four lanes wide. */
#define SDG_EMULATED_LANES 4
#include "tests/emulated/emulated.h"
#include "tests/emulated/vec_emulated.h"

#define SDG_TIER(name) name##_emulated_neon
enum { MR = 6, NV = 4, NR = NV * VF, K_STEP = 2 };
#include "vec/activation.inc"
#include "vec/matmul.inc"
#include "vec/norm.inc"
#include "vec/prep.inc"
#include "vec/softmax_block.inc"
#include "vec/widen.inc"
#include "vec/winograd.inc"
