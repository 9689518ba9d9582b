/* test_samplers_diffusers.c - the samplers that hold abar: diffusers' classes on networks that
 * predict eps, v and x0, A1111's ways against twins in float64
 * (tools/golden_samplers_diffusers.py), step by step; their scalar check values; their order of
 * convergence; that they stop when told to. Prints the largest deviation of each: max|x - golden| /
 * max|golden| over all steps. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "sampling/samplers_all.h"
#include "sampling/schedule_families.h"
#include "tests/support/floats.h"
#include "tests/support/samplercase.h"

enum { IMAGES = 2, LENGTH = 8, SCALE = 7 };
#define GOLDEN "tests/golden/samplers_diffusers.safetensors"
#define BOUND 3e-6 /* rounding of both sides, twice the worst that was seen */

static struct sdg_weights golden;
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

static const int step_counts[] = {4, 10, 25};
static const struct {
    const char *name;
    enum sdg_scheduler scheduler;
} lists[] = {{"leading", SDG_SCHEDULER_LEADING},
             {"linspace", SDG_SCHEDULER_LINSPACE},
             {"trailing", SDG_SCHEDULER_TRAILING},
             {"lcm", SDG_SCHEDULER_LCM}};
static const struct {
    const char *name;
    enum sdg_prediction prediction;
} networks[] = {{"eps", SDG_PREDICT_EPS}, {"v", SDG_PREDICT_V}, {"x0", SDG_PREDICT_X0}};

static void follow(struct test_case *c, enum sdg_scheduler scheduler, int n)
{
    const struct sdg_schedule_request r = {.scheduler = scheduler, .steps = n};
    c->schedule = (struct sdg_schedule) {0};
    if (sdg_schedule_diffusers(&c->schedule, &r, c->sampler, &c->levels, &error) != SDGEN_OK)
        fail_msg("%s", error.text);
}

/* A1111's list 1, 1 + c, 1 + 2c, ... by hand, walked from its top to its bottom. */
static void follow_a1111(struct test_case *c, int n)
{
    const int stride = SDG_TRAIN_STEPS / n, entries = (SDG_TRAIN_STEPS - 1) / stride + 1;
    struct sdg_schedule *s = &c->schedule;
    *s = (struct sdg_schedule) {.steps = entries - 1, .init_sigma = 1};
    for (int i = 0; i < entries; i++) {
        const int t = 1 + (entries - 1 - i) * stride, clipped = t < SDG_TRAIN_STEPS ? t : 999;
        s->sigmas[i] = c->levels.sigma[clipped];
        if (i > 0) s->abar_next[i - 1] = c->levels.abar[clipped];
        if (i == s->steps) break;
        s->timesteps[i] = (float)clipped;
        s->abar[i] = c->levels.abar[clipped];
    }
}

/* ---- whole walks ---- */

static const struct walk {
    const char *key;
    const struct sdg_sampler *sampler;
    double eta; /* -1: none in the key */
    int first_list, last_list, networks;
    bool no_linspace;
} walks[] = {
    {"ddim", &sdg_sampler_ddim, 0, 0, 2, 3, false},
    {"ddim", &sdg_sampler_ddim, 1, 0, 2, 3, false},
    {"ddim_inverse", &sdg_sampler_ddim_inverse, -1, 0, 2, 3, true},
    {"pndm", &sdg_sampler_pndm, -1, 0, 2, 2, false},
    {"pndm", &sdg_sampler_plms, -1, 0, 2, 2, false},
    {"ddpm", &sdg_sampler_ddpm, -1, 0, 2, 3, false},
    {"lcm", &sdg_sampler_lcm, -1, 3, 3, 3, false},
    {"tcd", &sdg_sampler_tcd, 0, 3, 3, 3, false},
    {"tcd", &sdg_sampler_tcd, 0.3, 3, 3, 3, false},
    {"tcd", &sdg_sampler_tcd, 1, 3, 3, 3, false},
};

