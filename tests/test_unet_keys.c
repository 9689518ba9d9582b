/* test_unet_keys.c - the store of keys and values (pipeline/unet_keys.h): what it computes, when,
 * and who makes room for whom. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "kernels.h"
#include "pipeline/unet_keys.h"
#include "tests/support/hashweights.h"
#include "tests/support/npy.h"
#include "tests/support/testmodel.h"

enum { CONTEXTS = 4, T = 9 };

struct fixture {
    char *folder;
    struct test_model *m;
    struct sdg_kernels k;
    struct sdg_arena work;
    struct sdg_ops o;
    float text[CONTEXTS][T * 256];
    struct sdg_unet_context context[CONTEXTS];
    float *want[CONTEXTS]; /* keys of each */
    size_t floats;         /* of one */
};
static struct fixture *f;

static int open_fixture(void **state)
{
    (void)state;
    struct test_layout l;
    char path[512];
    f = calloc(1, sizeof *f);
    if (!f) return -1;
    f->folder = test_folder_make();
    snprintf(path, sizeof path, "%s/small.safetensors", f->folder);
    test_layout_read(&l, "small");
    test_model_write(path, &l);
    f->m = test_model_open(path, &l);
    sdg_kernels_init(&f->k, sdg_isa_detect());
    assert_int_equal(sdg_arena_create(&f->work, 64 << 20, NULL), SDGEN_OK);
    f->o = (struct sdg_ops) {.k = &f->k, .work = &f->work, .threads = 2};
    f->floats = sdg_unet_keys_floats(&f->m->unet, T);
    assert_true(f->floats > 0 && l.unet.context <= 256);
    for (int i = 0; i < CONTEXTS; i++) {
        char name[32];
        snprintf(name, sizeof name, "input.context.%d", i);
        test_hash_input(f->text[i], name, (size_t)(T * l.unet.context));
        f->context[i] = (struct sdg_unet_context) {f->text[i], T};
        f->want[i] = sdg_arena_floats(&f->work, f->floats);
        sdg_unet_remember(&f->o, f->want[i], &f->context[i], &f->m->unet);
    }
    return 0;
}

static int close_fixture(void **state)
{
    (void)state;
    sdg_arena_destroy(&f->work);
    test_model_close(f->m);
    test_folder_remove(f->folder);
    free(f);
    return 0;
}

/* Asks for a context: its keys, or, with `none`, no keys. */
static const float *ask(struct sdg_unet_keys *k, int i, bool none)
{
    const float *keys = sdg_unet_keys_of(k, &f->o, &f->context[i]);
    if (none)
        assert_null(keys);
    else
        assert_memory_equal(keys, f->want[i], f->floats * sizeof(float));
    return keys;
}

/* ---- the pass -------------------------------------------------------------------------------- */

enum { IMAGES = 3, SIDE = 8 };

/* A pass over three images, in exactly the memory of a dry run; its multiply-adds. */
static double pass(float *y, const float *const *keys)
{
    static const float t[IMAGES] = {981.0f, 500.5f, 1.0f};
    float x[IMAGES * 4 * SIDE * SIDE];
    test_hash_input(x, "input.unet", IMAGES * 4 * SIDE * SIDE);
    const struct sdg_unet_context context[IMAGES] = {f->context[0], f->context[0], f->context[2]};
    const struct sdg_unet_condition condition = {.context = context, .keys = keys};
    struct sdg_arena work;
    struct sdg_ops o = f->o;
    o.work = &work;
    o.dry = true;
    sdg_arena_measure(&work);
    sdg_unet_forward(&o, y, x, t, &condition, &f->m->unet, IMAGES, SIDE, SIDE,
                     SDG_UPSAMPLE_CROP_AFTER);
    const size_t bytes = work.peak;
    assert_int_equal(sdg_arena_create(&work, bytes, NULL), SDGEN_OK);
    o.dry = false;
    sdg_unet_forward(&o, y, x, t, &condition, &f->m->unet, IMAGES, SIDE, SIDE,
                     SDG_UPSAMPLE_CROP_AFTER);
    assert_true(work.peak == bytes && work.used == 0);
    sdg_arena_destroy(&work);
    return o.macs;
}

/* For all images or for some, in f32 and in bf16. */
static void change_no_bit(void **state)
{
    (void)state;
    enum { COUNT = IMAGES * 4 * SIDE * SIDE };
    float want[COUNT], have[COUNT];
    for (int bf16 = 0; bf16 < 2; bf16++) {
        f->o.bf16 = bf16;
        for (int i = 0; i < CONTEXTS; i++)
            sdg_unet_remember(&f->o, f->want[i], &f->context[i], &f->m->unet);
        const double whole = pass(want, NULL);
        for (int without = 0; without <= IMAGES; without++) {
            const float *keys[IMAGES] = {f->want[0], f->want[0], f->want[2]};
            if (without < IMAGES) keys[without] = NULL;
            const double work = pass(have, keys);
            assert_memory_equal(have, want, sizeof want);
            if (without == IMAGES) /* a multiply-add for every row of a context and value of keys */
                assert_true(whole - work == 2.0 * (double)f->floats * f->m->unet.config.context);
        }
    }
    f->o.bf16 = false;
    for (int i = 0; i < CONTEXTS; i++)
        sdg_unet_remember(&f->o, f->want[i], &f->context[i], &f->m->unet);
}

