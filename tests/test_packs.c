/* test_packs.c - weights packed all, in part, not at all and from an image: the same bits each
 * time, the choice that a budget makes, and the pages that streaming asks for and gives back. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <sys/mman.h>

#include "kernels.h"
#include "ops/ops.h"
#include "ops/packs.h"
#include "tests/support/hashweights.h"

/* A "network": linear layers and convolutions one after the other on inputs of their own. */
enum { LAYERS = 10, GROUP = 3, OTHER = 5, MOST = 300 * 96 };
static const struct layer {
    int64_t out, in, side; /* side: of a 3x3 convolution's map; 0: a linear layer on `rows` */
    size_t rows;
    int group;
} layers[LAYERS] = {
    {64, 96, 0, 1, GROUP},    {48, 40, 24, 576, GROUP}, {100, 48, 0, 576, GROUP},
    {40, 40, 12, 144, GROUP}, {40, 72, 0, 144, GROUP},  {33, 72, 0, 144, GROUP},
    {128, 128, 4, 16, GROUP}, {40, 1300, 0, 16, GROUP}, {96, 96, 0, 7, OTHER},
    {96, 96, 0, 300, OTHER},
};

struct net {
    struct sdg_kernels k;
    struct sdg_packs *packs;
    bool bf16;
    int threads;
    struct sdg_tensor weight[LAYERS];
    char *data; /* of all weights */
    float *x, *y, *want[LAYERS];
    int asked[256], done[256], asked_count, done_count; /* by layer, in order */
};

static size_t outputs(const struct layer *l)
{
    return (size_t)l->out * l->rows;
}

static void walk(struct net *n, struct sdg_ops *o, int i, float *y)
{
    const struct layer *l = &layers[i];
    const struct sdg_linear linear = {.weight = n->weight[i]};
    const struct sdg_conv conv = {.weight = n->weight[i]};
    const struct sdg_conv_geometry g = sdg_conv_same(1, (size_t)l->side, (size_t)l->side, 3);
    sdg_packs_group(n->packs, l->group);
    if (l->side)
        sdg_op_conv(o, y, n->x, NULL, &conv, NULL, NULL, &g);
    else
        sdg_op_linear(o, y, n->x, NULL, &linear, 1, l->rows, false);
}

static struct sdg_ops ops_of(const struct net *n, struct sdg_arena *work, bool dry)
{
    return (struct sdg_ops) {.k = &n->k,
                             .work = work,
                             .threads = n->threads,
                             .bf16 = n->bf16,
                             .packs = n->packs,
                             .dry = dry};
}

static size_t dry_run(struct net *n)
{
    struct sdg_arena nowhere;
    sdg_arena_measure(&nowhere);
    struct sdg_ops o = ops_of(n, &nowhere, true);
    for (int i = 0; i < LAYERS; i++) walk(n, &o, i, NULL);
    return nowhere.peak;
}

static int layer_of(const struct net *n, const struct sdg_tensor *weight)
{
    int i = 0;
    while (n->weight[i].data != weight->data) i++;
    return i;
}

static void asked(void *user, const struct sdg_tensor *weight)
{
    struct net *n = user;
    if (n->asked_count < 256) n->asked[n->asked_count++] = layer_of(n, weight);
}

static void done(void *user, const struct sdg_tensor *weight)
{
    struct net *n = user;
    if (n->done_count < 256) n->done[n->done_count++] = layer_of(n, weight);
}

/* All layers in exactly as much memory as a dry run asks for; must give the bits of `want`. */
static void run(struct net *n, const char *what)
{
    struct sdg_arena work;
    assert_int_equal(sdg_arena_create(&work, dry_run(n), NULL), SDGEN_OK);
    struct sdg_ops o = ops_of(n, &work, false);
    for (int i = 0; i < LAYERS; i++) {
        const size_t bytes = outputs(&layers[i]) * sizeof(float);
        memset(n->y, 0xff, bytes);
        walk(n, &o, i, n->y);
        if (!n->want[i]) {
            n->want[i] = malloc(bytes);
            assert_non_null(n->want[i]);
            memcpy(n->want[i], n->y, bytes);
        }
        if (memcmp(n->want[i], n->y, bytes) != 0) fail_msg("%s: layer %d has other bits", what, i);
    }
    sdg_arena_destroy(&work);
}

static void new_packs(struct net *n)
{
    const struct sdg_pages pages = {asked, done, n};
    sdg_packs_destroy(n->packs);
    assert_int_equal(sdg_packs_create(&n->packs, NULL), SDGEN_OK);
    sdg_packs_pages(n->packs, &pages);
    dry_run(n);
    n->asked_count = n->done_count = 0;
}

static void build(struct net *n, int group)
{
    assert_int_equal(sdg_packs_build(n->packs, group, &n->k, 2, NULL), SDGEN_OK);
}

