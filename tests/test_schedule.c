/* test_schedule.c - schedules and what is refused, against k-diffusion and twins of
 * A1111, ComfyUI and stable-diffusion.cpp. diffusers' schedules have a test of their own. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "sampling/samplers_all.h"
#include "tests/support/floats.h"

static struct sdg_weights golden;
static struct sdg_schedule schedule;
static struct sdg_levels levels;
static sdgen_error error;

static const char *const programs[SDG_LIKE_COUNT] = {"a1111", "diffusers", "comfyui", "sdcpp"};

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

/* A schedule under `levels`. */
static sdgen_status make(const struct sdg_sampler *sampler, enum sdg_scheduler scheduler, int steps)
{
    const struct sdg_schedule_request r = {.scheduler = scheduler, .steps = steps};
    return sdg_schedule_make(&schedule, &r, sampler, &levels, &error);
}

/* What the last bit of f32 is worth where the originals lose it by subtraction: VP takes 1 from an
 * exponential, bong tangent stretches differences of arc tangents over the whole range. */
static double lost(enum sdg_scheduler s, double sigma)
{
    if (s == SDG_SCHEDULER_VP && sigma > 0) return 1.2e-7 * (sigma + 1 / sigma);
    return s == SDG_SCHEDULER_BONG_TANGENT && sigma > 0 ? 1.2e-7 * 14.6 : 0;
}

/* have[count] is the golden array `key`, every value within `each` of itself and what schedule s
 * loses. */
static void compare_list(const char *key, const float *have, size_t count, double each,
                         enum sdg_scheduler s)
{
    struct test_floats want = test_golden(&golden, "%s", key);
    if (want.count != count) fail_msg("%s: %zu values, want %zu", key, count, want.count);
    for (size_t i = 0; i < count; i++) {
        const double value = fabs((double)want.data[i]);
        if (!(fabs((double)have[i] - (double)want.data[i]) <= each * value + lost(s, value)))
            fail_msg("%s[%zu]: %.9g, want %.9g", key, i, (double)have[i], (double)want.data[i]);
    }
    test_floats_free(&want);
}

static void compare(const char *key, const float *have, size_t count, double each)
{
    compare_list(key, have, count, each, SDG_SCHEDULER_OWN);
}

/* ---- schedules ---- */

static const int steps[] = {1, 2, 3, 4, 5, 7, 10, 20, 25, 50, 100, 1000};
enum { STEPS = sizeof steps / sizeof steps[0] };

static const struct {
    enum sdg_scheduler scheduler;
    int most;
} rows[] = {{SDG_SCHEDULER_DISCRETE, 1000},
            {SDG_SCHEDULER_KARRAS, 1000},
            {SDG_SCHEDULER_EXPONENTIAL, 1000},
            {SDG_SCHEDULER_POLYEXPONENTIAL, 1000},
            {SDG_SCHEDULER_SGM_UNIFORM, 1000},
            {SDG_SCHEDULER_SIMPLE, 1000},
            {SDG_SCHEDULER_DDIM, 1000},
            {SDG_SCHEDULER_BETA, 1000},
            {SDG_SCHEDULER_KL_OPTIMAL, 1000},
            {SDG_SCHEDULER_AYS_SD1, 1000},
            {SDG_SCHEDULER_AYS_SDXL, 1000},
            {SDG_SCHEDULER_TURBO, 10},
            {SDG_SCHEDULER_LINEAR_QUADRATIC, 1000},
            {SDG_SCHEDULER_VP, 1000},
            {SDG_SCHEDULER_SMOOTHSTEP, 1000},
            {SDG_SCHEDULER_BONG_TANGENT, 1000},
            {SDG_SCHEDULER_LCM, 50}};

static bool divides_by_zero(enum sdg_like like, enum sdg_scheduler s)
{
    return (like == SDG_LIKE_COMFYUI && s == SDG_SCHEDULER_KL_OPTIMAL) ||
           (like == SDG_LIKE_SDCPP &&
            (s == SDG_SCHEDULER_KARRAS || s == SDG_SCHEDULER_EXPONENTIAL));
}

