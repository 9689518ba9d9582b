/* test_runs.c - whole runs of the smallest model: every sampler under every program, and what the
 * options of sampling, guidance, noise and prompts do to a run. Not whether pictures are right
 * (test_pipeline.c), but that each switch reaches the place it is meant for. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "sdgen.h"
#include "tests/support/floats.h"
#include "tests/support/npy.h"
#include "tests/support/testmodel.h"

enum { SIDE = 64, BYTES = SIDE * SIDE * 3, STEPS = 4, LATENT = 4 * 8 * 8 };

static const char *const likes[] = {"a1111", "diffusers", "comfyui", "sd.cpp"};
enum { LIKES = sizeof likes / sizeof likes[0] };

static sdgen_engine *engine;
static char *folder;
static char warning[512]; /* the last one */

static void on_log(void *user, int level, const char *message)
{
    (void)user;
    if (level == SDGEN_LOG_WARN) snprintf(warning, sizeof warning, "%s", message);
}

static int load(void **state)
{
    char path[512];
    sdgen_error error;
    sdgen_load_params p = sdgen_load_defaults();
    (void)state;
    folder = test_folder_make();
    snprintf(path, sizeof path, "%s/micro.safetensors", folder);
    test_micro_write(path, SDG_F16);
    p.model_path = path;
    p.threads = 1; /* a model so small only waits for more of them */
    p.log = on_log;
    if (sdgen_load(&engine, &p, &error) == SDGEN_OK) return 0;
    printf("# %s\n", error.text);
    return 1;
}

static int unload(void **state)
{
    (void)state;
    sdgen_free(engine);
    test_folder_remove(folder);
    return 0;
}

/* ---- one run ---- */

struct pictures {
    uint8_t rgb[2][BYTES];
    int64_t seed[2];
    char parameters[1024];
};

static int keep(void *user, const sdgen_image *image)
{
    struct pictures *p = user;
    assert_true(image->index < 2);
    memcpy(p->rgb[image->index], image->rgb, BYTES);
    p->seed[image->index] = image->seed;
    snprintf(p->parameters, sizeof p->parameters, "%s", image->parameters);
    return 0;
}

static sdgen_image_params cat(void)
{
    sdgen_image_params p = sdgen_image_defaults();
    p.prompt = "cat";
    p.negative_prompt = "blurry";
    p.width = p.height = SIDE;
    p.steps = STEPS;
    p.seed = 5;
    return p;
}

static void draw(struct pictures *pictures, const sdgen_image_params *p)
{
    sdgen_error error;
    *pictures = (struct pictures) {0};
    warning[0] = 0;
    if (sdgen_generate(engine, p, keep, pictures, &error) != SDGEN_OK)
        fail_msg("%s under %s: %s", p->sampler ? p->sampler : "?", p->like ? p->like : "?",
                 error.text);
}

static void refuse(const sdgen_image_params *p, const char *words)
{
    sdgen_error error = {.text = "accepted"};
    const sdgen_status status = sdgen_check(engine, p, &error);
    if (status == SDGEN_OK || !strstr(error.text, words))
        fail_msg("wanted an error with \"%s\", got: %s", words, error.text);
}

/* Latents of a run, [0] the noise, [i] after step i. */
struct walk {
    float latent[STEPS + 1][LATENT];
};

static struct walk walk(sdgen_image_params p)
{
    struct walk w = {0};
    struct pictures pictures;
    char *trace = test_folder_make();
    p.trace_dir = trace;
    draw(&pictures, &p);
    for (int i = 0; i <= STEPS; i++) {
        char name[32];
        snprintf(name, sizeof name, "latent_%03d.npy", i);
        struct test_npy a = test_npy_read(trace, name);
        assert_int_equal(a.count, LATENT);
        memcpy(w.latent[i], a.data, sizeof w.latent[i]);
        test_npy_free(&a);
    }
    test_folder_remove(trace);
    return w;
}

/* The number of the first latent in which two walks differ; STEPS + 1: none. */
static int parting(const sdgen_image_params *a, const sdgen_image_params *b)
{
    const struct walk x = walk(*a), y = walk(*b);
    for (int i = 0; i <= STEPS; i++)
        if (memcmp(x.latent[i], y.latent[i], sizeof x.latent[i]) != 0) return i;
    return STEPS + 1;
}

static void part_at(const sdgen_image_params *a, const sdgen_image_params *b, int want)
{
    const int at = parting(a, b);
    if (at != want)
        fail_msg("\"%s\" and \"%s\" part at latent %d, not %d", a->prompt, b->prompt, at, want);
}

/* ---- samplers ---- */