static struct net *open_net(enum sdg_isa isa, bool bf16, enum sdg_dtype dtype)
{
    struct net *n = calloc(1, sizeof *n);
    assert_non_null(n);
    sdg_kernels_init(&n->k, isa);
    n->bf16 = bf16;
    n->threads = 2;
    n->x = malloc(MOST * sizeof *n->x);
    n->y = malloc(MOST * 4 * sizeof *n->y);
    n->data = malloc(16 << 20);
    assert_true(n->x && n->y && n->data);
    test_hash_input(n->x, "x", MOST);
    char *at = n->data;
    for (int i = 0; i < LAYERS; i++) {
        const struct layer *l = &layers[i];
        struct sdg_tensor *t = &n->weight[i];
        *t = (struct sdg_tensor) {at, dtype, l->side ? 4 : 2, {l->out, l->in, 3, 3}};
        const size_t count = sdg_tensor_count(t);
        float *values = malloc(count * sizeof *values);
        assert_non_null(values);
        test_hash_weight(values, l->side ? "conv.weight" : "weight", t->shape, t->rank);
        for (size_t j = 0; j < count; j++) { /* bf16: the upper half */
            uint32_t bits;
            memcpy(&bits, &values[j], sizeof bits);
            const uint16_t upper = (uint16_t)(bits >> 16);
            if (dtype == SDG_BF16)
                memcpy(at + 2 * j, &upper, 2);
            else
                memcpy(at + 4 * j, &bits, 4);
        }
        free(values);
        at += (count * sdg_dtype_size(dtype) + 63) / 64 * 64;
    }
    new_packs(n);
    return n;
}

static void close_net(struct net *n)
{
    sdg_packs_destroy(n->packs);
    for (int i = 0; i < LAYERS; i++) free(n->want[i]);
    free(n->x);
    free(n->y);
    free(n->data);
    free(n);
}

/* ---- tests ---- */

/* A view of the first rows of a weight is another weight. */
static void test_views(void **state)
{
    (void)state;
    struct net *n = open_net(SDG_ISA_C, false, SDG_F32);
    struct sdg_tensor view = n->weight[9];
    view.shape[0] = 32;
    assert_null(sdg_packs_use(n->packs, &view, &n->k.matmul_f32).data);
    sdg_packs_note(n->packs, &view, &n->k.matmul_f32, 1);
    build(n, GROUP);
    build(n, OTHER);
    const void *part = sdg_packs_use(n->packs, &view, &n->k.matmul_f32).data;
    const void *whole = sdg_packs_use(n->packs, &n->weight[9], &n->k.matmul_f32).data;
    assert_true(part && whole && part != whole);
    const size_t panels = 32 / n->k.matmul_f32.nr;
    assert_memory_equal(part, whole, panels * n->k.matmul_f32.nr * 96 * sizeof(float));
    run(n, "beside a view");
    close_net(n);
}

static sdgen_status collect(void *user, size_t at, const void *data, size_t bytes, sdgen_error *err)
{
    (void)err;
    memcpy((char *)user + at, data, bytes);
    return SDGEN_OK;
}

static void check_ways(enum sdg_isa isa, bool bf16, enum sdg_dtype dtype)
{
    struct net *n = open_net(isa, bf16, dtype);
    run(n, "nothing chosen");
    build(n, GROUP);
    build(n, OTHER);
    run(n, "all packed");
    sdg_packs_drop(n->packs, OTHER);
    build(n, OTHER);
    run(n, "dropped and packed again");
    for (size_t part = 0; part <= 8; part++) {
        const size_t budget = sdg_packs_bytes(n->packs, GROUP) * part / 8;
        assert_true(sdg_packs_choose(n->packs, GROUP, budget) <= budget);
        build(n, GROUP);
        run(n, "packed in part");
    }
    assert_int_equal(sdg_packs_choose(n->packs, GROUP, SIZE_MAX), sdg_packs_bytes(n->packs, GROUP));

    new_packs(n);
    const size_t bytes = sdg_packs_image_bytes(n->packs);
    char *image = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(image != MAP_FAILED);
    assert_int_equal(sdg_packs_write(n->packs, &n->k, 2, collect, image, NULL), SDGEN_OK);
    assert_int_equal(mprotect(image, bytes, PROT_READ), 0);
    memset(n->data, 0, 16 << 20); /* nothing may be read from the originals */
    sdg_packs_adopt(n->packs, image);
    run(n, "from an image, undecided");
    build(n, GROUP);
    build(n, OTHER);
    run(n, "from an image");
    sdg_packs_choose(n->packs, GROUP, 0);
    sdg_packs_window(n->packs, 0);
    run(n, "streamed from an image");
    sdg_packs_drop(n->packs, GROUP);
    run(n, "after a drop");
    close_net(n);
    munmap(image, bytes);
}

static void test_same_bits(void **state)
{
    (void)state;
    for (int isa = 0; isa < SDG_ISA_COUNT; isa++) {
        if (!sdg_isa_is_here((enum sdg_isa)isa)) continue;
        for (int bf16 = 0; bf16 < 2; bf16++) {
            check_ways((enum sdg_isa)isa, bf16, SDG_F32);
            check_ways((enum sdg_isa)isa, bf16, SDG_BF16);
        }
    }
}

