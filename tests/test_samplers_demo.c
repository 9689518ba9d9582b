/* test_samplers_demo.c - every sampler, under every program that has it, walks four steps on the
 * bundled model and ends where the original ends. tools/golden_samplers_demo.py made the goldens;
 * tools/check_samplers_full.py compares more schedules and more steps, step by step. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "sampling/sampler.h"
#include "sdgen.h"
#include "tests/support/floats.h"
#include "tests/support/npy.h"

#define MODEL "models/data/sdgen-emoji.safetensors"
#define GOLDEN "tests/golden/samplers_demo.safetensors"

/* In parts of the largest value: a walk carries the rounding of all its model calls. */
#define BOUND 1e-3

/* DPM adaptive chooses its steps by errors that follow every rounding: over some forty
 * steps of its own it multiplies them (0.011 was seen with noise, 0.005 without). */
#define ADAPTIVE_BOUND 0.05

static const char *const programs[SDG_LIKE_COUNT] = {[SDG_LIKE_A1111] = "a1111",
                                                     [SDG_LIKE_DIFFUSERS] = "diffusers",
                                                     [SDG_LIKE_COMFYUI] = "comfyui",
                                                     [SDG_LIKE_SDCPP] = "sd.cpp"};

static struct sdg_weights golden;
static sdgen_engine *engine;
static sdgen_error error;
static char *trace; /* of the run at work */

static int open_all(void **state)
{
    (void)state;
    sdgen_load_params params = sdgen_load_defaults();
    params.model_path = MODEL;
    params.precision = "f32";
    params.threads = 1; /* small latents; the bits are the same with more */
    if (sdg_weights_open(&golden, GOLDEN, &error) == SDGEN_OK &&
        sdgen_load(&engine, &params, &error) == SDGEN_OK)
        return 0;
    printf("# %s\n", error.text);
    return 1;
}

static int close_all(void **state)
{
    (void)state;
    sdg_weights_close(&golden);
    sdgen_free(engine);
    return 0;
}

/* Runs after a failed test too. */
static int clean_up(void **state)
{
    (void)state;
    if (trace) test_folder_remove(trace);
    trace = NULL;
    return 0;
}

static int ignore(void *user, const sdgen_image *image)
{
    (void)user;
    (void)image;
    return 0;
}

/* "14.6146,6.9,...,0": the levels of the golden walk, as --sigmas takes them. */
static void levels_text(char *text, size_t size)
{
    struct test_floats sigmas = test_golden(&golden, "sigmas.karras");
    size_t used = 0;
    for (size_t i = 0; i < sigmas.count; i++) {
        used += (size_t)snprintf(text + used, size - used, "%s%.9g", i ? "," : "",
                                 (double)sigmas.data[i]);
        assert_true(used < size);
    }
    test_floats_free(&sigmas);
}

/* The latent after the last step that was written down. */
static struct test_npy last_latent(void)
{
    char name[32], path[512];
    int last = 0;
    for (int i = 1; i <= 64; i++) {
        snprintf(path, sizeof path, "%s/latent_%03d.npy", trace, i);
        if (access(path, R_OK) == 0) last = i;
    }
    snprintf(name, sizeof name, "latent_%03d.npy", last);
    return test_npy_read(trace, name);
}

/* One walk of the library; max|x - golden| / max|golden|. */
static double deviation(const char *program, const char *sampler, const char *schedule,
                        const char *key)
{
    char sigmas[256];
    sdgen_image_params p = sdgen_image_defaults();
    trace = test_folder_make();
    p.like = program;
    p.sampler = sampler;
    p.prompt = test_metadata(&golden, "prompt");
    p.negative_prompt = test_metadata(&golden, "negative");
    p.cfg_scale = atof(test_metadata(&golden, "cfg"));
    p.seed = atoll(test_metadata(&golden, "seed"));
    p.steps = atoi(test_metadata(&golden, "steps"));
    p.width = p.height = atoi(test_metadata(&golden, "side"));
    p.rng = "cpu";
    p.trace_dir = trace;
    if (strcmp(schedule, "karras") == 0) {
        levels_text(sigmas, sizeof sigmas);
        p.sigmas = sigmas;
    } else {
        p.scheduler = schedule;
    }
    if (sdgen_generate(engine, &p, ignore, NULL, &error) != SDGEN_OK)
        fail_msg("%s: %s", key, error.text);
    struct test_npy have = last_latent();
    struct test_floats want = test_golden(&golden, "%s", key);
    assert_int_equal(have.type, TEST_NPY_F32);
    assert_int_equal(have.count, want.count);
    const double ratio = test_ratio(have.data, want.data, want.count);
    test_npy_free(&have);
    test_floats_free(&want);
    clean_up(NULL);
    return ratio;
}

/* The tensor of a walk is called PROGRAM.SAMPLER.SCHEDULE. NULL: not there. */
static const char *find_key(const char *program, const char *sampler)
{
    char head[64];
    const int length = snprintf(head, sizeof head, "%s.%s.", program, sampler);
    for (size_t i = 0; i < golden.count; i++)
        if (strncmp(golden.entries[i].name, head, (size_t)length) == 0)
            return golden.entries[i].name;
    return NULL;
}

/* No original can be had: its Brownian tree draws from std::normal_distribution (noise.c). */
static bool without_original(enum sdg_like like, const char *sampler)
{
    return like == SDG_LIKE_SDCPP && strcmp(sampler, "dpmpp_2m_sde") == 0;
}

static void walks_of(enum sdg_like like)
{
    const struct sdg_sampler *s;
    const char *worst = "";
    double most = 0;
    int walks = 0, missed = 0;
    for (int i = 0; (s = sdg_sampler_at(i)); i++) {
        if (!s->way[like].run || s->way[like].borrowed || without_original(like, s->name)) continue;
        const char *key = find_key(programs[like], s->name);
        if (!key) fail_msg("no golden of %s under %s", s->name, programs[like]);
        const double off = deviation(programs[like], s->name, strrchr(key, '.') + 1, key);
        const bool adapts = strcmp(s->name, "dpm_adaptive") == 0;
        printf("# %s: within %.2g\n", key, off);
        missed += !(off <= (adapts ? ADAPTIVE_BOUND : BOUND));
        if (!adapts && !(off <= most)) {
            most = off;
            worst = s->name;
        }
        walks++;
    }
    printf("# %s: %d samplers, the last latent within %.2g (%s)\n", programs[like], walks, most,
           worst);
    if (missed) fail_msg("%d of %d walks beyond %.3g", missed, walks, BOUND);
}

static void a1111(void **state)
{
    (void)state;
    walks_of(SDG_LIKE_A1111);
}
static void diffusers(void **state)
{
    (void)state;
    walks_of(SDG_LIKE_DIFFUSERS);
}
static void comfyui(void **state)
{
    (void)state;
    walks_of(SDG_LIKE_COMFYUI);
}
static void sdcpp(void **state)
{
    (void)state;
    walks_of(SDG_LIKE_SDCPP);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a1111, clean_up),
        cmocka_unit_test_teardown(diffusers, clean_up),
        cmocka_unit_test_teardown(comfyui, clean_up),
        cmocka_unit_test_teardown(sdcpp, clean_up),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
