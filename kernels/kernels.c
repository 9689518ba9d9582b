/* kernels.c - fills the table of a tier. Compiled for the baseline: it runs before anyone has
 * looked at the CPU. */
#include "kernels.h"

#include "tiers.h"

static void take_c(struct sdg_kernels *k)
{
    k->widen_f16 = sdg_widen_f16_c;
    k->widen_bf16 = sdg_widen_bf16_c;
    k->matmul_f32 = sdg_matmul_f32_c;
    k->matmul_bf16 = sdg_matmul_bf16_c;
    k->softmax = sdg_softmax_c;
    k->silu = sdg_silu_c;
    k->gelu = sdg_gelu_c;
    k->quick_gelu = sdg_quick_gelu_c;
    k->geglu = sdg_geglu_c;
    k->layernorm = sdg_layernorm_c;
    k->channel_sums = sdg_channel_sums_c;
    k->affine = sdg_affine_c;
    k->affine_silu = sdg_affine_silu_c;
    k->add = sdg_add_c;
}

#if SDG_HAVE_X86
static void take_avx2(struct sdg_kernels *k)
{
    k->widen_f16 = sdg_widen_f16_avx2;
    k->widen_bf16 = sdg_widen_bf16_avx2;
    k->matmul_f32 = sdg_matmul_f32_avx2;
    k->matmul_bf16 = sdg_matmul_bf16_avx2;
    k->softmax = sdg_softmax_avx2;
    k->silu = sdg_silu_avx2;
    k->gelu = sdg_gelu_avx2;
    k->quick_gelu = sdg_quick_gelu_avx2;
    k->geglu = sdg_geglu_avx2;
    k->layernorm = sdg_layernorm_avx2;
    k->channel_sums = sdg_channel_sums_avx2;
    k->affine = sdg_affine_avx2;
    k->affine_silu = sdg_affine_silu_avx2;
    k->add = sdg_add_avx2;
}

static void take_avx512(struct sdg_kernels *k)
{
    k->widen_f16 = sdg_widen_f16_avx512;
    k->widen_bf16 = sdg_widen_bf16_avx512;
    k->matmul_f32 = sdg_matmul_f32_avx512;
    k->matmul_bf16 = sdg_matmul_bf16_avx512;
    k->softmax = sdg_softmax_avx512;
    k->silu = sdg_silu_avx512;
    k->gelu = sdg_gelu_avx512;
    k->quick_gelu = sdg_quick_gelu_avx512;
    k->geglu = sdg_geglu_avx512;
    k->layernorm = sdg_layernorm_avx512;
    k->channel_sums = sdg_channel_sums_avx512;
    k->affine = sdg_affine_avx512;
    k->affine_silu = sdg_affine_silu_avx512;
    k->add = sdg_add_avx512;
}
#endif

void sdg_kernels_init(struct sdg_kernels *k, enum sdg_isa isa)
{
    *k = (struct sdg_kernels) {.isa = isa};
    take_c(k);
#if SDG_HAVE_X86
    if (isa < SDG_ISA_AVX2) return;
    take_avx2(k);
    if (isa < SDG_ISA_AVX512) return;
    take_avx512(k);
    if (isa < SDG_ISA_AVX512BF16) return;
    k->matmul_bf16 = sdg_matmul_bf16_avx512bf16;
#endif
}