/* One sampler under one program: finite, and image i of a batch is the image of seed + i. */
static void try_sampler(const char *sampler, const char *like)
{
    struct pictures both, one;
    sdgen_image_params p = cat();
    sdgen_error error;
    p.sampler = sampler;
    p.like = like;
    p.batch_count = p.batch_size = 2;
    if (sdgen_check(engine, &p, &error) != SDGEN_OK) {
        /* A program without the sampler may be left without a way, but must say so. */
        if (!strstr(error.text, "does not have it")) fail_msg("%s", error.text);
        printf("# %s has no %s: %s\n", like, sampler, error.text);
        return;
    }
    draw(&both, &p);
    if (strstr(warning, "not numbers")) fail_msg("%s under %s: %s", sampler, like, warning);
    p.batch_count = p.batch_size = 1;
    for (int i = 0; i < 2; i++, p.seed++) {
        draw(&one, &p);
        assert_int_equal(both.seed[i], p.seed);
        if (memcmp(one.rgb[0], both.rgb[i], BYTES) != 0)
            fail_msg("%s under %s: image %d of a batch is another one alone", sampler, like, i);
    }
    if (memcmp(both.rgb[0], both.rgb[1], BYTES) == 0)
        fail_msg("%s under %s: two seeds draw the same", sampler, like);
}

static void every_sampler_draws_under_every_program(void **state)
{
    const char *sampler;
    (void)state;
    for (int i = 0; (sampler = sdgen_sampler_name(i)) != NULL; i++)
        for (int k = 0; k < LIKES; k++) try_sampler(sampler, likes[k]);
}

/* What one option can do to a run. */
static void sampler_options_reach_the_sampler(void **state)
{
    (void)state;
    sdgen_image_params a = cat(), b;
    a.sampler = "euler";
    b = a;
    b.s_churn = 3;
    part_at(&a, &b, 1);
    a = b;
    b.s_noise = 1.1;
    part_at(&a, &b, 1);
    b = a;
    b.s_tmin = 1000; /* above every level: no churn */
    part_at(&a, &b, 1);
    a = cat();
    a.sampler = "dpm++_sde";
    b = a;
    b.r = 0.4;
    part_at(&a, &b, 1);
    a = cat();
    b = a;
    b.eta = 0.5; /* Euler a */
    part_at(&a, &b, 1);
    b = a;
    b.scheduler = "karras";
    part_at(&a, &b, 1);
    b.scheduler = "Automatic";
    part_at(&a, &b, STEPS + 1);
}

static void knobs_that_mean_nothing_are_refused(void **state)
{
    (void)state;
    sdgen_image_params p = cat();
    p.sampler = "euler";
    p.eta = 0.5;
    refuse(&p, "--eta 0.5: Euler has no such knob");
    p.eta = 0; /* what it does anyway */
    sdgen_error error;
    assert_int_equal(sdgen_check(engine, &p, &error), SDGEN_OK);
    p = cat();
    p.s_churn = 3;
    refuse(&p, "--s-churn 3: Euler a has no such knob");
    p = cat();
    p.r = 0.3;
    refuse(&p, "--r 0.3: Euler a");
    p = cat();
    p.solver_order = 2;
    refuse(&p, "--solver-order 2: Euler a");
    p = cat();
    p.lower_order_final = 0;
    refuse(&p, "--lower-order-final: Euler a");
    p = cat();
    p.s_noise = -0.0;
    p.s_tmax = strtod("nan", NULL);
    refuse(&p, "--s-tmax nan");
    p = cat();
    p.variation_seed = 3;
    refuse(&p, "without --variation-strength");
}

static void schedules_are_asked_for(void **state)
{
    (void)state;
    sdgen_image_params a = cat(), b = cat();
    a.sampler = b.sampler = "euler";
    a.scheduler = "karras";
    b.sampler = "Euler Karras"; /* as A1111 wrote it before schedules had names of their own */
    part_at(&a, &b, STEPS + 1);
    b = cat();
    b.sampler = "euler";
    b.steps = 0;
    b.sigmas = "14.6, 3 1.5,0.4,0";
    part_at(&a, &b, 0);
    b.steps = 5;
    refuse(&b, "--steps 5: --sigmas has 4");
    b.sigmas = "14.6, 3 1.5,0.4,0.1"; /* the last level is the end, be it clean or not */
    refuse(&b, "--steps 5: --sigmas has 4");
    b.steps = 0;
    b.sigmas = "3, 4, 0";
    refuse(&b, "--sigmas");
    b.sigmas = "3, x";
    refuse(&b, "--sigmas: \"x\" is no number");
    b.sigmas = "14.6, 0";
    b.scheduler = "karras";
    refuse(&b, "--sigmas: takes the place of a schedule");
    b = cat();
    b.spacing = "trailing";
    refuse(&b, "only diffusers has it");
    b.spacing = "karras";
    refuse(&b, "must be leading, linspace or trailing");
    b = cat();
    b.prediction = "w";
    refuse(&b, "--prediction w: no such prediction");
    b.prediction = "v";
    a = cat();
    part_at(&a, &b, 1);
}

