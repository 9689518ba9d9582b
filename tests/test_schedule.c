/* test_schedule.c - training levels, schedules and their names against k-diffusion and diffusers.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "sampling/sampler.h"
#include "tests/support/floats.h"

static struct sdg_weights golden;
static struct sdg_schedule schedule;
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

static const struct sdg_sampler *sampler(const char *name)
{
    const struct sdg_sampler *s = NULL;
    assert_int_equal(sdg_sampler_find(&s, name, &error), SDGEN_OK);
    return s;
}

static sdgen_status make(const char *name, enum sdg_scheduler scheduler, enum sdg_like like,
                         int steps)
{
    return sdg_schedule_make(&schedule, sampler(name), scheduler, like, steps, &error);
}

/* ---- levels ---- */

static void compare_levels(enum sdg_like like, const char *program)
{
    struct sdg_levels l;
    struct test_floats abar = test_golden(&golden, "levels.%s.abar", program);
    struct test_floats sigma = test_golden(&golden, "levels.%s.sigma", program);
    sdg_levels_init(&l, like);
    for (int i = 0; i < SDG_TRAIN_STEPS; i++) { /* one unit in the last place of abar near 1 */
        assert_true(fabsf(l.abar[i] - abar.data[i]) <= 6e-8f);
        assert_true(fabsf(l.sigma[i] / sigma.data[i] - 1) <= 4e-5f);
    }
    assert_true(test_ratio(l.sigma + 20, sigma.data + 20, 980) <= 2e-7);
    test_floats_free(&abar);
    test_floats_free(&sigma);
}

static void levels_a1111(void **state)
{
    (void)state;
    compare_levels(SDG_LIKE_A1111, "a1111");
}

static void levels_diffusers(void **state)
{
    (void)state;
    compare_levels(SDG_LIKE_DIFFUSERS, "diffusers");
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
    struct sdg_levels l;
    sdg_levels_init(&l, SDG_LIKE_A1111);
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        assert_true(fabs((double)l.abar[known[i].t] / known[i].abar - 1) < 1e-7);
        assert_true(fabs((double)l.sigma[known[i].t] / known[i].sigma - 1) < 4e-5);
    }
}

/* ---- schedules ---- */

static const int steps[] = {1, 2, 5, 10, 20, 30, 50, 999};
enum { STEPS = sizeof steps / sizeof steps[0] };

/* Compares one list with its golden twin: relative to its largest value, and every value by itself
 * within `each`. */
static void compare(const char *key, const char *part, const float *have, size_t count, double each)
{
    struct test_floats want = test_golden(&golden, "%s.%s", key, part);
    if (want.count != count) fail_msg("%s.%s: %zu values, want %zu", key, part, count, want.count);
    for (size_t i = 0; i < count; i++)
        if (!(fabs((double)have[i] - (double)want.data[i]) <=
              each * (1 + fabs((double)want.data[i]))))
            fail_msg("%s.%s[%zu]: %.9g, want %.9g", key, part, i, (double)have[i],
                     (double)want.data[i]);
    test_floats_free(&want);
}

/* Schedule `scheduler` of n steps against "<program>.<sampler>.<scheduler>.<n>". */
static void compare_schedule(enum sdg_like like, const char *name, enum sdg_scheduler scheduler,
                             int n)
{
    char key[64];
    snprintf(key, sizeof key, "%s.%s.%s.%d", like == SDG_LIKE_A1111 ? "a1111" : "diffusers", name,
             sdg_scheduler_name(scheduler), n);
    assert_int_equal(make(name, scheduler, like, n), SDGEN_OK);
    const size_t calls = (size_t)schedule.steps;
    /* Steps that are sought between logarithms move by 1e-4 with a last bit of them. */
    const bool sought = like == SDG_LIKE_A1111 || scheduler == SDG_SCHEDULER_KARRAS;
    compare(key, "timesteps", schedule.timesteps, calls,
            !sought || sampler(name)->variance_preserving ? 0 : 2e-6);
    compare(key, "init", &schedule.init_sigma, 1, 2e-7);
    if (sampler(name)->variance_preserving) {
        compare(key, "abar", schedule.abar, calls, 6e-8);
        compare(key, "abar_next", schedule.abar_next, calls, 6e-8);
    } else {
        compare(key, "sigmas", schedule.sigmas, calls + 1, like == SDG_LIKE_A1111 ? 1e-6 : 2e-7);
        assert_true(schedule.sigmas[calls] == 0);
    }
}

