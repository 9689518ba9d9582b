/* test_taesd.c - the tiny autoencoder against diffusers' AutoencoderTiny with the same hash weights
 * (tools/golden_families.py), on plain C and on the best tier; its plan read from a file; bits that
 * threads and batch must not change. Bound: 1e-4 of the largest output. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "cpu.h"
#include "kernels.h"
#include "tests/support/blankfile.h"
#include "tests/support/floats.h"
#include "tests/support/hashweights.h"
#include "tests/support/npy.h"
#include "tests/support/testmodel.h"
#include "weights/arch.h"

#define BOUND 1e-4

static const struct sdg_taesd_config published = {64, 4, 3, true, true};

struct fixture {
    char *folder;
    struct sdg_weights file, golden;
    struct sdg_taesd m;
};
static struct fixture f;

static int open_fixture(void **state)
{
    char path[512];
    sdgen_error err;
    (void)state;
    f.folder = test_folder_make();
    snprintf(path, sizeof path, "%s/taesd.safetensors", f.folder);
    test_taesd_write(path, &published);
    test_taesd_open(&f.m, &f.file, path, &published);
    return sdg_weights_open(&f.golden, "tests/golden/families/taesd.safetensors", &err);
}

static int close_fixture(void **state)
{
    (void)state;
    sdg_weights_close(&f.golden);
    sdg_weights_close(&f.file);
    test_folder_remove(f.folder);
    return 0;
}

typedef void pass_fn(struct sdg_ops *, float *, const float *, const struct sdg_taesd *, size_t,
                     size_t, size_t);

/* In exactly as much memory as a dry run asks for. Returns its multiply-adds. */
static double run(pass_fn *pass, float *y, const float *x, size_t n, size_t h, size_t w,
                  enum sdg_isa isa, int threads)
{
    struct sdg_kernels k;
    struct sdg_arena work;
    sdg_kernels_init(&k, isa);
    sdg_arena_measure(&work);
    struct sdg_ops o = {.k = &k, .work = &work, .threads = threads, .dry = true};
    pass(&o, y, x, &f.m, n, h, w);
    const size_t bytes = work.peak;
    assert_int_equal(sdg_arena_create(&work, bytes, NULL), SDGEN_OK);
    o.dry = false;
    pass(&o, y, x, &f.m, n, h, w);
    assert_true(work.peak == bytes && work.used == 0);
    sdg_arena_destroy(&work);
    return o.macs;
}

enum { H = 3, W = 2, IMAGE = 3 * 8 * H * 8 * W, LATENT = 4 * H * W };

static void compare(const char *name, const float *y, enum sdg_isa isa)
{
    struct test_floats want = test_golden(&f.golden, "%s", name);
    const double ratio = test_ratio(y, want.data, want.count);
    print_message("# %s, %s: max error %.1e of the maximum\n", name, sdg_isa_label(isa), ratio);
    if (!(ratio <= BOUND)) fail_msg("%s: %.3e of the maximum", name, ratio);
    test_floats_free(&want);
}

static void matches_the_original(void **state)
{
    const enum sdg_isa tiers[] = {SDG_ISA_C, sdg_isa_detect()};
    (void)state;
    for (int i = 0; i < 2; i++) {
        float z[LATENT], image[IMAGE], y[IMAGE];
        test_hash_input(z, "input.taesd.z", LATENT);
        run(sdg_taesd_decode, y, z, 1, H, W, tiers[i], 2);
        compare("decode", y, tiers[i]);
        test_hash_input(image, "input.taesd.image", IMAGE);
        run(sdg_taesd_encode, y, image, 1, 8 * H, 8 * W, tiers[i], 2);
        compare("encode", y, tiers[i]);
    }
}

static void threads_and_batch_change_no_bit(void **state)
{
    enum { N = 3 };
    static float z[N * LATENT], image[N * IMAGE], want[N * IMAGE], have[N * IMAGE];
    static float latent[N * LATENT], again[N * LATENT];
    const enum sdg_isa isa = sdg_isa_detect();
    (void)state;
    test_hash_input(z, "input.bits", N * LATENT);
    test_hash_input(image, "input.image", N * IMAGE);
    run(sdg_taesd_decode, want, z, N, H, W, isa, 1);
    run(sdg_taesd_encode, latent, image, N, 8 * H, 8 * W, isa, 1);
    for (int threads = 1; threads <= 3; threads++) {
        for (size_t i = 0; i < N; i++) {
            run(sdg_taesd_decode, have + i * IMAGE, z + i * LATENT, 1, H, W, isa, threads);
            run(sdg_taesd_encode, again + i * LATENT, image + i * IMAGE, 1, 8 * H, 8 * W, isa,
                threads);
        }
        assert_memory_equal(want, have, sizeof want);
        assert_memory_equal(latent, again, sizeof latent);
    }
}

