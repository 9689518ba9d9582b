/* test_levels.c - the noise levels of training under each program, and quantiles of the beta
 * distribution, against k-diffusion, diffusers, scipy and twins of ComfyUI and
 * stable-diffusion.cpp. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#include "sampling/beta_quantile.h"
#include "sampling/levels.h"
#include "tests/support/floats.h"

static struct sdg_weights golden;
static struct sdg_levels levels;
static sdgen_error error;

static int open_golden(void **state)
{
    (void)state;
    return sdg_weights_open(&golden, "tests/golden/sampling.safetensors", &error) != SDGEN_OK;
}

static int close_golden(void **state)
{
    (void)state;
    sdg_weights_close(&golden);
    return 0;
}

static void use(enum sdg_like like)
{
    sdg_levels_init(&levels, like, SDG_PREDICT_EPS, false);
}

/* have[count] is the golden array `key`, every value within `each` of itself. */
static void compare(const char *key, const float *have, size_t count, double each)
{
    struct test_floats want = test_golden(&golden, "%s", key);
    if (want.count != count) fail_msg("%s: %zu values, want %zu", key, count, want.count);
    for (size_t i = 0; i < count; i++)
        if (!(fabs((double)have[i] - (double)want.data[i]) <= each * fabs((double)want.data[i])))
            fail_msg("%s[%zu]: %.9g, want %.9g", key, i, (double)have[i], (double)want.data[i]);
    test_floats_free(&want);
}

/* Level to timestep and back for the levels of one program; `name`: how its goldens begin. */
static void compare_levels(const char *name, double each)
{
    static const double at[] = {0, 0.5, 19, 333.25, 998.75, 999};
    char key[64];
    struct test_floats probe = test_golden(&golden, "levels.probe");
    float have[16];
    snprintf(key, sizeof key, "levels.%s.sigma", name);
    compare(key, levels.sigma, SDG_TRAIN_STEPS, each);
    struct test_floats want = test_golden(&golden, "levels.%s.timesteps", name);
    for (size_t i = 0; i < probe.count; i++) {
        const float t = sdg_levels_timestep(&levels, (double)probe.data[i]);
        if (!(fabsf(t - want.data[i]) <= 2e-3f)) /* sought between logarithms, whose last bit */
            fail_msg("%s: timestep of %g: %.9g, want %.9g", name, (double)probe.data[i], (double)t,
                     (double)want.data[i]);
        assert_true(levels.like != SDG_LIKE_COMFYUI || t == rintf(t) ||
                    levels.prediction == SDG_PREDICT_EDM_V);
    }
    if (levels.prediction != SDG_PREDICT_EDM_V) {
        for (int i = 0; i < 6; i++) have[i] = sdg_levels_sigma(&levels, at[i]);
        snprintf(key, sizeof key, "levels.%s.at", name);
        compare(key, have, 6, 1e-6);
    }
    test_floats_free(&want);
    test_floats_free(&probe);
}

static void levels_programs(void **state)
{
    (void)state;
    use(SDG_LIKE_A1111);
    compare_levels("a1111", 1e-6);
    compare("levels.a1111.abar", levels.abar, SDG_TRAIN_STEPS, 1e-7);
    use(SDG_LIKE_COMFYUI);
    compare_levels("comfyui", 1e-6);
    use(SDG_LIKE_SDCPP);
    compare_levels("sdcpp", 1e-6);
    sdg_levels_init(&levels, SDG_LIKE_A1111, SDG_PREDICT_V, true);
    compare_levels("a1111.zero", 1e-6);
    sdg_levels_init(&levels, SDG_LIKE_COMFYUI, SDG_PREDICT_V, true);
    compare_levels("comfyui.zero", 1e-6);
    sdg_levels_init(&levels, SDG_LIKE_COMFYUI, SDG_PREDICT_EDM_V, false);
    compare_levels("comfyui.edm", 1e-6);
    assert_true(fabsf(levels.sigma_max / 120 - 1) < 1e-6f);
}

