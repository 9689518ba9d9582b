/* test_plan.c - what sdgen_check and sdgen_load refuse, and in which words; and that a run stays
 * inside the memory that was planned for it, can be cancelled, and hands out what it promised. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "pipeline/txt2img.h"

#define MODEL "models/data/sdgen-emoji.safetensors"

static int load(void **state)
{
    sdgen_load_params params = sdgen_load_defaults();
    params.model_path = MODEL;
    sdgen_error err;
    sdgen_engine *engine;
    if (sdgen_load(&engine, &params, &err) != SDGEN_OK) return -1;
    *state = engine;
    return 0;
}

static int unload(void **state)
{
    sdgen_free(*state);
    return 0;
}

static sdgen_image_params fox(void)
{
    sdgen_image_params p = sdgen_image_defaults();
    p.prompt = "fox on a blue background";
    p.seed = 7;
    p.steps = 2;
    p.width = p.height = 64;
    return p;
}

static void refuse(sdgen_engine *engine, const sdgen_image_params *p, const char *words)
{
    sdgen_error err = {.text = "accepted"};
    const sdgen_status status = sdgen_check(engine, p, &err);
    if (status == SDGEN_OK || !strstr(err.text, words))
        fail_msg("wanted an error with \"%s\", got: %s", words, err.text);
}

static void sizes_are_checked(void **state)
{
    sdgen_image_params p = fox();
    p.width = 100;
    refuse(*state, &p, "-W 100: not a multiple of 8; the nearest are 96 and 104");
    p = fox();
    p.height = -8;
    refuse(*state, &p, "-H -8");
    p.height = 1000000000;
    refuse(*state, &p, "-H 1000000000: must be between 8 and");
    p.width = p.height = 16384;
    refuse(*state, &p, "GiB to work in");
}

static void numbers_are_checked(void **state)
{
    sdgen_image_params p = fox();
    p.steps = 1001;
    refuse(*state, &p, "1000");
    p = fox();
    p.steps = -1;
    refuse(*state, &p, "-1");
    p = fox();
    p.cfg_scale = -0.5;
    refuse(*state, &p, "--cfg-scale -0.5");
    p.cfg_scale = strtod("nan", NULL);
    refuse(*state, &p, "--cfg-scale");
    p = fox();
    p.batch_count = 0;
    refuse(*state, &p, "-b 0");
    p = fox();
    p.batch_size = -3;
    refuse(*state, &p, "--batch-size -3");
    p = fox();
    p.seed = INT64_MAX;
    refuse(*state, &p, "too large");
    p = fox();
    p.eta = 1.5;
    refuse(*state, &p, "--eta 1.5");
    p = fox();
    p.clip_skip = 3; /* the demo model's text encoder has two layers */
    refuse(*state, &p, "--clip-skip 3: must be between 1 and 2");
}

static void names_are_checked(void **state)
{
    sdgen_image_params p = fox();
    p.sampler = "euler_b";
    refuse(*state, &p, "euler_a");
    p = fox();
    p.scheduler = "karas";
    refuse(*state, &p, "karras");
    p = fox();
    p.rng = "tpu";
    refuse(*state, &p, "--rng tpu");
    p = fox();
    p.like = "photoshop";
    refuse(*state, &p, "no such program; there are a1111, diffusers, comfyui and sd.cpp");
    p = fox();
    p.trace_dir = "/no/such/directory";
    refuse(*state, &p, "--trace /no/such/directory");
    p.trace_dir = "LICENSE";
    refuse(*state, &p, "not a directory");
}

static void tiles_are_checked(void **state)
{
    sdgen_image_params p = fox();
    sdgen_error err;
    p.vae_tile_width = p.vae_tile_height = 256;
    refuse(*state, &p, "--vae-tile-size has no effect without --vae-tiling");
    p.vae_tiling = 1;
    assert_int_equal(sdgen_check(*state, &p, &err), SDGEN_OK);
    p.vae_tile_width = 32;
    refuse(*state, &p, "--vae-tile-size 32: is counted in pixels");
    p.vae_tile_width = 100;
    refuse(*state, &p, "a multiple of 8");
    p.vae_tile_width = 0;
    p.vae_tile_overlap = 0.95;
    refuse(*state, &p, "--vae-tile-overlap 0.95");
    p.vae_tile_overlap = strtod("nan", NULL);
    refuse(*state, &p, "--vae-tile-overlap");
    p = fox();
    p.vae_tile_overlap = 0;
    refuse(*state, &p, "--vae-tile-overlap has no effect without --vae-tiling");
}

