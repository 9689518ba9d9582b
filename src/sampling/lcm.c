/* lcm.c - sampling a latent consistency model (Luo et al. 2023, algorithm 3): every evaluation
 * jumps to a clean latent, fresh noise brings it back up to the next level. One evaluation a step:
 *
 *   x' = D(x; s) + s' noise
 *
 * ComfyUI comfy/k_diffusion/sampling.py (sample_lcm) and stable-diffusion.cpp sample_lcm ask the
 * plain denoiser. A1111 modules/sd_samplers_lcm.py rounds to one of the 50 levels that were
 * distilled (t = 19, 39, ..., 999) and mixes in the input as the distillation did, with
 * sigma_data 0.5 and the timestep times 10:
 *
 *   D' = c_out D + c_skip x,   c_skip = 0.25/((10t)^2 + 0.25),   c_out = 10t/sqrt((10t)^2 + 0.25)
 *
 * diffusers' LCMScheduler: lcm_diffusers.c. */
#include <math.h>
#include <string.h>
#include "sampling/diffusers_ways.h"
#include "sampling/samplers_all.h"
#include "sampling/sigma_space.h"

enum { SKIP = 20 }; /* training steps between distilled ones */
#define SIGMA_DATA 0.5f

/* The timestep of the distilled level nearest to sigma in log sigma. */
static int distilled(const struct sdg_levels *l, float sigma)
{
    const float wanted = logf(sigma);
    int best = SKIP - 1;
    for (int t = best; t < SDG_TRAIN_STEPS; t += SKIP)
        if (fabsf(wanted - l->log_sigma[t]) < fabsf(wanted - l->log_sigma[best])) best = t;
    return best;
}

static bool denoise_a1111(struct sdg_sampling *s, float *denoised, float sigma, int step)
{
    const int t = distilled(s->levels, sigma);
    if (!sdg_denoise_at(s, denoised, NULL, s->x, sigma, (float)t, step)) return false;
    const float scaled = (float)t * 10, data = SIGMA_DATA * SIGMA_DATA;
    const float whole = scaled * scaled + data;
    sdg_sigma_mix(s, denoised, scaled / sqrtf(whole), denoised, data / whole, s->x);
    return true;
}

static bool run(struct sdg_sampling *s)
{
    const float *sigmas = s->schedule->sigmas;
    float *denoised = s->buffer[0], *noise = s->buffer[1];
    for (int i = 0; i < s->schedule->steps; i++) {
        const bool done = s->like == SDG_LIKE_A1111
                              ? denoise_a1111(s, denoised, sigmas[i], i)
                              : sdg_denoise(s, denoised, NULL, s->x, sigmas[i], i);
        if (!done) return false;
        memcpy(s->x, denoised, s->n * s->len * sizeof *s->x);
        if (sigmas[i + 1] > 0) sdg_sigma_renoise(s, noise, sigmas[i + 1]);
        sdg_sigma_after(s, i, denoised);
    }
    return true;
}

const struct sdg_sampler sdg_sampler_lcm = {
    .name = "lcm",
    .label = "LCM",
    .aliases = "lcm|k_lcm|sample_lcm|LCMScheduler",
    .order = 1,
    .evaluations = 1,
    .buffers = 2,
    .stochastic = true,
    .takes = SDG_TAKES_S_NOISE,
    .way =
        {
            [SDG_LIKE_A1111] = {.run = run,
                                .calls = 1,
                                .schedulers = SDG_SCHEDULERS_A1111,
                                .own_scheduler = SDG_SCHEDULER_LCM},
            [SDG_LIKE_DIFFUSERS] = {.run = sdg_lcm_diffusers,
                                    .variance_preserving = true,
                                    .calls = 1,
                                    .schedulers = SDG_SCHEDULER_BIT(SDG_SCHEDULER_LCM) |
                                                  SDG_SCHEDULER_BIT(SDG_SCHEDULER_TIMESTEPS),
                                    .own_scheduler = SDG_SCHEDULER_LCM},
            [SDG_LIKE_COMFYUI] = {.run = run, .calls = 1, .schedulers = SDG_SCHEDULERS_COMFYUI},
            [SDG_LIKE_SDCPP] = {.run = run,
                                .calls = 1,
                                .schedulers = SDG_SCHEDULERS_SDCPP,
                                .own_scheduler = SDG_SCHEDULER_LCM},
        },
};
