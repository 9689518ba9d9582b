/* test_family_runs.c - whole runs of every family through sdgen.h, against diffusers' own
 * pipelines.
 *
 * Each family's shrunk model, in the spelling in which the family is published, draws 64 x 64
 * pixels under --like diffusers; what tools/golden_families.py stored says how. The latent after
 * every step stays within 1e-3 of that step's largest value, the picture within one level of 8
 * bits. Nothing tells sdgen what the models are but the files. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cjson/cJSON.h>
#include <cmocka.h>

#include "sdgen.h"
#include "tests/support/checkpoint.h"
#include "tests/support/floats.h"
#include "tests/support/hashweights.h"
#include "tests/support/npy.h"

#define BOUND 1e-3

enum { SIDE = 64, CELLS = 4 * 8 * 8, PIXELS = SIDE * SIDE };

/* ---- parameters ------------------------------------------------------------------------------ */

/* What the golden file says of its run. */
struct run {
    cJSON *json;
    uint8_t picture[3 * PIXELS], mask[PIXELS], depth[PIXELS];
    sdgen_pixels pictures[3];
};

static const cJSON *said(const struct run *r, const char *key)
{
    return cJSON_GetObjectItemCaseSensitive(r->json, key);
}

static const char *text(const struct run *r, const char *key)
{
    const cJSON *item = said(r, key);
    return item ? item->valuestring : NULL; /* NULL for JSON's null too */
}

static double number(const struct run *r, const char *key, double unless)
{
    const cJSON *item = said(r, key);
    return item ? item->valuedouble : unless;
}

static void hashed_bytes(uint8_t *y, size_t count, const char *name)
{
    int32_t *values = malloc(count * sizeof *values);
    assert_non_null(values);
    test_hash_ids(values, name, count, 256);
    for (size_t i = 0; i < count; i++) y[i] = (uint8_t)values[i];
    free(values);
}

static const sdgen_pixels *pixels(sdgen_pixels *p, int channels, uint8_t *data)
{
    *p = (sdgen_pixels) {SIDE, SIDE, channels, data};
    return p;
}

static sdgen_image_params parameters(struct run *r)
{
    sdgen_image_params p = sdgen_image_defaults();
    p.like = "diffusers";
    p.prompt = text(r, "prompt");
    p.negative_prompt = text(r, "negative");
    p.width = p.height = SIDE;
    p.steps = (int)number(r, "steps", 0);
    p.seed = (int64_t)number(r, "seed", 0);
    p.cfg_scale = number(r, "cfg", -1);
    p.cfg_rescale = number(r, "cfg_rescale", 0);
    p.image_cfg_scale = number(r, "image_cfg", p.image_cfg_scale);
    p.refiner_switch = number(r, "refiner_switch", p.refiner_switch);
    p.sampler = text(r, "sampler");
    if (strncmp(p.sampler, "euler", 5) == 0) p.scheduler = text(r, "spacing");
    hashed_bytes(r->picture, sizeof r->picture, "input.picture");
    hashed_bytes(r->depth, sizeof r->depth, "input.depth");
    for (int i = 0; i < PIXELS; i++) r->mask[i] = i % SIDE >= 3 * SIDE / 8 ? 255 : 0;
    if (said(r, "picture")) p.init_image = pixels(&r->pictures[0], 3, r->picture);
    if (said(r, "mask")) p.mask = pixels(&r->pictures[1], 1, r->mask);
    if (said(r, "depth")) p.depth = pixels(&r->pictures[2], 1, r->depth);
    return p;
}

/* ---- runs ------------------------------------------------------------------------------------ */

static int keep(void *user, const sdgen_image *image)
{
    memcpy(user, image->rgb, 3 * PIXELS);
    return 0;
}

static void write_checkpoint(char *path, size_t size, const char *folder, const char *family)
{
    struct test_checkpoint f;
    test_checkpoint_read(&f, family, "small");
    snprintf(path, size, "%s/%s.safetensors", folder, family);
    test_checkpoint_write(path, &f, TEST_STOCK);
}