static void compare_timesteps(const char *key, int n)
{
    char name[80];
    if (n > 100) return;
    snprintf(name, sizeof name, "%s.timesteps", key);
    struct test_floats want = test_golden(&golden, "%s", name);
    assert_int_equal(want.count, schedule.steps);
    for (int i = 0; i < schedule.steps; i++)
        if (!(fabsf(schedule.timesteps[i] - want.data[i]) <= 2e-3f))
            fail_msg("%s[%d]: %.9g, want %.9g", name, i, (double)schedule.timesteps[i],
                     (double)want.data[i]);
    test_floats_free(&want);
}

static void compare_program(enum sdg_like like)
{
    use(like);
    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        const enum sdg_scheduler s = rows[r].scheduler;
        /* A1111 knows one "Align Your Steps"; ComfyUI and sd.cpp name both tables. */
        const bool ays = s == SDG_SCHEDULER_AYS_SD1 || s == SDG_SCHEDULER_AYS_SDXL;
        if (!ays && !sdg_scheduler_is_own(s, like)) continue;
        for (int i = 0; i < STEPS && steps[i] <= rows[r].most; i++) {
            char key[64];
            if (steps[i] == 1 && divides_by_zero(like, s)) {
                assert_int_equal(make(&sdg_sampler_euler, s, 1), SDGEN_ERR_ARG);
                assert_non_null(strstr(error.text, "cannot be sampled"));
                continue;
            }
            snprintf(key, sizeof key, "%s.%s.%d", programs[like], sdg_scheduler_name(s), steps[i]);
            assert_int_equal(make(&sdg_sampler_euler, s, steps[i]), SDGEN_OK);
            compare_list(key, schedule.sigmas, (size_t)schedule.steps + 1, 1e-6, s);
            if (s == SDG_SCHEDULER_DISCRETE || s == SDG_SCHEDULER_KARRAS || s == SDG_SCHEDULER_BETA)
                compare_timesteps(key, steps[i]);
        }
    }
}

static void schedules_a1111(void **state)
{
    (void)state;
    compare_program(SDG_LIKE_A1111);
}

static void schedules_comfyui(void **state)
{
    (void)state;
    compare_program(SDG_LIKE_COMFYUI);
}

static void schedules_sdcpp(void **state)
{
    (void)state;
    compare_program(SDG_LIKE_SDCPP);
}

/* Under zero terminal SNR and for an EDM model. */
static void schedules_levels(void **state)
{
    (void)state;
    static const enum sdg_scheduler some[] = {SDG_SCHEDULER_DISCRETE, SDG_SCHEDULER_KARRAS,
                                              SDG_SCHEDULER_SGM_UNIFORM, SDG_SCHEDULER_SIMPLE};
    static const struct {
        const char *name;
        enum sdg_like like;
        enum sdg_prediction prediction;
        bool zero;
    } models[] = {{"a1111.zero", SDG_LIKE_A1111, SDG_PREDICT_V, true},
                  {"comfyui.zero", SDG_LIKE_COMFYUI, SDG_PREDICT_V, true},
                  {"comfyui.edm", SDG_LIKE_COMFYUI, SDG_PREDICT_EDM_V, false}};
    for (int k = 0; k < 3 * 4 * 2; k++) {
        char key[64];
        const int m = k / 8, n = k % 2 ? 20 : 5;
        const enum sdg_scheduler s = some[k / 2 % 4];
        sdg_levels_init(&levels, models[m].like, models[m].prediction, models[m].zero);
        assert_int_equal(make(&sdg_sampler_euler, s, n), SDGEN_OK);
        snprintf(key, sizeof key, "%s.%s.%d", models[m].name, sdg_scheduler_name(s), n);
        compare(key, schedule.sigmas, (size_t)schedule.steps + 1, 2e-6);
    }
}

