/* test_samplers.c - samplers of one step on a known denoiser (samplercase.h), against k-diffusion,
 * diffusers and float64 twins at every step; the table of samplers. Prints the largest deviation of
 * each comparison as a comment. The multistep samplers: test_samplers_multistep.c. */
#define _GNU_SOURCE
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "sampling/samplers_all.h"
#include "tests/support/floats.h"
#include "tests/support/samplercase.h"

static struct sdg_weights golden;
static sdgen_error error;

static int open_golden(void **state)
{
    (void)state;
    return sdg_weights_open(&golden, "tests/golden/samplers.safetensors", &error) != SDGEN_OK;
}

static int close_golden(void **state)
{
    (void)state;
    sdg_weights_close(&golden);
    return 0;
}

/* ---- walks of the originals, at every step ---- */

static const char *const ours[] = {"discrete.4",    "discrete.10",    "discrete.25",
                                   "karras.4",      "karras.10",      "karras.25",
                                   "exponential.4", "exponential.10", "exponential.25"};
static const char *const karras[] = {"karras.4", "karras.10", "karras.25"};
static const char *const karras9[] = {"karras.4", "karras.9", "karras.10", "karras.25"};
static const char *const karras40[] = {"karras.4", "karras.10", "karras.25", "karras.40"};
static const char *const leading[] = {"diffusers_leading.4", "diffusers_leading.10",
                                      "diffusers_leading.25"};
static const char *const spacings[] = {
    "diffusers_leading.4",  "diffusers_leading.10",  "diffusers_leading.25",
    "diffusers_linspace.4", "diffusers_linspace.10", "diffusers_linspace.25",
    "diffusers_trailing.4", "diffusers_trailing.10", "diffusers_trailing.25"};
static const char *const flags[] = {"diffusers_karras.4",       "diffusers_karras.10",
                                    "diffusers_karras.25",      "diffusers_exponential.4",
                                    "diffusers_exponential.10", "diffusers_exponential.25"};
#define LISTS(l) l, sizeof l / sizeof l[0]

enum { CHURN = 1, V = 2 }; /* s_churn 3 between 0.3 and 6, s_noise 1.1; v prediction */

struct walk {
    const char *key; /* of the golden states */
    const struct sdg_sampler *sampler;
    enum sdg_like like;
    const char *const *lists;
    size_t count;
    double eta; /* negative: the way's own */
    double r, s_noise;
    int kind;
};

