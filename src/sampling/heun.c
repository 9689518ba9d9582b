/* heun.c - Heun's method (Karras et al. 2022, algorithm 2). Order 2, two evaluations a step but for
 * the one to level 0, which is Euler's:
 *
 *   d  = (x - D(x; s)) / s          e = x + d (s' - s)
 *   d2 = (e - D(e; s')) / s'        x' = x + (d + d2)/2 (s' - s)
 *
 * k-diffusion sampling.py (sample_heun); diffusers scheduling_heun_discrete.py, whose list of
 * timesteps names every evaluation; ComfyUI and stable-diffusion.cpp sample_heun. */
#include "sampling/samplers_all.h"
#include "sampling/sigma_space.h"

/* x += (d + d2)/2 (to - sigma) */
static void correct(struct sdg_sampling *s, const float *d, const float *d2, float dt)
{
    for (size_t j = 0; j < s->n * s->len; j++) s->x[j] += (d[j] + d2[j]) / 2 * dt;
}

static bool run(struct sdg_sampling *s)
{
    float *denoised = s->buffer[0], *d = s->buffer[1], *x2 = s->buffer[2], *d2 = s->buffer[3];
    for (int i = 0; i < s->schedule->steps; i++) {
        const float to = s->schedule->sigmas[i + 1];
        const float sigma = sdg_sigma_churn(s, d, i, s->like == SDG_LIKE_A1111);
        if (!sdg_denoise(s, denoised, NULL, s->x, sigma, i)) return false;
        if (to == 0) {
            sdg_sigma_euler(s, s->x, s->x, denoised, sigma, to);
        } else {
            sdg_sigma_slope(s, d, s->x, denoised, sigma);
            sdg_sigma_mix(s, x2, 1, s->x, to - sigma, d);
            if (!sdg_denoise(s, d2, NULL, x2, to, i)) return false;
            sdg_sigma_slope(s, d2, x2, d2, to);
            correct(s, d, d2, to - sigma);
        }
        sdg_sigma_after(s, i, denoised);
    }
    return true;
}

const struct sdg_sampler sdg_sampler_heun = {
    .name = "heun",
    .label = "Heun",
    .aliases = "heun|k_heun|sample_heun|HeunDiscrete|HeunDiscreteScheduler",
    .order = 2,
    .evaluations = 2,
    .buffers = 4,
    .takes = SDG_TAKES_CHURN | SDG_TAKES_S_NOISE,
    .way =
        {
            [SDG_LIKE_A1111] = {.run = run, .calls = 2, .schedulers = SDG_SCHEDULERS_A1111},
            [SDG_LIKE_DIFFUSERS] = {.run = run,
                                    .calls = 1,
                                    .schedulers = SDG_SCHEDULERS_OF_CLASS,
                                    .own_scheduler = SDG_SCHEDULER_LEADING},
            [SDG_LIKE_COMFYUI] = {.run = run, .calls = 1, .schedulers = SDG_SCHEDULERS_COMFYUI},
            [SDG_LIKE_SDCPP] = {.run = run, .calls = 1, .schedulers = SDG_SCHEDULERS_SDCPP},
        },
};
