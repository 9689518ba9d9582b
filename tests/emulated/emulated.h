/* emulated.h - every tier on every machine: the sources of kernels/vec built against vec_emulated.h
 * and tile_emulated.h, slow but with the bits of the real instructions. Part of the test programs
 * alone. */
#ifndef SDG_TESTS_EMULATED_EMULATED_H
#define SDG_TESTS_EMULATED_EMULATED_H

#include "kernels.h"
#include "tiers.h"

/* sdg_kernels_init, from emulated kernels. */
void test_kernels_emulate(struct sdg_kernels *k, enum sdg_isa isa);

/* The tier's own kernels where this machine runs them, else emulated ones: then true. */
bool test_kernels_init(struct sdg_kernels *k, enum sdg_isa isa);

SDG_DECLARE_KERNELS(emulated_neon);
SDG_DECLARE_KERNELS(emulated_avx2);
SDG_DECLARE_KERNELS(emulated_avx512);
SDG_DECLARE_MATMUL(emulated_neon);
SDG_DECLARE_MATMUL(emulated_avx2);
SDG_DECLARE_MATMUL(emulated_avx512);
SDG_DECLARE_MATMUL(emulated_avx512bf16);
SDG_DECLARE_MATMUL(emulated_amx);
SDG_DECLARE_WINOGRAD(emulated_neon);
SDG_DECLARE_WINOGRAD(emulated_avx2);
SDG_DECLARE_WINOGRAD(emulated_avx512);
SDG_DECLARE_WINOGRAD(emulated_avx512bf16);

#endif