static void kdiffusion(void **state)
{
    (void)state;
    for (int i = 0; i < STEPS; i++) {
        compare_schedule(SDG_LIKE_A1111, "euler", SDG_SCHEDULER_DISCRETE, steps[i]);
        compare_schedule(SDG_LIKE_A1111, "euler", SDG_SCHEDULER_KARRAS, steps[i]);
    }
}

static void ddim_a1111(void **state)
{
    (void)state;
    for (int i = 1; i < STEPS; i++)
        compare_schedule(SDG_LIKE_A1111, "ddim", SDG_SCHEDULER_DDIM, steps[i]);
    assert_int_equal(make("ddim", SDG_SCHEDULER_DDIM, SDG_LIKE_A1111, 20), SDGEN_OK);
    assert_int_equal(schedule.steps, 19); /* 951 ... 51, ending on the level of 1 */
    assert_true(schedule.timesteps[0] == 951 && schedule.timesteps[18] == 51);
    assert_int_equal(make("ddim", SDG_SCHEDULER_DDIM, SDG_LIKE_A1111, 1), SDGEN_ERR_ARG);
    assert_int_equal(make("ddim", SDG_SCHEDULER_DDIM, SDG_LIKE_A1111, 1000), SDGEN_OK);
    assert_int_equal(schedule.steps, 999);
    assert_true(schedule.timesteps[0] == 999);
}

static void diffusers(void **state)
{
    (void)state;
    static const char *const names[] = {"euler", "euler_a", "ddim"};
    static const enum sdg_scheduler spacings[] = {SDG_SCHEDULER_LEADING, SDG_SCHEDULER_LINSPACE,
                                                  SDG_SCHEDULER_TRAILING};
    for (int i = 0; i < STEPS; i++) {
        for (int k = 0; k < 9; k++)
            compare_schedule(SDG_LIKE_DIFFUSERS, names[k / 3], spacings[k % 3], steps[i]);
        compare_schedule(SDG_LIKE_DIFFUSERS, "euler", SDG_SCHEDULER_KARRAS, steps[i]);
    }
}

/* Lengths where numpy's arange gives one entry too many: Euler runs it, DDIM cannot. */
static void diffusers_extra_step(void **state)
{
    (void)state;
    compare_schedule(SDG_LIKE_DIFFUSERS, "euler", SDG_SCHEDULER_TRAILING, 61);
    compare_schedule(SDG_LIKE_DIFFUSERS, "euler", SDG_SCHEDULER_TRAILING, 103);
    assert_int_equal(schedule.steps, 104);
    assert_int_equal(make("ddim", SDG_SCHEDULER_TRAILING, SDG_LIKE_DIFFUSERS, 61), SDGEN_ERR_ARG);
    assert_int_equal(make("ddim", SDG_SCHEDULER_LEADING, SDG_LIKE_DIFFUSERS, 1000), SDGEN_ERR_ARG);
    assert_int_equal(make("euler", SDG_SCHEDULER_LEADING, SDG_LIKE_DIFFUSERS, 1000), SDGEN_OK);
}

/* A1111's "DDIM" schedule for sigma samplers, from its formula. */
static void ddim_levels(void **state)
{
    (void)state;
    static const float want[11] = {8.390685f, 5.134431f, 3.347764f, 2.292854f, 1.623692f, 1.168216f,
                                   0.835653f, 0.574050f, 0.346187f, 0.041314f, 0};
    assert_int_equal(make("euler", SDG_SCHEDULER_DDIM, SDG_LIKE_A1111, 10), SDGEN_OK);
    assert_int_equal(schedule.steps, 10);
    assert_true(test_difference(schedule.sigmas, want, 11) < 2e-6);
    assert_true(fabsf(schedule.timesteps[0] - 901) < 1e-2f);
    assert_int_equal(make("euler", SDG_SCHEDULER_DDIM, SDG_LIKE_A1111, 7), SDGEN_OK);
    assert_int_equal(schedule.steps, 8); /* 1000/7 = 142: eight levels fit */
    assert_int_equal(make("euler", SDG_SCHEDULER_DDIM, SDG_LIKE_A1111, 1), SDGEN_OK);
    assert_int_equal(schedule.steps, 1);
}

