/* dpmpp_2s_a.c - DPM-Solver++(2S) (Lu et al. 2022b, algorithm 1, r = 1/2) with ancestral noise
 * (euler_a.c): a second-order exponential step for D in t = -ln sigma down to `down`, then fresh
 * noise of level `up`. Two evaluations a step but for the one to level 0. With h = ln(s/down) and
 * m = sqrt(s down):
 *
 *   e  = (m/s) x - (e^(-h/2) - 1) D(x; s)
 *   x' = (down/s) x - (e^-h - 1) D(e; m) + up noise
 *
 * k-diffusion sampling.py (sample_dpmpp_2s_ancestral); ComfyUI and stable-diffusion.cpp the same.
 * diffusers' DPMSolverSinglestepScheduler is another method. */
#include <math.h>
#include "sampling/samplers_all.h"
#include "sampling/sigma_space.h"

static bool step(struct sdg_sampling *s, const float *denoised, float sigma, float down, int i)
{
    float *x2 = s->buffer[1], *denoised2 = s->buffer[2];
    const float t = -logf(sigma), to = -logf(down), h = to - t, middle = expf(-(t + 0.5f * h));
    sdg_sigma_mix(s, x2, middle / expf(-t), s->x, -expm1f(-h * 0.5f), denoised);
    if (!sdg_denoise(s, denoised2, NULL, x2, middle, i)) return false;
    sdg_sigma_mix(s, s->x, expf(-to) / expf(-t), s->x, -expm1f(-h), denoised2);
    return true;
}

static bool run(struct sdg_sampling *s)
{
    const float *sigmas = s->schedule->sigmas;
    float *denoised = s->buffer[0];
    for (int i = 0; i < s->schedule->steps; i++) {
        float down, up;
        if (!sdg_denoise(s, denoised, NULL, s->x, sigmas[i], i)) return false;
        sdg_sigma_ancestral(&down, &up, sigmas[i], sigmas[i + 1], (float)s->options.eta);
        if (down == 0)
            sdg_sigma_euler(s, s->x, s->x, denoised, sigmas[i], down);
        else if (!step(s, denoised, sigmas[i], down, i))
            return false;
        if (sigmas[i + 1] > 0) sdg_sigma_renoise(s, s->buffer[1], up);
        sdg_sigma_after(s, i, denoised);
    }
    return true;
}

const struct sdg_sampler sdg_sampler_dpmpp_2s_a = {
    .name = "dpmpp_2s_a",
    .label = "DPM++ 2S a",
    .aliases = "dpmpp_2s_a|dpm++2s_a|k_dpmpp_2s_a|dpmpp_2s_ancestral|k_dpmpp_2s_ancestral|"
               "sample_dpmpp_2s_ancestral",
    .order = 2, /* at eta 0 */
    .evaluations = 2,
    .buffers = 3,
    .stochastic = true,
    .takes = SDG_TAKES_ETA | SDG_TAKES_S_NOISE,
    .way =
        {
            [SDG_LIKE_A1111] = {.run = run,
                                .calls = 2,
                                .default_eta = 1,
                                .schedulers = SDG_SCHEDULERS_A1111,
                                .own_scheduler = SDG_SCHEDULER_KARRAS},
            [SDG_LIKE_DIFFUSERS] = {.run = run,
                                    .borrowed = true,
                                    .calls = 1,
                                    .default_eta = 1,
                                    .schedulers = SDG_SCHEDULERS_OF_CLASS,
                                    .own_scheduler = SDG_SCHEDULER_LEADING},
            [SDG_LIKE_COMFYUI] =
                {.run = run, .calls = 1, .default_eta = 1, .schedulers = SDG_SCHEDULERS_COMFYUI},
            [SDG_LIKE_SDCPP] =
                {.run = run, .calls = 1, .default_eta = 1, .schedulers = SDG_SCHEDULERS_SDCPP},
        },
};
