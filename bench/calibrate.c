/* calibrate.c - what this machine does at best, now: other work and the clock change it from minute
 * to minute, so every figure of bench.c is given beside a peak measured next to it. */
#define _GNU_SOURCE
#include "bench/bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/blas.h"
#include "ops/work.h"

enum { SIDE = 2048 };

double bench_now(int threads)
{
    struct timespec t;
    clock_gettime(threads == 1 ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static float *filled(size_t count)
{
    float *p = malloc(count * sizeof *p);
    if (!p) {
        fputs("sdgen-bench: out of memory\n", stderr);
        exit(1);
    }
    for (size_t i = 0; i < count; i++) p[i] = 0.001f * (float)(i % 1000) - 0.5f;
    return p;
}

void bench_peak_open(struct bench_peak *p, struct sdg_ops *o)
{
    const size_t square = (size_t)SIDE * SIDE;
    *p = (struct bench_peak) {.o = o, .a = filled(square), .b = filled(square)};
    p->c = filled(square * (size_t)o->threads);
}

static void multiply(void *arg, size_t task, int worker)
{
    (void)worker;
    const struct bench_peak *p = arg;
    sdg_blas_gemm(p->c + task * SIDE * SIDE, SIDE, p->a, SIDE, p->b, SIDE, 1, SIDE, SIDE, SIDE,
                  false);
}

double bench_peak_measure(struct bench_peak *p)
{
    struct sdg_ops *o = p->o;
    sdg_blas_prepare();
    const double start = bench_now(o->threads);
    sdg_ops_for(o, (size_t)o->threads, multiply, p);
    const double seconds = bench_now(o->threads) - start;
    return 2.0 * SIDE * SIDE * SIDE * o->threads / seconds;
}

struct reading {
    const double *data;
    size_t count;
    double sums[64];
};

static void read_piece(void *arg, size_t task, int worker)
{
    (void)worker;
    struct reading *r = arg;
    double a = 0, b = 0, c = 0, d = 0; /* four chains: the additions must not be what is timed */
    const double *p = r->data + task * r->count;
    for (size_t i = 0; i + 4 <= r->count; i += 4) {
        a += p[i];
        b += p[i + 1];
        c += p[i + 2];
        d += p[i + 3];
    }
    r->sums[task] = a + b + c + d;
}

double bench_bandwidth(struct sdg_ops *o)
{
    const size_t bytes = (size_t)256 << 20;
    struct reading r = {.count = bytes / 64 / sizeof(double)};
    double *data = malloc(bytes), best = 0;
    if (!data) return 0;
    memset(data, 0, bytes);
    r.data = data;
    for (int i = 0; i < 3; i++) {
        const double start = bench_now(o->threads);
        sdg_ops_for(o, 64, read_piece, &r);
        const double rate = (double)bytes / (bench_now(o->threads) - start);
        if (rate > best) best = rate;
    }
    free(data);
    return best;
}
