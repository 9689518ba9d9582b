/* calibrate.c - see calibrate.h.
 *
 * Other work and the clock change a machine's peak from minute to minute, so every figure of a
 * kernel is given beside a peak measured next to it. The loops are assembly: a compiler that sees
 * equal chains merges them, and the rate comes out too high. Twelve chains cover the latency of
 * four cycles on two ports (Fog, "Instruction tables"; Intel's SPR and AMD's Zen 2 to 5 need eight
 * to ten) with room to spare. Only registers 0 to 15 are named, so that one file serves every
 * compiler flag; a call that a processor cannot execute is the caller's error. */
#define _GNU_SOURCE
#include "bench/calibrate.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/parallel.h"

double bench_now(int threads)
{
    struct timespec t;
    clock_gettime(threads == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- the loops ------------------------------------------------------------------------------- */

enum { LOOPS = 8000 }; /* about 15 us at two instructions a cycle */

#if defined(__x86_64__)

#define TWELVE(op) op(0) op(1) op(2) op(3) op(4) op(5) op(6) op(7) op(8) op(9) op(10) op(11)
#define CLOBBERS                                                                             \
    "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", \
        "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "memory", "cc"

#define LOOP(clear, body, end)                                                             \
    do {                                                                                   \
        long left = LOOPS;                                                                 \
        __asm__ volatile(clear "1:\n" body "dec %0\njnz 1b\n" end : "+r"(left)::CLOBBERS); \
    } while (0)

#define CLEAR_SSE(i) "xorps %%xmm" #i ", %%xmm" #i "\n"
#define CLEAR_AVX(i) "vpxor %%xmm" #i ", %%xmm" #i ", %%xmm" #i "\n"
#define MUL_ADD(i) "mulps %%xmm14, %%xmm" #i "\naddps %%xmm15, %%xmm" #i "\n"
#define FMA_Y(i) "vfmadd231ps %%ymm14, %%ymm15, %%ymm" #i "\n"
#define FMA_Z(i) "vfmadd231ps %%zmm14, %%zmm15, %%zmm" #i "\n"
#define DP_Z(i) "vdpbf16ps %%zmm14, %%zmm15, %%zmm" #i "\n"

static void run_sse(void)
{
    LOOP(TWELVE(CLEAR_SSE) CLEAR_SSE(14) CLEAR_SSE(15), TWELVE(MUL_ADD), "");
}

static void run_fma_256(void)
{
    LOOP(TWELVE(CLEAR_AVX) CLEAR_AVX(14) CLEAR_AVX(15), TWELVE(FMA_Y), "vzeroupper\n");
}

static void run_fma_512(void)
{
    LOOP(TWELVE(CLEAR_AVX) CLEAR_AVX(14) CLEAR_AVX(15), TWELVE(FMA_Z), "vzeroupper\n");
}

static void run_dpbf16(void)
{
    LOOP(TWELVE(CLEAR_AVX) CLEAR_AVX(14) CLEAR_AVX(15), TWELVE(DP_Z), "vzeroupper\n");
}

/* Six accumulators in tiles 0 to 5, of 16 rows by 64 bytes (Intel SDM volume 1, section 18.3). */
#define TILE(i) "tdpbf16ps %%tmm7, %%tmm6, %%tmm" #i "\n"
static void run_tiles(void)
{
    uint8_t config[64] = {1};
    for (int i = 0; i < 8; i++) {
        config[16 + 2 * i] = 64; /* bytes of a row */
        config[48 + i] = 16;     /* rows */
    }
    long left = LOOPS / 4;
    __asm__ volatile("ldtilecfg (%1)\n"
                     "tilezero %%tmm0\ntilezero %%tmm1\ntilezero %%tmm2\ntilezero %%tmm3\n"
                     "tilezero %%tmm4\ntilezero %%tmm5\ntilezero %%tmm6\ntilezero %%tmm7\n"
                     "1:\n" TILE(0) TILE(1) TILE(2) TILE(3) TILE(4)
                         TILE(5) "dec %0\njnz 1b\ntilerelease\n"
                     : "+r"(left)
                     : "r"(config)
                     : "memory", "cc");
}
#elif defined(__aarch64__)

/* Sixteen chains: four cycles on up to four ports. */
#define FMLA(i) "fmla v" #i ".4s, v30.4s, v31.4s\n"
static void run_fmla(void)
{
    long left = LOOPS;
    __asm__ volatile("movi v30.4s, #0\nmovi v31.4s, #0\n"
                     "1:\n" FMLA(0) FMLA(1) FMLA(2) FMLA(3) FMLA(4) FMLA(5) FMLA(6) FMLA(7) FMLA(16)
                         FMLA(17) FMLA(18) FMLA(19) FMLA(20) FMLA(21) FMLA(22)
                             FMLA(23) "subs %0, %0, #1\nb.ne 1b\n"
                     : "+r"(left)
                     :
                     : "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v16", "v17", "v18", "v19",
                       "v20", "v21", "v22", "v23", "v30", "v31", "memory", "cc");
}
#endif

/* run NULL: not on this processor. */
static const struct {
    const char *name;
    enum sdg_isa tier; /* the first that has it */
    void (*run)(void);
    double operations; /* of one run */
} units[BENCH_UNITS] = {
#if defined(__x86_64__)
    [BENCH_SSE] = {"SSE2 128 bit", SDG_ISA_C, run_sse, 12.0 * LOOPS * 4 * 2},
    [BENCH_FMA_256] = {"FMA 256 bit", SDG_ISA_AVX2, run_fma_256, 12.0 * LOOPS * 8 * 2},
    [BENCH_FMA_512] = {"FMA 512 bit", SDG_ISA_AVX512, run_fma_512, 12.0 * LOOPS * 16 * 2},
    [BENCH_DPBF16] = {"VDPBF16PS", SDG_ISA_AVX512BF16, run_dpbf16, 12.0 * LOOPS * 32 * 2},
    [BENCH_TILES] = {"TDPBF16PS", SDG_ISA_AMX, run_tiles, 6.0 * (LOOPS / 4) * 16 * 16 * 32 * 2},
#elif defined(__aarch64__)
    [BENCH_FMLA] = {"FMLA 128 bit", SDG_ISA_C, run_fmla, 16.0 * LOOPS * 4 * 2},
#endif
    [BENCH_NONE] = {"unknown", SDG_ISA_C, NULL, 0},
};

const char *bench_unit_name(enum bench_unit unit)
{
    return units[unit].name;
}

bool bench_unit_of_tier(enum bench_unit unit, enum sdg_isa isa)
{
    enum sdg_isa at = isa; /* down the tiers that it builds upon */
    while (at != units[unit].tier && at != SDG_ISA_C) at = sdg_isa_below(at);
    return at == units[unit].tier && units[unit].run;
}

enum bench_unit bench_unit_for(enum sdg_isa isa, bool bf16)
{
    static const enum bench_unit best_first[] = {BENCH_FMA_512, BENCH_FMA_256, BENCH_FMLA,
                                                 BENCH_SSE};
    if (bf16 && isa == SDG_ISA_AMX) return BENCH_TILES;
    if (bf16 && isa == SDG_ISA_AVX512BF16) return BENCH_DPBF16;
    for (size_t i = 0; i < sizeof best_first / sizeof best_first[0]; i++)
        if (bench_unit_of_tier(best_first[i], isa)) return best_first[i];
    return BENCH_NONE;
}

/* ---- peaks ----------------------------------------------------------------------------------- */

struct spell {
    enum bench_unit unit;
    int repeats;
};

static void run_spell(void *arg, size_t task, int worker)
{
    const struct spell *s = arg;
    (void)task, (void)worker;
    for (int i = 0; i < s->repeats; i++) units[s->unit].run();
}

/* A task per thread; each runs for so long that waking the threads does not count. */
double bench_peak(enum bench_unit unit, int threads)
{
    if (!units[unit].run) return 1; /* shares mean nothing then; costs are times */
    struct spell s = {unit, 40};
    const double start = bench_now(threads);
    sdg_parallel_for(threads, (size_t)threads, run_spell, &s);
    const double seconds = bench_now(threads) - start;
    return seconds > 0 ? units[unit].operations * s.repeats * threads / seconds : 0;
}

/* ---- memory ---------------------------------------------------------------------------------- */

enum { PIECES = 64 };

struct reading {
    const double *data;
    size_t count; /* doubles of a piece */
    double sums[PIECES];
};

static void read_piece(void *arg, size_t task, int worker)
{
    (void)worker;
    struct reading *r = arg;
    double a[8] = {0}; /* so many chains that the additions are not what is timed */
    const double *p = r->data + task * r->count;
    for (size_t i = 0; i + 8 <= r->count; i += 8)
        for (int j = 0; j < 8; j++) a[j] += p[i + (size_t)j];
    r->sums[task] = a[0] + a[1] + a[2] + a[3] + a[4] + a[5] + a[6] + a[7];
}

double bench_bandwidth(int threads)
{
    const size_t bytes = (size_t)256 << 20;
    double *data = malloc(bytes), best = 0;
    if (!data) return 0;
    memset(data, 1, bytes);
    struct reading r = {.data = data, .count = bytes / PIECES / sizeof(double)};
    for (int i = 0; i < 3; i++) {
        const double start = bench_now(threads);
        sdg_parallel_for(threads, PIECES, read_piece, &r);
        const double seconds = bench_now(threads) - start;
        if (seconds > 0 && (double)bytes / seconds > best) best = (double)bytes / seconds;
    }
    free(data);
    return best;
}