static const struct walk walks[] = {
    {"kdiffusion.euler", &sdg_sampler_euler, SDG_LIKE_A1111, LISTS(ours), -1, 0.5, 1, 0},
    {"kdiffusion.euler", &sdg_sampler_euler, SDG_LIKE_SDCPP, LISTS(ours), -1, 0.5, 1, 0},
    {"kdiffusion.euler_churn", &sdg_sampler_euler, SDG_LIKE_A1111, LISTS(karras), -1, 0.5, 1.1,
     CHURN},
    {"twin.euler_churn", &sdg_sampler_euler, SDG_LIKE_COMFYUI, LISTS(ours), -1, 0.5, 1.1, CHURN},
    {"diffusers.euler", &sdg_sampler_euler, SDG_LIKE_DIFFUSERS, LISTS(spacings), -1, 0.5, 1, 0},
    {"diffusers.euler", &sdg_sampler_euler, SDG_LIKE_DIFFUSERS, LISTS(flags), -1, 0.5, 1, 0},
    {"diffusers.euler_churn", &sdg_sampler_euler, SDG_LIKE_DIFFUSERS, LISTS(leading), -1, 0.5, 1.1,
     CHURN},
    {"diffusers.euler_churn_v", &sdg_sampler_euler, SDG_LIKE_DIFFUSERS, LISTS(leading), -1, 0.5,
     1.1, CHURN | V},
    {"kdiffusion.euler_a", &sdg_sampler_euler_a, SDG_LIKE_A1111, LISTS(ours), -1, 0.5, 1, 0},
    {"kdiffusion.euler_a", &sdg_sampler_euler_a, SDG_LIKE_COMFYUI, LISTS(ours), -1, 0.5, 1, 0},
    {"kdiffusion.euler_a", &sdg_sampler_euler_a, SDG_LIKE_SDCPP, LISTS(ours), -1, 0.5, 1, 0},
    {"kdiffusion.euler_a_half", &sdg_sampler_euler_a, SDG_LIKE_A1111, LISTS(ours), 0.5, 0.5, 1.05,
     0},
    {"diffusers.euler_a", &sdg_sampler_euler_a, SDG_LIKE_DIFFUSERS, LISTS(spacings), -1, 0.5, 1, 0},
    {"kdiffusion.heun", &sdg_sampler_heun, SDG_LIKE_A1111, LISTS(ours), -1, 0.5, 1, 0},
    {"kdiffusion.heun_churn", &sdg_sampler_heun, SDG_LIKE_A1111, LISTS(karras), -1, 0.5, 1.1,
     CHURN},
    {"diffusers.heun", &sdg_sampler_heun, SDG_LIKE_DIFFUSERS, LISTS(spacings), -1, 0.5, 1, 0},
    {"diffusers.heun", &sdg_sampler_heun, SDG_LIKE_DIFFUSERS, LISTS(flags), -1, 0.5, 1, 0},
    {"twin.heunpp2", &sdg_sampler_heunpp2, SDG_LIKE_COMFYUI, LISTS(ours), -1, 0.5, 1, 0},
    {"twin.heunpp2_churn", &sdg_sampler_heunpp2, SDG_LIKE_COMFYUI, LISTS(ours), -1, 0.5, 1.1,
     CHURN},
    {"kdiffusion.dpm2", &sdg_sampler_dpm2, SDG_LIKE_A1111, LISTS(ours), -1, 0.5, 1, 0},
    {"kdiffusion.dpm2_churn", &sdg_sampler_dpm2, SDG_LIKE_A1111, LISTS(karras), -1, 0.5, 1.1,
     CHURN},
    {"diffusers.dpm2", &sdg_sampler_dpm2, SDG_LIKE_DIFFUSERS, LISTS(spacings), -1, 0.5, 1, 0},
    {"diffusers.dpm2", &sdg_sampler_dpm2, SDG_LIKE_DIFFUSERS, LISTS(flags), -1, 0.5, 1, 0},
    {"kdiffusion.dpm2_a", &sdg_sampler_dpm2_a, SDG_LIKE_A1111, LISTS(ours), -1, 0.5, 1, 0},
    {"diffusers.dpm2_a", &sdg_sampler_dpm2_a, SDG_LIKE_DIFFUSERS, LISTS(spacings), -1, 0.5, 1, 0},
    {"diffusers.dpm2_a", &sdg_sampler_dpm2_a, SDG_LIKE_DIFFUSERS, LISTS(flags), -1, 0.5, 1, 0},
    {"kdiffusion.dpm_fast_0", &sdg_sampler_dpm_fast, SDG_LIKE_COMFYUI, LISTS(karras9), 0, 0.5, 1,
     0},
    {"kdiffusion.dpm_fast_1", &sdg_sampler_dpm_fast, SDG_LIKE_A1111, LISTS(karras9), -1, 0.5, 1, 0},
    {"kdiffusion.dpm_adaptive_0", &sdg_sampler_dpm_adaptive, SDG_LIKE_COMFYUI, LISTS(karras), 0,
     0.5, 1, 0},
    {"kdiffusion.dpm_adaptive_1", &sdg_sampler_dpm_adaptive, SDG_LIKE_A1111, LISTS(karras), -1, 0.5,
     1, 0},
    {"kdiffusion.dpmpp_2s_a", &sdg_sampler_dpmpp_2s_a, SDG_LIKE_A1111, LISTS(ours), -1, 0.5, 1, 0},
    {"kdiffusion.dpmpp_2s_a", &sdg_sampler_dpmpp_2s_a, SDG_LIKE_SDCPP, LISTS(ours), -1, 0.5, 1, 0},
    {"kdiffusion.dpmpp_sde", &sdg_sampler_dpmpp_sde, SDG_LIKE_A1111, LISTS(ours), -1, 0.5, 1, 0},
    {"diffusers.dpmpp_sde", &sdg_sampler_dpmpp_sde, SDG_LIKE_DIFFUSERS, LISTS(spacings), -1, 0.5, 1,
     0},
    {"diffusers.dpmpp_sde", &sdg_sampler_dpmpp_sde, SDG_LIKE_DIFFUSERS, LISTS(flags), -1, 0.5, 1,
     0},
    {"kdiffusion.dpmpp_sde_r", &sdg_sampler_dpmpp_sde, SDG_LIKE_COMFYUI, LISTS(ours), 0.7, 0.3,
     1.05, 0},
    {"twin.restart", &sdg_sampler_restart, SDG_LIKE_A1111, LISTS(ours), -1, 0.5, 1, 0},
    {"twin.restart", &sdg_sampler_restart, SDG_LIKE_A1111, LISTS(karras40), -1, 0.5, 1, 0},
    {"twin.lcm_a1111", &sdg_sampler_lcm, SDG_LIKE_A1111, LISTS(ours), -1, 0.5, 1, 0},
    {"twin.lcm", &sdg_sampler_lcm, SDG_LIKE_COMFYUI, LISTS(ours), -1, 0.5, 1, 0},
    {"twin.lcm", &sdg_sampler_lcm, SDG_LIKE_SDCPP, LISTS(ours), -1, 0.5, 1, 0},
    {"twin.tcd", &sdg_sampler_tcd, SDG_LIKE_SDCPP, LISTS(ours), -1, 0.5, 1, 0},
    {"twin.tcd_eta", &sdg_sampler_tcd, SDG_LIKE_SDCPP, LISTS(ours), 0.3, 0.5, 1, 0},
    {"twin.ddpm", &sdg_sampler_ddpm, SDG_LIKE_COMFYUI, LISTS(ours), -1, 0.5, 1, 0},
    {"twin.res_2s", &sdg_sampler_res_2s, SDG_LIKE_SDCPP, LISTS(ours), -1, 0.5, 1, 0},
    {"twin.res_2s_eta", &sdg_sampler_res_2s, SDG_LIKE_SDCPP, LISTS(ours), 1, 0.5, 1, 0},
    {"twin.euler_cfg_pp", &sdg_sampler_euler_cfg_pp, SDG_LIKE_COMFYUI, LISTS(ours), -1, 0.5, 1, 0},
    {"twin.euler_a_cfg_pp", &sdg_sampler_euler_a_cfg_pp, SDG_LIKE_SDCPP, LISTS(ours), -1, 0.5, 1,
     0},
    {"twin.dpmpp_2s_a_cfg_pp", &sdg_sampler_dpmpp_2s_a_cfg_pp, SDG_LIKE_COMFYUI, LISTS(ours), -1,
     0.5, 1, 0},
    {"twin.dpmpp_2m_cfg_pp", &sdg_sampler_dpmpp_2m_cfg_pp, SDG_LIKE_COMFYUI, LISTS(ours), -1, 0.5,
     1, 0},
};

