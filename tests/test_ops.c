/* test_ops.c - src/ops against torch (tests/golden/ops.safetensors, written by
 * tools/golden_ops.py), in every tier and in both precisions, emulated where this machine lacks the
 * instructions; and what all operations promise: the same bits from 1, 2 and 3 threads and for an
 * image alone or among others, as much scratch as a dry run says, no look at any data in a dry run,
 * and a way out when cancelled. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/support/opcase.h"

#define GOLDEN "tests/golden/ops.safetensors"
enum { NAME = 64 };

static void open_golden(struct sdg_weights *w)
{
    sdgen_error err;
    if (sdg_weights_open(w, GOLDEN, &err) != SDGEN_OK) fail_msg("%s", err.text);
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

typedef bool make_fn(struct test_op *j, const struct sdg_weights *golden, int i);

static void check_all(const char *op, make_fn *make)
{
    struct sdg_weights golden;
    open_golden(&golden);
    int i = 0;
    int64_t p[32];
    for (; parameters(p, &golden, op, i); i++) {
        struct test_op j = {.p = p, .pool = test_pool_open()};
        assert_true(make(&j, &golden, i));
        char name[NAME];
        snprintf(name, sizeof name, "%s.%d.y", op, i);
        test_op_check_golden(&j, &golden, name);
        test_pool_close(&j.pool);
    }
    assert_true(i > 3);
    sdg_weights_close(&golden);
}

/* ---- convolution ----------------------------------------------------------------------------- */

enum { BIAS = 1, CHANNEL_BIAS = 2, RESIDUAL = 4 };

static bool make_conv(struct test_op *j, const struct sdg_weights *golden, int i)
{
    (void)golden;
    const int64_t *p = j->p, shape[] = {p[CONV_OUT], p[CONV_IN], p[CONV_KERNEL], p[CONV_KERNEL]};
    const enum sdg_dtype dtype = dtypes[p[CONV_DTYPE]];
    j->run = test_op_run_conv;
    j->n = (size_t)p[CONV_N];
    j->per_image = (size_t)(p[CONV_OH] * p[CONV_OW] * p[CONV_OUT]);
    j->y = test_pool_floats(&j->pool, j->n * j->per_image);
    j->x = test_pool_input(&j->pool, (size_t)(p[CONV_N] * p[CONV_H] * p[CONV_W] * p[CONV_IN]),
                           "conv.%d.x", i);
    j->weight = test_pool_weight(&j->pool, "conv", i, "weight", dtype, 4, shape);
    if (p[CONV_EXTRAS] & BIAS)
        j->bias = test_pool_vector(&j->pool, "conv", i, "bias", dtype, (size_t)p[CONV_OUT]);
    if (p[CONV_EXTRAS] & CHANNEL_BIAS)
        j->extra =
            test_pool_input(&j->pool, (size_t)(p[CONV_N] * p[CONV_OUT]), "conv.%d.channel", i);
    if (p[CONV_EXTRAS] & RESIDUAL) {
        float *residual = test_pool_input(&j->pool, j->n * j->per_image, "conv.%d.residual", i);
        j->residual = residual;
        if (i % 2) { /* y itself */
            j->start = residual;
            j->residual = j->y;
        }
    }
    j->norm.weight =
        test_pool_vector(&j->pool, "conv", i, "gamma.weight", SDG_F32, (size_t)p[CONV_IN]);
    j->norm.bias = test_pool_vector(&j->pool, "conv", i, "beta", SDG_F32, (size_t)p[CONV_IN]);
    return true;
}

static void test_conv(void **state)
{
    (void)state;
    check_all("conv", make_conv);
}

/* ---- linear ---------------------------------------------------------------------------------- */

