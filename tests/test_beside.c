/* test_beside.c - two maps read as one (struct sdg_beside) against the same map put together: the
 * same bits from normalisation, convolution in each of its ways and linear layers, wherever the
 * border lies: at a multiple of the vectors, between them, at an odd channel, inside a group. In
 * every tier and both precisions, emulated where need be; with the promises of test_ops.c. */
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

/* ---- the case as an operation ---------------------------------------------------------------- */

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

/* ---- checks ---------------------------------------------------------------------------------- */

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_linear),     cmocka_unit_test(test_direct),
        cmocka_unit_test(test_winograd_4), cmocka_unit_test(test_winograd_2),
        cmocka_unit_test(test_phases),
    };
    return cmocka_run_group_tests_name("beside", tests, NULL, NULL);
}