/* A1111's range options. */
static void ranges(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct sdg_schedule_request r;
    } cases[] = {
        {"karras", {.scheduler = SDG_SCHEDULER_KARRAS, .sigma_min = 0.1, .sigma_max = 10}},
        {"karras_rho",
         {.scheduler = SDG_SCHEDULER_KARRAS, .sigma_min = 0.1, .sigma_max = 10, .rho = 5}},
        {"polyexponential_rho", {.scheduler = SDG_SCHEDULER_POLYEXPONENTIAL, .rho = 2}},
        {"exponential",
         {.scheduler = SDG_SCHEDULER_EXPONENTIAL, .sigma_min = 0.1, .sigma_max = 10}},
        {"sgm_uniform",
         {.scheduler = SDG_SCHEDULER_SGM_UNIFORM, .sigma_min = 0.1, .sigma_max = 10}},
        {"kl_optimal", {.scheduler = SDG_SCHEDULER_KL_OPTIMAL, .sigma_min = 0.1, .sigma_max = 10}},
        {"beta", {.scheduler = SDG_SCHEDULER_BETA, .sigma_min = 0.1, .sigma_max = 10}}};
    use(SDG_LIKE_A1111);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (int n = 5; n <= 20; n += 15) {
            struct sdg_schedule_request r = cases[i].r;
            char key[64];
            r.steps = n;
            assert_int_equal(sdg_schedule_make(&schedule, &r, &sdg_sampler_euler, &levels, &error),
                             SDGEN_OK);
            snprintf(key, sizeof key, "range.%s.%d", cases[i].name, n);
            compare(key, schedule.sigmas, (size_t)schedule.steps + 1, 1.5e-6);
        }
}