static bool make_linear(struct test_op *j, const struct sdg_weights *golden, int i)
{
    (void)golden;
    const int64_t *p = j->p, shape[] = {p[LINEAR_OUT], p[LINEAR_IN], 1, 1};
    const enum sdg_dtype dtype = dtypes[p[LINEAR_DTYPE]];
    j->run = test_op_run_linear;
    j->n = (size_t)p[LINEAR_N];
    j->per_image = (size_t)(p[LINEAR_T] * p[LINEAR_OUT]);
    j->y = test_pool_floats(&j->pool, j->n * j->per_image);
    j->x = test_pool_input(&j->pool, (size_t)(p[LINEAR_N] * p[LINEAR_T] * p[LINEAR_IN]),
                           "linear.%d.x", i);
    /* hashed with rank 2 or 4 alike: the scale depends on the number of inputs */
    j->weight =
        test_pool_weight(&j->pool, "linear", i, "weight", dtype, (int)p[LINEAR_RANK], shape);
    if (p[LINEAR_BIAS])
        j->bias = test_pool_vector(&j->pool, "linear", i, "bias", dtype, (size_t)p[LINEAR_OUT]);
    if (p[LINEAR_ADD]) j->start = test_pool_input(&j->pool, j->n * j->per_image, "linear.%d.y", i);
    return true;
}

static void test_linear(void **state)
{
    (void)state;
    check_all("linear", make_linear);
}

/* ---- attention ------------------------------------------------------------------------------- */

enum { A_N, A_TQ, A_TK, A_HEADS, A_HD, A_CAUSAL, A_GAP };

static void run_attention(struct sdg_ops *o, const struct test_op *j, size_t first, size_t n)
{
    const int64_t *p = j->p;
    const size_t tq = (size_t)p[A_TQ], tk = (size_t)p[A_TK], width = (size_t)(p[A_HEADS] * p[A_HD]);
    const size_t ld = width + (size_t)p[A_GAP];
    sdg_op_attention(o, j->y + first * tq * width, j->x + first * tq * ld, j->k + first * tk * ld,
                     j->v + first * tk * ld, n, tq, tk, (size_t)p[A_HEADS], (size_t)p[A_HD], ld, ld,
                     width, p[A_CAUSAL] != 0);
}

static bool make_attention(struct test_op *j, const struct sdg_weights *golden, int i)
{
    (void)golden;
    const int64_t *p = j->p;
    const size_t width = (size_t)(p[A_HEADS] * p[A_HD]), ld = width + (size_t)p[A_GAP];
    const size_t queries = (size_t)(p[A_N] * p[A_TQ]) * ld, keys = (size_t)(p[A_N] * p[A_TK]) * ld;
    j->run = run_attention;
    j->n = (size_t)p[A_N];
    j->per_image = (size_t)p[A_TQ] * width;
    j->y = test_pool_floats(&j->pool, j->n * j->per_image);
    j->x = test_pool_input(&j->pool, queries, "attention.%d.q", i);
    j->k = test_pool_input(&j->pool, keys, "attention.%d.k", i);
    j->v = test_pool_input(&j->pool, keys, "attention.%d.v", i);
    return true;
}

static void test_attention(void **state)
{
    (void)state;
    check_all("attention", make_attention);
}

/* ---- normalisation --------------------------------------------------------------------------- */

enum { G_N, G_HW, G_C, G_GROUPS };

static void run_layernorm(struct sdg_ops *o, const struct test_op *j, size_t first, size_t n)
{
    const size_t hw = (size_t)j->p[G_HW], c = (size_t)j->p[G_C], at = first * hw * c;
    sdg_op_layernorm(o, j->y + at, j->x + at, &j->norm, n * hw, c, 1e-5f);
}

/* In place: y holds x before. */
static void run_groupnorm(struct sdg_ops *o, const struct test_op *j, size_t first, size_t n)
{
    const size_t hw = (size_t)j->p[G_HW], c = (size_t)j->p[G_C], at = first * hw * c;
    const size_t mark = sdg_arena_mark(o->work);
    struct sdg_prologue pro;
    sdg_op_groupnorm(o, &pro, j->y + at, &j->norm, n, hw, c, (size_t)j->p[G_GROUPS], 1e-6f, true);
    sdg_op_apply(o, j->y + at, j->y + at, &pro, n, hw, c);
    sdg_arena_release(o->work, mark);
}

