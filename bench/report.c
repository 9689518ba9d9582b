/* report.c - what `sdgen bench` prints. */
#include "bench/bench.h"

#include <stdio.h>

#include "bench/blas.h"

void bench_print_machine(const struct bench_run *run)
{
    const char *blas = bench_blas_name();
    printf("tier %s, %d thread%s, inputs of products %s, weights %s\n", sdg_isa_label(run->isa),
           run->way.threads, run->way.threads == 1 ? "" : "s", run->way.bf16 ? "bf16" : "f32",
           sdg_dtype_name(run->way.weights));
    printf("OpenBLAS: %s\n", blas ? blas : "not linked (make bench builds the program with it)");
    for (int i = 0; i < BENCH_UNITS; i++)
        if (run->peaks[i] > 0)
            printf("peak %-14s %9.1f GFLOP/s%s\n", bench_unit_name((enum bench_unit)i),
                   1e-9 * run->peaks[i],
                   (int)run->unit == i ? "   shares are of this, measured anew beside each" : "");
    printf("reading memory      %9.1f GB/s\n", 1e-9 * run->bandwidth);
}

void bench_print_head(const struct bench_run *run, const struct bench_table *t)
{
    printf("\n%-42s %5s %10s %8s %7s %6s", t->name, "times", "ms", "GFLOP/s", "of peak", "noise");
    if (run->o.unpacked) printf(" %9s", "unpacked");
    if (bench_blas_name()) printf(" %9s", "OpenBLAS");
    if (run->o.with) printf(" %9s", "oneDNN");
    putchar('\n');
}

/* A rate, or, for what is no product, nothing. */
static void print_rate(double flops, double seconds)
{
    if (flops > 0 && seconds > 0)
        printf(" %9.1f", 1e-9 * flops / seconds);
    else
        printf(" %9s", "-");
}

void bench_print_row(const struct bench_run *run, const struct bench_row *row)
{
    const double flops = bench_shape_flops(&row->shape), seconds = bench_seconds(&row->times);
    printf("%-42s %5d", row->name, row->shape.count);
    if (!row->measured) {
        puts("   not enough memory");
        return;
    }
    printf(" %10.3f", 1e3 * seconds);
    if (flops > 0)
        printf(" %8.1f %5.1f %%", 1e-9 * flops / seconds, 100 * flops / bench_cost(&row->times));
    else
        printf(" %8s %7s", "-", "-");
    printf(" %4.1f %%", 100 * bench_noise(&row->times));
    if (run->o.unpacked) print_rate(flops, bench_seconds(&row->unpacked));
    if (bench_blas_name()) print_rate(flops, bench_seconds(&row->blas));
    if (run->o.with) print_rate(flops, row->onednn);
    putchar('\n');
    fflush(stdout);
}

struct sum {
    double seconds, cost, flops;
};

static void add_row(struct sum *s, const struct bench_row *row)
{
    const double times = row->shape.count;
    s->seconds += times * bench_seconds(&row->times);
    s->cost += times * bench_cost(&row->times);
    s->flops += times * bench_shape_flops(&row->shape);
}

static void print_sum(const char *name, const struct sum *s, const struct sum *all)
{
    printf("  %-40s %5.1f %% %9.1f", name, 100 * s->seconds / all->seconds, 1e3 * s->seconds);
    if (s->flops > 0)
        printf(" %8.1f %5.1f %%", 1e-9 * s->flops / s->seconds, 100 * s->flops / s->cost);
    putchar('\n');
}

void bench_print_sums(const struct bench_run *run, const struct bench_table *t)
{
    (void)run;
    struct sum classes[BENCH_CLASSES] = {{0, 0, 0}}, all = {0, 0, 0};
    for (size_t i = 0; i < t->count; i++) {
        add_row(&classes[bench_shape_class(&t->rows[i].shape)], &t->rows[i]);
        add_row(&all, &t->rows[i]);
    }
    if (all.seconds <= 0) return;
    for (int i = 0; i < BENCH_CLASSES; i++)
        if (classes[i].seconds > 0)
            print_sum(bench_class_name((enum bench_class)i), &classes[i], &all);
    print_sum(t->whole ? "sum of times x counts: one pass" : "sum of the lines above", &all, &all);
}

void bench_print_stages(const struct bench_run *run)
{
    for (int i = 0; i < run->stage_count; i++) {
        const struct bench_stage *s = &run->stages[i];
        const double cost = bench_cost(&s->times);
        if (i == 0)
            printf("\n%-42s %5s %10s %8s %7s %6s\n", run->o.model, "", "ms", "GFLOP/s", "of peak",
                   "noise");
        printf("%-48s %10.1f %8.1f %5.1f %% %4.1f %%", s->name, 1e3 * bench_seconds(&s->times),
               2e-9 * s->macs / bench_seconds(&s->times), 200 * s->macs / cost,
               100 * bench_noise(&s->times));
        if (s->parts > 0)
            printf("   parts %.1f ms, gap %+.1f %%",
                   1e3 * bench_seconds(&s->times) * s->parts / cost, 100 * (cost / s->parts - 1));
        if (s->parts > 0 && s->listed != s->macs)
            printf(" (parts have %.2f %% of the multiply-adds)", 100 * s->listed / s->macs);
        putchar('\n');
    }
    const struct bench_picture *p = &run->picture;
    if (p->whole > 0)
        printf("picture %dx%d, %d steps: load %.2f s, text %.2f s, step %.2f s, VAE %.2f s, whole "
               "%.2f "
               "s\n",
               p->size, p->size, p->steps, p->load, p->text, p->step, p->decode, p->whole);
}
