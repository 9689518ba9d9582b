/* cpu.h - which instruction sets may be used here. */
#ifndef SDG_CPU_H
#define SDG_CPU_H

/* Tiers are cumulative bundles in a linear order, decided by CPUID, XGETBV and (AMX) the kernel's
 * permission, never by the CPU's name. */
enum sdg_isa {
    SDG_ISA_C,          /* plain C: the specification; every machine */
    SDG_ISA_AVX2,       /* AVX2, FMA, F16C, BMI2 */
    SDG_ISA_AVX512,     /* AVX-512 F, BW, VL, DQ */
    SDG_ISA_AVX512BF16, /* and BF16, VNNI */
    SDG_ISA_AMX,        /* and AMX-TILE, AMX-BF16 */
    SDG_ISA_COUNT
};

enum sdg_isa sdg_isa_detect(void);           /* the best tier this CPU and kernel can run */
const char *sdg_isa_label(enum sdg_isa isa); /* "c", "avx2", "avx512", "avx512bf16", "amx" */

#endif
