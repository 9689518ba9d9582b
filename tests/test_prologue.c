/* test_prologue.c - what happens to an input on its way into a product (struct sdg_prologue),
 * against the same thing written out before: the same bits. Two maps read as one by normalisation,
 * convolution in each of its ways and linear layers, wherever the border lies: at a multiple of the
 * vectors, between them, at an odd channel, inside a group. LayerNorm in front of one layer, of
 * three and of GEGLU. In every tier and both precisions, emulated where need be; with the promises
 * of test_ops.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "ops/conv_plan.h"
#include "tests/emulated/emulated.h"
#include "tests/support/opcase.h"

enum { IMAGES = 2, SIDE = 5, HW = SIDE * SIDE, OUT = 19 };

struct beside_case {
    struct test_op op;     /* first: run finds the rest behind it */
    const float *a, *b;    /* [IMAGES][HW][ca], [cb] */
    const float *whole;    /* [IMAGES][HW][ca + cb] */
    size_t ca, cb, groups; /* groups 0: no normalisation */
    bool apart;            /* read a and b, not the whole */
    enum sdg_conv_way way; /* SDG_CONV_WAYS: a linear layer */
    int up;
};

/* ---- two maps, as an operation --------------------------------------------------------------- */

static void run(struct sdg_ops *o, const struct test_op *op, size_t first, size_t n)
{
    const struct beside_case *c = (const struct beside_case *)(const void *)op;
    const size_t in = c->ca + c->cb, at = first * HW, mark = sdg_arena_mark(o->work);
    const float *x = c->apart ? c->a + at * c->ca : c->whole + at * in;
    float *y = op->y + first * op->per_image;
    struct sdg_prologue pro = {0};
    if (c->apart) pro.beside = (struct sdg_beside) {c->b + at * c->cb, c->cb};
    if (c->groups)
        sdg_op_groupnorm_beside(o, &pro, x, pro.beside, &op->norm, n, HW, in, c->groups, 1e-5f,
                                true);
    if (c->way == SDG_CONV_WAYS) {
        const struct sdg_linear w = {.weight = op->weight, .bias = op->bias};
        sdg_op_linear(o, y, x, &pro, &w, n, HW, false);
    } else {
        const struct sdg_conv w = {.weight = op->weight, .bias = op->bias};
        struct sdg_conv_geometry g = sdg_conv_same(n, SIDE, SIDE, 3);
        g.up = c->up;
        g.vh = g.vw = g.oh = g.ow = SIDE * (size_t)c->up;
        assert_true(sdg_conv_by(o, c->way, y, x, &pro, &w, NULL, NULL, &g));
    }
    sdg_arena_release(o->work, mark);
}

static struct beside_case open_case(size_t ca, size_t cb, size_t groups, enum sdg_conv_way way)
{
    struct beside_case c = {.op = {.run = run, .pool = test_pool_open(), .n = IMAGES},
                            .ca = ca,
                            .cb = cb,
                            .groups = groups,
                            .way = way,
                            .up = way == SDG_CONV_PHASES ? 2 : 1};
    struct test_pool *pool = &c.op.pool;
    const size_t in = ca + cb, rows = IMAGES * HW;
    const int64_t shape[] = {OUT, (int64_t)in, 3, 3};
    c.op.per_image = HW * (size_t)(c.up * c.up) * OUT;
    c.op.y = test_pool_floats(pool, IMAGES * c.op.per_image);
    c.op.weight =
        test_pool_weight(pool, "beside", 0, "weight", SDG_F16, way == SDG_CONV_WAYS ? 2 : 4, shape);
    c.op.bias = test_pool_vector(pool, "beside", 0, "bias", SDG_F16, OUT);
    c.op.norm.weight = test_pool_vector(pool, "beside", 0, "gamma.weight", SDG_F32, in);
    c.op.norm.bias = test_pool_vector(pool, "beside", 0, "beta", SDG_F32, in);
    float *a = test_pool_input(pool, rows * ca, "beside.a");
    float *b = test_pool_input(pool, rows * cb, "beside.b");
    float *whole = test_pool_floats(pool, rows * in);
    for (size_t r = 0; r < rows; r++) {
        memcpy(whole + r * in, a + r * ca, ca * sizeof *a);
        memcpy(whole + r * in + ca, b + r * cb, cb * sizeof *b);
    }
    c.a = a;
    c.b = b;
    c.whole = whole;
    return c;
}

