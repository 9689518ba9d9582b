/* calibrate.h - the clock, and what this machine does at best: now, beside each measurement. */
#ifndef SDG_BENCH_CALIBRATE_H
#define SDG_BENCH_CALIBRATE_H

#include <stdbool.h>
#include "cpu.h"

/* What a core can be busy with. A peak is a rate of f32 operations, 2 a multiply-add. */
enum bench_unit {
    BENCH_SSE,     /* mulps and addps, 128 bit: the C tier */
    BENCH_FMA_256, /* vfmadd231ps ymm */
    BENCH_FMA_512, /* vfmadd231ps zmm */
    BENCH_DPBF16,  /* vdpbf16ps zmm */
    BENCH_TILES,   /* tdpbf16ps, 16 x 16 x 32 */
    BENCH_FMLA,    /* fmla of 128 bit, 64-bit ARM */
    BENCH_NONE,    /* a processor that is not known here */
    BENCH_UNITS
};

/* Seconds. With one thread that thread's processor time: other work on the machine counts less, and
 * OpenBLAS's threads, which spin a while after they are started, not at all. */
double bench_now(int threads);

const char *bench_unit_name(enum bench_unit unit);
/* Whether a tier may use it. */
bool bench_unit_of_tier(enum bench_unit unit, enum sdg_isa isa);
/* What a tier's matrix product of f32 or bf16 inputs runs on. */
enum bench_unit bench_unit_for(enum sdg_isa isa, bool bf16);

/* Operations per second of `threads` threads together, from about a millisecond of work on each.
 * 1 for BENCH_NONE. */
double bench_peak(enum bench_unit unit, int threads);

/* Bytes per second of reading 256 MiB on all threads, the best of three; 0 without memory. */
double bench_bandwidth(int threads);

#endif
