/* test_model_parts.c - sdg_model_open with networks from files of their own: any of them, in any
 * spelling, from whole checkpoints too, and all of them without a main file; and what is said when
 * one is missing or is something else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/support/families.h"
#include "weights/family.h"
#include "weights/keys.h"
#include "weights/model.h"

enum part { ALL, UNET, VAE, TEXT_L, TEXT_G, NO_TEXT, NO_VAE, TAESD, TINY_DECODER, PARTS };

struct fixture {
    struct sdg_model m;
    struct test_blank files[2][PARTS]; /* of SD1.5, of SDXL */
    struct test_blank refiner;
};
static struct fixture *f;

static const char *path(int family, enum part part)
{
    return f->files[family][part].path;
}

static void write_part(struct test_blank *b, const struct test_family *family, enum part part)
{
    test_blank_begin(b);
    if (part == TAESD || part == TINY_DECODER) {
        const struct sdg_taesd_config tiny = {.width = 64,
                                              .z_channels = 4,
                                              .image_channels = 3,
                                              .has_encoder = part == TAESD,
                                              .has_decoder = true};
        struct sdg_taesd *slots = calloc(1, sizeof *slots);
        assert_non_null(slots);
        b->prefix = SDG_KEY_TAESD;
        sdg_taesd_bind(slots, &tiny, &b->binder);
        free(slots);
    } else {
        const bool texts = part == ALL || part == NO_VAE;
        const bool vae = part == ALL || part == VAE || part == NO_TEXT;
        const bool unet = part != VAE && part != TEXT_L && part != TEXT_G;
        test_blank_model(b, NULL, unet ? &family->unet : NULL, vae ? &family->vae : NULL);
        for (int i = 0; i < family->clip_count; i++)
            if (texts || part == (i ? TEXT_G : TEXT_L))
                test_blank_text(b, family->prefixes[i], &family->clips[i]);
    }
    test_blank_write(b);
}

static int make_files(void **state)
{
    static const char *const names[] = {"sd15", "sdxl"};
    struct test_family family;
    (void)state;
    f = calloc(1, sizeof *f);
    if (!f) return -1;
    for (int i = 0; i < 2; i++)
        for (int part = 0; part < PARTS; part++) {
            test_family_named(&family, names[i], true);
            write_part(&f->files[i][part], &family, (enum part)part);
        }
    test_family_named(&family, "refiner", true);
    write_part(&f->refiner, &family, NO_TEXT);
    return 0;
}

static int remove_files(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++)
        for (int part = 0; part < PARTS; part++) test_blank_remove(&f->files[i][part]);
    test_blank_remove(&f->refiner);
    free(f);
    return 0;
}

static void opens(const struct sdg_model_options *options)
{
    sdgen_error err = {0};
    if (sdg_model_open(&f->m, options, &err) != SDGEN_OK) fail_msg("%s", err.text);
    assert_int_equal(f->m.unused, 0);
    assert_non_null(f->m.unet.conv_out.weight.data);
}

static void refused(const struct sdg_model_options *options, const char *words)
{
    sdgen_error err = {0};
    assert_int_not_equal(sdg_model_open(&f->m, options, &err), SDGEN_OK);
    if (!strstr(err.text, words)) fail_msg("no '%s' in: %s", words, err.text);
}

/* Whether a weight lies in this file. */
static bool lies_in(const struct sdg_tensor *t, const struct sdg_weights *w)
{
    const char *data = t->data;
    return w->map_count && data >= (const char *)w->maps[0].data &&
           data < (const char *)w->maps[0].data + w->maps[0].size;
}

