/* test_pipeline.c - whole runs of the demo model against the original libraries: diffusers'
 * StableDiffusionPipeline, and k-diffusion with A1111's habits. tools/golden_pipeline.py made the
 * goldens and says what is in them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "sdgen.h"
#include "tests/support/floats.h"
#include "tests/support/npy.h"

#define MODEL "models/data/sdgen-emoji.safetensors"

/* Bounds in parts of the largest absolute value of the array. A latent after twenty guided steps
 * carries the rounding of all of them. */
#define LATENT_BOUND 1e-3
#define START_BOUND 2e-7
#define TEXT_BOUND 1e-4

/* Not const: cmocka hands them to the tests as state. */
static char goldens[][40] = {
    "diffusers_euler",
    "diffusers_euler_a",
    "diffusers_ddim",
    "a1111_euler",
    "a1111_euler_a",
    "a1111_euler_karras",
    "a1111_euler_a_karras_odd",
    "a1111_ddim",
    "diffusers_euler_karras",
    "diffusers_euler_linspace_odd",
    "diffusers_euler_a_trailing",
    "diffusers_ddim_eta",
    "diffusers_long",
    "a1111_ddim_eta",
    "a1111_euler_a_eta",
    "a1111_euler_odd",
    "a1111_batch",
    "a1111_cpu",
    "a1111_long",
    "a1111_unguided",
    "diffusers_dpmpp_2m_karras",
    "diffusers_unipc",
    "diffusers_pndm",
    "a1111_dpmpp_2m_karras",
    "a1111_and",
    "a1111_editing",
};
enum { GOLDENS = sizeof goldens / sizeof goldens[0] };

static sdgen_engine *engine;
static sdgen_error error;

static int load(void **state)
{
    (void)state;
    sdgen_load_params params = sdgen_load_defaults();
    params.precision = "f32";
    params.model_path = MODEL;
    if (sdgen_load(&engine, &params, &error) == SDGEN_OK) return 0;
    printf("# %s\n", error.text);
    return 1;
}

static int unload(void **state)
{
    (void)state;
    sdgen_free(engine);
    return 0;
}

/* ---- one run ---- */

struct run {
    struct sdg_weights golden;
    char *trace;
    uint8_t *rgb;                        /* [images][height][width][3] */
    size_t size;                         /* bytes of one image */
    double worst_latent, worst_eps, off; /* what was seen; off: share of bytes that differ by > 1 */
};

static sdgen_image_params parameters(const struct run *r)
{
    const struct sdg_weights *w = &r->golden;
    sdgen_image_params p = sdgen_image_defaults();
    p.prompt = test_metadata(w, "prompt");
    p.negative_prompt = test_metadata(w, "negative");
    p.width = atoi(test_metadata(w, "width"));
    p.height = atoi(test_metadata(w, "height"));
    p.steps = atoi(test_metadata(w, "steps"));
    p.cfg_scale = atof(test_metadata(w, "cfg"));
    p.seed = atoll(test_metadata(w, "seed"));
    p.batch_count = p.batch_size = atoi(test_metadata(w, "images"));
    p.sampler = test_metadata(w, "sampler");
    p.scheduler = test_metadata(w, "scheduler");
    p.eta = atof(test_metadata(w, "eta"));
    p.like = test_metadata(w, "like");
    p.rng = test_metadata(w, "rng");
    p.trace_dir = r->trace;
    return p;
}

static struct run run;

/* Runs after a failed test too. */
static int clean_up(void **state)
{
    (void)state;
    free(run.rgb);
    test_folder_remove(run.trace);
    sdg_weights_close(&run.golden);
    run = (struct run) {0};
    return 0;
}

static int keep(void *user, const sdgen_image *image)
{
    struct run *r = user;
    r->size = (size_t)image->width * (size_t)image->height * 3;
    memcpy(r->rgb + (size_t)image->index * r->size, image->rgb, r->size);
    return 0;
}

/* The last dimensions of a golden tensor are those of the file. */
static void compare_shape(const struct sdg_tensor *want, const struct test_npy *have,
                          const char *file)
{
    const int more = want->rank - have->rank;
    bool same = more == 0 || more == 1;
    for (int i = 0; same && i < have->rank; i++)
        same = have->shape[i] == (size_t)want->shape[i + more];
    if (!same) fail_msg("%s: wrong shape", file);
}

