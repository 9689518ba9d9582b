/* euler_a.c - Euler's method with ancestral noise: every step goes further down than asked and adds
 * fresh noise up to the level wanted; at eta 1 the variance is that of the reverse process of Ho et
 * al. 2020. Order 1, one evaluation a step:
 *
 *   x' = x + (x - D(x; s)) / s * (down - s) + up noise,   down^2 + up^2 = s'^2
 *
 * k-diffusion sampling.py (sample_euler_ancestral); ComfyUI sample_euler_ancestral;
 * stable-diffusion.cpp sample_euler_ancestral; diffusers
 * scheduling_euler_ancestral_discrete.py, which has neither eta nor s_noise and also draws on the
 * step to level 0, times zero, which shows nowhere. ComfyUI says x' = D where down is 0. */
#include <string.h>
#include "sampling/samplers_all.h"
#include "sampling/sigma_space.h"

static bool run(struct sdg_sampling *s)
{
    const float *sigmas = s->schedule->sigmas;
    float *denoised = s->buffer[0], *noise = s->buffer[1];
    for (int i = 0; i < s->schedule->steps; i++) {
        float down, up;
        if (!sdg_denoise(s, denoised, NULL, s->x, sigmas[i], i)) return false;
        sdg_sigma_ancestral(&down, &up, sigmas[i], sigmas[i + 1], (float)s->options.eta);
        if (down == 0 && s->like == SDG_LIKE_COMFYUI)
            memcpy(s->x, denoised, s->n * s->len * sizeof *s->x);
        else
            sdg_sigma_euler(s, s->x, s->x, denoised, sigmas[i], down);
        if (sigmas[i + 1] > 0) sdg_sigma_renoise(s, noise, up);
        sdg_sigma_after(s, i, denoised);
    }
    return true;
}

const struct sdg_sampler sdg_sampler_euler_a = {
    .name = "euler_a",
    .label = "Euler a",
    .aliases = "euler_a|k_euler_a|euler_ancestral|k_euler_ancestral|sample_euler_ancestral|"
               "EulerAncestralDiscrete|EulerAncestralDiscreteScheduler",
    .order = 1,
    .evaluations = 1,
    .buffers = 2,
    .stochastic = true,
    .takes = SDG_TAKES_ETA | SDG_TAKES_S_NOISE,
    .way =
        {
            [SDG_LIKE_A1111] =
                {.run = run, .calls = 1, .default_eta = 1, .schedulers = SDG_SCHEDULERS_A1111},
            [SDG_LIKE_DIFFUSERS] = {.run = run,
                                    .calls = 1,
                                    .default_eta = 1,
                                    .schedulers = SDG_SCHEDULERS_SPACINGS | SDG_SCHEDULERS_LISTS,
                                    .own_scheduler = SDG_SCHEDULER_LEADING},
            [SDG_LIKE_COMFYUI] =
                {.run = run, .calls = 1, .default_eta = 1, .schedulers = SDG_SCHEDULERS_COMFYUI},
            [SDG_LIKE_SDCPP] =
                {.run = run, .calls = 1, .default_eta = 1, .schedulers = SDG_SCHEDULERS_SDCPP},
        },
};
