/* test_schedule_diffusers.c - the lists of diffusers' scheduler classes against the classes
 * themselves (tools/golden_samplers_diffusers.py): every class, spacing and flag at nine lengths
 * and more, zero terminal SNR, lists of the user's, and what is refused in words. Prints the
 * largest deviation of each class. Also the quantiles of the beta distribution. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "sampling/beta_quantile.h"
#include "sampling/samplers_all.h"
#include "sampling/schedule_families.h"
#include "tests/support/floats.h"

#define GOLDEN "tests/golden/samplers_diffusers.safetensors"
#define BOUND 1e-6 /* relative, of every level, and of every abar */
/* Zero terminal SNR rescales square roots that torch does not round correctly (MKL's, in 182 of
 * 1000): the class itself differs by this much between machines. */
#define ZERO_SNR_BOUND 1e-5
#define SOUGHT_BOUND 1e-4 /* of a timestep sought between logarithms of f32, in steps */

static struct sdg_weights golden;
static struct sdg_schedule schedule;
static struct sdg_levels levels;
static sdgen_error error;

static int open_golden(void **state)
{
    (void)state;
    return sdg_weights_open(&golden, GOLDEN, &error) != SDGEN_OK;
}

static int close_golden(void **state)
{
    (void)state;
    sdg_weights_close(&golden);
    return 0;
}

static const struct row {
    const char *class;
    const struct sdg_sampler *sampler;
    bool abar, flags, zero_snr, no_linspace;
} rows[] = {
    {"EulerDiscrete", &sdg_sampler_euler, false, true, true, false},
    {"EulerAncestralDiscrete", &sdg_sampler_euler_a, false, false, true, false},
    {"HeunDiscrete", &sdg_sampler_heun, false, true, false, false},
    {"LMSDiscrete", &sdg_sampler_lms, false, true, false, false},
    {"KDPM2Discrete", &sdg_sampler_dpm2, false, true, false, false},
    {"KDPM2AncestralDiscrete", &sdg_sampler_dpm2_a, false, true, false, false},
    {"DPMSolverSDE", &sdg_sampler_dpmpp_sde, false, true, false, false},
    {"DPMSolverMultistep", &sdg_sampler_dpmpp_2m, false, true, true, false},
    {"DPMSolverMultistep", &sdg_sampler_dpmpp_2m_sde, false, true, true, false},
    {"UniPCMultistep", &sdg_sampler_unipc, false, true, true, false},
    {"DEISMultistep", &sdg_sampler_deis, false, true, false, false},
    {"DDIM", &sdg_sampler_ddim, true, false, true, false},
    {"DDIM", &sdg_sampler_ddim_cfg_pp, true, false, true, false},
    {"DDIMInverse", &sdg_sampler_ddim_inverse, true, false, true, true},
    {"PNDM", &sdg_sampler_pndm, true, false, false, false},
    {"PNDM", &sdg_sampler_plms, true, false, false, false},
    {"DDPM", &sdg_sampler_ddpm, true, false, true, false},
};
enum { ROWS = sizeof rows / sizeof rows[0] };

static const struct {
    const char *name;
    enum sdg_scheduler scheduler;
} spacings[] = {{"leading", SDG_SCHEDULER_LEADING},
                {"linspace", SDG_SCHEDULER_LINSPACE},
                {"trailing", SDG_SCHEDULER_TRAILING}},
  flags[] = {{"karras", SDG_SCHEDULER_KARRAS},
             {"exponential", SDG_SCHEDULER_EXPONENTIAL},
             {"beta", SDG_SCHEDULER_BETA}};

static sdgen_status make(const struct sdg_sampler *sampler, struct sdg_schedule_request r)
{
    schedule = (struct sdg_schedule) {0};
    return sdg_schedule_diffusers(&schedule, &r, sampler, &levels, &error);
}

static void levels_of(enum sdg_prediction prediction, bool zero_snr)
{
    sdg_levels_init(&levels, SDG_LIKE_DIFFUSERS, prediction, zero_snr);
}

/* Every value within bound of its golden twin, relative to it; returns the largest. */
static double compare(const char *key, const char *part, const float *have, const float *want,
                      int count, double bound)
{
    double worst = 0;
    for (int i = 0; i < count; i++) {
        const double a = (double)have[i], b = (double)want[i];
        const double d = a == b ? 0 : fabs(a - b) / fabs(b);
        if (!(d <= bound)) fail_msg("%s %s[%d]: %.9g, want %.9g", key, part, i, a, b);
        worst = fmax(worst, d);
    }
    return worst;
}

