/* opcase.c - see opcase.h. */
#define _GNU_SOURCE
#include "tests/support/opcase.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <cmocka.h>

#include "tests/emulated/emulated.h"
#include "tests/support/floats.h"
#include "tests/support/hashweights.h"

enum { NAME = 64 };

/* ---- memory and data ------------------------------------------------------------------------- */

struct test_pool test_pool_open(void)
{
    void *p =
        mmap(NULL, TEST_POOL_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(p != MAP_FAILED);
    return (struct test_pool) {p, 0};
}

void test_pool_close(struct test_pool *p)
{
    munmap(p->base, TEST_POOL_BYTES);
}

/* `odd` bytes beyond a multiple of 64. */
static void *test_pool_take(struct test_pool *p, size_t bytes, size_t odd)
{
    char *at = p->base + (p->used + 63) / 64 * 64 + odd;
    p->used = (size_t)(at - p->base) + bytes;
    assert_true(p->used <= TEST_POOL_BYTES);
    return at;
}

float *test_pool_floats(struct test_pool *p, size_t count)
{
    return test_pool_take(p, count * sizeof(float), 0);
}

float *test_pool_input(struct test_pool *p, size_t count, const char *format, ...)
{
    char name[NAME];
    va_list args;
    va_start(args, format);
    vsnprintf(name, sizeof name, format, args);
    va_end(args);
    float *y = test_pool_floats(p, count);
    test_hash_input(y, name, count);
    return y;
}

/* Nearest binary16, ties to even; for values far from overflow. */
static uint16_t to_half(float v)
{
    const float a = fabsf(v);
    int e = 0;
    (void)frexpf(a, &e); /* a = m 2^e, m in [1/2, 1) */
    const int lowest = -24, step = a > 0 && e - 11 > lowest ? e - 11 : lowest;
    const long units = lrintf(ldexpf(a, -step)); /* in [1024, 2048], or less: denormal */
    const long exponent = step - lowest;         /* 0 for denormals and the lowest normals */
    const long bits = exponent * 1024 + units;   /* a carry moves on by itself */
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
struct sdg_tensor test_pool_weight(struct test_pool *p, const char *op, int i, const char *part,
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
    char *data =
        test_pool_take(p, count * sdg_dtype_size(dtype), dtype == SDG_F32 && i % 2 == 0 ? 0 : 1);
    for (size_t k = 0; k < count; k++) store(data, dtype, k, values[k]);
    free(values);
    t.data = data;
    return t;
}

struct sdg_tensor test_pool_vector(struct test_pool *p, const char *op, int i, const char *part,
                                   enum sdg_dtype dtype, size_t count)
{
    const int64_t shape[] = {(int64_t)count};
    return test_pool_weight(p, op, i, part, dtype, 1, shape);
}

/* ---- running a case -------------------------------------------------------------------------- */

static void reset(const struct test_op *j)
{
    const size_t bytes = j->n * j->per_image * sizeof(float);
    if (j->start)
        memcpy(j->y, j->start, bytes);
    else
        memset(j->y, 0xff, bytes);
}

static size_t plan(const struct test_op *j, struct sdg_ops o, size_t first, size_t n)
{
    struct sdg_arena nowhere;
    sdg_arena_measure(&nowhere);
    o.work = &nowhere;
    o.dry = true;
    assert_int_equal(mprotect(j->pool.base, TEST_POOL_BYTES, PROT_NONE), 0);
    j->run(&o, j, first, n);
    assert_int_equal(mprotect(j->pool.base, TEST_POOL_BYTES, PROT_READ | PROT_WRITE), 0);
    assert_int_equal(nowhere.used, 0);
    return nowhere.peak;
}

/* In exactly as much memory as the dry run asked for. */
void test_op_run(const struct test_op *j, const struct sdg_kernels *k, int threads,
                 const int *cancel, size_t first, size_t n)
{
    struct sdg_ops o = {.k = k, .threads = threads, .bf16 = j->bf16, .cancel = cancel};
    o.strip_bytes = threads > 2; /* three threads go with strips as small as they get */
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
void test_op_check(const struct test_op *j, const struct sdg_kernels *k, const float *want,
                   const char *what)
{
    const size_t count = j->n * j->per_image, bytes = count * sizeof(float);
    reset(j);
    test_op_run(j, k, 1, NULL, 0, j->n);
    const double ratio = test_ratio(j->y, want, count);
    if (!(ratio <= (j->bf16 ? TEST_OP_BOUND_BF16 : TEST_OP_BOUND)))
        fail_msg("%s, %s%s: error %.2e of the maximum", what, sdg_isa_label(k->isa),
                 j->bf16 ? ", bf16" : "", ratio);
    float *first = malloc(bytes);
    assert_non_null(first);
    memcpy(first, j->y, bytes);
    for (int threads = 2; threads <= 3; threads++) {
        reset(j);
        test_op_run(j, k, threads, NULL, 0, j->n);
        if (memcmp(j->y, first, bytes) != 0)
            fail_msg("%s, %s: %d threads change bits", what, sdg_isa_label(k->isa), threads);
    }
    reset(j);
    for (size_t i = 0; i < j->n; i++) test_op_run(j, k, 2, NULL, i, 1);
    if (memcmp(j->y, first, bytes) != 0)
        fail_msg("%s, %s: images alone have other bits", what, sdg_isa_label(k->isa));
    const int cancel = 1;
    test_op_run(j, k, 2, &cancel, 0, j->n);
    free(first);
}

void test_op_check_golden(struct test_op *j, const struct sdg_weights *golden, const char *name)
{
    struct test_floats want = test_golden(golden, "%s", name);
    assert_int_equal(want.count, j->n * j->per_image);
    for (int isa = 0; isa < SDG_ISA_COUNT; isa++)
        for (int bf16 = 0; bf16 < 2; bf16++) {
            struct sdg_kernels k;
            test_kernels_init(&k, (enum sdg_isa)isa);
            j->bf16 = bf16;
            test_op_check(j, &k, want.data, name);
        }
    test_floats_free(&want);
}

/* ---- the operations with most shapes --------------------------------------------------------- */

void test_op_run_conv(struct sdg_ops *o, const struct test_op *j, size_t first, size_t n)
{
    const int64_t *p = j->p;
    const size_t hw = (size_t)(p[CONV_H] * p[CONV_W]), in = (size_t)p[CONV_IN],
                 out = (size_t)p[CONV_OUT];
    const size_t outputs = (size_t)(p[CONV_OH] * p[CONV_OW]) * out;
    struct sdg_conv_geometry g =
        sdg_conv_same(n, (size_t)p[CONV_H], (size_t)p[CONV_W], (int)p[CONV_KERNEL]);
    if (p[CONV_STRIDE] == 1 && p[CONV_UP] == 1) assert_int_equal(g.pad, p[CONV_PAD]);
    g.pad = (int)p[CONV_PAD];
    g.stride = (int)p[CONV_STRIDE];
    g.up = (int)p[CONV_UP];
    g.vh = (size_t)p[CONV_VH];
    g.vw = (size_t)p[CONV_VW];
    g.oh = (size_t)p[CONV_OH];
    g.ow = (size_t)p[CONV_OW];
    const struct sdg_conv w = {.weight = j->weight, .bias = j->bias};
    const float *x = j->x + first * hw * in;
    struct sdg_prologue pro = {0};
    const size_t mark = sdg_arena_mark(o->work);
    if (p[CONV_GROUPS])
        sdg_op_groupnorm(o, &pro, x, &j->norm, n, hw, in, (size_t)p[CONV_GROUPS], 1e-5f,
                         p[CONV_SILU] != 0);
    sdg_op_conv(o, j->y + first * outputs, x, p[CONV_GROUPS] || first % 2 ? &pro : NULL, &w,
                j->extra ? j->extra + first * out : NULL,
                j->residual ? j->residual + first * outputs : NULL, &g);
    sdg_arena_release(o->work, mark);
}

void test_op_run_linear(struct sdg_ops *o, const struct test_op *j, size_t first, size_t n)
{
    const int64_t *p = j->p;
    const struct sdg_linear w = {.weight = j->weight, .bias = j->bias};
    sdg_op_linear(o, j->y + first * j->per_image,
                  j->x + first * (size_t)(p[LINEAR_T] * p[LINEAR_IN]), NULL, &w, n,
                  (size_t)p[LINEAR_T], p[LINEAR_ADD] != 0);
}
