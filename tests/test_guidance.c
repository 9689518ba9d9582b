/* test_guidance.c - classifier-free guidance against diffusers and an f64 twin (tools/
 * golden_noise.py): prompts with weights, rescaling under both rules, when it acts. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "sampling/guidance.h"
#include "tests/support/floats.h"

enum { COUNT = 96, CONDS = 3, SCALES = 4, PHIS = 3, LEVELS = 3 };
#define BOUND 1e-6 /* of the largest value */

static const double scales[SCALES] = {0, 1.5, 7.5, 30}, phis[PHIS] = {0.25, 0.7, 1};
static const float levels[LEVELS] = {0.0625f, 1, 14.5f}, weights[CONDS] = {1, 0.75f, -0.5f};

static struct sdg_weights golden;
static struct test_floats conds, uncond, input;
static const float *cond[CONDS];

static int open_golden(void **state)
{
    (void)state;
    sdgen_error err;
    if (sdg_weights_open(&golden, "tests/golden/noise.safetensors", &err) != SDGEN_OK) return 1;
    conds = test_golden(&golden, "guide.cond");
    uncond = test_golden(&golden, "guide.uncond");
    input = test_golden(&golden, "guide.input");
    for (int i = 0; i < CONDS; i++) cond[i] = conds.data + i * COUNT;
    return conds.count != CONDS * COUNT || uncond.count != COUNT;
}

static int close_golden(void **state)
{
    (void)state;
    test_floats_free(&conds);
    test_floats_free(&uncond);
    test_floats_free(&input);
    sdg_weights_close(&golden);
    return 0;
}

static struct sdg_guidance guidance(double scale, double rescale)
{
    return (struct sdg_guidance) {.scale = scale, .rescale = rescale, .end = 1};
}

static void guide(float *y, int n, const struct sdg_guidance *g, enum sdg_like like, float sigma,
                  enum sdg_prediction p)
{
    sdg_guide(y, cond, weights, n, uncond.data, g, like, input.data, sigma, p, COUNT);
}

static void compare(const float *y, const char *format, const char *name, int i, int j, int row)
{
    struct test_floats want = test_golden(&golden, format, name, i, j);
    const double d = test_ratio(y, want.data + row * COUNT, COUNT);
    if (!(d <= BOUND)) fail_msg("guide.%s %d %d %d: off by %g", name, i, j, row, d);
    test_floats_free(&want);
}

static void weighted_prompts(void **state)
{
    (void)state;
    for (int i = 0; i < SCALES; i++) {
        const struct sdg_guidance g = guidance(scales[i], 0);
        float y[COUNT];
        guide(y, CONDS, &g, SDG_LIKE_A1111, 1, SDG_PREDICT_EPS);
        compare(y, "guide.%s.%d", "and", i, 0, 0);
        guide(y, 1, &g, SDG_LIKE_A1111, 1, SDG_PREDICT_EPS);
        compare(y, "guide.%s.%d", "plain", i, 0, 0);
    }
}

static void without_uncond(void **state)
{
    (void)state;
    const struct sdg_guidance g = guidance(7.5, 0.7);
    float y[COUNT];
    sdg_guide(y, cond, weights, CONDS, NULL, &g, SDG_LIKE_A1111, NULL, 1, SDG_PREDICT_EPS, COUNT);
    compare(y, "guide.%s", "alone", 0, 0, 0);
    sdg_guide(y, cond, weights, 1, NULL, &g, SDG_LIKE_A1111, NULL, 1, SDG_PREDICT_EPS, COUNT);
    assert_memory_equal(y, cond[0], sizeof y);
}

/* diffusers' rescale_noise_cfg on the raw output, whatever the network was trained to say. */
static void rescaled_as_diffusers(void **state)
{
    (void)state;
    for (int i = 0; i < SCALES; i++)
        for (int j = 0; j < PHIS; j++) {
            const struct sdg_guidance g = guidance(scales[i], phis[j]);
            float y[COUNT];
            guide(y, 1, &g, SDG_LIKE_DIFFUSERS, 3, SDG_PREDICT_V);
            compare(y, "guide.%s.%d.%d", "rescaled", i, j, 0);
            guide(y, 1, &g, SDG_LIKE_A1111, 3, SDG_PREDICT_EPS);
            compare(y, "guide.%s.%d.%d", "rescaled", i, j, 0);
        }
}

