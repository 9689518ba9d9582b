/* tune.c - every algorithm that a convolution can take, timed at every shape: the search behind the
 * committed table of the operations. It runs while sdgen is developed; what it prints is looked at,
 * thinned out and committed. Nothing measured on a user's machine chooses an algorithm. */
#include "bench/bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ALGORITHMS = SDG_CONV_WAYS };
static const char *const names[ALGORITHMS] = {
    [SDG_CONV_DIRECT] = "direct",
    [SDG_CONV_WINOGRAD_4] = "winograd_4",
    [SDG_CONV_WINOGRAD_2] = "winograd_2",
    [SDG_CONV_PHASES] = "phases",
};

struct trial {
    struct bench_op op;
    struct bench_times times;
    bool open;
};

static void run_trial(void *arg)
{
    bench_op_run(arg, true);
}

/* All algorithms at one shape, in turns. */
static void tune_shape(const struct bench_run *run, const struct bench_shape *s,
                       struct trial *trials)
{
    char name[BENCH_NAME];
    bench_shape_name(name, s);
    for (int i = 0; i < ALGORITHMS; i++) {
        struct bench_way way = run->way;
        way.conv = (enum sdg_conv_way)i;
        memset(&trials[i], 0, sizeof trials[i]);
        trials[i].open = bench_op_open(&trials[i].op, s, &way);
        if (trials[i].open) bench_op_run(&trials[i].op, true);
    }
    for (int r = 0; r < run->o.rounds; r++)
        for (int i = 0; i < ALGORITHMS; i++)
            if (trials[i].open) bench_time(run, &trials[i].times, 0.04, run_trial, &trials[i].op);
    int best = -1;
    printf("%-42s", name);
    for (int i = 0; i < ALGORITHMS; i++) {
        if (trials[i].open)
            printf(" %10.3f", 1e3 * bench_seconds(&trials[i].times));
        else
            printf(" %10s", "-");
        if (trials[i].open &&
            (best < 0 || bench_cost(&trials[i].times) < bench_cost(&trials[best].times)))
            best = i;
        bench_op_close(&trials[i].op);
    }
    printf("   {%zu, %zu, %zu, %s}\n", s->size, s->in, s->out, best < 0 ? "-" : names[best]);
    fflush(stdout);
}

sdgen_status bench_tune(const struct bench_run *run, sdgen_error *err)
{
    static const char *const columns = "ms a call; then size, in, out, the fastest";
    struct trial *trials = calloc(ALGORITHMS, sizeof *trials);
    if (!trials) return sdg_fail(err, SDGEN_ERR_MEMORY, "out of memory");
    printf("\n%-42s", columns);
    for (int i = 0; i < ALGORITHMS; i++) printf(" %10s", names[i]);
    putchar('\n');
    for (int i = 0; i < run->table_count; i++)
        for (size_t k = 0; k < run->tables[i].count; k++) {
            const struct bench_shape *s = &run->tables[i].rows[k].shape;
            if (s->kind == BENCH_CONV) tune_shape(run, s, trials);
        }
    free(trials);
    return SDGEN_OK;
}
