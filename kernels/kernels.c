/* kernels.c - fills the table of a tier. Compiled for the baseline: it runs before anyone has
 * looked at the CPU. */
#include "kernels.h"

#include "tiers.h"

#if SDG_HAVE_X86
static void take_x86(struct sdg_kernels *k, enum sdg_isa isa)
{
    if (isa < SDG_ISA_AVX2) return;
    SDG_TAKE_KERNELS(k, avx2);
    SDG_TAKE_WINOGRAD(k, avx2);
    if (isa < SDG_ISA_AVX512) return;
    SDG_TAKE_KERNELS(k, avx512);
    SDG_TAKE_WINOGRAD(k, avx512);
    if (isa < SDG_ISA_AVX512BF16) return;
    k->matmul_bf16 = sdg_matmul_bf16_avx512bf16;
    k->winograd_2_bf16 = sdg_winograd_2_bf16_avx512bf16;
    if (isa < SDG_ISA_AMX) return;
    k->matmul_bf16 = sdg_matmul_bf16_amx;
}
#endif

void sdg_kernels_init(struct sdg_kernels *k, enum sdg_isa isa)
{
    *k = (struct sdg_kernels) {.isa = isa};
    SDG_TAKE_KERNELS(k, c);
    SDG_TAKE_WINOGRAD(k, c);
#if SDG_HAVE_X86
    take_x86(k, isa);
#endif
#if SDG_HAVE_ARM
    if (isa == SDG_ISA_NEON) {
        SDG_TAKE_KERNELS(k, neon);
        SDG_TAKE_WINOGRAD(k, neon);
    }
#endif
}