static bool make_norm(struct test_op *j, const struct sdg_weights *golden, int i)
{
    const size_t c = (size_t)j->p[G_C];
    j->n = (size_t)j->p[G_N];
    j->per_image = (size_t)j->p[G_HW] * c;
    j->y = test_pool_floats(&j->pool, j->n * j->per_image);
    float *x = test_pool_input(&j->pool, j->n * j->per_image, "norm.%d.x", i);
    j->norm.weight = test_pool_vector(&j->pool, "norm", i, "gamma.weight", SDG_F16, c);
    j->norm.bias = test_pool_vector(&j->pool, "norm", i, "beta", SDG_F16, c);
    char name[NAME];
    snprintf(name, sizeof name, "norm.%d.grouped", i);
    j->run = run_groupnorm;
    j->start = x;
    test_op_check_golden(j, golden, name);
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

static void run_silu(struct sdg_ops *o, const struct test_op *j, size_t first, size_t n)
{
    const size_t at = first * j->per_image;
    sdg_op_activate(o, j->y + at, j->x + at, SDG_SILU, n * j->per_image);
}

static void run_gelu(struct sdg_ops *o, const struct test_op *j, size_t first, size_t n)
{
    const size_t at = first * j->per_image;
    sdg_op_activate(o, j->y + at, j->x + at, SDG_GELU, n * j->per_image);
}

static void run_quick_gelu(struct sdg_ops *o, const struct test_op *j, size_t first, size_t n)
{
    const size_t at = first * j->per_image;
    sdg_op_activate(o, j->y + at, j->x + at, SDG_QUICK_GELU, n * j->per_image);
}

static void run_geglu(struct sdg_ops *o, const struct test_op *j, size_t first, size_t n)
{
    const size_t at = first * j->per_image;
    sdg_op_geglu(o, j->y + at, j->x + 2 * at, n * j->per_image / 13, 13);
}

static void test_pointwise(void **state)
{
    (void)state;
    struct sdg_weights golden;
    open_golden(&golden);
    struct test_op j = {.pool = test_pool_open(), .n = 40, .per_image = 26};
    j.y = test_pool_floats(&j.pool, 40 * 26);
    float *x = test_pool_input(&j.pool, 40 * 26, "pointwise.x");
    for (int i = 0; i < 40 * 26; i++) x[i] *= 4.0f;
    j.x = x;
    j.run = run_silu;
    test_op_check_golden(&j, &golden, "pointwise.silu");
    j.run = run_gelu;
    test_op_check_golden(&j, &golden, "pointwise.gelu");
    j.run = run_quick_gelu;
    test_op_check_golden(&j, &golden, "pointwise.quick_gelu");
    j.run = run_geglu;
    j.per_image = 13;
    test_op_check_golden(&j, &golden, "pointwise.geglu");
    test_pool_close(&j.pool);
    sdg_weights_close(&golden);
}

/* ---- moving ---------------------------------------------------------------------------------- */

static struct sdg_ops plain_ops(struct sdg_kernels *k, struct sdg_arena *work)
{
    sdg_kernels_init(k, sdg_isa_detect());
    assert_int_equal(sdg_arena_create(work, 1 << 20, NULL), SDGEN_OK);
    return (struct sdg_ops) {.k = k, .work = work, .threads = 3};
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

    sdg_op_add(&o, z, y, IMAGES * C * HW);
    for (int i = 0; i < IMAGES * C * HW; i++) assert_true(z[i] == x[i] + y[i]);
    sdg_arena_destroy(&work);
}

static void test_embed(void **state)
{
    (void)state;
    enum { ROWS = 4, T = 3, IMAGES = 2, WIDTH = 9 };
    struct test_pool p = test_pool_open();
    const int64_t shape[] = {ROWS, WIDTH}, places[] = {T, WIDTH};
    const struct sdg_embedding table = {
        test_pool_weight(&p, "embed", 1, "table", SDG_F16, 2, shape)};
    const struct sdg_embedding positions = {
        test_pool_weight(&p, "embed", 0, "places", SDG_F32, 2, places)};
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
    test_pool_close(&p);
}

int main(void)
{
    for (int isa = 0; isa < SDG_ISA_COUNT; isa++)
        if (!sdg_isa_is_here((enum sdg_isa)isa))
            printf("# %s is emulated\n", sdg_isa_label((enum sdg_isa)isa));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conv),      cmocka_unit_test(test_linear),
        cmocka_unit_test(test_attention), cmocka_unit_test(test_norm),
        cmocka_unit_test(test_pointwise), cmocka_unit_test(test_layout),
        cmocka_unit_test(test_embed),

    };
    return cmocka_run_group_tests_name("ops", tests, NULL, NULL);
}
