/* samplercase.c - see samplercase.h. Keep in step with tools/samplers_common.py. */
#include "tests/support/samplercase.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/support/floats.h"
#include "tests/support/hashweights.h"

double test_case_denoised(double x, double sigma)
{
    return 0.5 * x / (1 + sigma * sigma) + 0.3 * cos(x);
}

double test_case_uncond(double x, double sigma)
{
    return 0.6 * x / (1 + sigma * sigma) - 0.1;
}

/* What a network would say whose clean latent at x = x0 + sigma*noise is d. */
static double output_of(double d, double x, double sigma, enum sdg_prediction prediction)
{
    const double root = sqrt(sigma * sigma + 1);
    if (prediction == SDG_PREDICT_EPS) return (x - d) / sigma;
    if (prediction == SDG_PREDICT_V) return (x / (root * root) - d) * root / sigma;
    return d;
}

static bool model(void *user, float *out, float *uncond, const float *input, float t, float sigma,
                  int step)
{
    struct test_case *c = user;
    const double root = sqrt((double)sigma * (double)sigma + 1);
    if (step < 0 || step >= c->schedule.steps) fail_msg("model call at entry %d", step);
    if (c->calls++ == c->stop_at) return false;
    const double off = fabs((double)t - (double)sdg_levels_timestep(&c->levels, (double)sigma));
    c->timestep_off = fmax(c->timestep_off, off);
    for (size_t j = 0; j < c->s.n * c->s.len; j++) {
        const double x = (double)input[j] * root, s = (double)sigma;
        out[j] = (float)output_of(test_case_denoised(x, s), x, s, c->levels.prediction);
        if (uncond)
            uncond[j] = (float)output_of(test_case_uncond(x, s), x, s, c->levels.prediction);
    }
    return true;
}

static void fill(const struct test_case *c, float *noise, int k)
{
    char name[32];
    const size_t count = c->s.n * c->s.len;
    snprintf(name, sizeof name, "draw.%d", k);
    if (c->counted)
        for (size_t j = 0; j < count; j++) noise[j] = (float)((7 * k) % 11 - 5) / 4;
    else
        test_hash_input(noise, name, count);
}

static void draw(void *user, float *noise)
{
    struct test_case *c = user;
    fill(c, noise, c->drawn++);
}

/* A path of about the size of Brownian motion, but smooth, so that the last bit of a level does not
 * matter: W_j(s) = 2 sqrt(s) sin(6 ln s + 0.7 j). */
static double path(double sigma, size_t j)
{
    return sigma > 0 ? 2 * sqrt(sigma) * sin(6 * log(sigma) + 0.7 * (double)j) : 0;
}

static void brownian(void *user, float *noise, float from, float to)
{
    struct test_case *c = user;
    const double a = (double)from, b = (double)to;
    if (c->counted) {
        fill(c, noise, c->path_drawn++);
        return;
    }
    c->path_drawn++;
    for (size_t j = 0; j < c->s.n * c->s.len; j++)
        noise[j] = (float)((path(b, j) - path(a, j)) / sqrt(fabs(b - a)));
}

/* Samplers with steps of their own skip entries, or stay on the last one. */
static void after(void *user, int step, const float *denoised)
{
    struct test_case *c = user;
    (void)denoised;
    if (step < c->entry || step >= c->schedule.steps || c->steps == SDG_MAX_STEPS)
        fail_msg("entry %d of %d reported after %d", step, c->schedule.steps, c->entry);
    c->entry = step;
    memcpy(c->states[c->steps++], c->x, c->s.n * c->s.len * sizeof *c->x);
}

void test_case_open(struct test_case *c, const struct sdg_sampler *sampler, enum sdg_like like,
                    size_t n, size_t len)
{
    const struct sdg_sampler_way *way = &sampler->way[like];
    const bool eps = like == SDG_LIKE_DIFFUSERS || way->variance_preserving;
    *c = (struct test_case) {.sampler = sampler, .stop_at = -1};
    assert_true(n * len <= TEST_CASE_VALUES && sampler->buffers <= SDG_SAMPLER_BUFFERS);
    sdg_levels_init(&c->levels, like, eps ? SDG_PREDICT_EPS : SDG_PREDICT_X0, false);
    c->states = calloc(SDG_MAX_STEPS, sizeof *c->states);
    assert_non_null(c->states);
    c->s = (struct sdg_sampling) {.schedule = &c->schedule,
                                  .levels = &c->levels,
                                  .like = like,
                                  .options = {.eta = way->default_eta,
                                              .s_tmax = INFINITY,
                                              .s_noise = 1,
                                              .r = 0.5,
                                              .order = sampler->order,
                                              .lower_order_final = true},
                                  .n = n,
                                  .len = len,
                                  .x = c->x,
                                  .input = c->input,
                                  .scale = 1,
                                  .model = model,
                                  .draw = draw,
                                  .brownian = brownian,
                                  .after = after,
                                  .user = c};
    for (int i = 0; i < sampler->buffers; i++) c->s.buffer[i] = c->buffer[i];
}

void test_case_close(struct test_case *c)
{
    free(c->states);
    c->states = NULL;
}

void test_case_sigmas(struct test_case *c, const float *sigmas, int steps)
{
    c->schedule = (struct sdg_schedule) {.steps = steps, .init_sigma = sigmas[0]};
    assert_true(steps > 0 && steps <= SDG_MAX_STEPS);
    memcpy(c->schedule.sigmas, sigmas, ((size_t)steps + 1) * sizeof *sigmas);
    for (int i = 0; i < steps; i++)
        c->schedule.timesteps[i] = sdg_levels_timestep(&c->levels, (double)sigmas[i]);
}

void test_case_start(struct test_case *c, float level)
{
    const size_t count = c->s.n * c->s.len;
    test_hash_input(c->x, "start", count);
    for (size_t j = 0; j < count; j++) c->x[j] *= level;
}

bool test_case_run(struct test_case *c)
{
    c->drawn = c->path_drawn = c->calls = c->steps = c->entry = 0;
    assert_non_null(c->sampler->way[c->s.like].run);
    return c->sampler->way[c->s.like].run(&c->s);
}

double test_case_worst(const struct test_case *c, const float *golden, size_t count)
{
    const size_t size = c->s.n * c->s.len;
    double worst = 0;
    if (count != (size_t)c->steps * size)
        fail_msg("%d steps seen, %zu expected", c->steps, count / size);
    for (int i = 0; i < c->steps; i++)
        worst = fmax(worst, test_ratio(c->states[i], golden + (size_t)i * size, size));
    return worst;
}

double test_case_golden(struct test_case *c, const struct sdg_weights *golden, const char *key,
                        const char *list)
{
    struct test_floats sigmas = test_golden(golden, "sigmas.%s", list);
    struct test_floats states = test_golden(golden, "%s.%s", key, list);
    test_case_sigmas(c, sigmas.data, (int)sigmas.count - 1);
    test_case_start(c, sigmas.data[0]);
    assert_true(test_case_run(c));
    const double worst = test_case_worst(c, states.data, states.count);
    test_floats_free(&sigmas);
    test_floats_free(&states);
    return worst;
}
