/* test_samplers.c - whole walks over toy models, against diffusers, k-diffusion and values computed
 * in double from the published formulas. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "sampling/sampler.h"
#include "tests/support/floats.h"

enum { MAX = 64 }; /* values of a toy batch */

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

/* One walk with its buffers and what the callbacks saw. */
struct walk {
    struct sdg_sampling s;
    float x[MAX], eps[MAX], noise[MAX], input[MAX];
    const float *draws; /* what draw hands out, in order */
    size_t drawn, steps_seen, calls, stop_at;
    double worst;        /* ratio against states */
    const float *states; /* x after every step, or NULL */
};

static bool toy_model(void *user, float *eps, const float *model_input, float t, int step)
{
    struct walk *w = user;
    assert_int_equal(step, w->calls);
    if (w->calls++ == w->stop_at) return false;
    for (size_t i = 0; i < w->s.n * w->s.len; i++)
        eps[i] = 0.4f * sinf(model_input[i]) + 0.2f * cosf(t / 100 + (float)(i % w->s.len) / 3);
    return true;
}

static void draw(void *user, float *noise)
{
    struct walk *w = user;
    const size_t count = w->s.n * w->s.len;
    for (size_t i = 0; i < count; i++)
        noise[i] = w->draws ? w->draws[w->drawn * count + i]
                            : (float)((int)(7 * w->drawn % 11) - 5) / 4; /* -5/4, 1/2, ... */
    w->drawn++;
}

static void after(void *user, int step)
{
    struct walk *w = user;
    const size_t count = w->s.n * w->s.len;
    assert_int_equal(step, w->steps_seen);
    if (w->states)
        w->worst = fmax(w->worst, test_ratio(w->x, w->states + w->steps_seen * count, count));
    w->steps_seen++;
}

static void prepare(struct walk *w, enum sdg_like like, size_t n, size_t len, double eta)
{
    *w = (struct walk) {.stop_at = SIZE_MAX};
    w->s = (struct sdg_sampling) {.schedule = &schedule,
                                  .like = like,
                                  .x = w->x,
                                  .eps = w->eps,
                                  .noise = w->noise,
                                  .model_input = w->input,
                                  .n = n,
                                  .len = len,
                                  .eta = eta,
                                  .model = toy_model,
                                  .draw = draw,
                                  .after = after,
                                  .user = w};
}

/* ---- whole trajectories of the original samplers ---- */

static void compare_walk(enum sdg_like like, const struct sdg_sampler *sampler,
                         enum sdg_scheduler scheduler, int n, double eta, size_t draws)
{
    char key[80];
    struct walk w;
    snprintf(key, sizeof key, "walk.%s.%s.%s.%d.eta%g",
             like == SDG_LIKE_A1111 ? "a1111" : "diffusers", sampler->name,
             sdg_scheduler_name(scheduler), n, eta);
    struct test_floats start = test_golden(&golden, "%s.start", key);
    struct test_floats noise = test_golden(&golden, "%s.noise", key);
    struct test_floats states = test_golden(&golden, "%s.states", key);
    assert_int_equal(sdg_schedule_make(&schedule, sampler, scheduler, like, n, &error), SDGEN_OK);
    prepare(&w, like, 2, start.count / 2, eta);
    memcpy(w.x, start.data, start.count * sizeof(float));
    w.draws = noise.data;
    w.states = states.data;
    assert_int_equal(states.count, start.count * (size_t)schedule.steps);
    assert_true(sampler->run(&w.s));
    assert_int_equal(w.steps_seen, schedule.steps);
    assert_int_equal(w.drawn, draws);
    if (!(w.worst <= 2e-6)) fail_msg("%s: %.3g of the largest value", key, w.worst);
    test_floats_free(&start);
    test_floats_free(&noise);
    test_floats_free(&states);
}

static const int lengths[] = {1, 7, 20};
static const double etas[] = {0, 0.5, 1};

static void kdiffusion(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < 2; k++) {
            const enum sdg_scheduler list = k ? SDG_SCHEDULER_KARRAS : SDG_SCHEDULER_DISCRETE;
            const int n = lengths[i];
            compare_walk(SDG_LIKE_A1111, &sdg_sampler_euler, list, n, 0, 0);
            compare_walk(SDG_LIKE_A1111, &sdg_sampler_euler_a, list, n, 0, (size_t)n - 1);
            compare_walk(SDG_LIKE_A1111, &sdg_sampler_euler_a, list, n, 0.7, (size_t)n - 1);
            compare_walk(SDG_LIKE_A1111, &sdg_sampler_euler_a, list, n, 1, (size_t)n - 1);
        }
}

static void diffusers(void **state)
{
    (void)state;
    static const enum sdg_scheduler spacings[] = {SDG_SCHEDULER_LEADING, SDG_SCHEDULER_LINSPACE,
                                                  SDG_SCHEDULER_TRAILING};
    for (int i = 0; i < 3; i++) {
        const size_t n = (size_t)lengths[i];
        for (int k = 0; k < 3; k++) {
            compare_walk(SDG_LIKE_DIFFUSERS, &sdg_sampler_euler, spacings[k], lengths[i], 0, 0);
            compare_walk(SDG_LIKE_DIFFUSERS, &sdg_sampler_euler_a, spacings[k], lengths[i], 1,
                         n - 1);
            for (int e = 0; e < 3; e++) /* diffusers draws only when it uses the noise */
                compare_walk(SDG_LIKE_DIFFUSERS, &sdg_sampler_ddim, spacings[k], lengths[i],
                             etas[e], etas[e] > 0 ? n : 0);
        }
        compare_walk(SDG_LIKE_DIFFUSERS, &sdg_sampler_euler, SDG_SCHEDULER_KARRAS, lengths[i], 0,
                     0);
    }
}