static void test_parts(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        opens(&(struct sdg_model_options) {.path = path(i, NO_TEXT),
                                           .clip_l_path = path(i, TEXT_L),
                                           .clip_g_path = i ? path(i, TEXT_G) : NULL});
        assert_true(lies_in(&f->m.clips[0].layers[0].fc1.weight, &f->m.clip_l_file));
        if (i) assert_true(lies_in(&f->m.clips[1].layers[0].fc1.weight, &f->m.clip_g_file));
        assert_true(lies_in(&f->m.vae.decoder.conv_in.weight, &f->m.file));
        sdg_model_close(&f->m);
        /* from whole checkpoints */
        opens(&(struct sdg_model_options) {.path = path(i, ALL),
                                           .unet_path = path(i, ALL),
                                           .vae_path = path(!i, ALL),
                                           .clip_l_path = path(!i, ALL)});
        assert_true(lies_in(&f->m.unet.conv_out.weight, &f->m.unet_file));
        assert_true(lies_in(&f->m.vae.decoder.conv_in.weight, &f->m.vae_file));
        assert_true(lies_in(&f->m.clips[0].layers[0].fc1.weight, &f->m.clip_l_file));
        sdg_model_close(&f->m);
        /* no main file at all; a main file that is a UNet alone */
        struct sdg_model_options apart = {.unet_path = path(i, UNET),
                                          .vae_path = path(i, VAE),
                                          .clip_l_path = path(i, TEXT_L),
                                          .clip_g_path = i ? path(i, TEXT_G) : NULL};
        opens(&apart);
        assert_int_equal(f->m.facts.family, i ? SDG_FAMILY_SDXL : SDG_FAMILY_SD1);
        sdg_model_close(&f->m);
        apart.path = apart.unet_path;
        apart.unet_path = NULL;
        opens(&apart);
        sdg_model_close(&f->m);
    }
    /* the refiner takes bigG from SDXL's checkpoint */
    opens(&(struct sdg_model_options) {.path = f->refiner.path, .clip_g_path = path(1, ALL)});
    assert_int_equal(f->m.clip_count, 1);
    assert_int_equal(f->m.clips[0].config.width, 128);
    assert_true(f->m.takes[0].pooled);
    sdg_model_close(&f->m);
}

static void test_missing(void **state)
{
    (void)state;
    refused(&(struct sdg_model_options) {.path = path(0, NO_TEXT)}, "--clip-l");
    refused(&(struct sdg_model_options) {.path = path(1, NO_TEXT)}, "--clip-l");
    refused(&(struct sdg_model_options) {.path = path(1, NO_TEXT), .clip_l_path = path(1, TEXT_L)},
            "--clip-g");
    refused(&(struct sdg_model_options) {.path = path(0, NO_VAE)}, "--vae");
    refused(&(struct sdg_model_options) {.path = path(0, VAE)}, "--vae");
    refused(&(struct sdg_model_options) {.vae_path = path(0, VAE)}, "-m");
    refused(&(struct sdg_model_options) {.unet_path = path(0, UNET)},
            "without a checkpoint (-m) there is no text encoder");
    refused(&(struct sdg_model_options) {.path = path(0, ALL), .unet_path = path(0, VAE)},
            "--unet");
    refused(&(struct sdg_model_options) {.path = path(0, ALL), .taesd_path = path(0, VAE)},
            "--taesd");
    refused(&(struct sdg_model_options) {.path = path(0, ALL), .vae_path = path(0, TEXT_L)},
            "no VAE");
    refused(&(struct sdg_model_options) {.path = path(0, ALL), .clip_l_path = path(0, VAE)},
            "no text encoder");
    /* the wrong ones */
    refused(&(struct sdg_model_options) {.path = path(0, ALL), .clip_l_path = path(1, TEXT_G)},
            "128 wide");
    refused(&(struct sdg_model_options) {.path = path(0, ALL), .unet_path = path(1, UNET)}, "bigG");
}

static void test_tiny(void **state)
{
    (void)state;
    opens(&(struct sdg_model_options) {.path = path(0, ALL), .taesd_path = path(0, TAESD)});
    assert_true(f->m.has_taesd && f->m.has_vae);
    assert_true(f->m.taesd.config.has_encoder);
    assert_true(lies_in(&f->m.taesd.decoder.conv_in.weight, &f->m.taesd_file));
    sdg_model_close(&f->m);
    /* instead of a VAE */
    opens(
        &(struct sdg_model_options) {.path = path(0, NO_VAE), .taesd_path = path(0, TINY_DECODER)});
    assert_true(f->m.has_taesd && !f->m.has_vae && !f->m.taesd.config.has_encoder);
    sdg_model_close(&f->m);
    /* named as the VAE; the checkpoint's own stays, to encode */
    opens(&(struct sdg_model_options) {.path = path(0, ALL), .vae_path = path(0, TINY_DECODER)});
    assert_true(f->m.has_taesd && f->m.has_vae);
    assert_true(lies_in(&f->m.vae.decoder.conv_in.weight, &f->m.file));
    sdg_model_close(&f->m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_missing),
        cmocka_unit_test(test_tiny),
    };
    return cmocka_run_group_tests_name("model_parts", tests, make_files, remove_files);
}
