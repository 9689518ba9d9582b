/* emulated.c - see emulated.h. The same order of tiers as kernels/kernels.c. */
#include "tests/emulated/emulated.h"

void test_kernels_emulate(struct sdg_kernels *k, enum sdg_isa isa)
{
    sdg_kernels_init(k, SDG_ISA_C);
    k->isa = isa;
    if (isa == SDG_ISA_NEON) {
        SDG_TAKE_KERNELS(k, emulated_neon);
        SDG_TAKE_WINOGRAD(k, emulated_neon);
    }
    if (isa < SDG_ISA_AVX2) return;
    SDG_TAKE_KERNELS(k, emulated_avx2);
    SDG_TAKE_WINOGRAD(k, emulated_avx2);
    if (isa < SDG_ISA_AVX512) return;
    SDG_TAKE_KERNELS(k, emulated_avx512);
    SDG_TAKE_WINOGRAD(k, emulated_avx512);
    if (isa < SDG_ISA_AVX512BF16) return;
    k->matmul_bf16 = sdg_matmul_bf16_emulated_avx512bf16;
    k->winograd_2_bf16 = sdg_winograd_2_bf16_emulated_avx512bf16;
    if (isa < SDG_ISA_AMX) return;
    k->matmul_bf16 = sdg_matmul_bf16_emulated_amx;
}

bool test_kernels_init(struct sdg_kernels *k, enum sdg_isa isa)
{
    const bool emulated = !sdg_isa_is_here(isa);
    if (emulated)
        test_kernels_emulate(k, isa);
    else
        sdg_kernels_init(k, isa);
    return emulated;
}