/* One walk; returns its deviation. */
static double compare_walk(const struct walk *w, int list, int network, int n)
{
    char key[96], tail[32] = "";
    struct test_case c;
    if (w->eta >= 0) snprintf(tail, sizeof tail, ".eta%g", w->eta);
    snprintf(key, sizeof key, "walk.%s.%s.%d.%s%s", w->key, lists[list].name, n,
             networks[network].name, tail);
    struct test_floats want = test_golden(&golden, "%s", key);
    test_case_open(&c, w->sampler, SDG_LIKE_DIFFUSERS, IMAGES, LENGTH);
    c.levels.prediction = networks[network].prediction;
    if (w->eta >= 0) c.s.options.eta = w->eta;
    follow(&c, lists[list].scheduler, n);
    test_case_start(&c, c.schedule.init_sigma);
    assert_true(test_case_run(&c));
    const double worst = test_case_worst(&c, want.data, want.count);
    if (!(worst <= BOUND)) fail_msg("%s: %.3g of the largest value", key, worst);
    test_case_close(&c);
    test_floats_free(&want);
    return worst;
}

static void diffusers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof walks / sizeof walks[0]; i++) {
        const struct walk *w = &walks[i];
        double worst = 0;
        for (int list = w->first_list; list <= w->last_list; list++)
            for (int network = 0; network < w->networks; network++)
                for (int n = 0; n < 3; n++)
                    if (!(w->no_linspace && list == 1))
                        worst = fmax(worst, compare_walk(w, list, network, step_counts[n]));
        print_message("# %-12s diffusers%s%.2g: %.2g\n", w->sampler->name,
                      w->eta < 0 ? ", no eta " : ", eta ", fmax(w->eta, 0), worst);
    }
}

/* A1111 draws on every step, at eta 0 too; the other programs that borrow PLMS walk it likewise. */
static double compare_a1111(const char *key, const struct sdg_sampler *sampler, enum sdg_like like,
                            int n, double eta)
{
    struct test_case c;
    struct test_floats want = test_golden(&golden, "%s", key);
    test_case_open(&c, sampler, like, IMAGES, LENGTH);
    sdg_levels_init(&c.levels, SDG_LIKE_A1111, SDG_PREDICT_EPS, false);
    c.s.options.eta = eta;
    follow_a1111(&c, n);
    test_case_start(&c, 1);
    assert_true(test_case_run(&c));
    const double worst = test_case_worst(&c, want.data, want.count);
    if (!(worst <= BOUND)) fail_msg("%s: %.3g of the largest value", key, worst);
    if (sampler != &sdg_sampler_plms && sampler != &sdg_sampler_pndm)
        assert_int_equal(c.drawn, c.schedule.steps);
    test_case_close(&c);
    test_floats_free(&want);
    return worst;
}

static void a1111(void **state)
{
    (void)state;
    static const double etas[] = {0, 0.5, 1};
    double ddim = 0, cfg_pp = 0, plms = 0;
    char key[80];
    for (int i = 0; i < 3; i++) {
        const int n = step_counts[i];
        snprintf(key, sizeof key, "a1111.plms.%d", n);
        plms = fmax(plms, compare_a1111(key, &sdg_sampler_plms, SDG_LIKE_A1111, n, 0));
        compare_a1111(key, &sdg_sampler_pndm, SDG_LIKE_A1111, n, 0);
        compare_a1111(key, &sdg_sampler_plms, SDG_LIKE_COMFYUI, n, 0);
        compare_a1111(key, &sdg_sampler_pndm, SDG_LIKE_SDCPP, n, 0);
        for (int e = 0; e < 3; e++) {
            snprintf(key, sizeof key, "a1111.ddim.%d.eta%g", n, etas[e]);
            ddim = fmax(ddim, compare_a1111(key, &sdg_sampler_ddim, SDG_LIKE_A1111, n, etas[e]));
        }
    }
    for (int i = 0; i < 3; i++)
        for (int e = 0; e < 3; e++) {
            snprintf(key, sizeof key, "a1111.ddim_cfg_pp.%d.eta%g", step_counts[i], etas[e]);
            cfg_pp = fmax(cfg_pp, compare_a1111(key, &sdg_sampler_ddim_cfg_pp, SDG_LIKE_A1111,
                                                step_counts[i], etas[e]));
        }
    print_message("# ddim         A1111: %.2g\n# ddim_cfg_pp  A1111: %.2g\n"
                  "# plms         A1111: %.2g\n",
                  ddim, cfg_pp, plms);
}

/* "ddim" of the programs that mean Euler by it: the same numbers as their Euler, and with eta as
 * their Euler a. */
