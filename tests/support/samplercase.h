/* samplercase.h - a sampler on a denoiser that is known in closed form, with noise that both sides
 * of a comparison can compute. tools/samplers_common.py has the same lines for the originals.
 *
 *   D(x; s) = 0.5 x / (1 + s^2) + 0.3 cos x       the guided denoiser
 *   U(x; s) = 0.6 x / (1 + s^2) - 0.1             the one without prompt
 *
 * for every value of the latent by itself. */
#ifndef SDG_TESTS_SUPPORT_SAMPLERCASE_H
#define SDG_TESTS_SUPPORT_SAMPLERCASE_H

#include "sampling/sampler.h"
#include "files/weights.h"

enum { TEST_CASE_VALUES = 64 }; /* n * len at most */

struct test_case {
    const struct sdg_sampler *sampler;
    struct sdg_sampling s;
    struct sdg_schedule schedule;
    struct sdg_levels levels; /* predicting x0; under diffusers, and abar samplers, eps */
    /* draw k: false: hash noise "draw.k"; true: ((7k) mod 11 - 5)/4 everywhere, for the Brownian
     * path too, which is a smooth function of the level otherwise */
    bool counted;
    int drawn, path_drawn, calls, steps; /* what the callbacks saw */
    int entry;                           /* of the schedule that was reported last */
    int stop_at;                         /* the model call that stops the walk; -1: none */
    double timestep_off;                 /* largest |t - timestep of sigma| that the model saw */
    float x[TEST_CASE_VALUES], input[TEST_CASE_VALUES];
    float buffer[SDG_SAMPLER_BUFFERS][TEST_CASE_VALUES];
    float (*states)[TEST_CASE_VALUES]; /* [steps] x after every step that was reported */
};

/* n images of len values under a program, with its default options. The case must not move. */
void test_case_open(struct test_case *c, const struct sdg_sampler *sampler, enum sdg_like like,
                    size_t n, size_t len);
void test_case_close(struct test_case *c);

/* The list of levels, sigmas [steps + 1]. Or fill c->schedule by hand, or by sdg_schedule_make. */
void test_case_sigmas(struct test_case *c, const float *sigmas, int steps);

/* x = hash noise "start" times level. */
void test_case_start(struct test_case *c, float level);

/* One walk from the current x, false when stopped. */
bool test_case_run(struct test_case *c);

/* The largest over all steps of max|x - golden| / max|golden|, golden [steps][n*len]. Fails the
 * test when the number of steps differs. */
double test_case_worst(const struct test_case *c, const float *golden, size_t count);

/* The walk of a golden file: levels from "sigmas.<list>", states from "<key>.<list>"; from hash
 * noise times sigmas[0]. Options are those of c->s.options. Returns test_case_worst. */
double test_case_golden(struct test_case *c, const struct sdg_weights *golden, const char *key,
                        const char *list);

/* The denoisers in double. */
double test_case_denoised(double x, double sigma);
double test_case_uncond(double x, double sigma);

#endif
