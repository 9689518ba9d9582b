/* test_ckpt.c - a whole model as torch.save wrote it (tools/golden_ckpt.py), f16 and f32, inside a
 * state_dict and bare, draws the picture that the same model draws from safetensors, bit for bit.
 *
 * The safetensors form is written here from the integer hash, so nothing of the reader of
 * torchfile.c stands on its side. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "sdgen.h"
#include "tests/support/npy.h"
#include "tests/support/testmodel.h"

#define FOLDER "tests/golden/ckpt/"
enum { SIDE = 64, BYTES = SIDE * SIDE * 3 };

static int keep(void *user, const sdgen_image *image)
{
    assert_int_equal(image->width, SIDE);
    assert_int_equal(image->height, SIDE);
    memcpy(user, image->rgb, BYTES);
    return 0;
}

static void draw(uint8_t *rgb, const char *path)
{
    sdgen_engine *engine;
    sdgen_error error;
    sdgen_load_params load = sdgen_load_defaults();
    sdgen_image_params p = sdgen_image_defaults();
    load.model_path = path;
    load.threads = 1;
    p.prompt = "a fox on a blue background";
    p.width = p.height = SIDE;
    p.steps = 2;
    p.seed = 7;
    if (sdgen_load(&engine, &load, &error) != SDGEN_OK) fail_msg("%s", error.text);
    memset(rgb, 0, BYTES);
    if (sdgen_generate(engine, &p, keep, rgb, &error) != SDGEN_OK) fail_msg("%s", error.text);
    sdgen_free(engine);
}

/* A picture of one colour would be equal to another too easily. */
static bool has_detail(const uint8_t *rgb)
{
    int pixels = 0; /* unlike the first */
    for (int i = 0; i < BYTES; i += 3) pixels += memcmp(rgb + i, rgb, 3) != 0;
    return pixels > SIDE * SIDE / 2;
}

static void draw_safetensors(uint8_t *rgb, enum sdg_dtype dtype)
{
    char path[512], *folder = test_folder_make();
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    test_micro_write(path, dtype);
    draw(rgb, path);
    test_folder_remove(folder);
    assert_true(has_detail(rgb));
}

static void compare(const char *name, const char *bare, const char *nested, enum sdg_dtype dtype)
{
    static uint8_t want[BYTES], have[BYTES];
    draw_safetensors(want, dtype);
    draw(have, bare);
    if (memcmp(have, want, BYTES) != 0) fail_msg("bare, %s: another picture", name);
    draw(have, nested);
    if (memcmp(have, want, BYTES) != 0) fail_msg("in a state_dict, %s: another picture", name);
}

static void f16(void **state)
{
    (void)state;
    compare("f16", FOLDER "bare_f16.ckpt", FOLDER "nested_f16.ckpt", SDG_F16);
}

static void f32(void **state)
{
    (void)state;
    compare("f32", FOLDER "bare_f32.ckpt", FOLDER "nested_f32.ckpt", SDG_F32);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        {"ckpt in f16, bare and in a state_dict, draws what safetensors draws", f16, NULL, NULL,
         NULL},
        {"ckpt in f32, bare and in a state_dict, draws what safetensors draws", f32, NULL, NULL,
         NULL},
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