/* What only SDXL is told would be without effect here. */
static void words_for_other_families_are_refused(void **state)
{
    sdgen_image_params p = fox();
    p.crop_top = 8;
    refuse(*state, &p, "only SDXL is told sizes");
    p = fox();
    p.aesthetic_score = 7;
    refuse(*state, &p, "--aesthetic-score: only SDXL's refiner is told one");
    p = fox();
    p.refiner_switch = 0.5;
    refuse(*state, &p, "--refiner-switch 0.5: has no effect without --refiner");
}

static void programs_have_many_names(void **state)
{
    static const char *const names[] = {"A1111", "webui",  "Diffusers", "ComfyUI",
                                        "comfy", "sd.cpp", "sdcpp",     "stable-diffusion.cpp"};
    sdgen_image_params p = fox();
    sdgen_error err;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        p.like = names[i];
        if (sdgen_check(*state, &p, &err) != SDGEN_OK) fail_msg("%s: %s", names[i], err.text);
    }
}

/* What each program draws with when nobody chooses. */
static void programs_have_their_own_defaults(void **state)
{
    static const struct {
        const char *like, *sampler;
        int steps;
        double cfg;
    } wanted[] = {{NULL, "euler_a", 20, 7},
                  {"diffusers", "pndm", 50, 7.5},
                  {"comfyui", "euler", 20, 8},
                  {"sd.cpp", "euler_a", 20, 7}};
    sdgen_image_params p = sdgen_image_defaults();
    sdgen_error err;
    struct sdg_plan plan;
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        p.like = wanted[i].like;
        assert_int_equal(sdg_plan_make(&plan, *state, &p, &err), SDGEN_OK);
        assert_string_equal(plan.sampler->name, wanted[i].sampler);
        assert_int_equal(plan.steps, wanted[i].steps);
        assert_true(plan.guidance.scale == wanted[i].cfg);
        sdg_plan_free(&plan);
    }
}

static void prompt_language_is_never_ignored(void **state)
{
    sdgen_image_params p = fox();
    sdgen_error err;
    p.prompt = "a (red:1.2) fox <lora:fur:1>";
    refuse(*state, &p, "<lora:fur:1> asks for an extra network");
    p.ignore_unsupported = 1;
    assert_int_equal(sdgen_check(*state, &p, &err), SDGEN_OK);
    p.ignore_unsupported = 0;
    p.literal_prompt = 1;
    assert_int_equal(sdgen_check(*state, &p, &err), SDGEN_OK);
    p.literal_prompt = 0;
    p.like = "diffusers"; /* where brackets mean themselves */
    assert_int_equal(sdgen_check(*state, &p, &err), SDGEN_OK);
    p.prompt_language = "a1111";
    refuse(*state, &p, "<lora:fur:1>");
}

