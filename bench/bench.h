/* bench.h - the shapes of real networks, and the peak against which they are timed. */
#ifndef SDG_BENCH_BENCH_H
#define SDG_BENCH_BENCH_H

#include "ops/ops.h"

enum bench_kind { BENCH_CONV, BENCH_LINEAR, BENCH_ATTENTION, BENCH_GROUPNORM, BENCH_GEGLU };

/* One operation of a network. `size` is the side of the square map; channels go `in` to `out`.
 *   conv       3x3, `stride`, from a map doubled first where up is 2 (size: of the output)
 *   linear     size * size tokens
 *   attention  size * size queries, `out` keys, `in` = width, `stride` = heads
 *   groupnorm  statistics of size * size * in
 *   geglu      size * size tokens of 2 * in */
struct bench_shape {
    enum bench_kind kind;
    size_t size, in, out;
    int stride, up;
    int count; /* how often one pass of the network does it */
};

struct bench_network {
    const char *name;
    size_t n; /* images of one pass */
    const struct bench_shape *shapes;
    size_t count;
};

/* SD1 at 512 x 512: a UNet pass with guidance, and the VAE decoder. */
extern const struct bench_network bench_networks[];
extern const size_t bench_network_count;

/* Seconds. With one thread those of the processor, so that other work on the machine counts less.
 */
double bench_now(int threads);

/* FLOP/s of matrix products of 2048 cubed, one on each of o->threads at once; `again` repeats. */
struct bench_peak {
    struct sdg_ops *o;
    float *a, *b, *c; /* [2048][2048] shared, shared, of each thread */
};
void bench_peak_open(struct bench_peak *p, struct sdg_ops *o);
double bench_peak_measure(struct bench_peak *p);

/* Times the three networks of a checkpoint at 512 x 512 (stages.c) and prints a line for each
 * round. False, with a message on stderr, when it cannot be read. */
bool bench_stages(const struct sdg_ops *o, const char *path, int rounds);

/* Bytes per second of reading 256 MiB on all threads. */
double bench_bandwidth(struct sdg_ops *o);

#endif