/* Timesteps are the same numbers, or, when `sought`, within SOUGHT_BOUND steps. */
static void compare_timesteps(const char *key, const float *want, int count, bool sought)
{
    for (int i = 0; i < count; i++) {
        const double d = fabs((double)schedule.timesteps[i] - (double)want[i]);
        if (!(d <= (sought ? SOUGHT_BOUND : 0)))
            fail_msg("%s timesteps[%d]: %.9g, want %.9g", key, i, (double)schedule.timesteps[i],
                     (double)want[i]);
    }
}

/* The schedule just made against n, entries, init, timesteps, sigmas or abar and abar_next. Returns
 * how many values that were. */
static int compare_record(double *worst, const char *key, const float *want, bool abar, bool sought)
{
    const int entries = (int)want[1];
    if (schedule.steps != entries)
        fail_msg("%s at %g: %d entries, want %d", key, (double)want[0], schedule.steps, entries);
    const double bound = levels.zero_terminal_snr ? ZERO_SNR_BOUND : BOUND;
    *worst = fmax(*worst, compare(key, "init", &schedule.init_sigma, want + 2, 1, bound));
    compare_timesteps(key, want + 3, entries, sought);
    want += 3 + entries;
    if (!abar) {
        *worst = fmax(*worst, compare(key, "sigma", schedule.sigmas, want, entries + 1, bound));
        return 3 + 2 * entries + 1;
    }
    *worst = fmax(*worst, compare(key, "abar", schedule.abar, want, entries, bound));
    want += entries;
    *worst = fmax(*worst, compare(key, "next", schedule.abar_next, want, entries, bound));
    return 3 + 3 * entries;
}

static void compare_list(double *worst, const struct row *row, const char *spacing,
                         const char *flag, struct sdg_schedule_request r)
{
    char key[96];
    snprintf(key, sizeof key, "list.%s.%s.%s", row->class, spacing, flag);
    struct test_floats want = test_golden(&golden, "%s", key);
    const bool sought = r.scheduler == SDG_SCHEDULER_KARRAS ||
                        r.scheduler == SDG_SCHEDULER_EXPONENTIAL ||
                        r.scheduler == SDG_SCHEDULER_BETA;
    for (size_t at = 0; at < want.count;) {
        r.steps = (int)want.data[at];
        if (make(row->sampler, r) != SDGEN_OK) fail_msg("%s: %s", key, error.text);
        at += (size_t)compare_record(worst, key, want.data + at, row->abar, sought);
    }
    test_floats_free(&want);
}

static void every_list(void **state)
{
    (void)state;
    for (int i = 0; i < ROWS; i++) {
        const struct row *row = &rows[i];
        double worst = 0, worst_zero = 0;
        for (int k = 0; k < 3; k++) {
            const enum sdg_scheduler spacing = spacings[k].scheduler;
            if (row->no_linspace && spacing == SDG_SCHEDULER_LINSPACE) continue;
            levels_of(SDG_PREDICT_EPS, false);
            compare_list(&worst, row, spacings[k].name, "plain",
                         (struct sdg_schedule_request) {.scheduler = spacing});
            for (int f = 0; row->flags && f < 3; f++)
                compare_list(&worst, row, spacings[k].name, flags[f].name,
                             (struct sdg_schedule_request) {.scheduler = flags[f].scheduler,
                                                            .spacing = spacing});
            levels_of(SDG_PREDICT_V, true);
            if (row->zero_snr)
                compare_list(&worst_zero, row, spacings[k].name, "zero",
                             (struct sdg_schedule_request) {.scheduler = spacing});
        }
        print_message("# %-16s %-24s %.2g, zero terminal SNR %.2g\n", row->sampler->name,
                      row->class, worst, worst_zero);
    }
}

static void distilled(void **state)
{
    (void)state;
    static const struct row both[] = {{"LCM", &sdg_sampler_lcm, true, false, true, false},
                                      {"TCD", &sdg_sampler_tcd, true, false, true, false}};
    levels_of(SDG_PREDICT_EPS, false);
    for (int i = 0; i < 2; i++) {
        double worst = 0;
        compare_list(&worst, &both[i], "lcm", "plain",
                     (struct sdg_schedule_request) {.scheduler = SDG_SCHEDULER_LCM});
        print_message("# %-16s %-24s %.2g\n", both[i].sampler->name, both[i].class, worst);
    }
}