/* f32 rounding at levels near 14.6 is 1e-6 of latents near 1; steps carry it on. Three samplers
 * subtract what is nearly equal, as their originals do in f32:
 *   DPM2 a  down = sqrt(s'^2 - up^2): one unit in the last place of `up`, whose root torch does not
 *           always round correctly, is 7e-5 of it
 *   TCD     1/abar' - 1/abar_q, 0 but for rounding on the step to the lowest trained level
 *   DDPM    1 - abar at low levels */
static double bound_of(const struct walk *w)
{
    const bool loose = w->sampler == &sdg_sampler_dpm2_a || w->sampler == &sdg_sampler_tcd ||
                       w->sampler == &sdg_sampler_ddpm;
    return loose ? 1e-4 : 1e-5;
}

static void set_options(struct test_case *c, const struct walk *w)
{
    struct sdg_sampler_options *o = &c->s.options;
    if (w->eta >= 0) o->eta = w->eta;
    o->r = w->r;
    o->s_noise = w->s_noise;
    if (w->kind & V) c->levels.prediction = SDG_PREDICT_V;
    if (!(w->kind & CHURN)) return;
    o->s_churn = 3;
    o->s_tmin = 0.3;
    o->s_tmax = 6;
}

static void walks_of_the_originals(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof walks / sizeof walks[0]; i++) {
        const struct walk *w = &walks[i];
        double worst = 0;
        for (size_t k = 0; k < w->count; k++) {
            struct test_case c;
            test_case_open(&c, w->sampler, w->like, 2, 8);
            set_options(&c, w);
            const double d = test_case_golden(&c, &golden, w->key, w->lists[k]);
            test_case_close(&c);
            if (!(d <= bound_of(w)))
                fail_msg("%s, %s: %.3g of the largest value", w->key, w->lists[k], d);
            worst = fmax(worst, d);
        }
        print_message("# %-28s %-18s %.1e\n", w->key, w->sampler->name, worst);
    }
}