/* Whatever the number of steps, lists fall, end where they should and stay finite. */
static void every_length(void **state)
{
    (void)state;
    for (int like = 0; like < SDG_LIKE_COUNT; like++)
        for (int i = 0; sdg_sampler_at(i); i++)
            for (int k = 0; k < SDG_SCHEDULER_COUNT; k++)
                for (int n = 1; n <= SDG_MAX_STEPS; n += n < 40 ? 1 : 37) {
                    const struct sdg_sampler *s = sdg_sampler_at(i);
                    if (sdg_schedule_make(&schedule, s, (enum sdg_scheduler)k, (enum sdg_like)like,
                                          n, &error) != SDGEN_OK)
                        continue;
                    assert_in_range(schedule.steps, 1, SDG_MAX_STEPS);
                    assert_true(schedule.init_sigma >= 1 || n == 1 || !s->variance_preserving);
                    for (int j = 0; j < schedule.steps; j++) {
                        assert_true(isfinite(schedule.sigmas[j]) &&
                                    isfinite(schedule.timesteps[j]));
                        assert_true(schedule.sigmas[j + 1] <= schedule.sigmas[j]);
                    }
                }
}

/* ---- what a program does not have ---- */

static void refusals(void **state)
{
    (void)state;
    assert_int_equal(make("euler", SDG_SCHEDULER_DISCRETE, SDG_LIKE_A1111, 0), SDGEN_ERR_ARG);
    assert_non_null(strstr(error.text, "--steps 0"));
    assert_int_equal(make("euler", SDG_SCHEDULER_DISCRETE, SDG_LIKE_A1111, 1001), SDGEN_ERR_ARG);
    assert_int_equal(make("euler", SDG_SCHEDULER_LEADING, SDG_LIKE_A1111, 20), SDGEN_ERR_ARG);
    assert_non_null(strstr(error.text, "possible: discrete, karras, ddim"));
    assert_int_equal(make("ddim", SDG_SCHEDULER_KARRAS, SDG_LIKE_A1111, 20), SDGEN_ERR_ARG);
    assert_non_null(strstr(error.text, "possible: ddim"));
    assert_int_equal(make("euler", SDG_SCHEDULER_DISCRETE, SDG_LIKE_DIFFUSERS, 20), SDGEN_ERR_ARG);
    assert_non_null(strstr(error.text, "possible: karras, leading, linspace, trailing"));
    assert_int_equal(make("euler_a", SDG_SCHEDULER_KARRAS, SDG_LIKE_DIFFUSERS, 20), SDGEN_ERR_ARG);
    assert_non_null(strstr(error.text, "Euler a under --like diffusers"));
    assert_int_equal(make("ddim", SDG_SCHEDULER_KARRAS, SDG_LIKE_DIFFUSERS, 20), SDGEN_ERR_ARG);
    assert_int_equal(make("ddim", SDG_SCHEDULER_DDIM, SDG_LIKE_DIFFUSERS, 20), SDGEN_ERR_ARG);
    assert_int_equal(make("euler", SDG_SCHEDULER_COUNT, SDG_LIKE_A1111, 20), SDGEN_ERR_ARG);
}

static void defaults(void **state)
{
    (void)state;
    assert_int_equal(sdg_scheduler_default(&sdg_sampler_euler_a, SDG_LIKE_A1111),
                     SDG_SCHEDULER_DISCRETE);
    assert_int_equal(sdg_scheduler_default(&sdg_sampler_ddim, SDG_LIKE_A1111), SDG_SCHEDULER_DDIM);
    for (int i = 0; sdg_sampler_at(i); i++) {
        assert_int_equal(sdg_scheduler_default(sdg_sampler_at(i), SDG_LIKE_DIFFUSERS),
                         SDG_SCHEDULER_LEADING);
        for (int like = 0; like < SDG_LIKE_COUNT; like++)
            assert_int_equal(
                sdg_schedule_make(&schedule, sdg_sampler_at(i),
                                  sdg_scheduler_default(sdg_sampler_at(i), (enum sdg_like)like),
                                  (enum sdg_like)like, 20, &error),
                SDGEN_OK);
    }
}

/* ---- names ---- */

