/* test_samplers_multistep.c - the samplers that remember earlier steps, against walks of
 * k-diffusion and diffusers and of twins of the other programs
 * (tools/golden_samplers_multistep.py), step by step; their scalar check values; their order of
 * convergence; that they stop when told to. Prints the largest deviation of each sampler: max|x -
 * golden| / max|golden| over all steps. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "sampling/multistep_diffusers.h"
#include "sampling/samplers_all.h"
#include "tests/support/floats.h"
#include "tests/support/samplercase.h"
#include "files/weights.h"

enum { IMAGES = 2, LENGTH = 8 };
#define GOLDEN "tests/golden/samplers_multistep.safetensors"
#define BOUND 2e-5      /* rounding of both sides, twice the worst that was seen */
#define DEIS_BOUND 1e-4 /* the f32 weights of diffusers' DEIS are off by 4e-5 themselves */

static const char *const lists[] = {"discrete", "karras", "exponential"};
static const char *const spacings[] = {"leading", "linspace", "trailing", "karras"};
static const int step_counts[] = {4, 10, 25};

static int open_golden(void **state)
{
    static struct sdg_weights golden;
    sdgen_error err;
    *state = &golden;
    return sdg_weights_open(&golden, GOLDEN, &err) != SDGEN_OK;
}

static int close_golden(void **state)
{
    sdg_weights_close(*state);
    return 0;
}

/* Sigma space */

struct walk {
    const char *key; /* in the golden file */
    const struct sdg_sampler *sampler;
    enum sdg_like like;
    double eta; /* -1: the way's own */
    double s_noise;
    int order; /* 0: the sampler's own */
};

static const struct walk walks[] = {
    {"kd.lms", &sdg_sampler_lms, SDG_LIKE_A1111, -1, 1, 0},
    {"kd.lms2", &sdg_sampler_lms, SDG_LIKE_A1111, -1, 1, 2},
    {"comfyui.lms", &sdg_sampler_lms, SDG_LIKE_COMFYUI, -1, 1, 0},
    {"sdcpp.lms", &sdg_sampler_lms, SDG_LIKE_SDCPP, -1, 1, 0},
    {"kd.dpmpp_2m", &sdg_sampler_dpmpp_2m, SDG_LIKE_A1111, -1, 1, 0},
    {"kd.dpmpp_2m", &sdg_sampler_dpmpp_2m, SDG_LIKE_COMFYUI, -1, 1, 0},
    {"kd.dpmpp_2m", &sdg_sampler_dpmpp_2m, SDG_LIKE_SDCPP, -1, 1, 0},
    {"sdcpp.dpmpp_2m_v2", &sdg_sampler_dpmpp_2m_v2, SDG_LIKE_SDCPP, -1, 1, 0},
    {"kd.dpmpp_2m_sde", &sdg_sampler_dpmpp_2m_sde, SDG_LIKE_A1111, -1, 1, 0},
    {"kd.dpmpp_2m_sde", &sdg_sampler_dpmpp_2m_sde, SDG_LIKE_COMFYUI, -1, 1, 0},
    {"kd.dpmpp_2m_sde_drawn", &sdg_sampler_dpmpp_2m_sde, SDG_LIKE_SDCPP, -1, 1, 0},
    {"kd.dpmpp_2m_sde_eta", &sdg_sampler_dpmpp_2m_sde, SDG_LIKE_A1111, 0.6, 1.1, 0},
    {"kd.dpmpp_2m", &sdg_sampler_dpmpp_2m_sde, SDG_LIKE_A1111, 0, 1, 0},
    {"kd.dpmpp_2m_sde_heun", &sdg_sampler_dpmpp_2m_sde_heun, SDG_LIKE_A1111, -1, 1, 0},
    {"kd.dpmpp_3m_sde", &sdg_sampler_dpmpp_3m_sde, SDG_LIKE_A1111, -1, 1, 0},
    {"kd.dpmpp_3m_sde_ode", &sdg_sampler_dpmpp_3m_sde, SDG_LIKE_A1111, 0, 1, 0},
    {"comfyui.ipndm", &sdg_sampler_ipndm, SDG_LIKE_COMFYUI, -1, 1, 0},
    {"sdcpp.ipndm", &sdg_sampler_ipndm, SDG_LIKE_SDCPP, -1, 1, 0},
    {"comfyui.ipndm_v", &sdg_sampler_ipndm_v, SDG_LIKE_COMFYUI, -1, 1, 0},
    {"sdcpp.ipndm_v", &sdg_sampler_ipndm_v, SDG_LIKE_SDCPP, -1, 1, 0},
    {"comfyui.deis", &sdg_sampler_deis, SDG_LIKE_COMFYUI, -1, 1, 0},
    {"comfyui.unipc", &sdg_sampler_unipc, SDG_LIKE_COMFYUI, -1, 1, 0},
    {"comfyui.unipc_bh2", &sdg_sampler_unipc_bh2, SDG_LIKE_COMFYUI, -1, 1, 0},
    {"comfyui.res_multistep", &sdg_sampler_res_multistep, SDG_LIKE_COMFYUI, -1, 1, 0},
    {"comfyui.res_multistep_a", &sdg_sampler_res_multistep, SDG_LIKE_SDCPP, 1, 1, 0},
    {"comfyui.res_multistep_a", &sdg_sampler_res_multistep_a, SDG_LIKE_COMFYUI, -1, 1, 0},
    {"comfyui.res_multistep_cfg_pp", &sdg_sampler_res_multistep_cfg_pp, SDG_LIKE_COMFYUI, -1, 1, 0},
    {"comfyui.res_multistep_a_cfg_pp", &sdg_sampler_res_multistep_a_cfg_pp, SDG_LIKE_COMFYUI, -1, 1,
     0},
    {"comfyui.er_sde", &sdg_sampler_er_sde, SDG_LIKE_COMFYUI, -1, 1, 0},
    {"comfyui.er_sde", &sdg_sampler_er_sde, SDG_LIKE_SDCPP, 0.5, 1, 0},
    {"comfyui.gradient_estimation", &sdg_sampler_gradient_estimation, SDG_LIKE_COMFYUI, -1, 1, 0},
    {"comfyui.gradient_estimation_cfg_pp", &sdg_sampler_gradient_estimation_cfg_pp,
     SDG_LIKE_COMFYUI, -1, 1, 0},
};

