/* euler.c - Euler's method on the probability-flow ODE (Karras et al. 2022, algorithm 2 in its
 * first-order form). Order 1, one evaluation a step:
 *
 *   x' = x + (x - D(x; s)) / s * (s' - s)
 *
 * k-diffusion sampling.py (sample_euler); diffusers scheduling_euler_discrete.py; ComfyUI
 * sample_euler; stable-diffusion.cpp sample_euler. They part only where churn lifts the level from
 * s to h before the step: k-diffusion asks the model at h, diffusers at s and uses the answer at h;
 * k-diffusion, and A1111 with it, draws on every step, the others only where the noise shows. */
#include "sampling/samplers_all.h"
#include "sampling/sigma_space.h"

static bool run(struct sdg_sampling *s)
{
    float *denoised = s->buffer[0], *noise = s->buffer[1];
    for (int i = 0; i < s->schedule->steps; i++) {
        const float sigma = sdg_sigma_churn(s, noise, i, s->like == SDG_LIKE_A1111);
        if (!sdg_denoise(s, denoised, NULL, s->x, sigma, i)) return false;
        sdg_sigma_euler(s, s->x, s->x, denoised, sigma, s->schedule->sigmas[i + 1]);
        sdg_sigma_after(s, i, denoised);
    }
    return true;
}

/* After churn the model's answer for the old x and level serves the new ones: its noise is kept
 * under eps prediction, and under v prediction D = x/(s^2 + 1) - v s/sqrt(s^2 + 1) takes the new x.
 */
static void move_denoised(struct sdg_sampling *s, float *denoised, const float *old, float sigma,
                          float hat)
{
    const float keep = 1 / (sigma * sigma + 1), grow = hat / sigma;
    for (size_t j = 0; j < s->n * s->len; j++) {
        if (s->levels->prediction == SDG_PREDICT_EPS)
            denoised[j] = s->x[j] - grow * (old[j] - denoised[j]);
        else if (s->levels->prediction == SDG_PREDICT_V)
            denoised[j] += (s->x[j] - old[j]) * keep;
    }
}

static bool run_diffusers(struct sdg_sampling *s)
{
    float *denoised = s->buffer[0], *noise = s->buffer[1], *old = s->buffer[2];
    for (int i = 0; i < s->schedule->steps; i++) {
        const float sigma = s->schedule->sigmas[i];
        if (!sdg_denoise(s, denoised, NULL, s->x, sigma, i)) return false;
        for (size_t j = 0; j < s->n * s->len; j++) old[j] = s->x[j];
        const float hat = sdg_sigma_churn(s, noise, i, false);
        if (hat > sigma) move_denoised(s, denoised, old, sigma, hat);
        sdg_sigma_euler(s, s->x, s->x, denoised, hat, s->schedule->sigmas[i + 1]);
        sdg_sigma_after(s, i, denoised);
    }
    return true;
}

const struct sdg_sampler sdg_sampler_euler = {
    .name = "euler",
    .label = "Euler",
    .aliases = "euler|k_euler|sample_euler|EulerDiscrete|EulerDiscreteScheduler",
    .order = 1,
    .evaluations = 1,
    .buffers = 3,
    .takes = SDG_TAKES_CHURN | SDG_TAKES_S_NOISE,
    .way =
        {
            [SDG_LIKE_A1111] = {.run = run, .calls = 1, .schedulers = SDG_SCHEDULERS_A1111},
            [SDG_LIKE_DIFFUSERS] = {.run = run_diffusers,
                                    .calls = 1,
                                    .schedulers = SDG_SCHEDULERS_OF_CLASS,
                                    .own_scheduler = SDG_SCHEDULER_LEADING},
            [SDG_LIKE_COMFYUI] = {.run = run, .calls = 1, .schedulers = SDG_SCHEDULERS_COMFYUI},
            [SDG_LIKE_SDCPP] = {.run = run, .calls = 1, .schedulers = SDG_SCHEDULERS_SDCPP},
        },
};