/* Columns of keys under Stable Diffusion 1.5: 16 transformers of one layer. */
static void have_their_known_size(void **state)
{
    (void)state;
    struct test_layout l;
    test_layout_sd15(&l);
    struct test_model *m = test_model_blank(&l);
    assert_int_equal(sdg_unet_keys_floats(&m->unet, 77), 2 * 77 * (5 * 320 + 5 * 640 + 6 * 1280));
    test_model_close(m);
}

/* ---- the store ------------------------------------------------------------------------------- */

static void keeps_all_that_fit(void **state)
{
    (void)state;
    struct sdg_unet_keys k;
    const size_t mark = sdg_arena_mark(&f->work);
    sdg_unet_keys_reserve(&k, &f->work, &f->m->unet, CONTEXTS, T, (size_t)1 << 30);
    const float *first[CONTEXTS];
    sdg_unet_keys_begin(&k);
    for (int i = 0; i < CONTEXTS; i++) first[i] = ask(&k, i, false);
    memset(f->text, 0, sizeof f->text); /* nothing is computed again */
    for (int call = 0; call < 3; call++) {
        sdg_unet_keys_begin(&k);
        for (int i = CONTEXTS; i-- > 0;) assert_ptr_equal(ask(&k, i, false), first[i]);
    }
    for (int i = 0; i < CONTEXTS; i++) {
        char name[32];
        snprintf(name, sizeof name, "input.context.%d", i);
        test_hash_input(f->text[i], name, (size_t)(T * f->m->unet.config.context));
    }
    sdg_arena_release(&f->work, mark);
}

/* Two places: within a call nobody is driven out; between calls who was idle longest goes. */
static void makes_room_in_order(void **state)
{
    (void)state;
    struct sdg_unet_keys k;
    const size_t mark = sdg_arena_mark(&f->work);
    sdg_unet_keys_reserve(&k, &f->work, &f->m->unet, CONTEXTS, T,
                          2 * f->floats * sizeof(float) + 100);
    sdg_unet_keys_begin(&k);
    const float *zero = ask(&k, 0, false), *one = ask(&k, 1, false);
    ask(&k, 2, true);
    sdg_unet_keys_begin(&k);
    assert_ptr_equal(ask(&k, 1, false), one);
    assert_ptr_equal(ask(&k, 3, false), zero); /* in the place of 0 */
    ask(&k, 0, true);
    sdg_unet_keys_begin(&k);
    assert_ptr_equal(ask(&k, 3, false), zero);
    assert_ptr_equal(ask(&k, 2, false), one);
    sdg_arena_release(&f->work, mark);
}

static void does_without_places(void **state)
{
    (void)state;
    struct sdg_unet_keys k;
    sdg_unet_keys_reserve(&k, &f->work, &f->m->unet, CONTEXTS, T, f->floats * sizeof(float) - 1);
    sdg_unet_keys_begin(&k);
    for (int i = 0; i < CONTEXTS; i++) ask(&k, i, true);
}

/* Dry: the scratch of computing is taken and given back, the work is not counted. Whether there
 * will be keys for everybody is said as in earnest. */
static void plans(void **state)
{
    (void)state;
    struct sdg_arena nowhere;
    struct sdg_unet_keys k;
    struct sdg_ops dry = f->o;
    dry.dry = true;
    dry.work = &nowhere;
    sdg_arena_measure(&nowhere);
    sdg_unet_keys_reserve(&k, &nowhere, &f->m->unet, 2, T, (size_t)1 << 30);
    const size_t used = nowhere.used;
    assert_true(used >= 2 * f->floats * sizeof(float));
    assert_non_null(sdg_unet_keys_of(&k, &dry, &f->context[0]));
    assert_true(nowhere.used == used && nowhere.peak > used && dry.macs == 0);
    sdg_unet_keys_reserve(&k, &nowhere, &f->m->unet, 2, T, f->floats * sizeof(float));
    assert_null(sdg_unet_keys_of(&k, &dry, &f->context[0]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(change_no_bit),       cmocka_unit_test(have_their_known_size),
        cmocka_unit_test(keeps_all_that_fit),  cmocka_unit_test(makes_room_in_order),
        cmocka_unit_test(does_without_places), cmocka_unit_test(plans),
    };
    return cmocka_run_group_tests_name("unet_keys", tests, open_fixture, close_fixture);
}
