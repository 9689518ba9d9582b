/* ddpm.c - the reverse process of training (Ho et al. 2020, algorithm 2) from level to level, with
 * the small variance (eq. 6). One evaluation a step. y = x/sqrt(s^2 + 1) is the network's own
 * scale, abar = 1/(s^2 + 1), abar' that of the next level, alpha = abar/abar':
 *
 *   y' = (y - (1 - alpha) eps/sqrt(1 - abar))/sqrt(alpha)
 *        + sqrt((1 - alpha)(1 - abar')/(1 - abar)) noise                   noise only for s' > 0
 *
 * For a perfect eps it is Euler with ancestral noise at eta 1 (euler_a.c). ComfyUI,
 * comfy/k_diffusion/sampling.py (sample_ddpm, DDPMSampler_step); Forge has the same. diffusers'
 * DDPMScheduler: ddpm_diffusers.c. */
#include <math.h>
#include "sampling/diffusers_ways.h"
#include "sampling/samplers_all.h"
#include "sampling/sigma_space.h"

static void step(struct sdg_sampling *s, const float *denoised, float sigma, float to)
{
    float *noise = s->buffer[1];
    const float abar = 1 / (sigma * sigma + 1), abar_to = 1 / (to * to + 1), alpha = abar / abar_to;
    const float shrink = sqrtf(1 + sigma * sigma), grow = to > 0 ? sqrtf(1 + to * to) : 1;
    const float root = sqrtf(1 / alpha), part = sqrtf(1 - abar);
    const float up = sqrtf((1 - alpha) * (1 - abar_to) / (1 - abar));
    if (to > 0) s->draw(s->user, noise);
    for (size_t j = 0; j < s->n * s->len; j++) {
        const float eps = (s->x[j] - denoised[j]) / sigma;
        float y = root * (s->x[j] / shrink - (1 - alpha) * eps / part);
        if (to > 0) y += up * noise[j];
        s->x[j] = y * grow;
    }
}

static bool run(struct sdg_sampling *s)
{
    const float *sigmas = s->schedule->sigmas;
    float *denoised = s->buffer[0];
    for (int i = 0; i < s->schedule->steps; i++) {
        if (!sdg_denoise(s, denoised, NULL, s->x, sigmas[i], i)) return false;
        step(s, denoised, sigmas[i], sigmas[i + 1]);
        sdg_sigma_after(s, i, denoised);
    }
    return true;
}

const struct sdg_sampler sdg_sampler_ddpm = {
    .name = "ddpm",
    .label = "DDPM",
    .aliases = "ddpm|k_ddpm|sample_ddpm|DDPMScheduler",
    .order = 1,
    .evaluations = 1,
    .buffers = 2,
    .stochastic = true,
    .way =
        {
            [SDG_LIKE_A1111] = {.run = run, .calls = 1, .schedulers = SDG_SCHEDULERS_A1111},
            [SDG_LIKE_DIFFUSERS] = {.run = sdg_ddpm_diffusers,
                                    .variance_preserving = true,
                                    .calls = 1,
                                    .schedulers = SDG_SCHEDULERS_SPACINGS |
                                                  SDG_SCHEDULER_BIT(SDG_SCHEDULER_TIMESTEPS),
                                    .own_scheduler = SDG_SCHEDULER_LEADING},
            [SDG_LIKE_COMFYUI] = {.run = run, .calls = 1, .schedulers = SDG_SCHEDULERS_COMFYUI},
            [SDG_LIKE_SDCPP] =
                {.run = run, .borrowed = true, .calls = 1, .schedulers = SDG_SCHEDULERS_SDCPP},
        },
};
