/* test_quantised.c - operations on weights of quantised types give the very bits that they give on
 * the same weights in f32: linear layers, convolutions, tables and norms, packed or streamed, in
 * every tier of this machine, in f32 and bf16. The weights are those of tests/golden/gguf. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "kernels.h"
#include "ops/ops.h"
#include "ops/packs.h"
#include "tests/support/hashweights.h"
#include "files/weights.h"

enum { ROWS = 5, SIDE = 6, IN = 32, OUT = 16, CONV_IN = 7, CONV_OUT = 8, INPUTS = 2048 };
enum { LINEAR, CONV, EMBED, NORM, KINDS };

struct bench {
    struct sdg_kernels k;
    struct sdg_packs *packs;
    bool bf16;
    float x[INPUTS];
};

/* 512 numbers as the weight of an operation: convolutions and norms leave some of them out. */
static struct sdg_tensor shaped(const struct sdg_tensor *t, int kind)
{
    struct sdg_tensor y = {.data = t->data, .dtype = t->dtype, .rank = 2, .shape = {OUT, IN}};
    if (kind == CONV) y = (struct sdg_tensor) {t->data, t->dtype, 4, {CONV_OUT, CONV_IN, 3, 3}};
    if (kind == NORM) y = (struct sdg_tensor) {t->data, t->dtype, 1, {IN}};
    return y;
}

static void walk(struct bench *b, struct sdg_ops *o, float *y, const struct sdg_tensor *weight,
                 int kind)
{
    static const int32_t ids[ROWS] = {3, 0, 15, 7, 3};
    const struct sdg_conv_geometry g = sdg_conv_same(1, SIDE, SIDE, 3);
    const struct sdg_conv conv = {.weight = *weight};
    const struct sdg_linear linear = {.weight = *weight};
    const struct sdg_embedding table = {.weight = *weight};
    const struct sdg_norm norm = {.weight = *weight, .bias = *weight};
    if (kind == CONV) sdg_op_conv(o, y, b->x, NULL, &conv, NULL, NULL, &g);
    if (kind == LINEAR) sdg_op_linear(o, y, b->x, NULL, &linear, 1, ROWS, false);
    if (kind == EMBED) sdg_op_embed(o, y, ids, &table, &table, 1, ROWS);
    if (kind != NORM) return;
    struct sdg_prologue pro = {0};
    const size_t mark = sdg_arena_mark(o->work);
    sdg_op_groupnorm(o, &pro, b->x, &norm, 1, ROWS, IN, 4, 1e-5f, false);
    if (!o->dry) memcpy(y, pro.scale, IN * sizeof *y);
    sdg_arena_release(o->work, mark);
}

static void run(struct bench *b, float *y, const struct sdg_tensor *weight, int kind, bool packed)
{
    struct sdg_arena work;
    assert_int_equal(sdg_packs_create(&b->packs, NULL), SDGEN_OK);
    sdg_arena_measure(&work);
    struct sdg_ops o = {.k = &b->k, .work = &work, .threads = 2, .bf16 = b->bf16, .dry = true};
    if (packed) o.packs = b->packs;
    walk(b, &o, y, weight, kind);
    if (packed) assert_int_equal(sdg_packs_build(b->packs, 0, &b->k, 2, NULL), SDGEN_OK);
    const size_t bytes = work.peak;
    assert_int_equal(sdg_arena_create(&work, bytes, NULL), SDGEN_OK);
    o.dry = false;
    walk(b, &o, y, weight, kind);
    sdg_arena_destroy(&work);
    sdg_packs_destroy(b->packs);
}

static void check_type(struct bench *b, const struct sdg_tensor *quantised,
                       const struct sdg_tensor *wide)
{
    static const char *const names[KINDS] = {"linear", "convolution", "table", "norm"};
    for (int kind = 0; kind < KINDS; kind++)
        for (int packed = 0; packed < 2; packed++) {
            const struct sdg_tensor q = shaped(quantised, kind), f = shaped(wide, kind);
            float y[512] = {0}, want[512] = {0};
            run(b, want, &f, kind, packed);
            run(b, y, &q, kind, packed);
            if (memcmp(y, want, sizeof y) != 0)
                fail_msg("%s, %s%s%s: other bits than in f32", sdg_dtype_name(q.dtype), names[kind],
                         packed ? ", packed" : "", b->bf16 ? ", bf16" : "");
            bool any = false; /* that something was computed */
            for (int i = 0; i < IN; i++) any |= want[i] != 0.0f;
            assert_true(any);
        }
}

static void test_same_bits_as_f32(void **state)
{
    struct bench b = {0};
    struct sdg_weights w;
    sdgen_error err = {0};
    (void)state;
    test_hash_input(b.x, "x", INPUTS);
    if (sdg_weights_open(&w, "tests/golden/gguf/types.gguf", &err) != SDGEN_OK)
        fail_msg("%s", err.text);
    for (int isa = 0; isa < SDG_ISA_COUNT; isa++) {
        if (!sdg_isa_is_here((enum sdg_isa)isa)) continue;
        sdg_kernels_init(&b.k, (enum sdg_isa)isa);
        for (int d = 0; d < SDG_DTYPE_COUNT; d++) {
            char name[2][40];
            if (!sdg_dtype_is_quantised((enum sdg_dtype)d)) continue;
            snprintf(name[0], sizeof name[0], "blocks.%s", sdg_dtype_name((enum sdg_dtype)d));
            snprintf(name[1], sizeof name[1], "want.%s", sdg_dtype_name((enum sdg_dtype)d));
            for (int bf16 = 0; bf16 < 2; bf16++) {
                b.bf16 = bf16;
                check_type(&b, &sdg_weights_find(&w, name[0])->tensor,
                           &sdg_weights_find(&w, name[1])->tensor);
            }
        }
    }
    sdg_weights_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_same_bits_as_f32)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