/* ---- guidance ---- */

static void guidance_can_be_left_out(void **state)
{
    (void)state;
    sdgen_image_params a = cat(), b;
    a.sampler = "euler";
    a.cfg_scale = 1;
    b = a;
    b.negative_prompt = "dog";
    part_at(&a, &b, STEPS + 1); /* at 1 the negative prompt plays no part */
    a.cfg_scale = b.cfg_scale = 7;
    part_at(&a, &b, 1);
    a.guidance_start = b.guidance_start = 0.5;
    part_at(&a, &b, 3);
    a = cat();
    a.sampler = "euler";
    a.cfg_scale = 7;
    b = a;
    b.guidance_end = 0.5;
    part_at(&a, &b, 3);
    b = a;
    b.skip_early_cfg = 0.01; /* the first call, as A1111 counts */
    part_at(&a, &b, 1);
    b = a;
    b.s_min_uncond = 1000; /* every level lies below: calls 1 and 3 go without */
    part_at(&a, &b, 2);
    b.s_min_uncond_all = 1;
    part_at(&a, &b, 1);
    b = a;
    b.cfg_rescale = 0.7;
    part_at(&a, &b, 1);
    b.cfg_rescale = 1.5;
    refuse(&b, "--cfg-rescale 1.5");
}

/* ---- noise ---- */

static void variations_lead_from_seed_to_seed(void **state)
{
    (void)state;
    sdgen_image_params a = cat(), b = cat(), c = cat();
    c.seed = b.variation_seed = 77;
    b.variation_strength = 1e-12;
    const struct walk near = walk(b);
    b.variation_strength = 1;
    const struct walk far = walk(b), from = walk(a), to = walk(c);
    assert_true(test_ratio(near.latent[0], from.latent[0], LATENT) < 1e-5);
    assert_true(test_ratio(far.latent[0], to.latent[0], LATENT) < 1e-5);
    assert_true(test_ratio(far.latent[0], from.latent[0], LATENT) > 0.1);
    /* later noise is the seed's */
    struct pictures pictures;
    b.batch_count = 2;
    draw(&pictures, &b);
    assert_int_equal(pictures.seed[0], 5);
    assert_int_equal(pictures.seed[1], 5);
    assert_non_null(strstr(pictures.parameters, "Seed: 5, "));
    assert_non_null(strstr(pictures.parameters, "Variation seed: 78, Variation seed strength: 1"));
    b.variation_strength = 1.5;
    refuse(&b, "--variation-strength 1.5");
}

static void ensd_moves_the_later_noise(void **state)
{
    (void)state;
    sdgen_image_params a = cat(), b = cat();
    b.ensd = 31337;
    part_at(&a, &b, 1); /* Euler a */
    a.sampler = b.sampler = "euler";
    part_at(&a, &b, STEPS + 1);
}

static void noise_has_other_sources(void **state)
{
    (void)state;
    sdgen_image_params a = cat(), b = cat();
    b.rng = "cpu";
    part_at(&a, &b, 0);
    b = cat();
    b.seed_resize_width = b.seed_resize_height = 32;
    part_at(&a, &b, 0);
    b.seed_resize_height = 0;
    refuse(&b, "--seed-resize 32x0");
    struct pictures each, joint;
    a.batch_count = a.batch_size = 2;
    b = a;
    b.batch_noise = "joint";
    draw(&each, &a);
    draw(&joint, &b);
    assert_memory_not_equal(each.rgb[1], joint.rgb[1], BYTES);
    assert_memory_not_equal(joint.rgb[0], joint.rgb[1], BYTES);
    b.batch_noise = "all";
    refuse(&b, "--batch-noise all");
}

/* ---- prompts ---- */