/* A1111 draws on every step; 7 steps give a list of 8 entries, 20 one of 20. */
static void ddim_a1111(void **state)
{
    (void)state;
    for (int e = 0; e < 3; e++) {
        compare_walk(SDG_LIKE_A1111, &sdg_sampler_ddim, SDG_SCHEDULER_DDIM, 7, etas[e], 7);
        compare_walk(SDG_LIKE_A1111, &sdg_sampler_ddim, SDG_SCHEDULER_DDIM, 20, etas[e], 19);
    }
}

/* ---- one scalar, values from the formulas in double ---- */

/* Denoiser D(x, sigma) = 0.5 x/(1 + sigma^2) + 0.3 cos x on the sampler's own x. */
static bool scalar_denoiser(void *user, float *eps, const float *model_input, float t, int step)
{
    struct walk *w = user;
    const float x = w->x[0], sigma = schedule.sigmas[step];
    (void)t;
    const float want = w->s.like == SDG_LIKE_DIFFUSERS ? x / sqrtf(sigma * sigma + 1)
                                                       : x * (1 / sqrtf(sigma * sigma + 1));
    assert_true(model_input[0] == want);
    eps[0] = (x - (0.5f * x / (1 + sigma * sigma) + 0.3f * cosf(x))) / sigma;
    return true;
}

/* From x = 7 over the first `levels` of a list by hand. */
static float scalar_walk(const struct sdg_sampler *sampler, enum sdg_like like, int levels)
{
    static const float list[] = {10, 5, 2.5f, 1.2f, 0.5f, 0.1f, 0};
    struct walk w;
    schedule = (struct sdg_schedule) {.steps = levels - 1};
    memcpy(schedule.sigmas, list, (size_t)levels * sizeof list[0]);
    prepare(&w, like, 1, 1, sampler->default_eta);
    w.x[0] = 7;
    w.s.model = scalar_denoiser;
    assert_true(sampler->run(&w.s));
    return w.x[0];
}

static void scalar_sigma_space(void **state)
{
    (void)state;
    for (int like = 0; like < SDG_LIKE_COUNT; like++) {
        const enum sdg_like l = (enum sdg_like)like;
        assert_float_equal(scalar_walk(&sdg_sampler_euler, l, 7), 0.511163999, 2e-6);
        assert_float_equal(scalar_walk(&sdg_sampler_euler, l, 6), 0.501038147, 2e-6);
        assert_float_equal(scalar_walk(&sdg_sampler_euler_a, l, 7), 0.525034759, 2e-6);
        assert_float_equal(scalar_walk(&sdg_sampler_euler_a, l, 6), 0.541160753, 2e-6);
    }
}

/* eps(x, t) = 0.4 sin x + 0.2 cos(t/100), x = 1.3, six steps of diffusers' leading spacing. */
static void scalar_ddim(void **state)
{
    (void)state;
    static const double want[] = {6.5927432, 2.2321074};
    for (int eta = 0; eta < 2; eta++) {
        struct walk w;
        assert_int_equal(sdg_schedule_make(&schedule, &sdg_sampler_ddim, SDG_SCHEDULER_LEADING,
                                           SDG_LIKE_DIFFUSERS, 6, &error),
                         SDGEN_OK);
        prepare(&w, SDG_LIKE_DIFFUSERS, 1, 1, eta);
        w.x[0] = 1.3f;
        assert_true(sdg_sampler_ddim.run(&w.s));
        assert_float_equal(w.x[0], want[eta], 3e-5);
    }
}

/* ---- the contract ---- */

static void stops_when_told(void **state)
{
    (void)state;
    for (int i = 0; sdg_sampler_at(i); i++)
        for (size_t stop = 0; stop < 3; stop++) {
            const struct sdg_sampler *s = sdg_sampler_at(i);
            struct walk w;
            assert_int_equal(sdg_schedule_make(&schedule, s,
                                               sdg_scheduler_default(s, SDG_LIKE_A1111),
                                               SDG_LIKE_A1111, 5, &error),
                             SDGEN_OK);
            prepare(&w, SDG_LIKE_A1111, 1, 4, s->default_eta);
            w.stop_at = stop;
            assert_false(s->run(&w.s));
            assert_int_equal(w.calls, stop + 1);
            assert_int_equal(w.steps_seen, stop);
        }
}

/* Without an `after` callback, and images independent of their neighbours. */
static void batch_is_elementwise(void **state)
{
    (void)state;
    for (int i = 0; sdg_sampler_at(i); i++)
        for (int like = 0; like < SDG_LIKE_COUNT; like++) {
            const struct sdg_sampler *s = sdg_sampler_at(i);
            const enum sdg_like l = (enum sdg_like)like;
            struct walk both, one;
            assert_int_equal(
                sdg_schedule_make(&schedule, s, sdg_scheduler_default(s, l), l, 6, &error),
                SDGEN_OK);
            prepare(&both, l, 2, 5, s->default_eta);
            prepare(&one, l, 1, 5, s->default_eta);
            both.s.after = one.s.after = NULL;
            for (size_t j = 0; j < 10; j++) both.x[j] = (float)j - 4;
            memcpy(one.x, both.x + 5, 5 * sizeof(float));
            assert_true(s->run(&both.s) && s->run(&one.s));
            assert_memory_equal(both.x + 5, one.x, 5 * sizeof(float));
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kdiffusion),           cmocka_unit_test(diffusers),
        cmocka_unit_test(ddim_a1111),           cmocka_unit_test(scalar_sigma_space),
        cmocka_unit_test(scalar_ddim),          cmocka_unit_test(stops_when_told),
        cmocka_unit_test(batch_is_elementwise),
    };
    return cmocka_run_group_tests(tests, open_golden, close_golden);
}