/* Item `index` of the golden tensor against a whole NumPy file. Returns the ratio. */
static double compare(const struct run *r, const char *tensor, size_t index, const char *file)
{
    struct test_floats want = test_golden(&r->golden, "%s", tensor);
    struct test_npy have = test_npy_read(r->trace, file);
    assert_int_equal(have.type, TEST_NPY_F32);
    compare_shape(&sdg_weights_find(&r->golden, tensor)->tensor, &have, file);
    assert_true((index + 1) * have.count <= want.count);
    const double ratio = test_ratio(have.data, want.data + index * have.count, have.count);
    test_floats_free(&want);
    test_npy_free(&have);
    return ratio;
}

static double compare_step(const struct run *r, const char *tensor, size_t index, const char *stem,
                           int number)
{
    char file[32];
    snprintf(file, sizeof file, "%s_%03d.npy", stem, number);
    return compare(r, tensor, index, file);
}

static void bound(const char *what, int number, double ratio, double limit)
{
    if (!(ratio <= limit))
        fail_msg("%s %d: off by %.3g of the largest value, bound %.3g", what, number, ratio, limit);
}

/* Every step of the walk, in order, so that the first wrong array is the one that is named. */
static void compare_walk(struct run *r)
{
    struct test_floats t = test_golden(&r->golden, "timesteps");
    const int steps = (int)t.count;
    test_floats_free(&t);
    bound("timesteps", 0, compare(r, "timesteps", 0, "timesteps.npy"), 1e-6);
    if (sdg_weights_find(&r->golden, "sigmas"))
        bound("sigmas", 0, compare(r, "sigmas", 0, "sigmas.npy"), 1e-6);
    if (sdg_weights_find(&r->golden, "text_cond"))
        bound("text_cond", 0, compare(r, "text_cond", 0, "text_cond.npy"), TEXT_BOUND);
    bound("latent", 0, compare_step(r, "latents", 0, "latent", 0), START_BOUND);
    for (int i = 1; i <= steps; i++) {
        const double eps = compare_step(r, "eps", (size_t)i - 1, "eps", i);
        const double latent = compare_step(r, "latents", (size_t)i, "latent", i);
        bound("eps", i, eps, LATENT_BOUND);
        bound("latent", i, latent, LATENT_BOUND);
        if (eps > r->worst_eps) r->worst_eps = eps;
        if (latent > r->worst_latent) r->worst_latent = latent;
    }
    if (sdg_weights_find(&r->golden, "image"))
        bound("image", 0, compare(r, "image", 0, "image.npy"), LATENT_BOUND);
}

/* 99.9 % of the 8-bit values within 1. */
static void compare_pixels(struct run *r, size_t images)
{
    const struct sdg_entry *e = sdg_weights_find(&r->golden, "rgb");
    assert_non_null(e);
    const uint8_t *want = e->tensor.data;
    const size_t count = images * r->size;
    size_t off = 0;
    assert_int_equal(sdg_tensor_count(&e->tensor), count);
    for (size_t i = 0; i < count; i++) off += abs(r->rgb[i] - want[i]) > 1;
    r->off = (double)off / (double)count;
    if (off * 1000 > count) fail_msg("%zu of %zu values differ by more than 1", off, count);
}

static void golden_run(void **state)
{
    const char *name = *state;
    char path[128];
    snprintf(path, sizeof path, "tests/golden/pipeline_%s.safetensors", name);
    if (sdg_weights_open(&run.golden, path, &error) != SDGEN_OK) fail_msg("%s", error.text);
    run.trace = test_folder_make();
    const sdgen_image_params p = parameters(&run);
    run.rgb = malloc((size_t)p.batch_count * (size_t)p.width * (size_t)p.height * 3);
    assert_non_null(run.rgb);
    if (sdgen_generate(engine, &p, keep, &run, &error) != SDGEN_OK) fail_msg("%s", error.text);
    compare_walk(&run);
    compare_pixels(&run, (size_t)p.batch_count);
    printf("# %s: latents within %.2g, eps within %.2g, %.3g %% of values off by more than 1\n",
           name, run.worst_latent, run.worst_eps, 100 * run.off);
}

int main(void)
{
    struct CMUnitTest tests[GOLDENS];
    for (int i = 0; i < GOLDENS; i++)
        tests[i] = (struct CMUnitTest) {.name = goldens[i],
                                        .test_func = golden_run,
                                        .teardown_func = clean_up,
                                        .initial_state = goldens[i]};
    return cmocka_run_group_tests(tests, load, unload);
}