/* The refiner finishes what the base begins. */
static sdgen_engine *load(const char *folder, const struct run *r)
{
    char path[512], refiner[512];
    const char *family = text(r, "family");
    const bool refines = said(r, "refiner_switch") != NULL;
    sdgen_load_params p = sdgen_load_defaults();
    sdgen_engine *engine;
    sdgen_error error;
    write_checkpoint(path, sizeof path, folder, refines ? "sdxl" : family);
    if (refines) write_checkpoint(refiner, sizeof refiner, folder, family);
    p.model_path = path;
    p.refiner_path = refines ? refiner : NULL;
    p.precision = "f32";
    p.threads = 1; /* models so small only wait for more of them */
    if (sdgen_load(&engine, &p, &error) != SDGEN_OK) fail_msg("%s", error.text);
    return engine;
}

static void compare_latents(const char *name, const char *folder, const struct test_floats *want)
{
    double worst = 0;
    for (size_t i = 0; i < want->count / CELLS; i++) {
        char file[32];
        snprintf(file, sizeof file, "latent_%03zu.npy", i);
        struct test_npy got = test_npy_read(folder, file);
        assert_int_equal(got.count, CELLS);
        const double ratio = test_ratio(got.data, want->data + i * CELLS, CELLS);
        if (!(ratio <= BOUND)) fail_msg("%s, step %zu: %.3e of the maximum", name, i, ratio);
        if (ratio > worst) worst = ratio;
        test_npy_free(&got);
    }
    print_message("# %s: latents within %.1e of the maximum\n", name, worst);
}

static void compare_rgb(const char *name, const uint8_t *rgb, const struct sdg_weights *golden)
{
    if (!sdg_weights_find(golden, "rgb")) return;
    struct test_floats want = test_golden(golden, "rgb");
    int worst = 0;
    for (size_t i = 0; i < want.count; i++) {
        const int d = abs((int)rgb[i] - (int)want.data[i]);
        if (d > worst) worst = d;
    }
    print_message("# %s: picture within %d of 255\n", name, worst);
    if (worst > 1) fail_msg("%s: the picture is %d of 255 off", name, worst);
    test_floats_free(&want);
}

static void run_matches_the_original(void **state)
{
    const char *name = *state;
    char path[512], *folder = test_folder_make();
    uint8_t rgb[3 * PIXELS];
    struct sdg_weights golden;
    sdgen_error error;
    snprintf(path, sizeof path, "tests/golden/families/%s.safetensors", name);
    if (sdg_weights_open(&golden, path, &error) != SDGEN_OK) fail_msg("%s", error.text);
    struct run *r = calloc(1, sizeof *r);
    assert_non_null(r);
    r->json = cJSON_Parse(test_metadata(&golden, "run"));
    assert_non_null(r->json);
    sdgen_engine *engine = load(folder, r);
    sdgen_image_params p = parameters(r);
    p.trace_dir = folder;
    if (sdgen_generate(engine, &p, keep, rgb, &error) != SDGEN_OK)
        fail_msg("%s: %s", name, error.text);
    sdgen_free(engine);
    struct test_floats want = test_golden(&golden, "latents");
    compare_latents(name, folder, &want);
    compare_rgb(name, rgb, &golden);
    test_floats_free(&want);
    cJSON_Delete(r->json);
    free(r);
    sdg_weights_close(&golden);
    test_folder_remove(folder);
}

#define RUN(name)                                                \
    {                                                            \
        name, run_matches_the_original, NULL, NULL, (void *)name \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN("sd1"),          RUN("sd1_v"),     RUN("sd1_inpaint"),  RUN("sd1_pix2pix"),
        RUN("lcm"),          RUN("sd2"),       RUN("sd2_v"),        RUN("sd2_inpaint"),
        RUN("sd2_pix2pix"),  RUN("sd2_depth"), RUN("sdxl"),         RUN("sdxl_v"),
        RUN("cosxl"),        RUN("refiner"),   RUN("sdxl_inpaint"), RUN("sdxl_pix2pix"),
        RUN("ssd_1b"),       RUN("vega"),      RUN("koala_700m"),   RUN("koala_1b"),
        RUN("bk_base"),      RUN("bk_small"),  RUN("bk_tiny"),      RUN("bk_v2_tiny"),
        RUN("sdxs_ds"),      RUN("sdxs_09"),   RUN("sdxl_turbo"),   RUN("sdxl_lightning"),
        RUN("cosxl_karras"),
    };
    return cmocka_run_group_tests_name("runs of families", tests, NULL, NULL);
}
