/* bench.c - times the operations of src/ops at the shapes of real networks. `make bench` runs it.
 *
 *   sdgen-bench [--threads N] [--isa TIER] [--rounds N] [--dtype f16|f32] [PATTERN]
 *   sdgen-bench [--threads N] [--isa TIER] [--rounds N] --model CHECKPOINT      whole networks
 *
 * Each shape is timed in turns with the matrix product that serves as peak (calibrate.c); a line
 * shows the median over the rounds of time, rate and share of the peak of the same round. What a
 * network spends on a shape is time x count; their sum predicts one pass. PATTERN: a part of a
 * line's name. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/parallel.h"
#include "bench/bench.h"
#include "kernels.h"

enum { MOST_ROUNDS = 31 };

struct options {
    int threads, rounds;
    enum sdg_isa isa;
    enum sdg_dtype dtype;
    const char *pattern, *model;
};

/* Everything one shape needs, at its largest. */
struct data {
    float *x, *y, *z;
    void *weight;
    float *bias;
};

static void *take(size_t bytes)
{
    void *p = malloc(bytes ? bytes : 1);
    if (!p) {
        fputs("sdgen-bench: out of memory\n", stderr);
        exit(1);
    }
    return p;
}

static float *take_floats(size_t count)
{
    float *p = take(count * sizeof *p);
    for (size_t i = 0; i < count; i++) p[i] = 0.001f * (float)(i * 7919 % 2003) - 1.0f;
    return p;
}

/* f16 weights: positive normal numbers of all mantissas. */
static void *take_weights(size_t count, enum sdg_dtype dtype)
{
    if (dtype == SDG_F32) return take_floats(count);
    uint16_t *p = take(count * sizeof *p);
    for (size_t i = 0; i < count; i++) p[i] = (uint16_t)(0x2400u + i * 7919 % 1021);
    return p;
}

static void open_data(struct data *d, const struct bench_shape *s, size_t n, enum sdg_dtype dtype)
{
    const size_t pixels = n * s->size * s->size, wide = s->in > s->out ? s->in : s->out;
    const size_t source = s->stride == 2 ? 4 * pixels : pixels;
    const bool attention = s->kind == BENCH_ATTENTION;
    d->x = take_floats((attention ? pixels : 2 * source) * (attention ? s->in : wide));
    d->y = take_floats(pixels * (attention ? s->in : wide));
    d->z = take_floats(attention ? n * s->out * s->in : 2 * s->in);
    d->weight = take_weights(9 * s->in * s->out, dtype);
    d->bias = take_floats(wide);
}

static void close_data(struct data *d)
{
    free(d->x);
    free(d->y);
    free(d->z);
    free(d->weight);
    free(d->bias);
}

static struct sdg_tensor vector(const float *data, size_t count)
{
    return (struct sdg_tensor) {data, SDG_F32, 1, {(int64_t)count}};
}

static void run_conv(struct sdg_ops *o, const struct data *d, const struct bench_shape *s, size_t n,
                     enum sdg_dtype dtype)
{
    const size_t size = s->stride == 2 ? 2 * s->size : s->size / (size_t)s->up;
    struct sdg_conv_geometry g = sdg_conv_same(n, size, size, 3);
    g.stride = s->stride;
    g.up = s->up;
    g.vh = g.vw = size * (size_t)s->up;
    g.oh = g.ow = s->size;
    const struct sdg_conv w = {
        .weight = {d->weight, dtype, 4, {(int64_t)s->out, (int64_t)s->in, 3, 3}},
        .bias = vector(d->bias, s->out)};
    const struct sdg_prologue pro = {d->z, d->z, true};
    const bool plain = s->stride == 2 || s->up == 2 || s->in == 4;
    struct sdg_prologue wide = pro;
    float *scale = NULL;
    const size_t mark = sdg_arena_mark(o->work);
    if (!plain) { /* the same for every image */
        scale = sdg_arena_floats(o->work, n * s->in);
        if (!o->dry)
            for (size_t i = 0; i < n; i++) memcpy(scale + i * s->in, d->z, s->in * sizeof *scale);
        wide.scale = wide.shift = scale;
    }
    sdg_op_conv(o, d->y, d->x, plain ? NULL : &wide, &w, NULL, NULL, &g);
    sdg_arena_release(o->work, mark);
}

static void run_shape(struct sdg_ops *o, const struct data *d, const struct bench_shape *s,
                      size_t n, enum sdg_dtype dtype)
{
    const size_t t = s->size * s->size, heads = (size_t)s->stride;
    const struct sdg_linear w = {.weight = {d->weight, dtype, 2, {(int64_t)s->out, (int64_t)s->in}},
                                 .bias = vector(d->bias, s->out)};
    const struct sdg_norm norm = {vector(d->bias, s->in), vector(d->bias, s->in)};
    const size_t mark = sdg_arena_mark(o->work);
    struct sdg_prologue p;
    switch (s->kind) {
    case BENCH_CONV: run_conv(o, d, s, n, dtype); break;
    case BENCH_LINEAR: sdg_op_linear(o, d->y, d->x, NULL, &w, n, t, false); break;
    case BENCH_ATTENTION:
        sdg_op_attention(o, d->y, d->x, d->z, d->z, n, t, s->out, heads, s->in / heads, s->in,
                         s->in, s->in, false);
        break;
    case BENCH_GROUPNORM: sdg_op_groupnorm(o, &p, d->x, &norm, n, t, s->in, 32, 1e-5f, true); break;
    case BENCH_GEGLU: sdg_op_geglu(o, d->y, d->x, n * t, s->in); break;
    }
    sdg_arena_release(o->work, mark);
}

