/* test_ops_large.c - src/ops where work is cut into several pieces of every kind: strips, groups,
 * panels of weights, rounds of images. Against sums in double, and with the promises of test_ops.c.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/emulated/emulated.h"
#include "tests/support/opcase.h"

/* Some elements of a 3x3 convolution, image by image, against sums in double. */
static void sample_conv(const struct test_op *j, size_t channel_step, size_t pixel_step)
{
    const size_t h = (size_t)j->p[CONV_H], w = (size_t)j->p[CONV_W], in = (size_t)j->p[CONV_IN];
    const size_t out = (size_t)j->p[CONV_OUT];
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
            const double bound = (j->bf16 ? 0x1p-7 : 1e-6) * size + 1e-12;
            assert_true(fabs((double)j->y[at * out + channel] - sum) < bound);
        }
    }
    free(row);
}

static struct test_op large_conv(int64_t *p, int64_t n, int64_t side, int64_t in, int64_t out)
{
    const int64_t values[] = {n,    side, side, in,   out, 3, 1, 1, 1,
                              side, side, side, side, 0,   0, 0, 2};
    const int64_t shape[] = {out, in, 3, 3};
    memcpy(p, values, sizeof values);
    struct test_op j = {.run = test_op_run_conv, .pool = test_pool_open(), .p = p, .n = (size_t)n};
    j.per_image = (size_t)(side * side * out);
    j.y = test_pool_floats(&j.pool, j.n * j.per_image);
    j.x = test_pool_input(&j.pool, (size_t)(n * side * side * in), "large.x");
    j.weight = test_pool_weight(&j.pool, "large", 1, "weight", SDG_BF16, 4, shape);
    return j;
}

static void check_large(enum sdg_isa isa, bool bf16, int64_t n, int64_t side, int64_t in,
                        int64_t out, const size_t step[2])
{
    int64_t p[CONV_PARAMETERS];
    struct test_op j = large_conv(p, n, side, in, out);
    struct sdg_kernels k;
    test_kernels_init(&k, isa);
    j.bf16 = bf16;
    test_op_run(&j, &k, 2, NULL, 0, (size_t)n);
    sample_conv(&j, step[0], step[1]);
    float *want = malloc(j.n * j.per_image * sizeof *want);
    assert_non_null(want);
    memcpy(want, j.y, j.n * j.per_image * sizeof *want);
    test_op_check(&j, &k, want, "large");
    free(want);
    test_pool_close(&j.pool);
}

/* Small maps: several groups of output channels; more images than are gathered at once. */
static void test_small_maps(void **state)
{
    (void)state;
    check_large(sdg_isa_detect(), false, 2, 9, 1000, 330, (const size_t[]) {23, 7});
    check_large(sdg_isa_detect(), false, 3, 32, 640, 2, (const size_t[]) {1, 331});
}

/* Tiles, emulated where there are none: panels fed in several parts, lines longer than a block. */
static void test_tiles(void **state)
{
    (void)state;
    if (!sdg_isa_is_here(SDG_ISA_AMX)) print_message("# amx is emulated\n");
    check_large(SDG_ISA_AMX, true, 2, 7, 1000, 65, (const size_t[]) {7, 3});
    check_large(SDG_ISA_AMX, true, 1, 57, 70, 9, (const size_t[]) {1, 31});
}

/* Large maps and many rows: weights in more than one panel. Gigantic for plain C. */
static void test_panels(void **state)
{
    (void)state;
    if (sdg_isa_detect() == SDG_ISA_C) skip();
    check_large(sdg_isa_detect(), false, 1, 33, 260, 1808, (const size_t[]) {229, 97});

    enum { T = 520, L_INPUTS = 700, L_OUTPUTS = 6016 };
    const int64_t shape[] = {L_OUTPUTS, L_INPUTS}, p[] = {1, T, L_INPUTS, L_OUTPUTS, 0, 0, 1, 2};
    struct test_op j = {.run = test_op_run_linear, .pool = test_pool_open(), .p = p, .n = 1};
    j.per_image = (size_t)T * L_OUTPUTS;
    j.y = test_pool_floats(&j.pool, j.per_image);
    j.x = test_pool_input(&j.pool, (size_t)T * L_INPUTS, "large.x");
    j.weight = test_pool_weight(&j.pool, "large", 1, "linear", SDG_F16, 2, shape);
    struct sdg_kernels k;
    sdg_kernels_init(&k, sdg_isa_detect());
    test_op_run(&j, &k, 2, NULL, 0, 1);
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
    test_pool_close(&j.pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_small_maps),
                                       cmocka_unit_test(test_tiles), cmocka_unit_test(test_panels)};
    return cmocka_run_group_tests_name("ops_large", tests, NULL, NULL);
}