static void bad_loads_are_refused(void **state)
{
    (void)state;
    static const struct {
        sdgen_load_params params;
        const char *words;
    } cases[] = {
        {{.model_path = NULL}, "-m"},
        {{.model_path = "/no/such/file"}, "/no/such/file: cannot open: No such file"},
        {{.model_path = "src"}, "holds neither a model"},
        {{.model_path = "LICENSE"}, "LICENSE"},
        {{.model_path = MODEL, .isa = "sse9"}, "--isa sse9: no such tier"},
        {{.model_path = MODEL, .max_ram = "lots"}, "--max-ram lots: no amount of memory"},
        {{.model_path = MODEL, .precision = "int8"}, "not built yet"},
        {{.model_path = MODEL, .precision = "f12"}, "no such precision"},
        {{.model_path = MODEL, .vae_path = "LICENSE"}, "LICENSE"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        sdgen_error err = {.text = "accepted"};
        sdgen_engine *engine = (sdgen_engine *)&err;
        const sdgen_status status = sdgen_load(&engine, &cases[i].params, &err);
        assert_null(engine);
        if (status == SDGEN_OK || !strstr(err.text, cases[i].words))
            fail_msg("wanted an error with \"%s\", got: %s", cases[i].words, err.text);
    }
}

struct seen {
    int images, events, cancel_at;
    double share;
    volatile int cancel;
    int64_t seed;
    char parameters[512];
};

static int count_image(void *user, const sdgen_image *image)
{
    struct seen *s = user;
    assert_int_equal(image->index, s->images++);
    assert_int_equal(image->width, 64);
    assert_int_equal(image->height, 64);
    s->seed = image->seed;
    strncpy(s->parameters, image->parameters, sizeof s->parameters - 1);
    return 0;
}

static void count_event(void *user, const sdgen_progress *progress)
{
    struct seen *s = user;
    assert_true(progress->share >= s->share && progress->share <= 1.0 + 1e-9);
    s->share = progress->share;
    if (++s->events == s->cancel_at) s->cancel = 1;
}

static void a_run_reports_and_fits_its_plan(void **state)
{
    struct seen s = {0};
    sdgen_error err;
    sdgen_image_params p = fox();
    p.batch_count = 3;
    p.batch_size = 2;
    p.progress = count_event;
    p.user = &s;
    struct sdg_plan plan;
    assert_int_equal(sdg_plan_make(&plan, *state, &p, &err), SDGEN_OK);
    assert_int_equal(sdg_txt2img(*state, &plan, count_image, &s, &err), SDGEN_OK);
    sdg_plan_free(&plan);
    assert_int_equal(s.images, 3);
    assert_int_equal(s.seed, 9);
    assert_true(s.share > 0.999);
    assert_non_null(strstr(s.parameters, "fox on a blue background\nSteps: 2, Sampler: Euler a, "
                                         "Schedule type: Automatic, CFG scale: 7, Seed: 9, "
                                         "Size: 64x64, Model hash: "));
    assert_non_null(
        strstr(s.parameters, "Model: sdgen-emoji, RNG: NV, Version: sdgen " SDGEN_VERSION));
}

static void a_run_can_be_cancelled(void **state)
{
    sdgen_image_params p = fox();
    sdgen_error err;
    p.batch_count = 2;
    p.progress = count_event;
    for (int at = 1; at <= 8; at++) {
        struct seen s = {.cancel_at = at};
        p.user = &s;
        p.cancel = &s.cancel;
        assert_int_equal(sdgen_generate(*state, &p, count_image, &s, &err), SDGEN_ERR_CANCELLED);
        assert_true(s.images < 2);
    }
}

static int refuse_image(void *user, const sdgen_image *image)
{
    (void)image;
    return ++*(int *)user;
}

static void the_caller_may_stop_after_an_image(void **state)
{
    sdgen_image_params p = fox();
    sdgen_error err;
    int images = 0;
    p.batch_count = 2;
    assert_int_equal(sdgen_generate(*state, &p, refuse_image, &images, &err), SDGEN_ERR_CANCELLED);
    assert_int_equal(images, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_are_checked),
        cmocka_unit_test(numbers_are_checked),
        cmocka_unit_test(names_are_checked),
        cmocka_unit_test(tiles_are_checked),
        cmocka_unit_test(words_for_other_families_are_refused),
        cmocka_unit_test(programs_have_many_names),
        cmocka_unit_test(programs_have_their_own_defaults),
        cmocka_unit_test(prompt_language_is_never_ignored),
        cmocka_unit_test(bad_loads_are_refused),
        cmocka_unit_test(a_run_reports_and_fits_its_plan),
        cmocka_unit_test(a_run_can_be_cancelled),
        cmocka_unit_test(the_caller_may_stop_after_an_image),
    };
    return cmocka_run_group_tests_name("plan", tests, load, unload);
}
