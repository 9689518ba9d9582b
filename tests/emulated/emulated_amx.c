/* emulated_amx.c - the bf16 product of the AMX tier. */
#define SDG_EMULATED_LANES 16
#define SDG_EMULATED_BF16
#include "tests/emulated/emulated.h"
#include "tests/emulated/vec_emulated.h"
#include "tests/emulated/tile_emulated.h"

#define SDG_TIER(name) name##_emulated_amx
#define PREP sdg_prep_bf16_emulated_avx512bf16
#include "vec/matmul_tiles.inc"

enum { NV = 2, K_STEP = DEPTH };
#include "vec/softmax_block.inc"