static void sigma_space(void **state)
{
    (void)state;
    static const float sigmas[] = {10, 5, 2.5f, 1.2f, 0.5f, 0.1f, 0};
    static const enum sdg_like programs[] = {SDG_LIKE_COMFYUI, SDG_LIKE_SDCPP};
    for (int i = 0; i < 4; i++) {
        const enum sdg_like like = programs[i / 2];
        const double eta = i % 2;
        const struct sdg_sampler *twin =
            eta > 0 || like == SDG_LIKE_SDCPP ? &sdg_sampler_euler_a : &sdg_sampler_euler;
        struct test_case a, b;
        test_case_open(&a, &sdg_sampler_ddim, like, IMAGES, LENGTH);
        test_case_open(&b, twin, like, IMAGES, LENGTH);
        a.s.options.eta = b.s.options.eta = eta;
        test_case_sigmas(&a, sigmas, 6);
        test_case_sigmas(&b, sigmas, 6);
        test_case_start(&a, 10);
        test_case_start(&b, 10);
        assert_true(test_case_run(&a) && test_case_run(&b));
        assert_memory_equal(a.x, b.x, sizeof a.x);
        test_case_close(&a);
        test_case_close(&b);
    }
}

/* ---- one scalar, values from the formulas in double ---- */

/* eps(x, t) = 0.4 sin x + 0.2 cos(t/100), without prompt 0.3 sin x + 0.1. */
static bool scalar_network(void *user, float *out, float *uncond, const float *input, float t,
                           float sigma, int step)
{
    const double x = (double)input[0], cond = 0.4 * sin(x) + 0.2 * cos((double)t / 100);
    const double free = 0.3 * sin(x) + 0.1;
    (void)user, (void)sigma, (void)step;
    out[0] = (float)(uncond ? free + SCALE * (cond - free) : cond);
    if (uncond) uncond[0] = (float)free;
    return true;
}

static void scalars(void **state)
{
    (void)state;
    static const struct {
        const struct sdg_sampler *sampler;
        enum sdg_scheduler scheduler;
        int n;
        double eta, want;
    } cases[] = {{&sdg_sampler_ddim, SDG_SCHEDULER_LEADING, 6, 0, 6.5927432},
                 {&sdg_sampler_ddim, SDG_SCHEDULER_LEADING, 6, 1, 2.2321074},
                 {&sdg_sampler_ddim_inverse, SDG_SCHEDULER_LEADING, 6, 0, 0.5210016},
                 {&sdg_sampler_pndm, SDG_SCHEDULER_LEADING, 6, 0, 6.0234373},
                 {&sdg_sampler_plms, SDG_SCHEDULER_LEADING, 6, 0, 6.0234373},
                 {&sdg_sampler_ddpm, SDG_SCHEDULER_LEADING, 6, 1, 2.2380601},
                 {&sdg_sampler_lcm, SDG_SCHEDULER_LCM, 4, 0, 9.9518190},
                 {&sdg_sampler_tcd, SDG_SCHEDULER_LCM, 4, 0.3, 11.0944756},
                 {&sdg_sampler_tcd, SDG_SCHEDULER_LCM, 4, 0, 17.0326215},
                 {&sdg_sampler_ddim_cfg_pp, SDG_SCHEDULER_DDIM, 6, 0, 16.8618512}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const bool a1111_list = cases[i].scheduler == SDG_SCHEDULER_DDIM;
        struct test_case c;
        test_case_open(&c, cases[i].sampler, a1111_list ? SDG_LIKE_A1111 : SDG_LIKE_DIFFUSERS, 1,
                       1);
        c.s.model = scalar_network;
        c.s.options.eta = cases[i].eta;
        c.counted = true;
        if (a1111_list)
            follow_a1111(&c, cases[i].n);
        else
            follow(&c, cases[i].scheduler, cases[i].n);
        c.x[0] = 1.3f;
        assert_true(test_case_run(&c));
        if (!(fabs((double)c.x[0] / cases[i].want - 1) < 5e-6))
            fail_msg("%s: %.8g, want %.8g", cases[i].sampler->name, (double)c.x[0], cases[i].want);
        test_case_close(&c);
    }
}

/* ---- order of convergence ---- */

/* From abar of level 5 to that of level 0.05 in n parts of equal ratio, each leading to the next.
 */
static void follow_equal(struct test_case *c, int n)
{
    const double high = 5, low = 0.05;
    struct sdg_schedule *s = &c->schedule;
    *s = (struct sdg_schedule) {.steps = n, .init_sigma = 1};
    for (int i = 0; i <= n; i++) {
        const double sigma = high + (low - high) * i / n;
        const float abar = (float)(1 / (sigma * sigma + 1));
        s->sigmas[i] = (float)sigma;
        if (i > 0) s->abar_next[i - 1] = abar;
        if (i == n) break;
        s->timesteps[i] = sdg_levels_timestep(&c->levels, sigma);
        s->abar[i] = abar;
    }
}

