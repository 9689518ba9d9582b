/* tcd.c - trajectory consistency distillation (Zheng et al. 2024, algorithm 4): each evaluation
 * jumps along the trajectory past the next level s' to a cleaner one q, and fresh noise brings it
 * back up. eta (gamma in the paper) says how far: q is the training step floor((1 - eta) p), p the
 * one of s'. One evaluation a step. With abar' = 1/(s'^2 + 1) and d = (x - D(x; s))/s:
 *
 *   y  = sqrt(abar_q/abar') D + sqrt((1 - abar_q)/abar') d
 *   x' = sqrt(abar'/abar_q) y + sqrt(1/abar' - 1/abar_q) noise        eta > 0 and s' > 0; else y
 *
 * stable-diffusion.cpp, src/runtime/denoiser.hpp (sample_tcd): diffusers' step (tcd_diffusers.c)
 * divided by sqrt(abar'), on any schedule. A1111 and ComfyUI borrow it. */
#include <math.h>
#include "sampling/diffusers_ways.h"
#include "sampling/samplers_all.h"
#include "sampling/sigma_space.h"

/* The training step whose level is nearest to sigma. */
static int nearest(const struct sdg_levels *l, float sigma)
{
    int high = 0;
    while (high < SDG_TRAIN_STEPS - 1 && l->sigma[high] < sigma) high++;
    if (high > 0 && sigma - l->sigma[high - 1] <= l->sigma[high] - sigma) return high - 1;
    return high;
}

static void step(struct sdg_sampling *s, const float *denoised, float sigma, float to, double eta)
{
    float *noise = s->buffer[1];
    const int q = (int)floor((1 - eta) * nearest(s->levels, to));
    const float abar = 1 / (to * to + 1), abar_q = s->levels->abar[q < 0 ? 0 : q];
    const float a = sqrtf(abar_q / abar), b = sqrtf((1 - abar_q) / abar);
    const bool draws = eta > 0 && to > 0;
    const float back = sqrtf(abar / abar_q), up = sqrtf(fmaxf(1 / abar - 1 / abar_q, 0));
    if (draws) s->draw(s->user, noise);
    for (size_t j = 0; j < s->n * s->len; j++) {
        const float d = (s->x[j] - denoised[j]) / sigma, y = a * denoised[j] + b * d;
        s->x[j] = draws ? back * y + up * noise[j] : y;
    }
}

static bool run(struct sdg_sampling *s)
{
    const float *sigmas = s->schedule->sigmas;
    float *denoised = s->buffer[0];
    for (int i = 0; i < s->schedule->steps; i++) {
        if (!sdg_denoise(s, denoised, NULL, s->x, sigmas[i], i)) return false;
        step(s, denoised, sigmas[i], sigmas[i + 1], s->options.eta);
        sdg_sigma_after(s, i, denoised);
    }
    return true;
}

const struct sdg_sampler sdg_sampler_tcd = {
    .name = "tcd",
    .label = "TCD",
    .aliases = "tcd|k_tcd|TCDScheduler",
    .order = 1,
    .evaluations = 1,
    .buffers = 3,
    .stochastic = true, /* at diffusers' eta; stable-diffusion.cpp's default is 0 */
    .takes = SDG_TAKES_ETA,
    .way =
        {
            [SDG_LIKE_A1111] = {.run = run,
                                .borrowed = true,
                                .calls = 1,
                                .schedulers = SDG_SCHEDULERS_A1111,
                                .own_scheduler = SDG_SCHEDULER_LCM},
            [SDG_LIKE_DIFFUSERS] = {.run = sdg_tcd_diffusers,
                                    .variance_preserving = true,
                                    .calls = 1,
                                    .default_eta = 0.3,
                                    .schedulers = SDG_SCHEDULER_BIT(SDG_SCHEDULER_LCM) |
                                                  SDG_SCHEDULER_BIT(SDG_SCHEDULER_TIMESTEPS),
                                    .own_scheduler = SDG_SCHEDULER_LCM},
            [SDG_LIKE_COMFYUI] = {.run = run,
                                  .borrowed = true,
                                  .calls = 1,
                                  .schedulers = SDG_SCHEDULERS_COMFYUI,
                                  .own_scheduler = SDG_SCHEDULER_LCM},
            [SDG_LIKE_SDCPP] = {.run = run,
                                .calls = 1,
                                .schedulers = SDG_SCHEDULERS_SDCPP,
                                .own_scheduler = SDG_SCHEDULER_LCM},
        },
};