/* Numbers printed by the programs or worked out from their formulas. */
static void known_lists(void **state)
{
    (void)state;
    static const struct {
        enum sdg_like like;
        enum sdg_scheduler s;
        int steps;
        float want[12];
    } known[] = {
        {SDG_LIKE_A1111,
         SDG_SCHEDULER_DISCRETE,
         10,
         {14.614641f, 7.839883f, 4.609174f, 2.918307f, 1.950161f, 1.344928f, 0.932358f, 0.624977f,
          0.368658f, 0.029167f, 0}},
        {SDG_LIKE_COMFYUI,
         SDG_SCHEDULER_SGM_UNIFORM,
         10,
         {14.614641f, 8.307172f, 5.092408f, 3.325069f, 2.279730f, 1.615580f, 1.162865f, 0.831884f,
          0.571189f, 0.343705f, 0}},
        {SDG_LIKE_A1111,
         SDG_SCHEDULER_DDIM,
         10,
         {8.390685f, 5.134431f, 3.347764f, 2.292854f, 1.623692f, 1.168216f, 0.835653f, 0.574050f,
          0.346187f, 0.041314f, 0}},
        {SDG_LIKE_A1111,
         SDG_SCHEDULER_BETA,
         10,
         {14.614641f, 13.927785f, 12.490980f, 10.597608f, 8.442437f, 6.201372f, 4.046201f,
          2.152828f, 0.716024f, 0.029167f, 0}},
        {SDG_LIKE_SDCPP,
         SDG_SCHEDULER_BETA,
         10,
         {14.614641f, 11.542771f, 7.371844f, 4.372802f, 2.615236f, 1.618279f, 1.027329f, 0.654885f,
          0.395510f, 0.199059f, 0}},
        {SDG_LIKE_A1111,
         SDG_SCHEDULER_KL_OPTIMAL,
         10,
         {14.614641f, 4.565037f, 2.632888f, 1.786445f, 1.294767f, 0.961588f, 0.711627f, 0.509419f,
          0.335637f, 0.178346f, 0.029167f}},
        {SDG_LIKE_COMFYUI,
         SDG_SCHEDULER_KL_OPTIMAL,
         10,
         {14.614633f, 4.232350f, 2.393719f, 1.597066f, 1.132997f, 0.815245f, 0.572914f, 0.372484f,
          0.195288f, 0.029167f, 0}},
        {SDG_LIKE_COMFYUI,
         SDG_SCHEDULER_LINEAR_QUADRATIC,
         5,
         {14.614641f, 14.431958f, 14.249275f, 12.544234f, 7.794475f, 0}},
        {SDG_LIKE_SDCPP,
         SDG_SCHEDULER_SMOOTHSTEP,
         10,
         {14.614641f, 12.372009f, 8.130531f, 4.733645f, 2.714943f, 1.618279f, 0.993718f, 0.610252f,
          0.352943f, 0.164240f, 0}},
        {SDG_LIKE_COMFYUI,
         SDG_SCHEDULER_TURBO,
         4,
         {14.614641f, 8.302803f, 5.087763f, 3.321083f, 0}},
        {SDG_LIKE_SDCPP,
         SDG_SCHEDULER_BONG_TANGENT,
         10,
         {14.614641f, 14.294417f, 13.855189f, 13.219058f, 12.227948f, 10.528293f, 7.321904f,
          3.783903f, 1.742385f, 0.660210f, 0}},
        {SDG_LIKE_A1111, SDG_SCHEDULER_LCM, 1, {14.6146431f, 0}},
        {SDG_LIKE_A1111,
         SDG_SCHEDULER_LCM,
         8,
         {14.6146431f, 6.7683830f, 3.6009886f, 2.1203656f, 1.3230610f, 0.8298596f, 0.4764543f,
          0.1344505f, 0}},
        {SDG_LIKE_SDCPP, SDG_SCHEDULER_LCM, 4, {14.614641f, 4.260557f, 1.612886f, 0.719380f, 0}},
        {SDG_LIKE_COMFYUI,
         SDG_SCHEDULER_GITS,
         10,
         {14.61464119f, 5.85520077f, 2.84484982f, 1.67050016f, 1.08895338f, 0.74807048f,
          0.50118381f, 0.32104823f, 0.19894916f, 0.09824532f, 0}}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        /* stable-diffusion.cpp's f32 levels are up to 3e-4 away from those of the formulas */
        const double each = known[i].like == SDG_LIKE_SDCPP ? 3e-4 : 2e-5;
        use(known[i].like);
        assert_int_equal(make(&sdg_sampler_euler, known[i].s, known[i].steps), SDGEN_OK);
        assert_int_equal(schedule.steps, known[i].steps);
        for (int k = 0; k <= schedule.steps; k++)
            if (!(fabs((double)schedule.sigmas[k] - (double)known[i].want[k]) <=
                  each * (double)known[i].want[k]))
                fail_msg("%s.%s[%d]: %.9g, want %.9g", programs[known[i].like],
                         sdg_scheduler_name(known[i].s), k, (double)schedule.sigmas[k],
                         (double)known[i].want[k]);
    }
}

/* A1111's LCM sampler: unasked and under "uniform" the list between the distilled levels, others
 * end on the lowest of them. */
static void lcm_of_a1111(void **state)
{
    (void)state;
    static const float want[] = {14.6146431f, 2.9910560f, 0.9728259f, 0.1344505f, 0};
    static const enum sdg_scheduler same[] = {SDG_SCHEDULER_OWN, SDG_SCHEDULER_DISCRETE,
                                              SDG_SCHEDULER_LCM};
    use(SDG_LIKE_A1111);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(make(&sdg_sampler_lcm, same[i], 4), SDGEN_OK);
        assert_int_equal(schedule.steps, 4);
        for (int k = 0; k <= 4; k++)
            assert_true(fabsf(schedule.sigmas[k] - want[k]) <= 2e-5f * want[k]);
    }
    assert_int_equal(make(&sdg_sampler_lcm, SDG_SCHEDULER_KARRAS, 4), SDGEN_OK);
    assert_true(fabsf(schedule.sigmas[3] - want[3]) <= 2e-5f * want[3]);
}