static void set_options(struct test_case *c, const struct walk *w)
{
    if (w->eta >= 0) c->s.options.eta = w->eta;
    c->s.options.s_noise = w->s_noise;
    if (w->order) c->s.options.order = w->order;
}

static void test_sigma_space(void **state)
{
    static const char *const programs[] = {"A1111", "diffusers", "ComfyUI", "sd.cpp"};
    static struct test_case c;
    for (size_t i = 0; i < sizeof walks / sizeof walks[0]; i++) {
        const struct walk *w = &walks[i];
        double worst = 0;
        for (int k = 0; k < 9; k++) {
            char list[32];
            snprintf(list, sizeof list, "%s.%d", lists[k / 3], step_counts[k % 3]);
            test_case_open(&c, w->sampler, w->like, IMAGES, LENGTH);
            set_options(&c, w);
            worst = fmax(worst, test_case_golden(&c, *state, w->key, list));
            assert_int_equal(c.calls, step_counts[k % 3]);
            test_case_close(&c);
        }
        print_message("# %-28s like %-9s %-36s %.1e\n", w->sampler->name, programs[w->like], w->key,
                      worst);
        assert_true(worst <= BOUND);
    }
}

/* diffusers */

struct class_walk {
    const char *key;
    const struct sdg_sampler *sampler;
    int order;
    bool cut;  /* lower_order_final off */
    int flags; /* of sdg_dpmpp_diffusers, which then runs in place of the sampler's way; -1: none */
};