/* 1 to 64 threads, each number of which packs for itself; half the weights are streamed. */
static void test_threads(void **state)
{
    (void)state;
    struct net *n = open_net(sdg_isa_detect(), sdg_isa_prefers_bf16(sdg_isa_detect()), SDG_F32);
    for (n->threads = 1; n->threads <= 64; n->threads++) {
        sdg_packs_choose(n->packs, GROUP, sdg_packs_bytes(n->packs, GROUP) / 2);
        assert_int_equal(sdg_packs_build(n->packs, GROUP, &n->k, n->threads, NULL), SDGEN_OK);
        run(n, "many threads");
    }
    close_net(n);
}

static bool is_chosen(const struct net *n, int i)
{
    return sdg_packs_plan(n->packs, &n->weight[i], &n->k.matmul_f32).data != NULL;
}

/* Weights that meet more rows first, earlier ones among equals, what does not fit is passed over.
 */
static void test_choice(void **state)
{
    (void)state;
    static const int order[] = {1, 2, 3, 4, 5, 6, 7, 0}; /* of group GROUP */
    struct net *n = open_net(SDG_ISA_C, false, SDG_F32);
    const size_t all = sdg_packs_bytes(n->packs, GROUP);
    assert_int_equal(all + sdg_packs_bytes(n->packs, OTHER), sdg_packs_bytes(n->packs, -1));
    for (size_t budget = 0; budget <= all; budget += all / 64) {
        size_t left = budget;
        const size_t taken = sdg_packs_choose(n->packs, GROUP, budget);
        for (size_t i = 0; i < sizeof order / sizeof order[0]; i++) {
            const struct layer *l = &layers[order[i]];
            const size_t nr = n->k.matmul_f32.nr, k_step = n->k.matmul_f32.k_step;
            const size_t panels = ((size_t)l->out + nr - 1) / nr;
            const size_t depth = ((size_t)l->in + k_step - 1) / k_step * k_step;
            size_t bytes = panels * depth * nr * (l->side ? 9 : 1) * sizeof(float);
            bytes = (bytes + 63) / 64 * 64;
            assert_int_equal(is_chosen(n, order[i]), bytes <= left);
            if (bytes <= left) left -= bytes;
        }
        assert_int_equal(taken, budget - left);
        assert_false(is_chosen(n, 8) || is_chosen(n, 9)); /* the other group is its own */
    }
    close_net(n);
}

/* Packing that is cancelled leaves nothing packed, and can be done again. */
static void test_cancel(void **state)
{
    (void)state;
    struct net *n = open_net(SDG_ISA_C, false, SDG_F32);
    sdgen_error error;
    volatile int cancel = 1;
    char image[1];
    sdg_packs_cancel(n->packs, &cancel);
    assert_int_equal(sdg_packs_build(n->packs, GROUP, &n->k, 2, &error), SDGEN_ERR_CANCELLED);
    assert_string_equal(error.text, "cancelled");
    assert_int_equal(sdg_packs_write(n->packs, &n->k, 2, collect, image, &error),
                     SDGEN_ERR_CANCELLED);
    assert_null(sdg_packs_use(n->packs, &n->weight[1], &n->k.matmul_f32).data);
    cancel = 0;
    build(n, GROUP);
    assert_non_null(sdg_packs_use(n->packs, &n->weight[1], &n->k.matmul_f32).data);
    close_net(n);
}

/* What is streamed is asked for before its turn and given back behind the window, in order, step
 * after step; what is packed is given back once. */
static void test_pages(void **state)
{
    (void)state;
    struct net *n = open_net(SDG_ISA_C, false, SDG_F32);
    build(n, OTHER);
    assert_int_equal(n->done_count, 2);
    sdg_packs_choose(n->packs, GROUP, 0);
    sdg_packs_window(n->packs, 1);
    n->done_count = 0;
    assert_int_equal(sdg_packs_streamed(n->packs, GROUP), 128 * 128 * 9 * sizeof(float));
    run(n, "first step");
    run(n, "second step");
    sdg_packs_drop(n->packs, GROUP);
    assert_int_equal(n->done_count, 16);
    assert_int_equal(n->asked_count, 14); /* nobody knows what comes first */
    for (int i = 0; i < 16; i++) assert_int_equal(n->done[i], i % 8);
    for (int i = 0; i < 14; i++) assert_int_equal(n->asked[i], i % 7 + 1);

    sdg_packs_window(n->packs, SIZE_MAX); /* everything may stay */
    n->done_count = n->asked_count = 0;
    run(n, "third step");
    run(n, "fourth step");
    assert_int_equal(n->done_count, 0);
    assert_int_equal(n->asked_count, 7);
    sdg_packs_drop(n->packs, GROUP);
    assert_int_equal(n->done_count, 8);
    close_net(n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_bits), cmocka_unit_test(test_threads),
        cmocka_unit_test(test_choice),    cmocka_unit_test(test_views),
        cmocka_unit_test(test_cancel),    cmocka_unit_test(test_pages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