static double end_of(const struct sdg_sampler *sampler, enum sdg_like like, int n)
{
    struct test_case c;
    test_case_open(&c, sampler, like, 1, 1);
    follow_equal(&c, n);
    c.x[0] = 1.3f;
    assert_true(test_case_run(&c));
    const double x = (double)c.x[0];
    test_case_close(&c);
    return x;
}

/* The error against 900 steps falls by 2^order when the step is halved. PLMS starts with steps of
 * order 2, whose error, of order 3, is the larger part in the end. */
static void convergence(void **state)
{
    (void)state;
    static const struct {
        const struct sdg_sampler *sampler;
        int n;
        double order;
    } cases[] = {{&sdg_sampler_ddim, 128, 1}, {&sdg_sampler_plms, 128, 3}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct sdg_sampler *sampler = cases[i].sampler;
        const double exact = end_of(&sdg_sampler_plms, SDG_LIKE_A1111, 900);
        const double wide = fabs(end_of(sampler, SDG_LIKE_A1111, cases[i].n) - exact);
        const double half = fabs(end_of(sampler, SDG_LIKE_A1111, 2 * cases[i].n) - exact);
        print_message("# %-12s order %.2f (%g, %g)\n", sampler->name, log2(wide / half), wide,
                      half);
        assert_true(log2(wide / half) > cases[i].order - 0.4);
    }
}

/* ---- the contract ---- */

static const struct sdg_sampler *const all[] = {
    &sdg_sampler_ddim, &sdg_sampler_ddim_cfg_pp, &sdg_sampler_ddim_inverse, &sdg_sampler_plms,
    &sdg_sampler_pndm, &sdg_sampler_ddpm,        &sdg_sampler_lcm,          &sdg_sampler_tcd};
enum { ALL = sizeof all / sizeof all[0] };

static void start_at_random(struct test_case *c, const struct sdg_sampler *sampler, size_t n,
                            int images)
{
    test_case_open(c, sampler, SDG_LIKE_DIFFUSERS, (size_t)images, n);
    follow(c, sampler->way[SDG_LIKE_DIFFUSERS].own_scheduler, 6);
    test_case_start(c, 1);
}

static void stops_when_told(void **state)
{
    (void)state;
    for (int i = 0; i < ALL; i++)
        for (int stop = 0; stop < 4; stop++) {
            struct test_case c;
            start_at_random(&c, all[i], LENGTH, IMAGES);
            c.stop_at = stop;
            assert_false(test_case_run(&c));
            assert_int_equal(c.calls, stop + 1);
            assert_int_equal(c.steps, stop);
            test_case_close(&c);
        }
}

/* A1111's PLMS asks twice on its first step: every call may be the last one. */
static void plms_stops(void **state)
{
    (void)state;
    for (int stop = 0; stop < 4; stop++) {
        struct test_case c;
        test_case_open(&c, &sdg_sampler_plms, SDG_LIKE_A1111, IMAGES, LENGTH);
        follow_a1111(&c, 6);
        test_case_start(&c, 1);
        c.stop_at = stop;
        assert_false(test_case_run(&c));
        assert_int_equal(c.calls, stop + 1);
        assert_int_equal(c.steps, stop > 0 ? stop - 1 : 0);
        test_case_close(&c);
    }
}

/* Images do not see each other, and nobody has to listen. */
static void batch_is_elementwise(void **state)
{
    (void)state;
    for (int i = 0; i < ALL; i++) {
        struct test_case both, one;
        start_at_random(&both, all[i], LENGTH, 2);
        start_at_random(&one, all[i], LENGTH, 1);
        both.counted = one.counted = true;
        one.s.after = NULL;
        memcpy(one.x, both.x + LENGTH, LENGTH * sizeof(float));
        assert_true(test_case_run(&both) && test_case_run(&one));
        assert_memory_equal(both.x + LENGTH, one.x, LENGTH * sizeof(float));
        test_case_close(&both);
        test_case_close(&one);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(diffusers),   cmocka_unit_test(a1111),
        cmocka_unit_test(sigma_space), cmocka_unit_test(scalars),
        cmocka_unit_test(convergence), cmocka_unit_test(stops_when_told),
        cmocka_unit_test(plms_stops),  cmocka_unit_test(batch_is_elementwise),
    };
    return cmocka_run_group_tests(tests, open_golden, close_golden);
}
