/* measure.c - takes times in turns, and what many rounds say together. */
#include "bench/bench.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/blas.h"

enum { HEAVY = 12 }; /* shapes of a quick run, as many as --compare judges */

/* ---- statistics ------------------------------------------------------------------------------ */

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Sorted costs; returns how many. */
static int costs_of(double costs[BENCH_MOST_ROUNDS], const struct bench_times *t)
{
    for (int i = 0; i < t->rounds; i++) costs[i] = t->seconds[i] * t->peak[i];
    qsort(costs, (size_t)t->rounds, sizeof *costs, by_value);
    return t->rounds;
}

double bench_median(const double *values, int count)
{
    double sorted[BENCH_MOST_ROUNDS];
    if (count < 1) return 0;
    memcpy(sorted, values, (size_t)count * sizeof *sorted);
    qsort(sorted, (size_t)count, sizeof *sorted, by_value);
    return count % 2 ? sorted[count / 2] : 0.5 * (sorted[count / 2 - 1] + sorted[count / 2]);
}

double bench_seconds(const struct bench_times *t)
{
    return bench_median(t->seconds, t->rounds);
}

double bench_best(const struct bench_times *t)
{
    double best = t->rounds ? t->seconds[0] : 0;
    for (int i = 1; i < t->rounds; i++)
        if (t->seconds[i] < best) best = t->seconds[i];
    return best;
}

double bench_cost(const struct bench_times *t)
{
    double costs[BENCH_MOST_ROUNDS];
    return bench_median(costs, costs_of(costs, t));
}

double bench_least_cost(const struct bench_times *t)
{
    double costs[BENCH_MOST_ROUNDS];
    return costs_of(costs, t) ? costs[0] : 0;
}

double bench_noise(const struct bench_times *t)
{
    double costs[BENCH_MOST_ROUNDS];
    const int n = costs_of(costs, t);
    const double middle = bench_median(costs, n);
    const int low = n < 4 ? 0 : n / 4; /* few rounds: all of them */
    return n > 1 && middle > 0 ? (costs[n - 1 - low] - costs[low]) / middle : 0;
}

/* ---- timing ---------------------------------------------------------------------------------- */

void bench_time(const struct bench_run *run, struct bench_times *t, double least,
                void (*fn)(void *), void *arg)
{
    const int threads = run->way.threads;
    const double before = bench_peak(run->unit, threads), start = bench_now(threads);
    double now;
    int calls = 0;
    do {
        fn(arg);
        calls++;
    } while ((now = bench_now(threads)) < start + least);
    const double after = bench_peak(run->unit, threads);
    if (t->rounds == BENCH_MOST_ROUNDS) return;
    t->seconds[t->rounds] = (now - start) / calls;
    t->peak[t->rounds++] = 0.5 * (before + after);
}

static void run_packed(void *arg)
{
    bench_op_run(arg, true);
}

static void run_unpacked(void *arg)
{
    bench_op_run(arg, false);
}

/* ---- OpenBLAS -------------------------------------------------------------------------------- */

/* The product inside a shape, [m][k] by [n][k]^T, without what surrounds it: no gathering of a
 * convolution's input, no normalisation, no bias. Rows beyond STRIP are the same STRIP again, so
 * that a convolution's [pixels][9 in] needs no gigabyte: all of this is in OpenBLAS's favour. */
enum { STRIP = 4096 };

struct product {
    float *a, *b, *c;
    size_t m, n, k;
    int threads;
};

static bool product_open(struct product *p, const struct bench_shape *s, int threads)
{
    *p = (struct product) {.m = s->n * s->rows, .n = s->out, .k = s->in, .threads = threads};
    if (s->kind == BENCH_CONV) p->k *= 9;
    if (s->kind == BENCH_QKV) p->n *= 3;
    if (s->kind == BENCH_GEGLU) p->n *= 2;
    const size_t rows = p->m < STRIP ? p->m : STRIP;
    p->a = calloc(rows * p->k, sizeof *p->a);
    p->b = calloc(p->n * p->k, sizeof *p->b);
    p->c = calloc(rows * p->n, sizeof *p->c);
    return p->a && p->b && p->c;
}

static void product_close(struct product *p)
{
    free(p->a);
    free(p->b);
    free(p->c);
}

static void run_product(void *arg)
{
    const struct product *p = arg;
    for (size_t i = 0; i < p->m; i += STRIP)
        bench_blas_multiply(p->c, p->a, p->b, p->m - i < STRIP ? p->m - i : STRIP, p->n, p->k,
                            p->threads);
}

static bool is_product(const struct bench_shape *s)
{
    return s->kind == BENCH_CONV || s->kind == BENCH_LINEAR || s->kind == BENCH_QKV ||
           s->kind == BENCH_GEGLU;
}

/* ---- rows ------------------------------------------------------------------------------------ */

void bench_measure(const struct bench_run *run, struct bench_row *row)
{
    struct bench_op op;
    struct product product = {0};
    const double least = run->o.quick ? 0.01 : 0.04;
    row->times.rounds = row->unpacked.rounds = row->blas.rounds = 0;
    row->measured = bench_op_open(&op, &row->shape, &run->way);
    if (row->measured) {
        const bool blas = bench_blas_name() && is_product(&row->shape) &&
                          product_open(&product, &row->shape, run->way.threads);
        const bool unpacked = run->o.unpacked && is_product(&row->shape);
        bench_op_run(&op, true); /* warm: pages and caches */
        for (int i = 0; i < run->o.rounds; i++) {
            bench_time(run, &row->times, least, run_packed, &op);
            if (unpacked) bench_time(run, &row->unpacked, least, run_unpacked, &op);
            if (blas) bench_time(run, &row->blas, least, run_product, &product);
        }
        product_close(&product);
    }
    bench_op_close(&op);
}

static int by_work(const void *a, const void *b)
{
    const struct bench_shape *x = a, *y = b;
    const double w = bench_shape_flops(x) * x->count, v = bench_shape_flops(y) * y->count;
    return (w < v) - (w > v);
}

sdgen_status bench_table_open(struct bench_run *run, const struct bench_list *list,
                              sdgen_error *err)
{
    if (run->table_count == BENCH_MOST_TABLES) return SDGEN_OK;
    struct bench_table *t = &run->tables[run->table_count];
    struct bench_list sorted = *list;
    qsort(sorted.shapes, sorted.count, sizeof *sorted.shapes, by_work);
    *t = (struct bench_table) {.rows = calloc(list->count, sizeof *t->rows)};
    if (!t->rows) return sdg_fail(err, SDGEN_ERR_MEMORY, "out of memory");
    memcpy(t->name, list->name, sizeof t->name);
    for (size_t i = 0; i < sorted.count; i++) {
        struct bench_row row = {.shape = sorted.shapes[i]};
        bench_shape_name(row.name, &row.shape);
        if (run->o.pattern && !strstr(row.name, run->o.pattern)) continue;
        if (run->o.quick && t->count == HEAVY) break;
        t->rows[t->count++] = row;
    }
    t->whole = t->count == list->count;
    if (t->count > 0)
        run->table_count++;
    else
        free(t->rows);
    return SDGEN_OK;
}