static const struct class_walk class_walks[] = {
    {"lms", &sdg_sampler_lms, 4, false, -1},
    {"dpm1", &sdg_sampler_dpmpp_2m, 1, false, -1},
    {"dpm2", &sdg_sampler_dpmpp_2m, 2, false, -1},
    {"dpm2_heun", &sdg_sampler_dpmpp_2m, 2, false, SDG_DPMPP_HEUN},
    {"dpm3", &sdg_sampler_dpmpp_2m, 3, false, -1},
    {"dpm3_full", &sdg_sampler_dpmpp_2m, 3, true, -1},
    {"sde2", &sdg_sampler_dpmpp_2m_sde, 2, false, -1},
    {"sde2_heun", &sdg_sampler_dpmpp_2m_sde_heun, 2, false, -1},
    {"sde3", &sdg_sampler_dpmpp_3m_sde, 3, false, -1},
    {"deis2", &sdg_sampler_deis, 2, false, -1},
    {"deis3", &sdg_sampler_deis, 3, false, -1},
    {"dpm2_v", &sdg_sampler_dpmpp_2m, 2, false, -1},
    {"deis2_v", &sdg_sampler_deis, 2, false, -1},
    {"unipc2_v", &sdg_sampler_unipc, 2, false, -1},
    {"unipc2", &sdg_sampler_unipc, 2, false, -1},
    {"unipc3", &sdg_sampler_unipc_bh2, 3, false, -1},
};

static double class_worst(struct test_case *c, const struct class_walk *w,
                          const struct sdg_weights *golden, const char *list)
{
    struct test_floats sigmas = test_golden(golden, "sigmas.%s.%s", w->key, list);
    struct test_floats states = test_golden(golden, "diffusers.%s.%s", w->key, list);
    test_case_open(c, w->sampler, SDG_LIKE_DIFFUSERS, IMAGES, LENGTH);
    c->s.options.order = w->order;
    c->s.options.lower_order_final = !w->cut;
    if (strstr(w->key, "_v")) c->levels.prediction = SDG_PREDICT_V;
    test_case_sigmas(c, sigmas.data, (int)sigmas.count - 1);
    const bool vp = w->sampler->way[SDG_LIKE_DIFFUSERS].variance_preserving;
    test_case_start(c, vp ? 1 : sigmas.data[0]);
    assert_true(w->flags < 0 ? test_case_run(c) : sdg_dpmpp_diffusers(&c->s, (unsigned)w->flags));
    const double worst = test_case_worst(c, states.data, states.count);
    test_case_close(c);
    test_floats_free(&sigmas);
    test_floats_free(&states);
    return worst;
}

static void test_diffusers(void **state)
{
    static struct test_case c;
    for (size_t i = 0; i < sizeof class_walks / sizeof class_walks[0]; i++) {
        double worst = 0;
        for (int k = 0; k < 12; k++) {
            char list[32];
            snprintf(list, sizeof list, "%s.%d", spacings[k / 3], step_counts[k % 3]);
            worst = fmax(worst, class_worst(&c, &class_walks[i], *state, list));
        }
        print_message("# %-28s like diffusers %-34s %.1e\n", class_walks[i].sampler->name,
                      class_walks[i].key, worst);
        assert_true(worst <= (class_walks[i].sampler == &sdg_sampler_deis ? DEIS_BOUND : BOUND));
    }
}

/* A1111's UniPC: a grid of its own, counted by the schedule's entries. */
static double unipc_a1111_worst(struct test_case *c, const struct sdg_weights *golden,
                                const char *key, int steps)
{
    const struct sdg_sampler *sampler =
        strcmp(key, "unipc_bh2") ? &sdg_sampler_unipc : &sdg_sampler_unipc_bh2;
    struct test_floats states = test_golden(golden, "a1111.%s.%d", key, steps);
    float sigmas[32];
    for (int n = 0; n <= steps; n++) sigmas[n] = (float)(steps + 1 - n); /* not looked at */
    test_case_open(c, sampler, SDG_LIKE_A1111, IMAGES, LENGTH);
    if (strstr(key, "_v")) c->levels.prediction = SDG_PREDICT_V;
    test_case_sigmas(c, sigmas, steps);
    test_case_start(c, 1);
    assert_true(test_case_run(c));
    assert_true(c->timestep_off < 2e-3); /* the network saw the timesteps of the levels */
    const double worst = test_case_worst(c, states.data, states.count);
    test_case_close(c);
    test_floats_free(&states);
    return worst;
}