/* timesteps= and sigmas=, where a class takes them. */
static void given_lists(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        const struct sdg_sampler *sampler;
        bool abar, sigmas;
    } cases[] = {{"EulerDiscrete", &sdg_sampler_euler, false, false},
                 {"HeunDiscrete", &sdg_sampler_heun, false, false},
                 {"DPMSolverMultistep", &sdg_sampler_dpmpp_2m, false, false},
                 {"EulerDiscrete.sigmas", &sdg_sampler_euler, false, true},
                 {"DDPM", &sdg_sampler_ddpm, true, false},
                 {"LCM", &sdg_sampler_lcm, true, false},
                 {"TCD", &sdg_sampler_tcd, true, false}};
    double list[16], worst = 0;
    levels_of(SDG_PREDICT_EPS, false);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const bool sigmas = cases[i].sigmas;
        struct test_floats given =
            test_golden(&golden, sigmas ? "given.sigmas" : "given.timesteps");
        struct test_floats want = test_golden(&golden, "given.%s", cases[i].key);
        for (size_t k = 0; k < given.count; k++) list[k] = (double)given.data[k];
        const struct sdg_schedule_request r = {.scheduler = sigmas ? SDG_SCHEDULER_SIGMAS
                                                                   : SDG_SCHEDULER_TIMESTEPS,
                                               .spacing = SDG_SCHEDULER_LEADING,
                                               .list = list,
                                               .list_count = (int)given.count};
        if (make(cases[i].sampler, r) != SDGEN_OK) fail_msg("%s: %s", cases[i].key, error.text);
        compare_record(&worst, cases[i].key, want.data, cases[i].abar, sigmas);
        test_floats_free(&given);
        test_floats_free(&want);
    }
}

/* What a class does not have, and what the message says about it. */
static const double halves[] = {999, 500.5, 3}, outside[] = {1000, 500}, no_number[] = {NAN, 1};
static const double rising[] = {14, 15, 0}, early[] = {14, 0, 0}, twice[] = {900, 900};
static const struct {
    const struct sdg_sampler *sampler;
    struct sdg_schedule_request r;
    enum sdg_prediction prediction;
    bool zero_snr;
    const char *says;
} refusals[] = {
    {&sdg_sampler_euler_a,
     {.scheduler = SDG_SCHEDULER_KARRAS, .steps = 10},
     SDG_PREDICT_EPS,
     false,
     "EulerAncestralDiscreteScheduler does not have it"},
    {&sdg_sampler_ddim,
     {.scheduler = SDG_SCHEDULER_SIGMAS, .list = halves, .list_count = 3},
     SDG_PREDICT_EPS,
     false,
     "DDIMScheduler does not have it"},
    {&sdg_sampler_ddim_inverse,
     {.scheduler = SDG_SCHEDULER_LINSPACE, .steps = 10},
     SDG_PREDICT_EPS,
     false,
     "DDIMInverseScheduler does not have it"},
    {&sdg_sampler_euler,
     {.scheduler = SDG_SCHEDULER_GITS, .steps = 10},
     SDG_PREDICT_EPS,
     false,
     "EulerDiscreteScheduler does not have it"},
    {&sdg_sampler_ddim,
     {.scheduler = SDG_SCHEDULER_TRAILING, .steps = 61},
     SDG_PREDICT_EPS,
     false,
     "asks for -1"},
    {&sdg_sampler_ddim,
     {.scheduler = SDG_SCHEDULER_LEADING, .steps = 1000},
     SDG_PREDICT_EPS,
     false,
     "asks for 1000"},
    {&sdg_sampler_dpmpp_2m,
     {.scheduler = SDG_SCHEDULER_LEADING, .steps = 1000},
     SDG_PREDICT_EPS,
     false,
     "room for 999"},
    {&sdg_sampler_pndm,
     {.scheduler = SDG_SCHEDULER_LINSPACE, .steps = 1000},
     SDG_PREDICT_EPS,
     false,
     "at most 999"},
    {&sdg_sampler_lcm,
     {.scheduler = SDG_SCHEDULER_LCM, .steps = 51},
     SDG_PREDICT_EPS,
     false,
     "has 50 timesteps"},
    {&sdg_sampler_pndm,
     {.scheduler = SDG_SCHEDULER_LEADING, .steps = 10},
     SDG_PREDICT_X0,
     false,
     "does not take what this model predicts"},
    {&sdg_sampler_pndm,
     {.scheduler = SDG_SCHEDULER_LEADING, .steps = 10},
     SDG_PREDICT_V,
     true,
     "no rescale_betas_zero_snr"},
    {&sdg_sampler_ddim,
     {.scheduler = SDG_SCHEDULER_TRAILING, .steps = 10},
     SDG_PREDICT_EPS,
     true,
     "divides by 0"},
    {&sdg_sampler_ddpm,
     {.scheduler = SDG_SCHEDULER_TIMESTEPS, .list = halves, .list_count = 3},
     SDG_PREDICT_EPS,
     false,
     "whole numbers, not 500.5"},
    {&sdg_sampler_euler,
     {.scheduler = SDG_SCHEDULER_TIMESTEPS, .list = outside, .list_count = 2},
     SDG_PREDICT_EPS,
     false,
     "1000 is not between"},
    {&sdg_sampler_euler,
     {.scheduler = SDG_SCHEDULER_TIMESTEPS, .list = no_number, .list_count = 2},
     SDG_PREDICT_EPS,
     false,
     "is not between"},
    {&sdg_sampler_heun,
     {.scheduler = SDG_SCHEDULER_TIMESTEPS, .list = twice, .list_count = 2},
     SDG_PREDICT_EPS,
     false,
     "900 comes after 900"},
    {&sdg_sampler_euler,
     {.scheduler = SDG_SCHEDULER_SIGMAS, .list = no_number, .list_count = 2},
     SDG_PREDICT_EPS,
     false,
     "must be positive"},
    {&sdg_sampler_euler,
     {.scheduler = SDG_SCHEDULER_SIGMAS, .list = early, .list_count = 3},
     SDG_PREDICT_EPS,
     false,
     "only the last may be 0"},
    {&sdg_sampler_euler,
     {.scheduler = SDG_SCHEDULER_SIGMAS, .list = rising, .list_count = 3},
     SDG_PREDICT_EPS,
     false,
     "15 comes after 14"},
    {&sdg_sampler_euler,
     {.scheduler = SDG_SCHEDULER_SIGMAS, .list = outside, .list_count = 1},
     SDG_PREDICT_EPS,
     false,
     "1 values; must be 2"},
};