/* ---- one scalar, values from the published formulas in double ---- */

/* From x = 7 over the first `levels` of a list by hand, with counted noise. */
static float scalar_walk(const struct walk *w, int levels)
{
    static const float list[] = {10, 5, 2.5f, 1.2f, 0.5f, 0.1f, 0};
    struct test_case c;
    test_case_open(&c, w->sampler, w->like, 1, 1);
    set_options(&c, w);
    c.counted = true;
    test_case_sigmas(&c, list, levels - 1);
    c.x[0] = 7;
    assert_true(test_case_run(&c));
    test_case_close(&c);
    return c.x[0];
}

static const struct {
    struct walk w;
    double end, near_end; /* of the whole list, and without its final 0 */
} scalars[] = {
    {{"", &sdg_sampler_euler, SDG_LIKE_A1111, NULL, 0, -1, 0.5, 1, 0}, 0.511163999, 0.501038147},
    {{"", &sdg_sampler_euler, SDG_LIKE_DIFFUSERS, NULL, 0, -1, 0.5, 1, 0},
     0.511163999,
     0.501038147},
    {{"", &sdg_sampler_euler, SDG_LIKE_A1111, NULL, 0, -1, 0.5, 1.1, CHURN}, 0.522331780, NAN},
    {{"", &sdg_sampler_euler, SDG_LIKE_COMFYUI, NULL, 0, -1, 0.5, 1.1, CHURN}, 0.509638745, NAN},
    {{"", &sdg_sampler_euler_a, SDG_LIKE_A1111, NULL, 0, -1, 0.5, 1, 0}, 0.525034759, 0.541160753},
    {{"", &sdg_sampler_euler_a, SDG_LIKE_SDCPP, NULL, 0, -1, 0.5, 1, 0}, 0.525034759, 0.541160753},
    {{"", &sdg_sampler_heun, SDG_LIKE_A1111, NULL, 0, -1, 0.5, 1, 0}, 0.541732115, 0.591130190},
    {{"", &sdg_sampler_dpm2, SDG_LIKE_A1111, NULL, 0, -1, 0.5, 1, 0}, 0.541640342, 0.590850305},
    {{"", &sdg_sampler_dpm2_a, SDG_LIKE_A1111, NULL, 0, -1, 0.5, 1, 0}, 0.547137079, 0.607719959},
    {{"", &sdg_sampler_dpmpp_2s_a, SDG_LIKE_A1111, NULL, 0, -1, 0.5, 1, 0},
     0.534426414,
     0.569033563},
    {{"", &sdg_sampler_dpmpp_sde, SDG_LIKE_A1111, NULL, 0, -1, 0.5, 1, 0},
     0.502837114,
     0.477519588},
    {{"", &sdg_sampler_ddpm, SDG_LIKE_COMFYUI, NULL, 0, -1, 0.5, 1, 0}, 0.525034759, 0.541160753},
    {{"", &sdg_sampler_lcm, SDG_LIKE_COMFYUI, NULL, 0, -1, 0.5, 1, 0}, 0.529415499, 0.554088924},
    {{"", &sdg_sampler_heunpp2, SDG_LIKE_COMFYUI, NULL, 0, -1, 0.5, 1, 0}, 0.513541544, NAN},
    {{"", &sdg_sampler_tcd, SDG_LIKE_SDCPP, NULL, 0, 0.3, 0.5, 1, 0}, 0.486446815, 0.461409883},
    {{"", &sdg_sampler_res_2s, SDG_LIKE_SDCPP, NULL, 0, -1, 0.5, 1, 0}, 0.532026546, 0.561855047},
    {{"", &sdg_sampler_euler_cfg_pp, SDG_LIKE_COMFYUI, NULL, 0, -1, 0.5, 1, 0},
     0.544385315,
     0.599247666},
    {{"", &sdg_sampler_euler_a_cfg_pp, SDG_LIKE_COMFYUI, NULL, 0, -1, 0.5, 1, 0},
     0.536279089,
     0.574602146},
    {{"", &sdg_sampler_dpmpp_2s_a_cfg_pp, SDG_LIKE_COMFYUI, NULL, 0, -1, 0.5, 1, 0},
     0.548183363,
     0.610955700},
    {{"", &sdg_sampler_dpmpp_2m_cfg_pp, SDG_LIKE_COMFYUI, NULL, 0, -1, 0.5, 1, 0},
     0.641310663,
     0.936158857},
};