/* ComfyUI's RescaleCFG, which computes with denoised images and rescales their v. */
static void rescaled_as_comfyui(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum sdg_prediction prediction;
    } kinds[] = {{"eps", SDG_PREDICT_EPS},
                 {"v", SDG_PREDICT_V},
                 {"x0", SDG_PREDICT_X0},
                 {"v", SDG_PREDICT_EDM_V}};
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++)
        for (int i = 0; i < SCALES; i++)
            for (int j = 0; j < PHIS; j++)
                for (int l = 0; l < LEVELS; l++) {
                    const struct sdg_guidance g = guidance(scales[i], phis[j]);
                    float y[COUNT];
                    guide(y, 1, &g, SDG_LIKE_COMFYUI, levels[l], kinds[k].prediction);
                    compare(y, "guide.%s.%d.%d", kinds[k].name, i, j, l);
                }
}

/* out may be the first cond or uncond, rescaled or not. */
static void in_place(void **state)
{
    (void)state;
    for (int rescaled = 0; rescaled < 2; rescaled++) {
        const struct sdg_guidance g = guidance(3, 0.7 * rescaled);
        float want[COUNT], a[COUNT], b[COUNT];
        const float *const first[CONDS] = {a, cond[1], cond[2]};
        guide(want, CONDS, &g, SDG_LIKE_COMFYUI, 2, SDG_PREDICT_EPS);
        memcpy(a, cond[0], sizeof a);
        memcpy(b, uncond.data, sizeof b);
        sdg_guide(a, first, weights, CONDS, uncond.data, &g, SDG_LIKE_COMFYUI, input.data, 2,
                  SDG_PREDICT_EPS, COUNT);
        sdg_guide(b, cond, weights, CONDS, b, &g, SDG_LIKE_COMFYUI, input.data, 2, SDG_PREDICT_EPS,
                  COUNT);
        assert_memory_equal(a, want, sizeof want);
        assert_memory_equal(b, want, sizeof want);
    }
}

/* Nothing to compare: one value, equal values, none. */
static void degenerate(void **state)
{
    (void)state;
    const struct sdg_guidance g = guidance(2, 0.7);
    const float five[2] = {5, 5}, three[2] = {3, 3}, one = 1;
    const float *const c[1] = {five};
    float y[2];
    sdg_guide(y, c, &one, 1, three, &g, SDG_LIKE_DIFFUSERS, five, 1, SDG_PREDICT_EPS, 2);
    assert_true(y[0] == 7 && y[1] == 7);
    sdg_guide(y, c, &one, 1, three, &g, SDG_LIKE_COMFYUI, five, 0, SDG_PREDICT_X0, 1);
    assert_true(y[0] == 7);
    sdg_guide(y, c, &one, 1, three, &g, SDG_LIKE_DIFFUSERS, five, 1, SDG_PREDICT_EPS, 0);
    assert_true(y[0] == 7);
}

/* Six hundred random settings and what an independent reading of the rules makes of them. */
static void when_uncond_is_wanted(void **state)
{
    (void)state;
    const struct sdg_entry *e = sdg_weights_find(&golden, "guide.wanted");
    assert_non_null(e);
    assert_int_equal(sdg_tensor_count(&e->tensor), 600 * 11);
    int yes = 0;
    for (int i = 0; i < 600; i++) {
        double v[11];
        memcpy(v, (const char *)e->tensor.data + i * sizeof v, sizeof v);
        const struct sdg_guidance g = {.scale = v[0],
                                       .start = v[1],
                                       .end = v[2],
                                       .skip_early = v[3],
                                       .min_sigma = v[4],
                                       .min_sigma_all_steps = v[5] != 0,
                                       .above_one = v[6] != 0};
        const bool wants = sdg_guidance_wants_uncond(&g, (int)v[8], (int)v[7], (float)v[9]);
        assert_int_equal(wants, v[10] != 0);
        yes += wants;
    }
    assert_true(yes > 100 && yes < 500);
}

/* Samplers that ask more often than was counted are guided to their end. */
static void beyond_the_last_step(void **state)
{
    (void)state;
    struct sdg_guidance g = guidance(7, 0);
    assert_true(sdg_guidance_wants_uncond(&g, 3, 4, 1));
    assert_true(sdg_guidance_wants_uncond(&g, 143, 4, 1));
    g.end = 0.5;
    assert_false(sdg_guidance_wants_uncond(&g, 143, 4, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weighted_prompts),
        cmocka_unit_test(without_uncond),
        cmocka_unit_test(rescaled_as_diffusers),
        cmocka_unit_test(rescaled_as_comfyui),
        cmocka_unit_test(in_place),
        cmocka_unit_test(degenerate),
        cmocka_unit_test(when_uncond_is_wanted),
        cmocka_unit_test(beyond_the_last_step),
    };
    return cmocka_run_group_tests(tests, open_golden, close_golden);
}