/* ---- two maps, checked ----------------------------------------------------------------------- */

static bool can(const struct beside_case *c, const struct sdg_kernels *k)
{
    if (c->way != SDG_CONV_WINOGRAD_2 && c->way != SDG_CONV_WINOGRAD_4) return true;
    const struct sdg_matmul *mul = c->op.bf16 ? &k->matmul_bf16 : &k->matmul_f32;
    return mul->layout != SDG_MATMUL_TILES;
}

/* The map as one, then the two: the bits must not tell. */
static void check(struct beside_case *c, const struct sdg_kernels *k)
{
    const size_t bytes = IMAGES * c->op.per_image * sizeof(float);
    float *want = malloc(bytes);
    assert_non_null(want);
    c->apart = false;
    test_op_run(&c->op, k, 1, NULL, 0, IMAGES);
    memcpy(want, c->op.y, bytes);
    c->apart = true;
    test_op_run(&c->op, k, 1, NULL, 0, IMAGES);
    if (memcmp(c->op.y, want, bytes) != 0)
        fail_msg("way %d of %s, bf16 %d, %zu beside %zu, %zu groups: other bits", c->way,
                 sdg_isa_label(k->isa), c->op.bf16, c->ca, c->cb, c->groups);
    test_op_check(&c->op, k, want, "beside");
    free(want);
}

static const struct {
    size_t ca, cb, groups;
} borders[] = {{32, 16, 16}, {40, 24, 4}, {37, 27, 8}, {1, 31, 4}, {37, 27, 0}};
enum { BORDERS = sizeof borders / sizeof borders[0] };

static void test_way(enum sdg_conv_way way)
{
    for (int i = 0; i < BORDERS; i++) {
        struct beside_case c = open_case(borders[i].ca, borders[i].cb, borders[i].groups, way);
        for (int isa = 0; isa < SDG_ISA_COUNT; isa++)
            for (int bf16 = 0; bf16 < 2; bf16++) {
                struct sdg_kernels k;
                test_kernels_init(&k, (enum sdg_isa)isa);
                c.op.bf16 = bf16;
                if (can(&c, &k)) check(&c, &k);
            }
        test_pool_close(&c.op.pool);
    }
}

static void test_linear(void **state)
{
    (void)state;
    test_way(SDG_CONV_WAYS);
}

static void test_direct(void **state)
{
    (void)state;
    test_way(SDG_CONV_DIRECT);
}

static void test_winograd_4(void **state)
{
    (void)state;
    test_way(SDG_CONV_WINOGRAD_4);
}

static void test_winograd_2(void **state)
{
    (void)state;
    test_way(SDG_CONV_WINOGRAD_2);
}

static void test_phases(void **state)
{
    (void)state;
    test_way(SDG_CONV_PHASES);
}

/* ---- LayerNorm ------------------------------------------------------------------------------- */

enum layer { ONE, THREE, GATED };

struct row_case {
    struct test_op op;
    const float *normed; /* x, normalised before; NULL: on the way */
    struct sdg_tensor more[2];
    size_t in, out, tokens;
    enum layer layer;
};

static void run_rows(struct sdg_ops *o, const struct test_op *op, size_t first, size_t n)
{
    const struct row_case *c = (const struct row_case *)(const void *)op;
    const size_t mark = sdg_arena_mark(o->work), at = first * c->tokens * c->in;
    const size_t map = c->op.n * c->tokens * c->out;
    const struct sdg_linear w[] = {
        {.weight = op->weight, .bias = op->bias}, {c->more[0], {0}}, {c->more[1], {0}}};
    const struct sdg_linear *const three[] = {&w[0], &w[1], &w[2]};
    float *y = op->y + first * c->tokens * c->out, *const ys[] = {y, y + map, y + 2 * map};
    const float *x = c->normed ? c->normed + at : op->x + at;
    struct sdg_prologue pro = {0};
    if (!c->normed) sdg_op_layernorm_prologue(o, &pro, &op->norm, c->in, 1e-5f);
    if (c->layer == ONE) sdg_op_linear(o, y, x, &pro, &w[0], n, c->tokens, false);
    if (c->layer == THREE) sdg_op_linears(o, ys, x, &pro, three, 3, n, c->tokens);
    if (c->layer == GATED) sdg_op_linear_geglu(o, y, x, &pro, &w[0], n, c->tokens);
    sdg_arena_release(o->work, mark);
}