static void scalar_values(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof scalars / sizeof scalars[0]; i++) {
        const struct walk *w = &scalars[i].w;
        for (int levels = 6; levels <= 7; levels++) {
            const double want = levels == 7 ? scalars[i].end : scalars[i].near_end;
            if (isnan(want)) continue;
            const double have = (double)scalar_walk(w, levels);
            if (!(fabs(have - want) <= 3e-6))
                fail_msg("%s over %d levels: %.9f, not %.9f", w->sampler->name, levels, have, want);
        }
    }
}

/* The DPM solvers from level 10 to 0.1. */
static struct test_case *dpm_walk(struct test_case *c, const struct sdg_sampler *sampler, int steps,
                                  double eta)
{
    float list[SDG_MAX_STEPS + 1] = {0};
    for (int i = 0; i < steps; i++)
        list[i] = steps > 1 ? 10 - 9.9f * (float)i / (float)(steps - 1) : 10;
    list[steps - 1] = 0.1f;
    test_case_open(c, sampler, SDG_LIKE_COMFYUI, 1, 1);
    c->counted = true;
    c->s.options.eta = eta;
    test_case_sigmas(c, list, steps);
    c->x[0] = 7;
    assert_true(test_case_run(c));
    test_case_close(c);
    return c;
}

static void dpm_solver_values(void **state)
{
    (void)state;
    static const double fast[] = {0.63332648, 0.52420087, 0.55996693}; /* 6, 7, 8 evaluations */
    struct test_case c;
    for (int i = 0; i < 3; i++) {
        assert_float_equal(dpm_walk(&c, &sdg_sampler_dpm_fast, 6 + i, 0)->x[0], fast[i], 2e-6);
        assert_int_equal(c.calls, 6 + i);
    }
    assert_float_equal(dpm_walk(&c, &sdg_sampler_dpm_adaptive, 20, 0)->x[0], 0.55183968, 2e-6);
    assert_int_equal(c.steps, 8);
    assert_int_equal(c.calls, 24);
    assert_float_equal(dpm_walk(&c, &sdg_sampler_dpm_adaptive, 20, 1)->x[0], 0.53832825, 2e-6);
    assert_int_equal(c.steps, 11);
    assert_int_equal(c.calls, 39);
}