/* Parameters of the published files; multiply-adds of a picture of 512 x 512, counted from them. */
static void has_its_known_size(void **state)
{
    static const struct {
        struct sdg_taesd_config config;
        size_t parameters, tensors;
    } known[] = {{{64, 4, 3, false, true}, 1222531, 67}, {{64, 4, 3, true, false}, 1222532, 67}};
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct test_blank b;
        struct sdg_taesd m;
        struct sdg_weights w;
        struct sdg_taesd_config got;
        sdgen_error err = {0};
        test_blank_begin(&b);
        b.prefix = TEST_TAESD_PREFIX;
        sdg_taesd_bind(&m, &known[i].config, &b.binder);
        assert_int_equal(b.parameters, known[i].parameters);
        assert_int_equal(b.count, known[i].tensors);
        test_blank_write(&b);
        assert_int_equal(sdg_weights_open(&w, b.path, &err), SDGEN_OK);
        if (sdg_arch_taesd(&got, &w, TEST_TAESD_PREFIX, &err) != SDGEN_OK) fail_msg("%s", err.text);
        assert_memory_equal(&got, &known[i].config, sizeof got);
        sdg_weights_close(&w);
        test_blank_remove(&b);
    }
    float z[4 * 64], image[3];
    struct sdg_kernels k;
    struct sdg_arena work;
    sdg_kernels_init(&k, SDG_ISA_C);
    sdg_arena_measure(&work);
    struct sdg_ops o = {.k = &k, .work = &work, .threads = 1, .dry = true};
    sdg_taesd_decode(&o, image, z, &f.m, 1, 64, 64);
    if (!(o.macs > 70.6e9 && o.macs < 70.8e9)) fail_msg("decode: %.4g multiply-adds", o.macs);
    o.macs = 0;
    sdg_taesd_encode(&o, z, image, &f.m, 1, 512, 512);
    if (!(o.macs > 61.1e9 && o.macs < 61.2e9)) fail_msg("encode: %.4g multiply-adds", o.macs);
}

/* What belongs to other networks of this kind is named. */
static void refuses_in_words(void **state)
{
    static const struct {
        const char *add, *complaint;
        struct sdg_taesd_config config;
    } cases[] = {
        {"taesd.decoder.20.weight", "decoder.20", {64, 4, 3, true, true}},
        {"taesd.encoder.3.skip.weight", "encoder.3.skip", {64, 4, 3, true, true}},
        {NULL, "16 is SD3's", {64, 16, 3, true, true}},
        {"x", "no TAESD", {64, 4, 3, false, false}},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct test_blank b;
        struct sdg_taesd m;
        struct sdg_weights w;
        struct sdg_taesd_config got;
        sdgen_error err = {0};
        test_blank_begin(&b);
        b.prefix = TEST_TAESD_PREFIX;
        sdg_taesd_bind(&m, &cases[i].config, &b.binder);
        if (cases[i].add) test_blank_add(&b, cases[i].add, SDG_F16, (const int64_t[]) {0}, 1);
        test_blank_write(&b);
        assert_int_equal(sdg_weights_open(&w, b.path, &err), SDGEN_OK);
        assert_int_equal(sdg_arch_taesd(&got, &w, TEST_TAESD_PREFIX, &err), SDGEN_ERR_MODEL);
        if (!strstr(err.text, cases[i].complaint)) fail_msg("%s", err.text);
        sdg_weights_close(&w);
        test_blank_remove(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matches_the_original),
        cmocka_unit_test(threads_and_batch_change_no_bit),
        cmocka_unit_test(has_its_known_size),
        cmocka_unit_test(refuses_in_words),
    };
    return cmocka_run_group_tests_name("taesd", tests, open_fixture, close_fixture);
}