/* A1111 counts calls from 0 and lets an entry count up to its number, both included. */
static void editing_changes_the_prompt_at_its_call(void **state)
{
    (void)state;
    sdgen_image_params a = cat(), b = cat();
    a.sampler = b.sampler = "euler";
    b.prompt = "[cat:dog:2]";
    part_at(&a, &b, 4); /* calls 0, 1, 2 */
    b.prompt = "[cat:dog:0.5]";
    part_at(&a, &b, 4);
    b.prompt = "[cat:dog:0.25]";
    part_at(&a, &b, 3);
    b.prompt = "[cat|dog]";
    part_at(&a, &b, 3); /* cat, cat, dog, cat */
    a.prompt = "[cat|dog]";
    b.prompt = "[cat|dog|dog]";
    part_at(&a, &b, 4);
    /* Two calls a step: 0.5 of eight calls is call 4, in the third step. */
    a = b = cat();
    a.sampler = b.sampler = "heun";
    b.prompt = "[cat:dog:0.5]";
    part_at(&a, &b, 3);
    a.like = b.like = "comfyui"; /* where brackets are text */
    part_at(&a, &b, 1);
}

static void parts_of_a_prompt_add_up(void **state)
{
    (void)state;
    sdgen_image_params a = cat(), b = cat();
    a.sampler = b.sampler = "euler";
    b.prompt = "cat AND dog";
    part_at(&a, &b, 1);
    b.prompt = "cat AND dog :0";
    part_at(&a, &b, STEPS + 1);
    b.prompt = "cat :0.5 AND cat :0.5";
    const struct walk half = walk(b), whole = walk(a);
    assert_true(test_ratio(half.latent[STEPS], whole.latent[STEPS], LATENT) < 1e-4);
    /* at scale 1 a sum of 2 takes the negative prompt away once */
    a.cfg_scale = b.cfg_scale = 1;
    a.prompt = b.prompt = "cat AND dog";
    b.negative_prompt = "owl";
    part_at(&a, &b, 1);
    /* parts of one and of two chunks, in batches of one and two */
    struct pictures one, two;
    a.prompt = "cat AND a BREAK dog AND owl";
    a.cfg_scale = 7;
    draw(&one, &a);
    a.batch_count = a.batch_size = 2;
    draw(&two, &a);
    assert_memory_equal(one.rgb[0], two.rgb[0], BYTES);
}

static void weights_act_as_asked(void **state)
{
    (void)state;
    sdgen_image_params a = cat(), b = cat();
    b.prompt = "(cat:1.3)";
    part_at(&a, &b, 1);
    b.emphasis = "ignore";
    part_at(&a, &b, STEPS + 1);
    a = b;
    a.emphasis = "no-norm";
    b.emphasis = "original";
    part_at(&a, &b, 1);
    b.emphasis = "none";
    a = b;
    a.emphasis = NULL;
    a.literal_prompt = 1;
    part_at(&a, &b, STEPS + 1);
    b.emphasis = "loud";
    refuse(&b, "--emphasis loud");
    b.emphasis = NULL;
    b.prompt_language = "latin";
    refuse(&b, "--prompt-language latin");
    b.prompt_language = "comfyui";
    part_at(&a, &b, 1);
    /* turns of one part are weighted together: more turns, another mean */
    a = b = cat();
    a.prompt = "[(cat:1.3):dog:3]";
    b.prompt = "[(cat:1.3):owl:3]";
    part_at(&a, &b, 1);
    a.emphasis = b.emphasis = "no-norm";
    part_at(&a, &b, STEPS + 1);
}

static void extra_networks_are_never_ignored(void **state)
{
    (void)state;
    sdgen_image_params a = cat(), b = cat();
    b.prompt = "cat<lora:fur:0.8>";
    refuse(&b, "<lora:fur:0.8> asks for an extra network");
    b.ignore_unsupported = 1;
    part_at(&a, &b, STEPS + 1);
    assert_non_null(strstr(warning, "<lora:fur:0.8>"));
    b.ignore_unsupported = 0;
    b.like = "diffusers"; /* where it is text */
    sdgen_error error;
    assert_int_equal(sdgen_check(engine, &b, &error), SDGEN_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_sampler_draws_under_every_program),
        cmocka_unit_test(sampler_options_reach_the_sampler),
        cmocka_unit_test(knobs_that_mean_nothing_are_refused),
        cmocka_unit_test(schedules_are_asked_for),
        cmocka_unit_test(guidance_can_be_left_out),
        cmocka_unit_test(variations_lead_from_seed_to_seed),
        cmocka_unit_test(ensd_moves_the_later_noise),
        cmocka_unit_test(noise_has_other_sources),
        cmocka_unit_test(editing_changes_the_prompt_at_its_call),
        cmocka_unit_test(parts_of_a_prompt_add_up),
        cmocka_unit_test(weights_act_as_asked),
        cmocka_unit_test(extra_networks_are_never_ignored),
    };
    return cmocka_run_group_tests_name("runs", tests, load, unload);
}