/* GITS beyond its tables: in twice the steps every second level is the table's. */
static void gits(void **state)
{
    (void)state;
    static const float first[4] = {14.61464119f, 7.49001646f, 0};
    struct sdg_schedule table;
    struct sdg_schedule_request r = {.scheduler = SDG_SCHEDULER_GITS, .steps = 2};
    use(SDG_LIKE_COMFYUI);
    r.gits_coefficient = 0.8;
    assert_int_equal(sdg_schedule_make(&schedule, &r, &sdg_sampler_euler, &levels, &error),
                     SDGEN_OK);
    assert_memory_equal(schedule.sigmas, first, 3 * sizeof first[0]);
    r.gits_coefficient = 1.5;
    r.steps = 20;
    assert_int_equal(sdg_schedule_make(&table, &r, &sdg_sampler_euler, &levels, &error), SDGEN_OK);
    r.steps = 40;
    assert_int_equal(sdg_schedule_make(&schedule, &r, &sdg_sampler_euler, &levels, &error),
                     SDGEN_OK);
    for (int i = 0; i <= 20; i++)
        assert_true(fabsf(schedule.sigmas[2 * i] - table.sigmas[i]) <= 2e-6f * table.sigmas[i]);
    r.gits_coefficient = 1.03;
    assert_int_equal(sdg_schedule_make(&schedule, &r, &sdg_sampler_euler, &levels, &error),
                     SDGEN_ERR_ARG);
    r.gits_coefficient = 1.55;
    assert_int_equal(sdg_schedule_make(&schedule, &r, &sdg_sampler_euler, &levels, &error),
                     SDGEN_ERR_ARG);
    assert_int_equal(make(&sdg_sampler_euler, SDG_SCHEDULER_GITS, 1), SDGEN_ERR_ARG);
}

/* The plain name takes the table of the model. */
static void ays_by_model(void **state)
{
    (void)state;
    struct sdg_schedule plain;
    struct sdg_schedule_request r = {.scheduler = SDG_SCHEDULER_AYS, .steps = 10};
    use(SDG_LIKE_COMFYUI);
    for (int sdxl = 0; sdxl < 2; sdxl++) {
        r.sdxl = sdxl;
        assert_int_equal(sdg_schedule_make(&plain, &r, &sdg_sampler_euler, &levels, &error),
                         SDGEN_OK);
        assert_int_equal(
            make(&sdg_sampler_euler, sdxl ? SDG_SCHEDULER_AYS_SDXL : SDG_SCHEDULER_AYS_SD1, 10),
            SDGEN_OK);
        assert_memory_equal(&plain, &schedule, sizeof plain);
    }
}

/* ---- where the walk starts and ends ---- */

static void start_scale(void **state)
{
    (void)state;
    use(SDG_LIKE_COMFYUI);
    assert_int_equal(make(&sdg_sampler_euler, SDG_SCHEDULER_KARRAS, 10), SDGEN_OK);
    const float top = schedule.sigmas[0];
    assert_true(fabsf(schedule.init_sigma / sqrtf(1 + top * top) - 1) < 1e-6f);
    assert_int_equal(make(&sdg_sampler_euler, SDG_SCHEDULER_DDIM, 10), SDGEN_OK); /* starts below */
    assert_true(schedule.init_sigma == schedule.sigmas[0]);
    for (int like = SDG_LIKE_A1111; like < SDG_LIKE_COUNT; like += SDG_LIKE_SDCPP) {
        use((enum sdg_like)like);
        assert_int_equal(make(&sdg_sampler_euler, SDG_SCHEDULER_KARRAS, 10), SDGEN_OK);
        assert_true(schedule.init_sigma == schedule.sigmas[0]);
    }
    use(SDG_LIKE_A1111);
    assert_int_equal(make(&sdg_sampler_ddim, SDG_SCHEDULER_DDIM, 10), SDGEN_OK);
    assert_true(schedule.init_sigma == 1);
}

