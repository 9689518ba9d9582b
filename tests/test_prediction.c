/* test_prediction.c - what a network says turned into what samplers ask for, against k-diffusion,
 * diffusers and the definitions in f64. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "sampling/prediction.h"
#include "tests/support/floats.h"

#define BOUND 5e-7 /* of the largest value: a few roundings */
enum { COUNT = 32 };

static struct sdg_weights golden;
static struct test_floats sigmas, output, unit;

static int open_golden(void **state)
{
    (void)state;
    sdgen_error err;
    if (sdg_weights_open(&golden, "tests/golden/noise.safetensors", &err) != SDGEN_OK) return 1;
    sigmas = test_golden(&golden, "predict.sigmas");
    output = test_golden(&golden, "predict.output");
    unit = test_golden(&golden, "predict.unit");
    return output.count != COUNT || unit.count != COUNT;
}

static int close_golden(void **state)
{
    (void)state;
    test_floats_free(&sigmas);
    test_floats_free(&output);
    test_floats_free(&unit);
    sdg_weights_close(&golden);
    return 0;
}

/* k-diffusion, external.py: CompVisDenoiser and CompVisVDenoiser. */
static void denoised_of_kdiffusion(void **state)
{
    (void)state;
    static const char *names[] = {[SDG_PREDICT_EPS] = "eps", [SDG_PREDICT_V] = "v"};
    for (size_t i = 0; i < sigmas.count; i++) {
        struct test_floats x = test_golden(&golden, "predict.%zu.x", i);
        for (int p = SDG_PREDICT_EPS; p <= SDG_PREDICT_V; p++) {
            struct test_floats want = test_golden(&golden, "predict.%zu.%s", i, names[p]);
            float y[COUNT];
            sdg_denoised_of(y, x.data, output.data, sigmas.data[i], (enum sdg_prediction)p, COUNT);
            assert_true(test_ratio(y, want.data, COUNT) <= BOUND);
            test_floats_free(&want);
        }
        test_floats_free(&x);
    }
}

/* The definitions, backwards: from a clean latent and noise to what a perfect network says, whose
 * denoised latent must be the clean one again. */
static void denoised_by_definition(void **state)
{
    (void)state;
    for (size_t i = 0; i < sigmas.count; i++)
        for (int p = 0; p < SDG_PREDICT_COUNT; p++) {
            const double sigma = (double)sigmas.data[i], root = sqrt(sigma * sigma + 1);
            float x[COUNT], says[COUNT];
            for (int j = 0; j < COUNT; j++) {
                const double clean = (double)output.data[j], noise = (double)unit.data[j];
                x[j] = (float)(clean + sigma * noise);
                says[j] = p == SDG_PREDICT_EPS  ? (float)noise
                          : p == SDG_PREDICT_X0 ? (float)clean
                                                : (float)((noise - sigma * clean) / root);
            }
            sdg_denoised_of(says, x, says, sigmas.data[i], (enum sdg_prediction)p, COUNT);
            assert_true(test_difference(says, output.data, COUNT) <= 5e-7 * root);
        }
}

static void input_scale(void **state)
{
    (void)state;
    for (size_t i = 0; i < sigmas.count; i++) {
        const double sigma = (double)sigmas.data[i];
        const double want = 1 / sqrt(sigma * sigma + 1);
        assert_true(fabs((double)sdg_input_scale(sigmas.data[i]) / want - 1) <= 2e-7);
    }
    assert_true(sdg_input_scale(0) == 1);
}

static const char *const names[] = {
    [SDG_PREDICT_EPS] = "eps", [SDG_PREDICT_V] = "v", [SDG_PREDICT_X0] = "x0"};

/* diffusers: the clean latent of DDIMScheduler.step, the noise of DPMSolverMultistepScheduler.
 * The latter goes by sigma and is compared more loosely: its abar is 1/(1 + sigma^2) rounded. */
static void split_of_diffusers(void **state)
{
    (void)state;
    struct test_floats abar = test_golden(&golden, "predict.abar");
    struct test_floats other = test_golden(&golden, "predict.noise.abar");
    for (int p = SDG_PREDICT_EPS; p <= SDG_PREDICT_X0; p++) {
        struct test_floats clean = test_golden(&golden, "predict.%s.clean", names[p]);
        struct test_floats noise = test_golden(&golden, "predict.%s.noise", names[p]);
        for (size_t i = 0; i < abar.count; i++) {
            float eps[COUNT], x0[COUNT];
            sdg_split_output(NULL, x0, unit.data, output.data, abar.data[i], (enum sdg_prediction)p,
                             COUNT);
            assert_true(test_ratio(x0, clean.data + i * COUNT, COUNT) <= BOUND);
            sdg_split_output(eps, NULL, unit.data, output.data, other.data[i],
                             (enum sdg_prediction)p, COUNT);
            assert_true(test_ratio(eps, noise.data + i * COUNT, COUNT) <= 4e-6);
        }
        test_floats_free(&clean);
        test_floats_free(&noise);
    }
    test_floats_free(&abar);
    test_floats_free(&other);
}

/* x = sqrt(abar) x0 + sqrt(1 - abar) eps whatever the network was trained to say, and either result
 * may take the output's place. */
static void split_keeps_the_sum(void **state)
{
    (void)state;
    static const float abars[] = {0.99915f, 0.5f, 0.0046601f, 2e-7f};
    for (size_t i = 0; i < sizeof abars / sizeof abars[0]; i++)
        for (int p = 0; p < SDG_PREDICT_COUNT; p++) {
            const double a = sqrt((double)abars[i]), b = sqrt(1 - (double)abars[i]);
            float eps[COUNT], x0[COUNT], place[COUNT];
            sdg_split_output(eps, x0, unit.data, output.data, abars[i], (enum sdg_prediction)p,
                             COUNT);
            for (int j = 0; j < COUNT; j++) {
                const double sum = a * (double)x0[j] + b * (double)eps[j];
                const double room = 1e-6 * (1 + b * fabs((double)eps[j]));
                assert_true(fabs(sum - (double)unit.data[j]) <= room);
            }
            memcpy(place, output.data, sizeof place);
            sdg_split_output(place, NULL, unit.data, place, abars[i], (enum sdg_prediction)p,
                             COUNT);
            assert_memory_equal(place, eps, sizeof eps);
            memcpy(place, output.data, sizeof place);
            sdg_split_output(NULL, place, unit.data, place, abars[i], (enum sdg_prediction)p,
                             COUNT);
            assert_memory_equal(place, x0, sizeof x0);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(denoised_of_kdiffusion),
        cmocka_unit_test(denoised_by_definition),
        cmocka_unit_test(input_scale),
        cmocka_unit_test(split_of_diffusers),
        cmocka_unit_test(split_keeps_the_sum),
    };
    return cmocka_run_group_tests(tests, open_golden, close_golden);
}
