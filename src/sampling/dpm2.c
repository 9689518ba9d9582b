/* dpm2.c - the midpoint method in log sigma, after DPM-Solver-2 (Lu et al. 2022) and algorithm 2 of
 * Karras et al. 2022. Order 2, two evaluations a step but for the one to level 0, which is Euler's:
 *
 *   m  = sqrt(s s')                 e = x + (x - D(x; s))/s (m - s)
 *   x' = x + (e - D(e; m))/m (s' - s)
 *
 * k-diffusion sampling.py (sample_dpm_2); diffusers scheduling_k_dpm_2_discrete.py, whose list of
 * timesteps names every evaluation; ComfyUI and stable-diffusion.cpp sample_dpm_2. A1111 and
 * ComfyUI leave out the last level above 0. */
#include "sampling/samplers_all.h"
#include "sampling/sigma_space.h"

static bool run(struct sdg_sampling *s)
{
    float *denoised = s->buffer[0], *x2 = s->buffer[1], *d2 = s->buffer[2];
    for (int i = 0; i < s->schedule->steps; i++) {
        const float to = s->schedule->sigmas[i + 1];
        const float sigma = sdg_sigma_churn(s, d2, i, s->like == SDG_LIKE_A1111);
        if (!sdg_denoise(s, denoised, NULL, s->x, sigma, i)) return false;
        if (to == 0) {
            sdg_sigma_euler(s, s->x, s->x, denoised, sigma, to);
        } else {
            const float middle = sdg_sigma_middle(sigma, to);
            sdg_sigma_euler(s, x2, s->x, denoised, sigma, middle);
            if (!sdg_denoise(s, d2, NULL, x2, middle, i)) return false;
            sdg_sigma_slope(s, d2, x2, d2, middle);
            sdg_sigma_mix(s, s->x, 1, s->x, to - sigma, d2);
        }
        sdg_sigma_after(s, i, denoised);
    }
    return true;
}

const struct sdg_sampler sdg_sampler_dpm2 = {
    .name = "dpm2",
    .label = "DPM2",
    .aliases = "dpm2|dpm_2|k_dpm_2|sample_dpm_2|KDPM2Discrete|KDPM2DiscreteScheduler",
    .order = 2,
    .evaluations = 2,
    .buffers = 3,
    .takes = SDG_TAKES_CHURN | SDG_TAKES_S_NOISE,
    .way =
        {
            [SDG_LIKE_A1111] = {.run = run,
                                .discard_penultimate = true,
                                .calls = 2,
                                .schedulers = SDG_SCHEDULERS_A1111,
                                .own_scheduler = SDG_SCHEDULER_KARRAS},
            [SDG_LIKE_DIFFUSERS] = {.run = run,
                                    .calls = 1,
                                    .schedulers = SDG_SCHEDULERS_OF_CLASS,
                                    .own_scheduler = SDG_SCHEDULER_LEADING},
            [SDG_LIKE_COMFYUI] = {.run = run,
                                  .discard_penultimate = true,
                                  .calls = 1,
                                  .schedulers = SDG_SCHEDULERS_COMFYUI},
            [SDG_LIKE_SDCPP] = {.run = run, .calls = 1, .schedulers = SDG_SCHEDULERS_SDCPP},
        },
};