/* A1111 gives these two the range of the model, whatever the schedule says. */
static void dpm_range_is_the_models_under_a1111(void **state)
{
    (void)state;
    struct test_case whole, short_list;
    test_case_open(&whole, &sdg_sampler_dpm_fast, SDG_LIKE_A1111, 1, 8);
    test_case_open(&short_list, &sdg_sampler_dpm_fast, SDG_LIKE_A1111, 1, 8);
    const float high = whole.levels.sigma_max, low = whole.levels.sigma_min;
    test_case_sigmas(&whole, (const float[]) {high, 5, 2, low, 0}, 4);
    test_case_sigmas(&short_list, (const float[]) {high, 8, 3, 1, 0}, 4);
    test_case_start(&whole, high);
    test_case_start(&short_list, high);
    assert_true(test_case_run(&whole) && test_case_run(&short_list));
    assert_memory_equal(whole.x, short_list.x, 8 * sizeof(float));
    test_case_close(&whole);
    test_case_close(&short_list);
}

/* ---- timesteps ---- */

/* A schedule's own numbers reach the model, for the level that a step leads to as well; the middle
 * of a step gets the number of its level. */
static void timesteps_are_the_schedules(void **state)
{
    (void)state;
    static const struct sdg_sampler *const samplers[] = {&sdg_sampler_euler, &sdg_sampler_heun,
                                                         &sdg_sampler_dpm2};
    for (int i = 0; i < 3; i++)
        for (int moved = 0; moved < 2; moved++) {
            struct test_case c;
            test_case_open(&c, samplers[i], SDG_LIKE_A1111, 1, 4);
            test_case_sigmas(&c, (const float[]) {9, 4, 1.5f, 0.5f, 0}, 4);
            for (int k = 0; moved && k < 4; k++) c.schedule.timesteps[k] += 0.25f;
            test_case_start(&c, 9);
            assert_true(test_case_run(&c));
            assert_float_equal(c.timestep_off, moved ? 0.25 : 0, 1e-4);
            test_case_close(&c);
        }
}

/* ---- order of convergence ---- */

enum { EXACT_STEPS = 2000 };

/* dx/d(ln s) = x - D(x; s) by the classical Runge-Kutta method in double. */
static double exact(double x, double from, double to)
{
    const double h = log(to / from) / EXACT_STEPS;
    for (int i = 0; i < EXACT_STEPS; i++) {
        const double a = from * exp(i * h), b = a * exp(h / 2), c = a * exp(h);
        const double k1 = x - test_case_denoised(x, a);
        const double x2 = x + h / 2 * k1, k2 = x2 - test_case_denoised(x2, b);
        const double x3 = x + h / 2 * k2, k3 = x3 - test_case_denoised(x3, b);
        const double x4 = x + h * k3, k4 = x4 - test_case_denoised(x4, c);
        x += h / 6 * (k1 + 2 * k2 + 2 * k3 + k4);
    }
    return x;
}

/* Root mean square error after n even steps in ln s from 5 to 0.2, without fresh noise. */
static double error_after(const struct sdg_sampler *sampler, int n)
{
    const double from = 5, to = 0.2;
    float list[SDG_MAX_STEPS + 1];
    double sum = 0;
    struct test_case c;
    for (int i = 0; i <= n; i++) list[i] = (float)(from * pow(to / from, (double)i / n));
    test_case_open(&c, sampler, SDG_LIKE_COMFYUI, 1, 16);
    c.s.options.eta = 0;
    test_case_sigmas(&c, list, n);
    test_case_start(&c, 2);
    double start[16];
    for (int j = 0; j < 16; j++) start[j] = (double)c.x[j];
    assert_true(test_case_run(&c));
    for (int j = 0; j < 16; j++)
        sum += pow((double)c.x[j] - exact(start[j], (double)list[0], (double)list[n]), 2);
    test_case_close(&c);
    return sqrt(sum / 16);
}

