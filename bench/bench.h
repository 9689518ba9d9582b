/* bench.h - the benchmark suite: what `sdgen bench` runs and keeps.
 *
 * Every time is taken in rounds, next to a peak of the same machine in the same moment
 * (calibrate.h). Time x peak, "what the machine could have computed meanwhile", is the cost that
 * is compared: the clock and other work on the machine drop out of it. */
#ifndef SDG_BENCH_BENCH_H
#define SDG_BENCH_BENCH_H

#include "base/status.h"
#include "bench/calibrate.h"
#include "bench/op.h"
#include "bench/shapes.h"
#include "kernels.h"

enum { BENCH_MOST_ROUNDS = 31, BENCH_MOST_TABLES = 8, BENCH_STAGES = 4 };

struct bench_options {
    int threads, rounds;   /* 0: all cores; 0: five, or three where quick */
    const char *isa;       /* NULL: the best */
    const char *precision; /* auto, f32, bf16; NULL: auto */
    const char *weights;   /* f16, bf16, f32; NULL: f16 */
    const char *network;   /* sd15-unet ...; sd15, sd21, sdxl, all; NULL: sd15 */
    const char *pattern;   /* part of a line's name, or NULL */
    const char *model;     /* a checkpoint: its own shapes, its stages and a picture */
    int size, steps;       /* of that picture: pixels of a side; 0: 512 and 3 */
    const char *json, *compare, *with, *svg; /* files, or NULL */
    int quick;                               /* the heaviest shapes only, short rounds */
    int unpacked;                            /* also with weights that are packed by every call */
    int exact_conv;                          /* no Winograd, no phase filters */
    int tune;                                /* every algorithm at every shape of a convolution */
    int peaks;                               /* the machine alone */
};

/* A row of measurements; all times are of one call. */
struct bench_times {
    int rounds;
    double seconds[BENCH_MOST_ROUNDS], peak[BENCH_MOST_ROUNDS];
};

struct bench_row {
    char name[BENCH_NAME];
    struct bench_shape shape;
    struct bench_times times, unpacked, blas;
    double onednn; /* seconds, read from a file; 0: not there */
    bool measured; /* false: no memory for it */
};

struct bench_table {
    char name[BENCH_NAME];
    struct bench_row *rows;
    size_t count;
    bool whole; /* no shape was left out: its sum is that of the network */
};

struct bench_stage {
    const char *name;
    struct bench_times times;
    double macs, listed; /* multiply-adds of a dry run; of the parts on the list */
    double parts;        /* cost of the parts; 0: not measured */
};

struct bench_picture { /* seconds */
    double load, text, step, decode, whole;
    int size, steps;
};

struct bench_run {
    struct bench_options o;
    struct sdg_kernels kernels;
    struct bench_way way;
    enum sdg_isa isa;
    enum bench_unit unit;
    double bandwidth, peaks[BENCH_UNITS];
    struct bench_table tables[BENCH_MOST_TABLES];
    int table_count;
    struct bench_stage stages[BENCH_STAGES];
    int stage_count;
    struct bench_picture picture; /* whole 0: none was drawn */
};

/* All of `sdgen bench`. *worse tells whether --compare found a regression. Prints to stdout as it
 * goes. Errors: SDGEN_ERR_ARG, _IO, _FORMAT, _MEMORY and those of sdgen_load. */
SDGEN_MUST_CHECK sdgen_status bench_main(const struct bench_options *o, bool *worse,
                                         sdgen_error *err);

/* Measures and prints all rows of a table. */
void bench_measure_table(struct bench_run *run, struct bench_table *t);

/* ---- measure.c: numbers from rounds ---- */

double bench_median(const double *values, int count);
double bench_seconds(const struct bench_times *t); /* median */
double bench_best(const struct bench_times *t);
double bench_cost(const struct bench_times *t); /* median of seconds x peak */
double bench_least_cost(const struct bench_times *t);
double
bench_noise(const struct bench_times *t); /* middle half of the costs, as wide as it is / median */

/* Rows of a table from a list: those that fit the pattern, with quick the heaviest. */
SDGEN_MUST_CHECK sdgen_status bench_table_open(struct bench_run *run, const struct bench_list *list,
                                               sdgen_error *err);
/* Times a row: ours, unpacked and OpenBLAS in turns, the peak around each. */
void bench_measure(const struct bench_run *run, struct bench_row *row);
/* Calls `fn` for at least `least` seconds and appends the time of a call, with the peak around. */
void bench_time(const struct bench_run *run, struct bench_times *t, double least,
                void (*fn)(void *), void *arg);

/* ---- report.c: text ---- */

void bench_print_machine(const struct bench_run *run);
void bench_print_head(const struct bench_run *run, const struct bench_table *t);
void bench_print_row(const struct bench_run *run, const struct bench_row *row);
void bench_print_sums(const struct bench_run *run, const struct bench_table *t);
void bench_print_stages(const struct bench_run *run);

/* ---- json.c, compare.c, roofline.c: files ---- */

SDGEN_MUST_CHECK sdgen_status bench_write_json(const struct bench_run *run, const char *path,
                                               sdgen_error *err);
/* Fills the oneDNN column from a file of tools/bench_torch.py. */
SDGEN_MUST_CHECK sdgen_status bench_read_peers(struct bench_run *run, const char *path,
                                               sdgen_error *err);
SDGEN_MUST_CHECK sdgen_status bench_compare(const struct bench_run *run, const char *path,
                                            bool *worse, sdgen_error *err);
SDGEN_MUST_CHECK sdgen_status bench_write_svg(const struct bench_run *run, const char *path,
                                              sdgen_error *err);
/* A whole file, with a 0 behind it; to be freed. */
SDGEN_MUST_CHECK sdgen_status bench_read_file(char **text, const char *path, sdgen_error *err);
SDGEN_MUST_CHECK sdgen_status bench_write_file(const char *path, const char *text,
                                               sdgen_error *err);

/* ---- stages.c, tune.c ---- */

/* The three networks of a checkpoint and one whole picture; its own shapes become tables. */
SDGEN_MUST_CHECK sdgen_status bench_stages(struct bench_run *run, sdgen_error *err);
SDGEN_MUST_CHECK sdgen_status bench_tune(const struct bench_run *run, sdgen_error *err);

#endif
