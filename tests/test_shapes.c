/* test_shapes.c - the benchmark's lists of operations against the networks themselves: for the UNet
 * of every family, full size, a list must hold the multiply-adds that a dry run of the network
 * counts; what the known ones take is known from their layers' shapes besides. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "bench/shapes.h"
#include "kernels.h"
#include "tests/support/testmodel.h"

enum { IMAGES = 2, TOKENS = 77, MOST = 64 };

static double listed_macs(const struct bench_list *list)
{
    double flops = 0;
    assert_true(list->count < BENCH_MOST_SHAPES); /* what finds no room is left out in silence */
    for (size_t i = 0; i < list->count; i++)
        flops += list->shapes[i].count * bench_shape_flops(&list->shapes[i]);
    return flops / 2;
}

/* A pass over `images` as the benchmark runs it: keys of the context are there already. `*keys`
 * becomes the multiply-adds that went into those of one context. */
static double dry_macs(const struct sdg_unet_config *c, size_t images, size_t side, double *keys)
{
    struct test_layout l = {.unet_only = true, .unet = *c};
    struct test_model *m = test_model_blank(&l);
    struct sdg_kernels k;
    struct sdg_arena work;
    sdg_kernels_init(&k, SDG_ISA_C);
    sdg_arena_measure(&work);
    struct sdg_ops o = {.k = &k, .work = &work, .threads = 1, .dry = true};
    static float nothing[1];
    static const float *const remembered[IMAGES] = {nothing, nothing};
    const struct sdg_unet_context context[IMAGES] = {{nothing, TOKENS}, {nothing, TOKENS}};
    const struct sdg_unet_condition condition = {
        .context = context, .keys = remembered, .label = nothing, .guidance = nothing};
    sdg_unet_forward(&o, nothing, nothing, nothing, &condition, &m->unet, images, side, side,
                     SDG_UPSAMPLE_CROP_AFTER);
    const double macs = o.macs;
    sdg_unet_remember(&o, nothing, context, &m->unet);
    *keys = o.macs - macs;
    test_model_close(m);
    return macs;
}

static void expect_about(const char *name, double got, double want, double tolerance)
{
    if (!(fabs(got - want) <= tolerance * want))
        fail_msg("%s: %.6g multiply-adds, expected %.6g", name, got, want);
}

static struct test_family families[MOST];

static const struct sdg_unet_config *family(const char *name)
{
    const int count = test_families_read(families, MOST);
    for (int i = 0; i < count; i++)
        if (strcmp(families[i].name, name) == 0) return &families[i].unet;
    fail_msg("no family %s", name);
    return NULL;
}

static void lists_are_those_of_the_networks(void **state)
{
    static struct bench_list list;
    const int count = test_families_read(families, MOST);
    (void)state;
    for (int i = 0; i < count; i++) {
        double keys;
        list.count = 0;
        bench_list_unet(&list, &families[i].unet, IMAGES, 32, TOKENS);
        expect_about(families[i].name, listed_macs(&list),
                     dry_macs(&families[i].unet, IMAGES, 32, &keys), 1e-9);
    }
}

/* One image at the size that each was trained for, counted from its layers' shapes. */
static void known_families_take_their_known_work(void **state)
{
    static const struct {
        const char *name;
        size_t side;
        double macs;
    } known[] = {{"sd1", 64, 401.637e9},
                 {"sd2", 64, 402.129e9},
                 {"sd2", 96, 1074.553e9},
                 {"sdxl", 128, 3380.618e9},
                 {"refiner", 128, 3643.005e9}};
    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        double keys;
        const double macs = dry_macs(family(known[i].name), 1, known[i].side, &keys);
        print_message("# %s at %zu: %.3f GMAC\n", known[i].name, known[i].side * 8,
                      (macs + keys) / 1e9);
        expect_about(known[i].name, macs + keys, known[i].macs, 1e-3);
    }
}

/* What `sdgen bench --network` offers is of the families' shapes. */
static void known_lists_are_the_families(void **state)
{
    static const struct {
        const char *key, *family;
        size_t side;
    } known[] = {{"sd15-unet", "sd1", 64}, {"sd21-unet", "sd2", 96}, {"sdxl-unet", "sdxl", 128}};
    static struct bench_list list, want;
    int found = 0;
    (void)state;
    for (int i = 0; bench_known_key(i); i++) {
        for (size_t k = 0; k < sizeof known / sizeof known[0]; k++) {
            if (strcmp(bench_known_key(i), known[k].key) != 0) continue;
            assert_true(bench_known(&list, i));
            want.count = 0;
            bench_list_unet(&want, family(known[k].family), IMAGES, known[k].side, TOKENS);
            assert_int_equal(list.count, want.count);
            assert_memory_equal(list.shapes, want.shapes, want.count * sizeof want.shapes[0]);
            found++;
        }
    }
    assert_int_equal(found, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_are_those_of_the_networks),
        cmocka_unit_test(known_families_take_their_known_work),
        cmocka_unit_test(known_lists_are_the_families),
    };
    return cmocka_run_group_tests_name("shapes", tests, NULL, NULL);
}
