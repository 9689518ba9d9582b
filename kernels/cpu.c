/* cpu.c - what this CPU, this kernel and this process may use.
 *
 * An instruction set needs three consents: the CPU reports it (CPUID leaves 1 and 7), the operating
 * system saves its registers (XCR0, read by XGETBV; Intel SDM volume 1, section 13.3) and, for the
 * large state of AMX, the process has asked for it (Linux: Documentation/arch/x86/xstate.rst).
 * Model numbers say nothing: virtual machines report them freely. */
#define _GNU_SOURCE
#include "cpu.h"

const char *sdg_isa_label(enum sdg_isa isa)
{
    static const char *const labels[SDG_ISA_COUNT] = {"c",      "neon",       "avx2",
                                                      "avx512", "avx512bf16", "amx"};
    return labels[isa];
}

enum sdg_isa sdg_isa_below(enum sdg_isa isa)
{
    return isa <= SDG_ISA_AVX2 ? SDG_ISA_C : (enum sdg_isa)(isa - 1);
}

bool sdg_isa_is_here(enum sdg_isa isa)
{
    enum sdg_isa here = sdg_isa_detect();
    while (here != isa && here != SDG_ISA_C) here = sdg_isa_below(here);
    return here == isa;
}

#if defined(__x86_64__)
#include <cpuid.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

/* XCR0: SSE and AVX registers; opmask and both parts of ZMM; tile configuration and tile data. */
enum { STATE_AVX = 0x6, STATE_AVX512 = 0xe6, STATE_AMX = 0x60000 };
/* CPUID (7,0).ecx, (7,1).eax and (7,0).edx bits that older <cpuid.h> lack a name for. */
enum {
    ECX_VNNI = 1 << 11,
    EAX_AVX512_BF16 = 1 << 5,
    EDX_AMX_BF16 = 1 << 22,
    EDX_AMX_TILE = 1 << 24
};
enum { ARCH_REQUEST_PERMISSION = 0x1023, XTILEDATA = 18 }; /* arch_prctl(2) */

struct leaf {
    unsigned a, b, c, d;
};

static struct leaf cpuid(unsigned number, unsigned sub)
{
    struct leaf l = {0};
    if (!__get_cpuid_count(number, sub, &l.a, &l.b, &l.c, &l.d)) return (struct leaf) {0};
    return l;
}

static bool has(uint64_t bits, uint64_t wanted)
{
    return (bits & wanted) == wanted;
}

static uint64_t enabled_states(void)
{
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

/* The kernel hands out the 8 KiB of tile data on request only; once granted it stays granted. */
static bool tiles_permitted(void)
{
    return syscall(SYS_arch_prctl, ARCH_REQUEST_PERMISSION, XTILEDATA) == 0;
}

enum sdg_isa sdg_isa_detect(void)
{
    const struct leaf one = cpuid(1, 0), seven = cpuid(7, 0), more = cpuid(7, 1);
    if (!has(one.c, bit_OSXSAVE | bit_AVX | bit_FMA | bit_F16C)) return SDG_ISA_C;
    const uint64_t states = enabled_states();
    if (!has(states, STATE_AVX) || !has(seven.b, bit_AVX2 | bit_BMI2)) return SDG_ISA_C;
    if (!has(states, STATE_AVX512) ||
        !has(seven.b, bit_AVX512F | bit_AVX512DQ | bit_AVX512BW | bit_AVX512VL))
        return SDG_ISA_AVX2;
    if (!has(more.a, EAX_AVX512_BF16) || !has(seven.c, ECX_VNNI)) return SDG_ISA_AVX512;
    if (!has(states, STATE_AMX) || !has(seven.d, EDX_AMX_TILE | EDX_AMX_BF16) || !tiles_permitted())
        return SDG_ISA_AVX512BF16;
    return SDG_ISA_AMX;
}

bool sdg_isa_prefers_bf16(enum sdg_isa isa)
{
    const struct leaf zero = cpuid(0, 0);
    const bool amd =
        zero.b == signature_AMD_ebx && zero.d == signature_AMD_edx && zero.c == signature_AMD_ecx;
    return isa == SDG_ISA_AMX || (isa == SDG_ISA_AVX512BF16 && amd);
}

#else

enum sdg_isa sdg_isa_detect(void)
{
#if defined(__aarch64__)
    return SDG_ISA_NEON; /* Armv8-A, A1.3: part of every AArch64 system */
#else
    return SDG_ISA_C;
#endif
}

bool sdg_isa_prefers_bf16(enum sdg_isa isa)
{
    (void)isa;
    return false;
}

#endif
