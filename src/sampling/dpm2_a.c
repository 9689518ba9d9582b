/* dpm2_a.c - the midpoint method of dpm2.c with ancestral noise (euler_a.c): a second-order step to
 * `down`, then fresh noise of level `up`. Two evaluations a step but for the one to level 0.
 *
 *   m  = sqrt(s down)               e = x + (x - D(x; s))/s (m - s)
 *   x' = x + (e - D(e; m))/m (down - s) + up noise
 *
 * k-diffusion sampling.py (sample_dpm_2_ancestral); ComfyUI the same; diffusers
 * scheduling_k_dpm_2_ancestral_discrete.py. A1111 and ComfyUI leave out the last level above 0. */
#include "sampling/samplers_all.h"
#include "sampling/sigma_space.h"

static bool run(struct sdg_sampling *s)
{
    const float *sigmas = s->schedule->sigmas;
    float *denoised = s->buffer[0], *x2 = s->buffer[1], *d2 = s->buffer[2];
    for (int i = 0; i < s->schedule->steps; i++) {
        const float sigma = sigmas[i];
        float down, up;
        if (!sdg_denoise(s, denoised, NULL, s->x, sigma, i)) return false;
        sdg_sigma_ancestral(&down, &up, sigma, sigmas[i + 1], (float)s->options.eta);
        if (down == 0) {
            sdg_sigma_euler(s, s->x, s->x, denoised, sigma, down);
        } else {
            const float middle = sdg_sigma_middle(sigma, down);
            sdg_sigma_euler(s, x2, s->x, denoised, sigma, middle);
            if (!sdg_denoise(s, d2, NULL, x2, middle, i)) return false;
            sdg_sigma_slope(s, d2, x2, d2, middle);
            sdg_sigma_mix(s, s->x, 1, s->x, down - sigma, d2);
            sdg_sigma_renoise(s, x2, up);
        }
        sdg_sigma_after(s, i, denoised);
    }
    return true;
}

const struct sdg_sampler sdg_sampler_dpm2_a = {
    .name = "dpm2_a",
    .label = "DPM2 a",
    .aliases = "dpm2_a|dpm_2_a|k_dpm_2_a|dpm_2_ancestral|dpm2_ancestral|k_dpm_2_ancestral|"
               "sample_dpm_2_ancestral|KDPM2AncestralDiscrete|KDPM2AncestralDiscreteScheduler",
    .order = 2, /* at eta 0 */
    .evaluations = 2,
    .buffers = 3,
    .stochastic = true,
    .takes = SDG_TAKES_ETA | SDG_TAKES_S_NOISE,
    .way =
        {
            [SDG_LIKE_A1111] = {.run = run,
                                .discard_penultimate = true,
                                .calls = 2,
                                .default_eta = 1,
                                .schedulers = SDG_SCHEDULERS_A1111,
                                .own_scheduler = SDG_SCHEDULER_KARRAS},
            [SDG_LIKE_DIFFUSERS] = {.run = run,
                                    .calls = 1,
                                    .default_eta = 1,
                                    .schedulers = SDG_SCHEDULERS_OF_CLASS,
                                    .own_scheduler = SDG_SCHEDULER_LEADING},
            [SDG_LIKE_COMFYUI] = {.run = run,
                                  .discard_penultimate = true,
                                  .calls = 1,
                                  .default_eta = 1,
                                  .schedulers = SDG_SCHEDULERS_COMFYUI},
            [SDG_LIKE_SDCPP] = {.run = run,
                                .borrowed = true,
                                .calls = 1,
                                .default_eta = 1,
                                .schedulers = SDG_SCHEDULERS_SDCPP},
        },
};