/* One step more, the last level above 0 left out. */
static void penultimate(void **state)
{
    (void)state;
    struct sdg_schedule full;
    struct sdg_schedule_request r = {.scheduler = SDG_SCHEDULER_KARRAS, .steps = 10};
    use(SDG_LIKE_A1111);
    assert_int_equal(make(&sdg_sampler_euler, SDG_SCHEDULER_KARRAS, 11), SDGEN_OK);
    full = schedule;
    r.discard_penultimate = true;
    assert_int_equal(sdg_schedule_make(&schedule, &r, &sdg_sampler_euler, &levels, &error),
                     SDGEN_OK);
    assert_int_equal(schedule.steps, 10);
    assert_memory_equal(schedule.sigmas, full.sigmas, 10 * sizeof full.sigmas[0]);
    assert_true(schedule.sigmas[10] == 0);
    assert_int_equal(make(&sdg_sampler_dpm2, SDG_SCHEDULER_KARRAS, 10), SDGEN_OK); /* always */
    assert_memory_equal(schedule.sigmas, full.sigmas, 10 * sizeof full.sigmas[0]);
    r.steps = SDG_MAX_STEPS;
    assert_int_equal(sdg_schedule_make(&schedule, &r, &sdg_sampler_euler, &levels, &error),
                     SDGEN_OK);
    assert_int_equal(schedule.steps, SDG_MAX_STEPS);
    use(SDG_LIKE_COMFYUI); /* whose nodes do not ask the sampler */
    assert_int_equal(make(&sdg_sampler_dpm2, SDG_SCHEDULER_AYS_SD1, 10), SDGEN_OK);
    assert_true(fabsf(schedule.sigmas[9] - 0.1515232662f) < 1e-6f);
    use(SDG_LIKE_DIFFUSERS);
    assert_int_equal(sdg_schedule_make(&schedule, &r, &sdg_sampler_euler, &levels, &error),
                     SDGEN_ERR_ARG);
}

static sdgen_status give(enum sdg_scheduler scheduler, const double *list, int count)
{
    const struct sdg_schedule_request r = {
        .scheduler = scheduler, .steps = count, .list = list, .list_count = count};
    return sdg_schedule_make(&schedule, &r, &sdg_sampler_euler, &levels, &error);
}

static void given_lists(void **state)
{
    (void)state;
    static const double good[] = {14.6, 7.5, 0.3, 0}, partial[] = {9, 4}, rising[] = {1, 2, 0},
                        zero[] = {1, 0, 0}, endless[] = {INFINITY, 1}, odd[] = {1, NAN, 0},
                        negative[] = {1, -1}, times[] = {999, 499.5, 0}, beyond[] = {1000, 1},
                        twice[] = {5, 5};
    use(SDG_LIKE_A1111);
    assert_int_equal(give(SDG_SCHEDULER_SIGMAS, good, 4), SDGEN_OK);
    assert_int_equal(schedule.steps, 3);
    assert_true(schedule.sigmas[1] == 7.5f && schedule.sigmas[3] == 0);
    assert_int_equal(give(SDG_SCHEDULER_SIGMAS, partial, 2), SDGEN_OK);
    assert_true(schedule.steps == 1 && schedule.sigmas[1] == 4);
    assert_int_equal(give(SDG_SCHEDULER_SIGMAS, good, 1), SDGEN_ERR_ARG);
    assert_int_equal(give(SDG_SCHEDULER_SIGMAS, rising, 3), SDGEN_ERR_ARG);
    assert_non_null(strstr(error.text, "value 2"));
    assert_int_equal(give(SDG_SCHEDULER_SIGMAS, zero, 3), SDGEN_ERR_ARG);
    assert_int_equal(give(SDG_SCHEDULER_SIGMAS, endless, 2), SDGEN_ERR_ARG);
    assert_int_equal(give(SDG_SCHEDULER_SIGMAS, odd, 3), SDGEN_ERR_ARG);
    assert_int_equal(give(SDG_SCHEDULER_SIGMAS, negative, 2), SDGEN_ERR_ARG);
    assert_int_equal(give(SDG_SCHEDULER_TIMESTEPS, times, 3), SDGEN_OK);
    assert_true(schedule.steps == 3 && schedule.timesteps[1] == 499.5f && schedule.sigmas[3] == 0);
    assert_true(fabsf(schedule.sigmas[1] - 1.6156f) < 1e-3f);
    assert_int_equal(give(SDG_SCHEDULER_TIMESTEPS, beyond, 2), SDGEN_ERR_ARG);
    assert_int_equal(give(SDG_SCHEDULER_TIMESTEPS, twice, 2), SDGEN_ERR_ARG);
    assert_int_equal(give(SDG_SCHEDULER_TIMESTEPS, times, 0), SDGEN_ERR_ARG);
    sdg_levels_init(&levels, SDG_LIKE_COMFYUI, SDG_PREDICT_EDM_V, false);
    assert_int_equal(give(SDG_SCHEDULER_TIMESTEPS, times, 3), SDGEN_ERR_ARG);
}

