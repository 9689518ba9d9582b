/* test_feed_forward.c - the feed-forward part of a transformer in strips (sdg_op_feed_forward)
 * against the two operations that it stands for: the same bits in every tier and both precisions,
 * emulated where need be, in one strip and in many, with and without normalisation, also where the
 * widths are such that it falls back on the two; and the promises of test_ops.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/emulated/emulated.h"
#include "tests/support/opcase.h"

struct feed_case {
    struct test_op op; /* first: run finds the rest behind it */
    struct sdg_linear in, out;
    size_t tokens, width, inner, strip_bytes;
    bool normed, apart; /* apart: the two operations */
};

/* In place: y holds x before. */
static void run(struct sdg_ops *o, const struct test_op *op, size_t first, size_t n)
{
    const struct feed_case *c = (const struct feed_case *)(const void *)op;
    const size_t mark = sdg_arena_mark(o->work), t = c->tokens;
    float *x = op->y + first * op->per_image;
    struct sdg_prologue pro = {0};
    o->strip_bytes = c->strip_bytes;
    if (c->normed) sdg_op_layernorm_prologue(o, &pro, &op->norm, c->width, 1e-5f);
    if (c->apart) {
        float *gated = sdg_arena_floats(o->work, n * t * c->inner);
        sdg_op_linear_geglu(o, gated, x, &pro, &c->in, n, t);
        sdg_op_linear(o, x, gated, NULL, &c->out, n, t, true);
    } else {
        sdg_op_feed_forward(o, x, &pro, &c->in, &c->out, n, t);
    }
    sdg_arena_release(o->work, mark);
}

static struct feed_case open_case(size_t images, size_t tokens, size_t width, size_t inner)
{
    struct feed_case c = {.op = {.run = run, .pool = test_pool_open(), .n = images},
                          .tokens = tokens,
                          .width = width,
                          .inner = inner};
    struct test_pool *p = &c.op.pool;
    const int64_t in[] = {(int64_t)(2 * inner), (int64_t)width};
    const int64_t out[] = {(int64_t)width, (int64_t)inner};
    c.op.per_image = tokens * width;
    c.op.y = test_pool_floats(p, images * c.op.per_image);
    c.op.start = test_pool_input(p, images * c.op.per_image, "feed.x");
    c.in.weight = test_pool_weight(p, "feed", 0, "in", SDG_F16, 2, in);
    c.in.bias = test_pool_vector(p, "feed", 0, "in.bias", SDG_F16, 2 * inner);
    c.out.weight = test_pool_weight(p, "feed", 1, "out", SDG_BF16, 2, out);
    c.out.bias = test_pool_vector(p, "feed", 1, "out.bias", SDG_F32, width);
    c.op.norm.weight = test_pool_vector(p, "feed", 0, "gamma.weight", SDG_F32, width);
    c.op.norm.bias = test_pool_vector(p, "feed", 0, "beta", SDG_F32, width);
    return c;
}

static void check(struct feed_case *c, const struct sdg_kernels *k)
{
    const size_t bytes = c->op.n * c->op.per_image * sizeof(float);
    float *want = malloc(bytes);
    assert_non_null(want);
    c->apart = true;
    memcpy(c->op.y, c->op.start, bytes);
    test_op_run(&c->op, k, 1, NULL, 0, c->op.n);
    memcpy(want, c->op.y, bytes);
    c->apart = false;
    memcpy(c->op.y, c->op.start, bytes);
    test_op_run(&c->op, k, 2, NULL, 0, c->op.n);
    if (memcmp(c->op.y, want, bytes) != 0)
        fail_msg("%s, bf16 %d, %zu x %zu x %zu, %zu inside: other bits", sdg_isa_label(k->isa),
                 c->op.bf16, c->op.n, c->tokens, c->width, c->inner);
    test_op_check(&c->op, k, want, "feed-forward");
    free(want);
}

static void check_everywhere(size_t images, size_t tokens, size_t width, size_t inner,
                             size_t strip_bytes)
{
    struct feed_case c = open_case(images, tokens, width, inner);
    c.strip_bytes = strip_bytes;
    for (int isa = 0; isa < SDG_ISA_COUNT; isa++)
        for (int i = 0; i < 4; i++) {
            struct sdg_kernels k;
            test_kernels_init(&k, (enum sdg_isa)isa);
            c.op.bf16 = i % 2;
            c.normed = i / 2;
            check(&c, &k);
        }
    test_pool_close(&c.op.pool);
}

static void test_one_strip(void **state)
{
    (void)state;
    check_everywhere(2, 9, 32, 128, 0);
    check_everywhere(1, 5, 19, 64, 0);
    check_everywhere(3, 1, 16, 64, 0); /* one token: f32 in either precision */
}

/* Strips of a line of rows each, that begin and end within an image. */
static void test_strips(void **state)
{
    (void)state;
    check_everywhere(2, 300, 16, 32, 1);
}

static void test_odd_widths(void **state)
{
    (void)state;
    check_everywhere(2, 4, 17, 33, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_strip),
        cmocka_unit_test(test_strips),
        cmocka_unit_test(test_odd_widths),
    };
    return cmocka_run_group_tests_name("feed_forward", tests, NULL, NULL);
}