static void orders(void **state)
{
    (void)state;
    static const struct sdg_sampler *const samplers[] = {
        &sdg_sampler_euler,  &sdg_sampler_euler_a, &sdg_sampler_heun,       &sdg_sampler_heunpp2,
        &sdg_sampler_dpm2,   &sdg_sampler_dpm2_a,  &sdg_sampler_dpmpp_2s_a, &sdg_sampler_dpmpp_sde,
        &sdg_sampler_res_2s, &sdg_sampler_restart, &sdg_sampler_dpm_fast,
    };
    for (size_t i = 0; i < sizeof samplers / sizeof samplers[0]; i++) {
        const struct sdg_sampler *s = samplers[i];
        const int n = s == &sdg_sampler_restart ? 4 : 24;
        const double order = log2(error_after(s, n) / error_after(s, 2 * n));
        print_message("# %-18s order %.2f\n", s->name, order);
        if (!(order > s->order - 0.25 && order < s->order + 0.75))
            fail_msg("%s: the error falls with order %.2f, not %d", s->name, order, s->order);
    }
}

/* ---- the contract, for every sampler of the table ---- */

static void make_schedule(struct test_case *c, int steps)
{
    const struct sdg_schedule_request request = {
        .scheduler = c->sampler->way[c->s.like].own_scheduler, .steps = steps};
    const sdgen_status status =
        sdg_schedule_make(&c->schedule, &request, c->sampler, &c->levels, &error);
    if (status != SDGEN_OK) fail_msg("%s: %s", c->sampler->name, error.text);
}

static void stops_when_told(void **state)
{
    (void)state;
    for (int i = 0; sdg_sampler_at(i); i++)
        for (int like = 0; like < SDG_LIKE_COUNT; like++)
            for (int stop = 0; stop < 3; stop++) {
                struct test_case c;
                if (!sdg_sampler_at(i)->way[like].run) continue;
                test_case_open(&c, sdg_sampler_at(i), (enum sdg_like)like, 1, 4);
                make_schedule(&c, 6);
                test_case_start(&c, c.schedule.init_sigma);
                c.stop_at = stop;
                if (test_case_run(&c)) fail_msg("%s went on", c.sampler->name);
                assert_int_equal(c.calls, stop + 1);
                test_case_close(&c);
            }
}

/* Without an `after` callback, and images independent of their neighbours; but for the one sampler
 * that chooses its steps for the batch. */
static void batch_is_elementwise(void **state)
{
    (void)state;
    for (int i = 0; sdg_sampler_at(i); i++)
        for (int like = 0; like < SDG_LIKE_COUNT; like++) {
            struct test_case both, one;
            const struct sdg_sampler *s = sdg_sampler_at(i);
            if (!s->way[like].run || s == &sdg_sampler_dpm_adaptive) continue;
            test_case_open(&both, s, (enum sdg_like)like, 2, 5);
            test_case_open(&one, s, (enum sdg_like)like, 1, 5);
            make_schedule(&both, 6);
            make_schedule(&one, 6);
            both.s.after = one.s.after = NULL;
            both.counted = one.counted = true;
            for (int j = 0; j < 10; j++) both.x[j] = (float)j - 4;
            memcpy(one.x, both.x + 5, 5 * sizeof(float));
            assert_true(test_case_run(&both) && test_case_run(&one));
            if (memcmp(both.x + 5, one.x, 5 * sizeof(float)) != 0)
                fail_msg("%s: an image depends on its batch", s->name);
            for (int j = 0; j < 10; j++)
                if (!isfinite(both.x[j])) fail_msg("%s, program %d: not a number", s->name, like);
            test_case_close(&both);
            test_case_close(&one);
        }
}

/* ---- names ---- */