static void test_unipc_a1111(void **state)
{
    static const char *const keys[] = {"unipc", "unipc_bh2", "unipc_v"};
    static struct test_case c;
    for (int i = 0; i < 3; i++) {
        double worst = 0;
        for (int k = 0; k < 3; k++)
            worst = fmax(worst, unipc_a1111_worst(&c, *state, keys[i], step_counts[k]));
        print_message("# %-28s like A1111     %-36s %.1e\n", "unipc", keys[i], worst);
        assert_true(worst <= BOUND);
    }
}

/* The scalar walk from x = 7 over 10 5 2.5 1.2 0.5 0.1 0, noise counted: values by k-diffusion,
 * ComfyUI, or the equations in float64; and the walk without its step to 0. */
static void test_check_values(void **state)
{
    static const float sigmas[] = {10, 5, 2.5f, 1.2f, 0.5f, 0.1f, 0};
    static const struct {
        const struct sdg_sampler *sampler;
        enum sdg_like like;
        double whole, part;
    } known[] = {
        {&sdg_sampler_lms, SDG_LIKE_A1111, 0.528670302, 0.549995331},
        {&sdg_sampler_lms, SDG_LIKE_COMFYUI, 0.528033005, 0.549995331},
        {&sdg_sampler_dpmpp_2m, SDG_LIKE_A1111, 0.558292075, 0.642635402},
        {&sdg_sampler_dpmpp_2m_v2, SDG_LIKE_SDCPP, 0.512693718, 0.505404099},
        {&sdg_sampler_dpmpp_2m_sde, SDG_LIKE_A1111, 0.599585100, 0.780607127},
        {&sdg_sampler_dpmpp_2m_sde_heun, SDG_LIKE_A1111, 0.627727395, 0.883561784},
        {&sdg_sampler_dpmpp_3m_sde, SDG_LIKE_A1111, 0.609026779, 0.814280776},
        {&sdg_sampler_ipndm, SDG_LIKE_COMFYUI, 0.590369280, 0.748539791},
        {&sdg_sampler_ipndm, SDG_LIKE_SDCPP, 0.340838194, 0.748539791},
        {&sdg_sampler_ipndm_v, SDG_LIKE_COMFYUI, 0.542162650, 0.592444016},
        {&sdg_sampler_ipndm_v, SDG_LIKE_SDCPP, 0.393493168, 0.699586731},
        {&sdg_sampler_deis, SDG_LIKE_COMFYUI, 0.549890, 0.616252},
        {&sdg_sampler_res_multistep, SDG_LIKE_COMFYUI, 0.568904737, 0.676738050},
        {&sdg_sampler_res_multistep_a, SDG_LIKE_COMFYUI, 0.627727395, 0.883561784},
        {&sdg_sampler_res_multistep_cfg_pp, SDG_LIKE_COMFYUI, 0.465487756, 0.376797544},
        {&sdg_sampler_res_multistep_a_cfg_pp, SDG_LIKE_COMFYUI, 0.485847631, 0.430774892},
        {&sdg_sampler_er_sde, SDG_LIKE_COMFYUI, 0.522473706, 0.533660799},
        {&sdg_sampler_gradient_estimation, SDG_LIKE_COMFYUI, 0.560029591, 0.648158425},
        {&sdg_sampler_gradient_estimation_cfg_pp, SDG_LIKE_COMFYUI, 0.520179398, 0.526977840},
    };
    static struct test_case c;
    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        for (int part = 0; part < 2; part++) {
            test_case_open(&c, known[i].sampler, known[i].like, 1, 1);
            c.counted = true;
            c.x[0] = 7;
            test_case_sigmas(&c, sigmas, 6 - part);
            assert_true(test_case_run(&c));
            const double want = part ? known[i].part : known[i].whole;
            const double off = fabs((double)c.x[0] - want);
            if (!(off < 3e-6))
                fail_msg("%s: %.9g, %.9g wanted", known[i].sampler->name, (double)c.x[0], want);
            test_case_close(&c);
        }
}