static void scheduler_names(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum sdg_scheduler want;
    } known[] = {{"discrete", SDG_SCHEDULER_DISCRETE}, {"Automatic", SDG_SCHEDULER_DISCRETE},
                 {"normal", SDG_SCHEDULER_DISCRETE},   {"Karras", SDG_SCHEDULER_KARRAS},
                 {"KARRAS", SDG_SCHEDULER_KARRAS},     {"leading", SDG_SCHEDULER_LEADING},
                 {"linspace", SDG_SCHEDULER_LINSPACE}, {"trailing", SDG_SCHEDULER_TRAILING},
                 {"DDIM", SDG_SCHEDULER_DDIM}};
    enum sdg_scheduler s;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        assert_int_equal(sdg_scheduler_find(&s, known[i].name, &error), SDGEN_OK);
        assert_int_equal(s, known[i].want);
    }
    for (int i = 0; i < SDG_SCHEDULER_COUNT; i++) {
        assert_int_equal(sdg_scheduler_find(&s, sdg_scheduler_name((enum sdg_scheduler)i), &error),
                         SDGEN_OK);
        assert_int_equal(s, i);
        assert_int_equal(sdg_scheduler_find(&s, sdg_scheduler_label((enum sdg_scheduler)i), &error),
                         SDGEN_OK);
        assert_int_equal(s, i);
    }
    assert_null(sdg_scheduler_name(SDG_SCHEDULER_COUNT));
    assert_null(sdg_scheduler_label(SDG_SCHEDULER_COUNT));
    assert_int_equal(sdg_scheduler_find(&s, "karas", &error), SDGEN_ERR_ARG);
    assert_non_null(strstr(error.text, "nearest is karras"));
    assert_int_equal(sdg_scheduler_find(&s, "", &error), SDGEN_ERR_ARG);
}

static void sampler_names(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const struct sdg_sampler *want;
    } known[] = {{"euler_a", &sdg_sampler_euler_a},
                 {"Euler a", &sdg_sampler_euler_a},
                 {"euler-a", &sdg_sampler_euler_a},
                 {"EULERA", &sdg_sampler_euler_a},
                 {"k_euler_a", &sdg_sampler_euler_a},
                 {"euler_ancestral", &sdg_sampler_euler_a},
                 {"sample_euler_ancestral", &sdg_sampler_euler_a},
                 {"EulerAncestralDiscreteScheduler", &sdg_sampler_euler_a},
                 {"euler", &sdg_sampler_euler},
                 {"Euler", &sdg_sampler_euler},
                 {"k_euler", &sdg_sampler_euler},
                 {"EulerDiscreteScheduler", &sdg_sampler_euler},
                 {"ddim", &sdg_sampler_ddim},
                 {"DDIM", &sdg_sampler_ddim},
                 {"DDIMScheduler", &sdg_sampler_ddim}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        assert_ptr_equal(sampler(known[i].name), known[i].want);
    for (int i = 0; sdg_sampler_at(i); i++) {
        assert_ptr_equal(sampler(sdg_sampler_at(i)->name), sdg_sampler_at(i));
        assert_ptr_equal(sampler(sdg_sampler_at(i)->label), sdg_sampler_at(i));
    }
    assert_null(sdg_sampler_at(-1));
    assert_null(sdg_sampler_at(100));
}

static void sampler_nearest(void **state)
{
    (void)state;
    const struct sdg_sampler *s;
    char giant[300];
    memset(giant, 'e', sizeof giant);
    giant[sizeof giant - 1] = 0;
    assert_int_equal(sdg_sampler_find(&s, "eular_a", &error), SDGEN_ERR_ARG);
    assert_non_null(strstr(error.text, "nearest is euler_a"));
    assert_int_equal(sdg_sampler_find(&s, "dimd", &error), SDGEN_ERR_ARG);
    assert_non_null(strstr(error.text, "nearest is ddim"));
    assert_int_equal(sdg_sampler_find(&s, giant, &error), SDGEN_ERR_ARG);
    assert_int_equal(sdg_sampler_find(&s, "", &error), SDGEN_ERR_ARG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(levels_a1111),
        cmocka_unit_test(levels_diffusers),
        cmocka_unit_test(levels_known),
        cmocka_unit_test(kdiffusion),
        cmocka_unit_test(ddim_a1111),
        cmocka_unit_test(diffusers),
        cmocka_unit_test(diffusers_extra_step),
        cmocka_unit_test(ddim_levels),
        cmocka_unit_test(every_length),
        cmocka_unit_test(refusals),
        cmocka_unit_test(defaults),
        cmocka_unit_test(scheduler_names),
        cmocka_unit_test(sampler_names),
        cmocka_unit_test(sampler_nearest),
    };
    return cmocka_run_group_tests(tests, open_golden, close_golden);
}