/* Every alias finds its own sampler: no two share one. */
static void every_alias_is_found(void **state)
{
    (void)state;
    for (int i = 0; sdg_sampler_at(i); i++) {
        const struct sdg_sampler *s = sdg_sampler_at(i), *found = NULL;
        char aliases[1024], *rest = NULL;
        if (sdg_sampler_find(&found, NULL, s->label, &error) != SDGEN_OK)
            fail_msg("%s", error.text);
        if (found != s) fail_msg("\"%s\" finds %s", s->label, found->name);
        assert_true(strlen(s->aliases) < sizeof aliases);
        strcpy(aliases, s->aliases);
        for (char *a = strtok_r(aliases, "|", &rest); a; a = strtok_r(NULL, "|", &rest)) {
            enum sdg_scheduler scheduler = SDG_SCHEDULER_COUNT;
            if (sdg_sampler_find(&found, &scheduler, a, &error) != SDGEN_OK)
                fail_msg("%s", error.text);
            if (found != s) fail_msg("\"%s\" finds %s, not %s", a, found->name, s->name);
            assert_int_equal(scheduler, SDG_SCHEDULER_COUNT);
        }
    }
}

static void compound_names(void **state)
{
    (void)state;
    static const struct {
        const char *name, *sampler;
        enum sdg_scheduler scheduler;
    } compounds[] = {
        {"DPM++ 2M Karras", "dpmpp_2m", SDG_SCHEDULER_KARRAS},
        {"k_dpmpp_2m_ka", "dpmpp_2m", SDG_SCHEDULER_KARRAS},
        {"dpmpp_2m_sde_karras", "dpmpp_2m_sde", SDG_SCHEDULER_KARRAS},
        {"DPM++ 2M SDE Heun Exponential", "dpmpp_2m_sde_heun", SDG_SCHEDULER_EXPONENTIAL},
        {"DPM++ 2S a Karras", "dpmpp_2s_a", SDG_SCHEDULER_KARRAS},
        {"LMS Karras", "lms", SDG_SCHEDULER_KARRAS},
        {"Euler SGM Uniform", "euler", SDG_SCHEDULER_SGM_UNIFORM},
        {"euler_a_sgm_uniform", "euler_a", SDG_SCHEDULER_SGM_UNIFORM},
        {"euler a", "euler_a", SDG_SCHEDULER_COUNT},
    };
    for (size_t i = 0; i < sizeof compounds / sizeof compounds[0]; i++) {
        const struct sdg_sampler *s = NULL;
        enum sdg_scheduler scheduler = SDG_SCHEDULER_COUNT;
        assert_int_equal(sdg_sampler_find(&s, &scheduler, compounds[i].name, &error), SDGEN_OK);
        assert_string_equal(s->name, compounds[i].sampler);
        assert_int_equal(scheduler, compounds[i].scheduler);
    }
}

static void unknown_names(void **state)
{
    (void)state;
    const struct sdg_sampler *s = NULL;
    enum sdg_scheduler scheduler = SDG_SCHEDULER_COUNT;
    assert_int_equal(sdg_sampler_find(&s, &scheduler, "eulr", &error), SDGEN_ERR_ARG);
    assert_non_null(strstr(error.text, "euler"));
    assert_int_equal(sdg_sampler_find(&s, &scheduler, "Nothing Karras", &error), SDGEN_ERR_ARG);
    assert_int_equal(sdg_sampler_find(&s, &scheduler, "Karras", &error), SDGEN_ERR_ARG);
    assert_int_equal(sdg_sampler_find(&s, &scheduler, "", &error), SDGEN_ERR_ARG);
    assert_int_equal(sdg_sampler_find(&s, NULL, "DPM++ 2M Karras", &error), SDGEN_ERR_ARG);
    assert_int_equal(scheduler, SDG_SCHEDULER_COUNT);
    assert_null(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(walks_of_the_originals),
        cmocka_unit_test(scalar_values),
        cmocka_unit_test(dpm_solver_values),
        cmocka_unit_test(dpm_range_is_the_models_under_a1111),
        cmocka_unit_test(timesteps_are_the_schedules),
        cmocka_unit_test(orders),
        cmocka_unit_test(stops_when_told),
        cmocka_unit_test(batch_is_elementwise),
        cmocka_unit_test(every_alias_is_found),
        cmocka_unit_test(compound_names),
        cmocka_unit_test(unknown_names),
    };
    return cmocka_run_group_tests(tests, open_golden, close_golden);
}