/* Convergence: error at sigma 0.4 from sigma 2, against 2000 steps of Runge & Kutta's in double.
 * The first steps double from h^2 up to h, so that the low orders a multistep method starts with do
 * not show. */

#define FROM 2.0f
#define TO 0.4

/* dx/d ln s: x - D, and for ER-SDE without its noise s f'(s)/f(s) times that. */
static double rate(const struct sdg_sampler *sampler, double x, double log_sigma)
{
    const double d = x - test_case_denoised(x, exp(log_sigma));
    if (sampler != &sdg_sampler_er_sde) return d;
    const double power = exp(0.3 * log_sigma), e = exp(power);
    return d * (1 + 0.3 * power * e / (e + 10));
}

static double exact(const struct sdg_sampler *sampler, double x, double from, double to)
{
    const int n = 2000;
    const double h = log(to / from) / n;
    for (int i = 0; i < n; i++) {
        const double t = log(from) + i * h, a = rate(sampler, x, t);
        const double b = rate(sampler, x + h / 2 * a, t + h / 2);
        const double d = rate(sampler, x + h / 2 * b, t + h / 2);
        x += h / 6 * (a + 2 * b + 2 * d + rate(sampler, x + h * d, t + h));
    }
    return x;
}

static double error_at(struct test_case *c, const struct sdg_sampler *sampler, enum sdg_like like,
                       int order, double h)
{
    float sigmas[SDG_MAX_STEPS + 1] = {FROM};
    double t = log((double)FROM), worst = 0, step = h * h;
    float first[LENGTH];
    int n = 0;
    while (t > log(TO) + 1e-9) {
        t = fmax(t - step, log(TO));
        sigmas[++n] = (float)exp(t);
        step = fmin(2 * step, h);
    }
    test_case_open(c, sampler, like, 1, LENGTH);
    c->s.options.eta = 0;
    c->s.options.lower_order_final = false;
    if (order) c->s.options.order = order;
    test_case_sigmas(c, sigmas, n);
    test_case_start(c, FROM);
    memcpy(first, c->x, sizeof first);
    const bool vp = sampler->way[like].variance_preserving;
    for (int j = 0; vp && j < LENGTH; j++) c->x[j] /= sqrtf(FROM * FROM + 1);
    assert_true(test_case_run(c));
    const double last = (double)sigmas[n], grow = vp ? sqrt(last * last + 1) : 1;
    for (int j = 0; j < LENGTH; j++)
        worst = fmax(worst, fabs((double)c->x[j] * grow -
                                 exact(sampler, (double)first[j], (double)FROM, last)));
    test_case_close(c);
    return worst;
}

