/* test_ops.c - src/ops against torch (tests/golden/ops.safetensors, written by
 * tools/golden_ops.py), in plain C and in the best tier of this machine; and what all operations
 * promise: the same bits from 1, 2 and 3 threads and for an image alone or among others, as much
 * scratch as a dry run says, no look at any data in a dry run, and a way out when cancelled.
 *
 * All memory of a case comes from one pool, so that a dry run can be made to fault on any touch. */
#define _GNU_SOURCE
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <cmocka.h>

#include "kernels.h"
#include "ops/ops.h"
#include "tests/support/floats.h"
#include "tests/support/hashweights.h"

#define GOLDEN "tests/golden/ops.safetensors"
#define BOUND 2e-6 /* of the largest value: f32 sums of at most a few hundred terms */

enum { POOL_BYTES = 48 << 20, NAME = 64 };

/* ---- memory and data ------------------------------------------------------------------------- */

struct pool {
    char *base;
    size_t used;
};

static struct pool pool_open(void)
{
    void *p = mmap(NULL, POOL_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(p != MAP_FAILED);
    return (struct pool) {p, 0};
}

static void pool_close(struct pool *p)
{
    munmap(p->base, POOL_BYTES);
}

/* `odd` bytes beyond a multiple of 64. */
static void *take(struct pool *p, size_t bytes, size_t odd)
{
    char *at = p->base + (p->used + 63) / 64 * 64 + odd;
    p->used = (size_t)(at - p->base) + bytes;
    assert_true(p->used <= POOL_BYTES);
    return at;
}

static float *take_floats(struct pool *p, size_t count)
{
    return take(p, count * sizeof(float), 0);
}

static float *input(struct pool *p, size_t count, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static float *input(struct pool *p, size_t count, const char *format, ...)
{
    char name[NAME];
    va_list args;
    va_start(args, format);
    vsnprintf(name, sizeof name, format, args);
    va_end(args);
    float *y = take_floats(p, count);
    test_hash_input(y, name, count);
    return y;
}

/* Nearest binary16, ties to even; for values far from overflow. */
static uint16_t to_half(float v)
{
    const float a = fabsf(v);
    int e = 0;
    const float m = frexpf(a, &e); /* a = m 2^e, m in [1/2, 1) */
    const int lowest = -24, step = a > 0 && e - 11 > lowest ? e - 11 : lowest;
    const long units = lrintf(ldexpf(a, -step)); /* in [1024, 2048], or less: denormal */
    (void)m;
    const long exponent = step - lowest;       /* 0 for denormals and the lowest normals */
    const long bits = exponent * 1024 + units; /* a carry moves on by itself */
    return (uint16_t)(bits | (signbit(v) ? 0x8000 : 0));
}

static uint16_t to_bfloat(float v)
{
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static void store(char *to, enum sdg_dtype dtype, size_t i, float v)
{
    const double wide = (double)v;
    const uint16_t narrow = dtype == SDG_F16 ? to_half(v) : to_bfloat(v);
    if (dtype == SDG_F32)
        memcpy(to + i * 4, &v, 4);
    else if (dtype == SDG_F64)
        memcpy(to + i * 8, &wide, 8);
    else
        memcpy(to + i * 2, &narrow, 2);
}

/* A weight as it may lie in a file: in its own type, at an odd address. f32 also where it can be
 * used in place, every other time. */
static struct sdg_tensor weight(struct pool *p, const char *op, int i, const char *part,
                                enum sdg_dtype dtype, int rank, const int64_t *shape)
{
    char name[NAME];
    snprintf(name, sizeof name, "%s.%d.%s", op, i, part);
    struct sdg_tensor t = {.dtype = dtype, .rank = rank};
    for (int d = 0; d < rank; d++) t.shape[d] = shape[d];
    const size_t count = sdg_tensor_count(&t);
    float *values = malloc((count + 1) * sizeof *values);
    assert_non_null(values);
    test_hash_weight(values, name, shape, rank);
    char *data = take(p, count * sdg_dtype_size(dtype), dtype == SDG_F32 && i % 2 == 0 ? 0 : 1);
    for (size_t k = 0; k < count; k++) store(data, dtype, k, values[k]);
    free(values);
    t.data = data;
    return t;
}

static struct sdg_tensor vector(struct pool *p, const char *op, int i, const char *part,
                                enum sdg_dtype dtype, size_t count)
{
    const int64_t shape[] = {(int64_t)count};
    return weight(p, op, i, part, dtype, 1, shape);
}

static const enum sdg_dtype dtypes[] = {SDG_F32, SDG_F16, SDG_BF16, SDG_F64};

/* Parameters of case i; false behind the last one. */
static bool parameters(int64_t *p, const struct sdg_weights *golden, const char *op, int i)
{
    char name[NAME];
    snprintf(name, sizeof name, "%s.%d.p", op, i);
    const struct sdg_entry *e = sdg_weights_find(golden, name);
    if (!e) return false;
    memcpy(p, e->tensor.data, sdg_tensor_count(&e->tensor) * sizeof *p);
    return true;
}

/* ---- running a case -------------------------------------------------------------------------- */

/* An operation with its arguments; writes y [n][per_image]. run computes images [first, first + n).
 */
struct job {
    void (*run)(struct sdg_ops *o, const struct job *j, size_t first, size_t n);
    struct pool pool;
    const int64_t *p;
    float *y, *start; /* start: what y holds before, NULL: does not matter */
    size_t n, per_image;
    const float *x, *k, *v, *extra, *residual;
    struct sdg_tensor weight, bias;
    struct sdg_norm norm;
};

static void reset(const struct job *j)
{
    const size_t bytes = j->n * j->per_image * sizeof(float);
    if (j->start)
        memcpy(j->y, j->start, bytes);
    else
        memset(j->y, 0xff, bytes);
}

static size_t plan(const struct job *j, struct sdg_ops o, size_t first, size_t n)
{
    struct sdg_arena nowhere;
    sdg_arena_measure(&nowhere);
    o.work = &nowhere;
    o.dry = true;
    assert_int_equal(mprotect(j->pool.base, POOL_BYTES, PROT_NONE), 0);
    j->run(&o, j, first, n);
    assert_int_equal(mprotect(j->pool.base, POOL_BYTES, PROT_READ | PROT_WRITE), 0);
    assert_int_equal(nowhere.used, 0);
    return nowhere.peak;
}

/* In exactly as much memory as the dry run asked for. */
static void run(const struct job *j, const struct sdg_kernels *k, int threads, const int *cancel,
                size_t first, size_t n)
{
    struct sdg_ops o = {.k = k, .threads = threads, .blas = k->isa != SDG_ISA_C, .cancel = cancel};
    const size_t bytes = plan(j, o, first, n);
    struct sdg_arena work;
    assert_int_equal(sdg_arena_create(&work, bytes, NULL), SDGEN_OK);
    o.work = &work;
    j->run(&o, j, first, n);
    assert_int_equal(work.used, 0);
    assert_int_equal(work.peak, bytes);
    sdg_arena_destroy(&work);
}

/* Against the golden, then against itself in other circumstances. */
static void check_tier(const struct job *j, const struct sdg_kernels *k, const float *want,
                       const char *what)
{
    const size_t count = j->n * j->per_image, bytes = count * sizeof(float);
    reset(j);
    run(j, k, 1, NULL, 0, j->n);
    const double ratio = test_ratio(j->y, want, count);
    if (!(ratio <= BOUND))
        fail_msg("%s, %s: error %.2e of the maximum", what, sdg_isa_label(k->isa), ratio);
    float *first = malloc(bytes);
    assert_non_null(first);
    memcpy(first, j->y, bytes);
    for (int threads = 2; threads <= 3; threads++) {
        reset(j);
        run(j, k, threads, NULL, 0, j->n);
        if (memcmp(j->y, first, bytes) != 0)
            fail_msg("%s, %s: %d threads change bits", what, sdg_isa_label(k->isa), threads);
    }
    reset(j);
    for (size_t i = 0; i < j->n; i++) run(j, k, 2, NULL, i, 1);
    if (memcmp(j->y, first, bytes) != 0)
        fail_msg("%s, %s: images alone have other bits", what, sdg_isa_label(k->isa));
    const int cancel = 1;
    run(j, k, 2, &cancel, 0, j->n);
    free(first);
}

static void check_job(const struct job *j, const struct sdg_weights *golden, const char *name)
{
    struct test_floats want = test_golden(golden, "%s", name);
    assert_int_equal(want.count, j->n * j->per_image);
    struct sdg_kernels k;
    sdg_kernels_init(&k, SDG_ISA_C);
    check_tier(j, &k, want.data, name);
    if (sdg_isa_detect() != SDG_ISA_C) {
        sdg_kernels_init(&k, sdg_isa_detect());
        check_tier(j, &k, want.data, name);
    }
    test_floats_free(&want);
}

static void open_golden(struct sdg_weights *w)
{
    sdgen_error err;
    if (sdg_weights_open(w, GOLDEN, &err) != SDGEN_OK) fail_msg("%s", err.text);
}

typedef bool make_fn(struct job *j, const struct sdg_weights *golden, int i);

static void check_all(const char *op, make_fn *make)
{
    struct sdg_weights golden;
    open_golden(&golden);
    int i = 0;
    int64_t p[32];
    for (; parameters(p, &golden, op, i); i++) {
        struct job j = {.p = p, .pool = pool_open()};
        assert_true(make(&j, &golden, i));
        char name[NAME];
        snprintf(name, sizeof name, "%s.%d.y", op, i);
        check_job(&j, &golden, name);
        pool_close(&j.pool);
    }
    assert_true(i > 3);
    sdg_weights_close(&golden);
}

/* ---- convolution ----------------------------------------------------------------------------- */

enum { N, H, W, IN, OUT, KERNEL, STRIDE, PAD, UP, VH, VW, OH, OW, GROUPS, SILU, EXTRAS, DTYPE };
enum { BIAS = 1, CHANNEL_BIAS = 2, RESIDUAL = 4 };

static void run_conv(struct sdg_ops *o, const struct job *j, size_t first, size_t n)
{
    const int64_t *p = j->p;
    const size_t hw = (size_t)(p[H] * p[W]), in = (size_t)p[IN], out = (size_t)p[OUT];
    const size_t outputs = (size_t)(p[OH] * p[OW]) * out;
    struct sdg_conv_geometry g = sdg_conv_same(n, (size_t)p[H], (size_t)p[W], (int)p[KERNEL]);
    if (p[STRIDE] == 1 && p[UP] == 1) assert_int_equal(g.pad, p[PAD]);
    g.pad = (int)p[PAD];
    g.stride = (int)p[STRIDE];
    g.up = (int)p[UP];
    g.vh = (size_t)p[VH];
    g.vw = (size_t)p[VW];
    g.oh = (size_t)p[OH];
    g.ow = (size_t)p[OW];
    const struct sdg_conv w = {j->weight, j->bias};
    const float *x = j->x + first * hw * in;
    struct sdg_prologue pro = {0};
    const size_t mark = sdg_arena_mark(o->work);
    if (p[GROUPS])
        sdg_op_groupnorm(o, &pro, x, &j->norm, n, hw, in, (size_t)p[GROUPS], 1e-5f, p[SILU] != 0);
    sdg_op_conv(o, j->y + first * outputs, x, p[GROUPS] || first % 2 ? &pro : NULL, &w,
                j->extra ? j->extra + first * out : NULL,
                j->residual ? j->residual + first * outputs : NULL, &g);
    sdg_arena_release(o->work, mark);
}

static bool make_conv(struct job *j, const struct sdg_weights *golden, int i)
{
    (void)golden;
    const int64_t *p = j->p, shape[] = {p[OUT], p[IN], p[KERNEL], p[KERNEL]};
    const enum sdg_dtype dtype = dtypes[p[DTYPE]];
    j->run = run_conv;
    j->n = (size_t)p[N];
    j->per_image = (size_t)(p[OH] * p[OW] * p[OUT]);
    j->y = take_floats(&j->pool, j->n * j->per_image);
    j->x = input(&j->pool, (size_t)(p[N] * p[H] * p[W] * p[IN]), "conv.%d.x", i);
    j->weight = weight(&j->pool, "conv", i, "weight", dtype, 4, shape);
    if (p[EXTRAS] & BIAS) j->bias = vector(&j->pool, "conv", i, "bias", dtype, (size_t)p[OUT]);
    if (p[EXTRAS] & CHANNEL_BIAS)
        j->extra = input(&j->pool, (size_t)(p[N] * p[OUT]), "conv.%d.channel", i);
    if (p[EXTRAS] & RESIDUAL) {
        float *residual = input(&j->pool, j->n * j->per_image, "conv.%d.residual", i);
        j->residual = residual;
        if (i % 2) { /* y itself */
            j->start = residual;
            j->residual = j->y;
        }
    }
    j->norm.weight = vector(&j->pool, "conv", i, "gamma.weight", SDG_F32, (size_t)p[IN]);
    j->norm.bias = vector(&j->pool, "conv", i, "beta", SDG_F32, (size_t)p[IN]);
    return true;
}

static void test_conv(void **state)
{
    (void)state;
    check_all("conv", make_conv);
}

/* ---- linear ---------------------------------------------------------------------------------- */

enum { L_N, L_T, L_IN, L_OUT, L_ADD, L_BIAS, L_DTYPE, L_RANK };

static void run_linear(struct sdg_ops *o, const struct job *j, size_t first, size_t n)
{
    const int64_t *p = j->p;
    const struct sdg_linear w = {j->weight, j->bias};
    sdg_op_linear(o, j->y + first * j->per_image, j->x + first * (size_t)(p[L_T] * p[L_IN]), &w, n,
                  (size_t)p[L_T], p[L_ADD] != 0);
}

static bool make_linear(struct job *j, const struct sdg_weights *golden, int i)
{
    (void)golden;
    const int64_t *p = j->p, shape[] = {p[L_OUT], p[L_IN], 1, 1};
    const enum sdg_dtype dtype = dtypes[p[L_DTYPE]];
    j->run = run_linear;
    j->n = (size_t)p[L_N];
    j->per_image = (size_t)(p[L_T] * p[L_OUT]);
    j->y = take_floats(&j->pool, j->n * j->per_image);
    j->x = input(&j->pool, (size_t)(p[L_N] * p[L_T] * p[L_IN]), "linear.%d.x", i);
    /* hashed with rank 2 or 4 alike: the scale depends on the number of inputs */
    j->weight = weight(&j->pool, "linear", i, "weight", dtype, (int)p[L_RANK], shape);
    if (p[L_BIAS]) j->bias = vector(&j->pool, "linear", i, "bias", dtype, (size_t)p[L_OUT]);
    if (p[L_ADD]) j->start = input(&j->pool, j->n * j->per_image, "linear.%d.y", i);
    return true;
}

static void test_linear(void **state)
{
    (void)state;
    check_all("linear", make_linear);
}

/* ---- attention ------------------------------------------------------------------------------- */

enum { A_N, A_TQ, A_TK, A_HEADS, A_HD, A_CAUSAL, A_GAP };

static void run_attention(struct sdg_ops *o, const struct job *j, size_t first, size_t n)
{
    const int64_t *p = j->p;
    const size_t tq = (size_t)p[A_TQ], tk = (size_t)p[A_TK], width = (size_t)(p[A_HEADS] * p[A_HD]);
    const size_t ld = width + (size_t)p[A_GAP];
    sdg_op_attention(o, j->y + first * tq * width, j->x + first * tq * ld, j->k + first * tk * ld,
                     j->v + first * tk * ld, n, tq, tk, (size_t)p[A_HEADS], (size_t)p[A_HD], ld, ld,
                     width, p[A_CAUSAL] != 0);
}

static bool make_attention(struct job *j, const struct sdg_weights *golden, int i)
{
    (void)golden;
    const int64_t *p = j->p;
    const size_t width = (size_t)(p[A_HEADS] * p[A_HD]), ld = width + (size_t)p[A_GAP];
    const size_t queries = (size_t)(p[A_N] * p[A_TQ]) * ld, keys = (size_t)(p[A_N] * p[A_TK]) * ld;
    j->run = run_attention;
    j->n = (size_t)p[A_N];
    j->per_image = (size_t)p[A_TQ] * width;
    j->y = take_floats(&j->pool, j->n * j->per_image);
    j->x = input(&j->pool, queries, "attention.%d.q", i);
    j->k = input(&j->pool, keys, "attention.%d.k", i);
    j->v = input(&j->pool, keys, "attention.%d.v", i);
    return true;
}

static void test_attention(void **state)
{
    (void)state;
    check_all("attention", make_attention);
}

/* ---- normalisation --------------------------------------------------------------------------- */

enum { G_N, G_HW, G_C, G_GROUPS };

static void run_layernorm(struct sdg_ops *o, const struct job *j, size_t first, size_t n)
{
    const size_t hw = (size_t)j->p[G_HW], c = (size_t)j->p[G_C], at = first * hw * c;
    sdg_op_layernorm(o, j->y + at, j->x + at, &j->norm, n * hw, c, 1e-5f);
}

/* In place: y holds x before. */
static void run_groupnorm(struct sdg_ops *o, const struct job *j, size_t first, size_t n)
{
    const size_t hw = (size_t)j->p[G_HW], c = (size_t)j->p[G_C], at = first * hw * c;
    const size_t mark = sdg_arena_mark(o->work);
    struct sdg_prologue pro;
    sdg_op_groupnorm(o, &pro, j->y + at, &j->norm, n, hw, c, (size_t)j->p[G_GROUPS], 1e-6f, true);
    sdg_op_apply(o, j->y + at, j->y + at, &pro, n, hw, c);
    sdg_arena_release(o->work, mark);
}

static bool make_norm(struct job *j, const struct sdg_weights *golden, int i)
{
    const size_t c = (size_t)j->p[G_C];
    j->n = (size_t)j->p[G_N];
    j->per_image = (size_t)j->p[G_HW] * c;
    j->y = take_floats(&j->pool, j->n * j->per_image);
    float *x = input(&j->pool, j->n * j->per_image, "norm.%d.x", i);
    j->norm.weight = vector(&j->pool, "norm", i, "gamma.weight", SDG_F16, c);
    j->norm.bias = vector(&j->pool, "norm", i, "beta", SDG_F16, c);
    char name[NAME];
    snprintf(name, sizeof name, "norm.%d.grouped", i);
    j->run = run_groupnorm;
    j->start = x;
    check_job(j, golden, name);
    j->run = run_layernorm;
    j->start = NULL;
    j->x = x;
    return true;
}

static void test_norm(void **state)
{
    (void)state;
    check_all("norm", make_norm);
}

/* ---- point by point -------------------------------------------------------------------------- */

static void run_silu(struct sdg_ops *o, const struct job *j, size_t first, size_t n)
{
    const size_t at = first * j->per_image;
    sdg_op_activate(o, j->y + at, j->x + at, SDG_SILU, n * j->per_image);
}

static void run_gelu(struct sdg_ops *o, const struct job *j, size_t first, size_t n)
{
    const size_t at = first * j->per_image;
    sdg_op_activate(o, j->y + at, j->x + at, SDG_GELU, n * j->per_image);
}

static void run_quick_gelu(struct sdg_ops *o, const struct job *j, size_t first, size_t n)
{
    const size_t at = first * j->per_image;
    sdg_op_activate(o, j->y + at, j->x + at, SDG_QUICK_GELU, n * j->per_image);
}

static void run_geglu(struct sdg_ops *o, const struct job *j, size_t first, size_t n)
{
    const size_t at = first * j->per_image;
    sdg_op_geglu(o, j->y + at, j->x + 2 * at, n * j->per_image / 13, 13);
}

static void test_pointwise(void **state)
{
    (void)state;
    struct sdg_weights golden;
    open_golden(&golden);
    struct job j = {.pool = pool_open(), .n = 40, .per_image = 26};
    j.y = take_floats(&j.pool, 40 * 26);
    float *x = input(&j.pool, 40 * 26, "pointwise.x");
    for (int i = 0; i < 40 * 26; i++) x[i] *= 4.0f;
    j.x = x;
    j.run = run_silu;
    check_job(&j, &golden, "pointwise.silu");
    j.run = run_gelu;
    check_job(&j, &golden, "pointwise.gelu");
    j.run = run_quick_gelu;
    check_job(&j, &golden, "pointwise.quick_gelu");
    j.run = run_geglu;
    j.per_image = 13;
    check_job(&j, &golden, "pointwise.geglu");
    pool_close(&j.pool);
    sdg_weights_close(&golden);
}

/* ---- moving ---------------------------------------------------------------------------------- */

static struct sdg_ops plain_ops(struct sdg_kernels *k, struct sdg_arena *work)
{
    sdg_kernels_init(k, sdg_isa_detect());
    assert_int_equal(sdg_arena_create(work, 1 << 20, NULL), SDGEN_OK);
    return (struct sdg_ops) {
        .k = k, .work = work, .threads = 3, .blas = sdg_isa_detect() != SDG_ISA_C};
}

static void test_layout(void **state)
{
    (void)state;
    enum { IMAGES = 2, C = 5, HW = 77 };
    struct sdg_kernels k;
    struct sdg_arena work;
    struct sdg_ops o = plain_ops(&k, &work);
    float x[IMAGES * C * HW], y[IMAGES * C * HW], z[IMAGES * C * HW];
    for (int i = 0; i < IMAGES * C * HW; i++) x[i] = (float)i;
    sdg_op_to_channels_last(&o, y, x, IMAGES, C, HW);
    for (int n = 0; n < IMAGES; n++)
        for (int c = 0; c < C; c++)
            for (int p = 0; p < HW; p++)
                assert_true(y[(n * HW + p) * C + c] == x[(n * C + c) * HW + p]);
    sdg_op_to_channels_first(&o, z, y, IMAGES, C, HW);
    assert_memory_equal(z, x, sizeof x);

    sdg_op_concat(&o, y, x, x + 20 * 3, 20, 3, 4);
    for (int r = 0; r < 20; r++)
        for (int c = 0; c < 7; c++)
            assert_true(y[r * 7 + c] == (c < 3 ? x[r * 3 + c] : x[60 + r * 4 + c - 3]));
    sdg_op_add(&o, y, x, 140);
    assert_true(y[8] == x[4] + x[8]);
    sdg_arena_destroy(&work);
}

static void test_embed(void **state)
{
    (void)state;
    enum { ROWS = 4, T = 3, IMAGES = 2, WIDTH = 9 };
    struct pool p = pool_open();
    const int64_t shape[] = {ROWS, WIDTH}, places[] = {T, WIDTH};
    const struct sdg_embedding table = {weight(&p, "embed", 1, "table", SDG_F16, 2, shape)};
    const struct sdg_embedding positions = {weight(&p, "embed", 0, "places", SDG_F32, 2, places)};
    const int32_t ids[IMAGES * T] = {3, 0, 1, 2, 2, 3};
    struct sdg_kernels k;
    struct sdg_arena work;
    struct sdg_ops o = plain_ops(&k, &work);
    float y[IMAGES * T * WIDTH], a[WIDTH], b[WIDTH];
    sdg_op_embed(&o, y, ids, &table, &positions, IMAGES, T);
    for (int i = 0; i < IMAGES * T; i++) {
        sdg_tensor_widen(a, &table.weight, (size_t)ids[i] * WIDTH, WIDTH);
        sdg_tensor_widen(b, &positions.weight, (size_t)(i % T) * WIDTH, WIDTH);
        for (int c = 0; c < WIDTH; c++) assert_true(y[i * WIDTH + c] == a[c] + b[c]);
    }
    sdg_arena_destroy(&work);
    pool_close(&p);
}

/* ---- large enough to be cut ------------------------------------------------------------------ */

/* Some elements of a 3x3 convolution, image by image, against sums in double. */
static void sample_conv(const struct job *j, size_t channel_step, size_t pixel_step)
{
    const size_t h = (size_t)j->p[H], w = (size_t)j->p[W], in = (size_t)j->p[IN];
    const size_t out = (size_t)j->p[OUT];
    float *row = malloc(9 * in * sizeof *row);
    assert_non_null(row);
    for (size_t channel = 0; channel < out; channel += channel_step) {
        sdg_tensor_widen(row, &j->weight, channel * 9 * in, 9 * in);
        for (size_t at = 0; at < j->n * h * w; at += pixel_step) {
            double sum = 0, size = 0;
            for (size_t tap = 0; tap < 9; tap++) {
                const size_t y = at / w % h + tap / 3, x = at % w + tap % 3; /* both + 1 */
                if (y < 1 || y > h || x < 1 || x > w) continue;
                const float *pixel = j->x + ((at / w / h * h + y - 1) * w + x - 1) * in;
                for (size_t c = 0; c < in; c++) {
                    sum += (double)pixel[c] * (double)row[c * 9 + tap];
                    size += fabs((double)pixel[c] * (double)row[c * 9 + tap]);
                }
            }
            assert_true(fabs((double)j->y[at * out + channel] - sum) < 1e-6 * size + 1e-12);
        }
    }
    free(row);
}

static struct job large_conv(int64_t *p, int64_t n, int64_t side, int64_t in, int64_t out)
{
    const int64_t values[] = {n,    side, side, in,   out, 3, 1, 1, 1,
                              side, side, side, side, 0,   0, 0, 2};
    const int64_t shape[] = {out, in, 3, 3};
    memcpy(p, values, sizeof values);
    struct job j = {.run = run_conv, .pool = pool_open(), .p = p, .n = (size_t)n};
    j.per_image = (size_t)(side * side * out);
    j.y = take_floats(&j.pool, j.n * j.per_image);
    j.x = input(&j.pool, (size_t)(n * side * side * in), "large.x");
    j.weight = weight(&j.pool, "large", 1, "weight", SDG_BF16, 4, shape);
    return j;
}

static void check_large(int64_t n, int64_t side, int64_t in, int64_t out, const size_t step[2])
{
    int64_t p[DTYPE + 1];
    struct job j = large_conv(p, n, side, in, out);
    struct sdg_kernels k;
    sdg_kernels_init(&k, sdg_isa_detect());
    run(&j, &k, 2, NULL, 0, (size_t)n);
    sample_conv(&j, step[0], step[1]);
    float *want = malloc(j.n * j.per_image * sizeof *want);
    assert_non_null(want);
    memcpy(want, j.y, j.n * j.per_image * sizeof *want);
    check_tier(&j, &k, want, "large");
    free(want);
    pool_close(&j.pool);
}

/* Small maps: several groups of output channels; more images than are gathered at once. */
static void test_small_maps(void **state)
{
    (void)state;
    check_large(2, 9, 1000, 330, (const size_t[]) {23, 7});
    check_large(3, 32, 640, 2, (const size_t[]) {1, 331});
}

/* Large maps and many rows: weights in more than one panel. Gigantic for plain C. */
static void test_panels(void **state)
{
    (void)state;
    if (sdg_isa_detect() == SDG_ISA_C) skip();
    check_large(1, 33, 260, 1808, (const size_t[]) {229, 97});

    enum { T = 520, L_INPUTS = 700, L_OUTPUTS = 6016 };
    const int64_t shape[] = {L_OUTPUTS, L_INPUTS}, p[] = {1, T, L_INPUTS, L_OUTPUTS, 0, 0, 1, 2};
    struct job j = {.run = run_linear, .pool = pool_open(), .p = p, .n = 1};
    j.per_image = (size_t)T * L_OUTPUTS;
    j.y = take_floats(&j.pool, j.per_image);
    j.x = input(&j.pool, (size_t)T * L_INPUTS, "large.x");
    j.weight = weight(&j.pool, "large", 1, "linear", SDG_F16, 2, shape);
    struct sdg_kernels k;
    sdg_kernels_init(&k, sdg_isa_detect());
    run(&j, &k, 2, NULL, 0, 1);
    float row[L_INPUTS];
    for (size_t o = 0; o < L_OUTPUTS; o += 61) {
        sdg_tensor_widen(row, &j.weight, o * L_INPUTS, L_INPUTS);
        for (size_t t = 0; t < T; t += 37) {
            double sum = 0;
            for (size_t c = 0; c < L_INPUTS; c++)
                sum += (double)j.x[t * L_INPUTS + c] * (double)row[c];
            assert_true(fabs((double)j.y[t * L_OUTPUTS + o] - sum) < 1e-4);
        }
    }
    pool_close(&j.pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conv),      cmocka_unit_test(test_linear),
        cmocka_unit_test(test_attention), cmocka_unit_test(test_norm),
        cmocka_unit_test(test_pointwise), cmocka_unit_test(test_layout),
        cmocka_unit_test(test_embed),     cmocka_unit_test(test_small_maps),
        cmocka_unit_test(test_panels),
    };
    return cmocka_run_group_tests_name("ops", tests, NULL, NULL);
}