/* ---- A1111's list for samplers with abar ---- */

static void a1111_list(void **state)
{
    (void)state;
    use(SDG_LIKE_A1111);
    for (int i = 1; i < STEPS; i++) {
        char key[64];
        assert_int_equal(make(&sdg_sampler_ddim, SDG_SCHEDULER_DDIM, steps[i]), SDGEN_OK);
        const size_t calls = (size_t)schedule.steps;
        snprintf(key, sizeof key, "a1111.list.%d.timesteps", steps[i]);
        compare(key, schedule.timesteps, calls, 0);
        snprintf(key, sizeof key, "a1111.list.%d.abar", steps[i]);
        compare(key, schedule.abar, calls, 1e-7);
        snprintf(key, sizeof key, "a1111.list.%d.abar_next", steps[i]);
        compare(key, schedule.abar_next, calls, 1e-7);
    }
    assert_int_equal(make(&sdg_sampler_ddim, SDG_SCHEDULER_DDIM, 20), SDGEN_OK);
    assert_int_equal(schedule.steps, 19); /* 951 ... 51, ending on the level of 1 */
    assert_true(schedule.timesteps[0] == 951 && schedule.timesteps[18] == 51);
    assert_int_equal(make(&sdg_sampler_ddim, SDG_SCHEDULER_DDIM, 1), SDGEN_ERR_ARG);
    assert_int_equal(make(&sdg_sampler_unipc, SDG_SCHEDULER_DDIM, 20), SDGEN_OK);
    assert_int_equal(schedule.steps, 20); /* equal times from 1 to 1/1000 */
    assert_true(fabsf(schedule.timesteps[0] - 999) < 1e-3f);
    assert_true(fabsf(schedule.timesteps[19] - 49.95f) < 1e-3f);
    assert_true(fabsf(schedule.sigmas[20] / levels.sigma[0] - 1) < 1e-3f);
}

/* Whatever is made falls, is finite and fits, for every sampler, schedule, program and length. */
static void every_length(void **state)
{
    (void)state;
    int made = 0;
    for (int like = 0; like < SDG_LIKE_COUNT; like++)
        for (int i = 0; sdg_sampler_at(i); i++)
            for (int k = 0; k < SDG_SCHEDULER_COUNT; k++)
                for (int n = 1; n <= SDG_MAX_STEPS; n += n < 30 ? 1 : 121) {
                    const struct sdg_sampler *s = sdg_sampler_at(i);
                    if (like != (int)levels.like) use((enum sdg_like)like);
                    if (make(s, (enum sdg_scheduler)k, n) != SDGEN_OK) continue;
                    made++;
                    assert_in_range(schedule.steps, 1, SDG_MAX_STEPS);
                    assert_true(schedule.init_sigma > 0);
                    for (int j = 0; j < schedule.steps; j++)
                        assert_true(isfinite(schedule.sigmas[j]) &&
                                    isfinite(schedule.timesteps[j]));
                    for (int j = 0; j < schedule.steps && like != SDG_LIKE_DIFFUSERS; j++)
                        assert_true(schedule.sigmas[j + 1] <= schedule.sigmas[j]);
                }
    assert_true(made > 10000);
}

/* ---- what a program does not have ---- */