static void test_convergence(void **state)
{
    static const struct {
        const struct sdg_sampler *sampler;
        enum sdg_like like;
        int order;
        double expected; /* 3M and iPNDM-v have less than their names promise: see their files */
    } cases[] = {
        {&sdg_sampler_lms, SDG_LIKE_A1111, 1, 1},
        {&sdg_sampler_lms, SDG_LIKE_A1111, 2, 2},
        {&sdg_sampler_lms, SDG_LIKE_A1111, 3, 3},
        {&sdg_sampler_lms, SDG_LIKE_A1111, 4, 4},
        {&sdg_sampler_dpmpp_2m, SDG_LIKE_A1111, 2, 2},
        {&sdg_sampler_dpmpp_2m, SDG_LIKE_DIFFUSERS, 1, 1},
        {&sdg_sampler_dpmpp_2m, SDG_LIKE_DIFFUSERS, 2, 2},
        {&sdg_sampler_dpmpp_2m, SDG_LIKE_DIFFUSERS, 3, 2},
        {&sdg_sampler_dpmpp_2m_v2, SDG_LIKE_SDCPP, 0, 1},
        {&sdg_sampler_dpmpp_2m_sde, SDG_LIKE_A1111, 0, 2},
        {&sdg_sampler_dpmpp_2m_sde_heun, SDG_LIKE_A1111, 0, 2},
        {&sdg_sampler_dpmpp_3m_sde, SDG_LIKE_A1111, 0, 2},
        {&sdg_sampler_ipndm_v, SDG_LIKE_COMFYUI, 2, 2},
        {&sdg_sampler_ipndm_v, SDG_LIKE_COMFYUI, 4, 1},
        {&sdg_sampler_ipndm, SDG_LIKE_COMFYUI, 4, 2},
        {&sdg_sampler_deis, SDG_LIKE_COMFYUI, 3, 3},
        {&sdg_sampler_deis, SDG_LIKE_DIFFUSERS, 2, 2},
        {&sdg_sampler_deis, SDG_LIKE_DIFFUSERS, 3, 3},
        {&sdg_sampler_unipc, SDG_LIKE_COMFYUI, 1, 2},
        {&sdg_sampler_unipc, SDG_LIKE_COMFYUI, 2, 3},
        {&sdg_sampler_unipc, SDG_LIKE_COMFYUI, 3, 4},
        {&sdg_sampler_unipc_bh2, SDG_LIKE_COMFYUI, 3, 4},
        {&sdg_sampler_unipc, SDG_LIKE_DIFFUSERS, 2, 3},
        {&sdg_sampler_unipc, SDG_LIKE_DIFFUSERS, 3, 4},
        {&sdg_sampler_res_multistep, SDG_LIKE_COMFYUI, 0, 2},
        {&sdg_sampler_er_sde, SDG_LIKE_COMFYUI, 0, 1},
        {&sdg_sampler_gradient_estimation, SDG_LIKE_COMFYUI, 0, 1},
    };
    static struct test_case c;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct sdg_sampler *s = cases[i].sampler;
        const double e1 = error_at(&c, s, cases[i].like, cases[i].order, 0.08);
        const double e2 = error_at(&c, s, cases[i].like, cases[i].order, 0.04);
        const double slope = log2(e1 / e2);
        print_message("# %-22s like %d, order %d: errors %.1e %.1e, observed order %.2f\n", s->name,
                      (int)cases[i].like, cases[i].order, e1, e2, slope);
        assert_true(slope >= cases[i].expected - 0.45 && e2 < 0.1);
    }
}

static void test_stops(void **state)
{
    static const float sigmas[] = {10, 5, 2.5f, 1.2f, 0.5f, 0.1f, 0};
    static struct test_case c;
    (void)state;
    for (size_t i = 0; i < sizeof walks / sizeof walks[0]; i++)
        for (int like = 0; like < SDG_LIKE_COUNT; like++)
            for (int stop = 0; stop < 6; stop++) {
                test_case_open(&c, walks[i].sampler, (enum sdg_like)like, IMAGES, LENGTH);
                c.stop_at = stop;
                test_case_sigmas(&c, sigmas, 6);
                test_case_start(&c, 1);
                assert_false(test_case_run(&c));
                assert_int_equal(c.calls, stop + 1);
                test_case_close(&c);
            }
}

/* One step and two: fewer than the history of any of them. */
static void test_short(void **state)
{
    static const float sigmas[] = {10, 1, 0};
    static struct test_case c;
    (void)state;
    for (size_t i = 0; i < sizeof walks / sizeof walks[0]; i++)
        for (int like = 0; like < SDG_LIKE_COUNT; like++)
            for (int from = 0; from < 2; from++) {
                test_case_open(&c, walks[i].sampler, (enum sdg_like)like, IMAGES, LENGTH);
                test_case_sigmas(&c, sigmas + from, 2 - from);
                test_case_start(&c, 1);
                assert_true(test_case_run(&c));
                for (int j = 0; j < IMAGES * LENGTH; j++)
                    if (!isfinite(c.x[j]))
                        fail_msg("%s like %d: %g", walks[i].sampler->name, like, (double)c.x[j]);
                test_case_close(&c);
            }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sigma_space), cmocka_unit_test(test_diffusers),
        cmocka_unit_test(test_unipc_a1111), cmocka_unit_test(test_check_values),
        cmocka_unit_test(test_convergence), cmocka_unit_test(test_stops),
        cmocka_unit_test(test_short),
    };
    return cmocka_run_group_tests(tests, open_golden, close_golden);
}