/* What a class does not have is refused, with its name. */
static void refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        levels_of(refusals[i].prediction, refusals[i].zero_snr);
        assert_int_equal(make(refusals[i].sampler, refusals[i].r), SDGEN_ERR_ARG);
        if (!strstr(error.text, refusals[i].says))
            fail_msg("\"%s\" does not say \"%s\"", error.text, refusals[i].says);
    }
}

/* A step below 1000 never leaves the arrays, whatever the class says about it. */
static void every_length(void **state)
{
    (void)state;
    levels_of(SDG_PREDICT_V, false);
    for (int i = 0; i < ROWS; i++)
        for (int k = 0; k < 3; k++)
            for (int n = 1; n <= SDG_MAX_STEPS; n++) {
                const struct sdg_schedule_request r = {.scheduler = spacings[k].scheduler,
                                                       .steps = n};
                if (make(rows[i].sampler, r) != SDGEN_OK) continue;
                assert_in_range(schedule.steps, n, n + 1);
                for (int j = 0; j < schedule.steps; j++)
                    assert_true(isfinite(schedule.sigmas[j]) && schedule.abar[j] > 0 &&
                                schedule.abar_next[j] <= 1);
            }
}

/* The quantiles in closed form: Beta(1, 1) is uniform, Beta(1/2, 1/2) the arcsine law; and ten of
 * Beta(0.6, 0.6) from scipy. */
static void quantiles(void **state)
{
    (void)state;
    static const double known[] = {0,         .04709182, .1456011, .27541329, .42317476,
                                   .57682524, .72458671, .8543989, .95290818, 1};
    for (int i = 0; i <= 100; i++) {
        const double p = i / 100.0, s = sin(p * acos(-1) / 2);
        assert_true(fabs(sdg_beta_quantile(p, 1, 1) - p) < 1e-14);
        assert_true(fabs(sdg_beta_quantile(p, 0.5, 0.5) - s * s) < 1e-14);
    }
    for (int i = 0; i < 10; i++)
        assert_true(fabs(sdg_beta_quantile(i / 9.0, 0.6, 0.6) - known[i]) < 1e-8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_list), cmocka_unit_test(distilled), cmocka_unit_test(given_lists),
        cmocka_unit_test(refused),    cmocka_unit_test(quantiles), cmocka_unit_test(every_length),
    };
    return cmocka_run_group_tests(tests, open_golden, close_golden);
}
