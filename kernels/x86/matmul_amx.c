/* matmul_amx.c - matmul_tiles.inc with AMX-BF16. */
#include "vec_avx512bf16.h"
#include "tile_amx.h"

#undef SDG_TIER
#define SDG_TIER(name) name##_amx
#define PREP sdg_prep_bf16_avx512bf16
#include "vec/matmul_tiles.inc"
