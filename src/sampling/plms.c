/* plms.c - pseudo linear multistep (Liu et al. 2022, "Pseudo numerical methods for diffusion models
 * on manifolds", eq. 11 and 12): DDIM's step with an eps extrapolated from the last four by the
 * weights of Adams & Bashforth. Order 4 once four are known; one evaluation a step.
 *
 *   1st step: eps' = (eps(x, t) + eps(x', t')) / 2 with x' from DDIM's step (one evaluation more)
 *   2nd (3, -1)/2   3rd (23, -16, 5)/12   then (55, -59, 37, -9)/24
 *   x' = sqrt(b) x0 + sqrt(1 - b) eps'
 *
 * AUTOMATIC1111 stable-diffusion-webui 1.10, modules/sd_samplers_timesteps_impl.py (plms), after
 * CompVis stable-diffusion, ldm/models/diffusion/plms.py. diffusers' way is in pndm.c. */
#include "sampling/diffusers_ways.h"
#include "sampling/prediction.h"
#include "sampling/samplers_all.h"
#include "sampling/vp_space.h"

#include <math.h>

enum { LAGS = 4 };

/* mixed [n][len] = weighted sum of the newest `order` values of eps; eps[0] is the newest. */
static void extrapolate(const struct sdg_sampling *s, float *mixed, float *const eps[LAGS],
                        int order)
{
    const size_t count = s->n * s->len;
    for (size_t j = 0; j < count; j++) {
        if (order == 2)
            mixed[j] = (3 * eps[0][j] - eps[1][j]) / 2;
        else if (order == 3)
            mixed[j] = (23 * eps[0][j] - 16 * eps[1][j] + 5 * eps[2][j]) / 12;
        else
            mixed[j] = (55 * eps[0][j] - 59 * eps[1][j] + 37 * eps[2][j] - 9 * eps[3][j]) / 24;
    }
}

/* x0 of x at abar a, and y = DDIM's step to abar b. y may be x. */
static void step(const struct sdg_sampling *s, float *y, float *x0, const float *eps, float a,
                 float b)
{
    sdg_split_output(NULL, x0, s->x, eps, a, SDG_PREDICT_EPS, s->n * s->len);
    sdg_vp_step(s, y, x0, eps, b, 0);
}

/* The improved Euler step that starts: mixed = mean of eps here and at the end of the step, where
 * the model is asked at the next entry's timestep. Past the last entry A1111's list names the level
 * that the walk ends on. */
static bool first(struct sdg_sampling *s, float *mixed, float *x0, const float *eps)
{
    const struct sdg_schedule *schedule = s->schedule;
    const size_t count = s->n * s->len;
    const float sigma = schedule->sigmas[1];
    const float t = schedule->steps > 1 ? schedule->timesteps[1]
                                        : sdg_levels_timestep(s->levels, (double)sigma);
    step(s, s->input, x0, eps, schedule->abar[0], schedule->abar_next[0]);
    if (!s->model(s->user, mixed, NULL, s->input, t, sigma, 0)) return false;
    sdg_split_output(mixed, NULL, s->input, mixed, schedule->abar_next[0], s->levels->prediction,
                     count);
    for (size_t j = 0; j < count; j++) mixed[j] = (eps[j] + mixed[j]) / 2;
    return true;
}

bool sdg_plms(struct sdg_sampling *s)
{
    float *eps[LAGS] = {s->buffer[0], s->buffer[1], s->buffer[2], s->buffer[3]};
    float *mixed = s->buffer[4], *x0 = s->buffer[5];
    for (int i = 0; i < s->schedule->steps; i++) {
        float *const oldest = eps[LAGS - 1];
        for (int k = LAGS - 1; k > 0; k--) eps[k] = eps[k - 1];
        eps[0] = oldest;
        if (!sdg_vp_predict(s, eps[0], x0, s->x, i)) return false;
        if (i > 0)
            extrapolate(s, mixed, eps, i < LAGS ? i + 1 : LAGS);
        else if (!first(s, mixed, x0, eps[0]))
            return false;
        step(s, s->x, x0, mixed, s->schedule->abar[i], s->schedule->abar_next[i]);
        sdg_vp_after(s, i, x0);
    }
    return true;
}

const struct sdg_sampler sdg_sampler_plms = {
    .name = "plms",
    .label = "PLMS",
    .aliases = "plms",
    .order = 4,
    .evaluations = 1,
    .buffers = SDG_PLMS_BUFFERS,
    .way =
        {
            [SDG_LIKE_A1111] = {.run = sdg_plms,
                                .variance_preserving = true,
                                .calls = 1,
                                .schedulers = SDG_SCHEDULERS_A1111_TIMESTEPS,
                                .own_scheduler = SDG_SCHEDULER_DDIM},
            [SDG_LIKE_DIFFUSERS] = {.run = sdg_pndm_diffusers,
                                    .variance_preserving = true,
                                    .calls = 1,
                                    .schedulers = SDG_SCHEDULERS_SPACINGS,
                                    .own_scheduler = SDG_SCHEDULER_LEADING},
            [SDG_LIKE_COMFYUI] = {.run = sdg_plms,
                                  .borrowed = true,
                                  .variance_preserving = true,
                                  .calls = 1,
                                  .schedulers = SDG_SCHEDULERS_A1111_TIMESTEPS,
                                  .own_scheduler = SDG_SCHEDULER_DDIM},
            [SDG_LIKE_SDCPP] = {.run = sdg_plms,
                                .borrowed = true,
                                .variance_preserving = true,
                                .calls = 1,
                                .schedulers = SDG_SCHEDULERS_A1111_TIMESTEPS,
                                .own_scheduler = SDG_SCHEDULER_DDIM},
        },
};