static void name_of(char *name, size_t size, const struct bench_shape *s)
{
    static const char *const kinds[] = {"conv", "linear", "attention", "groupnorm", "geglu"};
    if (s->kind == BENCH_ATTENTION)
        snprintf(name, size, "attention %zu keys %zu heads %d x %zu", s->size * s->size, s->out,
                 s->stride, s->in / (size_t)s->stride);
    else
        snprintf(name, size, "%s%s %zu^2 %zu -> %zu", kinds[s->kind],
                 s->stride == 2 ? " stride 2"
                 : s->up == 2   ? " doubled"
                                : "",
                 s->size, s->in, s->out);
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int count)
{
    qsort(values, (size_t)count, sizeof *values, by_value);
    return values[count / 2];
}

/* Seconds of one call, repeated for at least a twentieth of a second. */
static double time_shape(struct sdg_ops *o, const struct data *d, const struct bench_shape *s,
                         size_t n, enum sdg_dtype dtype)
{
    int calls = 0;
    const double start = bench_now(o->threads);
    double now;
    do {
        run_shape(o, d, s, n, dtype);
        calls++;
    } while ((now = bench_now(o->threads)) < start + 0.05);
    return (now - start) / calls;
}

/* One line; returns the median time of a call, 0 when the pattern does not fit. */
static double bench_shape(struct sdg_ops *o, struct bench_peak *peak, const struct bench_shape *s,
                          size_t n, const struct options *opt)
{
    char name[96];
    name_of(name, sizeof name, s);
    if (!strstr(name, opt->pattern)) return 0;
    struct data d;
    open_data(&d, s, n, opt->dtype);
    struct sdg_ops dry = *o;
    dry.dry = true;
    dry.macs = 0;
    run_shape(&dry, &d, s, n, opt->dtype);
    double seconds[MOST_ROUNDS], shares[MOST_ROUNDS];
    run_shape(o, &d, s, n, opt->dtype); /* warm */
    for (int i = 0; i < opt->rounds; i++) {
        const double top = dry.macs > 0 ? bench_peak_measure(peak) : 1.0;
        seconds[i] = time_shape(o, &d, s, n, opt->dtype);
        shares[i] = 2.0 * dry.macs / seconds[i] / top;
    }
    const double time = median(seconds, opt->rounds), share = median(shares, opt->rounds);
    close_data(&d);
    printf("%-44s %9.3f ms", name, 1e3 * time);
    if (dry.macs > 0) printf("  %7.1f GFLOP/s  %5.1f %%", 2e-9 * dry.macs / time, 100.0 * share);
    printf("   x %d\n", s->count);
    fflush(stdout);
    return time;
}

static int usage(void)
{
    fputs("usage: sdgen-bench [--threads N] [--isa TIER] [--rounds N] [--dtype f16|f32] "
          "[--model CHECKPOINT] [PATTERN]\n",
          stderr);
    return 2;
}

static bool read_options(struct options *o, int argc, char **argv)
{
    *o = (struct options) {sdg_physical_cores(), 3, sdg_isa_detect(), SDG_F16, "", NULL};
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (argv[i][0] != '-') {
            o->pattern = argv[i];
            continue;
        }
        if (!value) return false;
        i++;
        if (strcmp(argv[i - 1], "--threads") == 0) {
            o->threads = atoi(value);
        } else if (strcmp(argv[i - 1], "--rounds") == 0) {
            o->rounds = atoi(value);
        } else if (strcmp(argv[i - 1], "--model") == 0) {
            o->model = value;
        } else if (strcmp(argv[i - 1], "--dtype") == 0) {
            o->dtype = strcmp(value, "f32") == 0 ? SDG_F32 : SDG_F16;
        } else if (strcmp(argv[i - 1], "--isa") == 0) {
            enum sdg_isa isa = SDG_ISA_C;
            while (isa < SDG_ISA_COUNT && strcmp(value, sdg_isa_label(isa)) != 0) isa++;
            if (isa > sdg_isa_detect()) return false;
            o->isa = isa;
        } else {
            return false;
        }
    }
    return o->threads > 0 && o->rounds > 0 && o->rounds <= MOST_ROUNDS;
}

static void bench_shapes(struct sdg_ops *o, struct bench_peak *peak, const struct options *opt)
{
    for (size_t i = 0; i < bench_network_count; i++) {
        const struct bench_network *net = &bench_networks[i];
        double total = 0;
        printf("\n%s\n", net->name);
        for (size_t k = 0; k < net->count; k++)
            total += net->shapes[k].count * bench_shape(o, peak, &net->shapes[k], net->n, opt);
        printf("%-44s %9.3f ms\n", "sum of times x counts", 1e3 * total);
    }
}

int main(int argc, char **argv)
{
    struct options opt;
    if (!read_options(&opt, argc, argv)) return usage();
    struct sdg_kernels kernels;
    sdg_kernels_init(&kernels, opt.isa);
    struct sdg_arena work;
    if (sdg_arena_create(&work, (size_t)1 << 30, NULL) != SDGEN_OK) return 1;
    struct sdg_ops o = {.k = &kernels, .work = &work, .threads = opt.threads};
    struct bench_peak peak;
    bench_peak_open(&peak, &o);
    bench_peak_measure(&peak); /* warm */
    printf("tier %s, %d threads, matrix product 2048^3: %.1f GFLOP/s, reading memory: %.1f GB/s\n",
           sdg_isa_label(opt.isa), opt.threads, 1e-9 * bench_peak_measure(&peak),
           1e-9 * bench_bandwidth(&o));
    const bool ok = !opt.model || bench_stages(&o, opt.model, opt.rounds);
    if (!opt.model) bench_shapes(&o, &peak, &opt);
    free(peak.a);
    free(peak.b);
    free(peak.c);
    sdg_arena_destroy(&work);
    return ok ? 0 : 1;
}