static void levels_diffusers(void **state)
{
    (void)state;
    use(SDG_LIKE_DIFFUSERS);
    compare("levels.diffusers.abar", levels.abar, SDG_TRAIN_STEPS, 1.5e-7);
    compare("levels.diffusers.sigma", levels.sigma, SDG_TRAIN_STEPS, 4e-5);
    sdg_levels_init(&levels, SDG_LIKE_DIFFUSERS, SDG_PREDICT_V, true);
    /* torch's square root may be one unit off, which the rescaling makes 1e-5 at the end. */
    compare("levels.diffusers.zero.abar", levels.abar, SDG_TRAIN_STEPS, 3e-5);
    assert_true(levels.abar[999] == 0x1p-24f);
}

/* From the closed formulas in double. */
static void levels_known(void **state)
{
    (void)state;
    static const struct {
        int t;
        double abar, sigma;
    } known[] = {{0, 0.99915, 0.029167158},        {10, 0.9904313091, 0.098291074},
                 {250, 0.6737926252, 0.695798937}, {500, 0.2763326838, 1.618278826},
                 {750, 0.0561698480, 4.099164051}, {999, 0.0046600985131, 14.614641229}};
    static const struct {
        double sigma, t;
        int nearest;
    } steps[] = {{14.0, 991.884418, 992},
                 {1.0, 353.890411, 354},
                 {0.5, 169.314771, 169},
                 {0.05, 1.933854, 2}};
    for (int like = 0; like < SDG_LIKE_COUNT; like++) {
        const bool wide = like == SDG_LIKE_COMFYUI, single = like == SDG_LIKE_SDCPP;
        use((enum sdg_like)like);
        for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
            const double abar = (double)levels.abar[known[i].t] / known[i].abar - 1;
            const double sigma = (double)levels.sigma[known[i].t] / known[i].sigma - 1;
            assert_true(fabs(abar) < (like == SDG_LIKE_A1111 || wide ? 1e-7 : 1e-4));
            assert_true(fabs(sigma) < (wide ? 1e-7 : single ? 3e-4 : 4e-5));
        }
        for (int i = 0; i < 4; i++) {
            const double t = (double)sdg_levels_timestep(&levels, steps[i].sigma);
            assert_true(wide ? t == steps[i].nearest : fabs(t - steps[i].t) < 2e-2);
        }
    }
    sdg_levels_init(&levels, SDG_LIKE_A1111, SDG_PREDICT_V, true);
    assert_true(fabsf(levels.sigma[999] / 4518.764f - 1) < 1e-6f);
    assert_true(fabsf(levels.sigma[998] / 2254.238f - 1) < 1e-4f);
    assert_true(fabsf(levels.abar[500] / 0.24101878f - 1) < 1e-6f);
    sdg_levels_init(&levels, SDG_LIKE_DIFFUSERS, SDG_PREDICT_V, true);
    assert_true(fabsf(levels.sigma[999] / 4096 - 1) < 1e-6f);
}

static void beta_quantiles(void **state)
{
    (void)state;
    struct test_floats p = test_golden(&golden, "beta.p"),
                       q = test_golden(&golden, "beta.quantile");
    struct test_floats dp = test_golden(&golden, "beta.p.rest");
    struct test_floats dq = test_golden(&golden, "beta.quantile.rest");
    for (size_t i = 0; i < p.count; i++) {
        const double have = sdg_beta_quantile((double)p.data[i] + (double)dp.data[i], 0.6, 0.6);
        const double want = (double)q.data[i] + (double)dq.data[i];
        if (!(fabs(have - want) <= 1e-12 * want))
            fail_msg("quantile %zu: %.17g, want %.17g", i, have, want);
    }
    test_floats_free(&p);
    test_floats_free(&q);
    test_floats_free(&dp);
    test_floats_free(&dq);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(levels_programs),
        cmocka_unit_test(levels_diffusers),
        cmocka_unit_test(levels_known),
        cmocka_unit_test(beta_quantiles),
    };
    return cmocka_run_group_tests(tests, open_golden, close_golden);
}