/* x is normalised by sdg_op_layernorm, then multiplied: what the other way must come to. */
static void check_rows(struct row_case *c, float *normed, const struct sdg_kernels *k)
{
    const size_t count = c->op.n * c->tokens * c->out * (c->layer == THREE ? 3 : 1);
    float *want = malloc(count * sizeof *want);
    assert_non_null(want);
    struct sdg_arena work;
    assert_int_equal(sdg_arena_create(&work, 1 << 20, NULL), SDGEN_OK);
    struct sdg_ops o = {.k = k, .work = &work, .threads = 1};
    sdg_op_layernorm(&o, normed, c->op.x, &c->op.norm, c->op.n * c->tokens, c->in, 1e-5f);
    sdg_arena_destroy(&work);
    c->normed = normed;
    test_op_run(&c->op, k, 1, NULL, 0, c->op.n);
    memcpy(want, c->op.y, count * sizeof *want);
    c->normed = NULL;
    memset(c->op.y, 0xff, count * sizeof *want);
    test_op_run(&c->op, k, 2, NULL, 0, c->op.n);
    if (memcmp(c->op.y, want, count * sizeof *want) != 0)
        fail_msg("LayerNorm, layer %d of %s, bf16 %d, %zu -> %zu: other bits", c->layer,
                 sdg_isa_label(k->isa), c->op.bf16, c->in, c->out);
    test_op_check(&c->op, k, want, "LayerNorm");
    free(want);
}

static void test_rows(enum layer layer, size_t tokens, size_t in, size_t out)
{
    const size_t rows = IMAGES * tokens;
    const int64_t shape[] = {(int64_t)(layer == GATED ? 2 * out : out), (int64_t)in};
    struct row_case c = {.op = {.run = run_rows, .pool = test_pool_open(), .n = IMAGES},
                         .in = in,
                         .out = out,
                         .tokens = tokens,
                         .layer = layer};
    struct test_pool *pool = &c.op.pool;
    c.op.per_image = tokens * out;
    c.op.y = test_pool_floats(pool, 3 * rows * out);
    c.op.x = test_pool_input(pool, rows * in, "rows.x");
    c.op.weight = test_pool_weight(pool, "rows", 0, "weight", SDG_F16, 2, shape);
    c.op.bias = test_pool_vector(pool, "rows", 0, "bias", SDG_F16, (size_t)shape[0]);
    for (int i = 0; i < 2; i++)
        c.more[i] = test_pool_weight(pool, "rows", i + 1, "weight", SDG_F32, 2, shape);
    c.op.norm.weight = test_pool_vector(pool, "rows", 0, "gamma.weight", SDG_F16, in);
    c.op.norm.bias = test_pool_vector(pool, "rows", 0, "beta", SDG_F16, in);
    float *normed = test_pool_floats(pool, rows * in);
    for (int isa = 0; isa < SDG_ISA_COUNT; isa++)
        for (int bf16 = 0; bf16 < 2; bf16++) {
            struct sdg_kernels k;
            test_kernels_init(&k, (enum sdg_isa)isa);
            c.op.bf16 = bf16;
            check_rows(&c, normed, &k);
        }
    test_pool_close(pool);
}

static void test_layernorm(void **state)
{
    (void)state;
    test_rows(ONE, 33, 64, 19);
    test_rows(ONE, 1, 37, 8); /* one token: f32 in either precision */
    test_rows(THREE, 5, 37, 33);
    test_rows(GATED, 7, 32, 64);
    test_rows(GATED, 3, 41, 13); /* pairs of panels do not begin together */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_linear),     cmocka_unit_test(test_direct),
        cmocka_unit_test(test_winograd_4), cmocka_unit_test(test_winograd_2),
        cmocka_unit_test(test_phases),     cmocka_unit_test(test_layernorm),
    };
    return cmocka_run_group_tests_name("prologue", tests, NULL, NULL);
}
