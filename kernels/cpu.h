/* cpu.h - which instruction sets may be used here. */
#ifndef SDG_CPU_H
#define SDG_CPU_H

#include <stdbool.h>

/* Tiers. Those of x86 are cumulative bundles in a linear order, decided by CPUID, XGETBV and (AMX)
 * the kernel's permission, never by the CPU's name. */
enum sdg_isa {
    SDG_ISA_C,          /* plain C: the specification; every machine */
    SDG_ISA_NEON,       /* 64-bit ARM, all of which have it */
    SDG_ISA_AVX2,       /* x86-64: AVX2, FMA, F16C, BMI2 */
    SDG_ISA_AVX512,     /* AVX-512 F, BW, VL, DQ */
    SDG_ISA_AVX512BF16, /* and BF16, VNNI */
    SDG_ISA_AMX,        /* and AMX-TILE, AMX-BF16 */
    SDG_ISA_COUNT
};

enum sdg_isa sdg_isa_detect(void);            /* the best tier this CPU and kernel can run */
bool sdg_isa_is_here(enum sdg_isa isa);       /* whether it can run this one */
enum sdg_isa sdg_isa_below(enum sdg_isa isa); /* what a tier builds upon; C: itself */
const char *
sdg_isa_label(enum sdg_isa isa); /* "c", "neon", "avx2", "avx512", "avx512bf16", "amx" */

/* Whether bf16 products are faster than f32 ones here, so that `auto` takes them: on tiles always;
 * with VDPBF16PS on AMD's processors (Zen 4 and later: twice as fast as FMA), not on Intel's (half
 * as fast). A rule on vendor and tier, not a measurement. */
bool sdg_isa_prefers_bf16(enum sdg_isa isa);

#endif