static void refusals(void **state)
{
    (void)state;
    use(SDG_LIKE_A1111);
    assert_int_equal(make(&sdg_sampler_euler, SDG_SCHEDULER_DISCRETE, 0), SDGEN_ERR_ARG);
    assert_non_null(strstr(error.text, "--steps 0"));
    assert_int_equal(make(&sdg_sampler_euler, SDG_SCHEDULER_DISCRETE, 1001), SDGEN_ERR_ARG);
    assert_int_equal(make(&sdg_sampler_euler, SDG_SCHEDULER_LEADING, 20), SDGEN_ERR_ARG);
    assert_non_null(strstr(error.text, "possible: discrete, karras, "));
    assert_int_equal(make(&sdg_sampler_ddim, SDG_SCHEDULER_KARRAS, 20), SDGEN_ERR_ARG);
    assert_non_null(strstr(error.text, "possible: ddim"));
    assert_int_equal(make(&sdg_sampler_euler, SDG_SCHEDULER_TURBO, 11), SDGEN_ERR_ARG);
    use(SDG_LIKE_SDCPP);
    assert_int_equal(make(&sdg_sampler_euler, SDG_SCHEDULER_LCM, 51), SDGEN_ERR_ARG);
    use(SDG_LIKE_DIFFUSERS);
    assert_int_equal(make(&sdg_sampler_euler, SDG_SCHEDULER_DISCRETE, 20), SDGEN_ERR_ARG);
    assert_non_null(strstr(error.text, "leading, linspace, trailing"));
    const struct sdg_schedule_request turned = {
        .scheduler = SDG_SCHEDULER_KARRAS, .steps = 5, .sigma_min = 20};
    use(SDG_LIKE_A1111);
    assert_int_equal(sdg_schedule_make(&schedule, &turned, &sdg_sampler_euler, &levels, &error),
                     SDGEN_ERR_ARG);
}

/* Every sampler's own schedule can be made, also when it is not named. */
static void defaults(void **state)
{
    (void)state;
    assert_int_equal(sdg_scheduler_default(&sdg_sampler_euler_a, SDG_LIKE_A1111),
                     SDG_SCHEDULER_DISCRETE);
    assert_int_equal(sdg_scheduler_default(&sdg_sampler_dpmpp_2m, SDG_LIKE_A1111),
                     SDG_SCHEDULER_KARRAS);
    assert_int_equal(sdg_scheduler_default(&sdg_sampler_dpmpp_3m_sde, SDG_LIKE_A1111),
                     SDG_SCHEDULER_EXPONENTIAL);
    for (int like = 0; like < SDG_LIKE_COUNT; like++)
        for (int i = 0; sdg_sampler_at(i); i++) {
            const struct sdg_sampler *s = sdg_sampler_at(i);
            use((enum sdg_like)like);
            if (!s->way[like].run) {
                assert_int_equal(make(s, SDG_SCHEDULER_OWN, 20), SDGEN_ERR_ARG);
                continue;
            }
            struct sdg_schedule named;
            if (make(s, sdg_scheduler_default(s, (enum sdg_like)like), 20) != SDGEN_OK)
                fail_msg("%s, %s: %s", s->name, programs[like], error.text);
            named = schedule;
            assert_int_equal(make(s, SDG_SCHEDULER_OWN, 20), SDGEN_OK);
            assert_memory_equal(&named, &schedule, sizeof named);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(schedules_a1111), cmocka_unit_test(schedules_comfyui),
        cmocka_unit_test(schedules_sdcpp), cmocka_unit_test(schedules_levels),
        cmocka_unit_test(ranges),          cmocka_unit_test(known_lists),
        cmocka_unit_test(lcm_of_a1111),    cmocka_unit_test(gits),
        cmocka_unit_test(ays_by_model),    cmocka_unit_test(start_scale),
        cmocka_unit_test(penultimate),     cmocka_unit_test(given_lists),
        cmocka_unit_test(a1111_list),      cmocka_unit_test(every_length),
        cmocka_unit_test(refusals),        cmocka_unit_test(defaults),
    };
    return cmocka_run_group_tests(tests, open_golden, close_golden);
}
