/* gradient_estimation.c - Euler's method with the slope corrected by its last change (Permenter &
 * Yuan 2024, "Interpreting and improving diffusion models from an optimization perspective",
 * algorithm 2; gamma 2). Order 1, one evaluation a step. With d = (x - D)/s:
 *
 *   x' = x + (s' - s) (d + (gamma - 1)(d - d_1))
 *
 * The first step is Euler's; on the step to level 0 x' = D. CFG++ (Chung et al. 2024) has the slope
 * from U, the picture without prompt, and D + s' d for Euler's part. ComfyUI
 * comfy/k_diffusion/sampling.py (sample_gradient_estimation); stable-diffusion.cpp
 * src/runtime/denoiser.hpp, "euler_ge", which takes eta (0 unasked): s' is then the lower part of
 * the ancestral split, and noise follows. */
#include <string.h>
#include "sampling/multistep.h"
#include "sampling/samplers_all.h"
#include "sampling/sigma_space.h"

#define GAMMA 2.0f

static bool walk(struct sdg_sampling *s, bool cfg_pp)
{
    const float *sigmas = s->schedule->sigmas;
    const size_t count = s->n * s->len;
    float *denoised = s->buffer[0], *slope[2] = {s->buffer[1], s->buffer[2]};
    for (int i = 0; i < s->schedule->steps; i++) {
        float down, up, *d = sdg_history_turn(slope, 2);
        if (!sdg_denoise(s, denoised, cfg_pp ? d : NULL, s->x, sigmas[i], i)) return false;
        sdg_sigma_slope(s, d, s->x, cfg_pp ? d : denoised, sigmas[i]);
        sdg_sigma_ancestral(&down, &up, sigmas[i], sigmas[i + 1], (float)s->options.eta);
        const float dt = down - sigmas[i];
        if (sigmas[i + 1] == 0)
            memcpy(s->x, denoised, count * sizeof *s->x);
        else if (cfg_pp)
            sdg_sigma_mix(s, s->x, 1, denoised, down, d);
        else
            sdg_sigma_mix(s, s->x, 1, s->x, dt, d);
        if (sigmas[i + 1] > 0 && i > 0)
            for (size_t j = 0; j < count; j++) s->x[j] += (GAMMA - 1) * (d[j] - slope[1][j]) * dt;
        if (up > 0) sdg_sigma_renoise(s, s->buffer[3], up);
        sdg_sigma_after(s, i, denoised);
    }
    return true;
}

static bool run(struct sdg_sampling *s)
{
    return walk(s, false);
}

static bool run_cfg_pp(struct sdg_sampling *s)
{
    return walk(s, true);
}

const struct sdg_sampler sdg_sampler_gradient_estimation = {
    .name = "gradient_estimation",
    .label = "Gradient estimation",
    .aliases = "gradient_estimation|euler_ge|k_gradient_estimation|sample_gradient_estimation",
    .order = 1,
    .evaluations = 1,
    .buffers = 4,
    .takes = SDG_TAKES_ETA | SDG_TAKES_S_NOISE,
    .way =
        {
            [SDG_LIKE_A1111] =
                {.run = run, .borrowed = true, .calls = 1, .schedulers = SDG_SCHEDULERS_A1111},
            [SDG_LIKE_DIFFUSERS] = {.run = run,
                                    .borrowed = true,
                                    .calls = 1,
                                    .schedulers = SDG_SCHEDULERS_OF_CLASS,
                                    .own_scheduler = SDG_SCHEDULER_LEADING},
            [SDG_LIKE_COMFYUI] = {.run = run, .calls = 1, .schedulers = SDG_SCHEDULERS_COMFYUI},
            [SDG_LIKE_SDCPP] = {.run = run, .calls = 1, .schedulers = SDG_SCHEDULERS_SDCPP},
        },
};

const struct sdg_sampler sdg_sampler_gradient_estimation_cfg_pp = {
    .name = "gradient_estimation_cfg_pp",
    .label = "Gradient estimation CFG++",
    .aliases =
        "gradient_estimation_cfg_pp|gradient_estimation_cfg++|sample_gradient_estimation_cfg_pp",
    .order = 1,
    .evaluations = 1,
    .buffers = 4,
    .takes = SDG_TAKES_ETA | SDG_TAKES_S_NOISE,
    .way =
        {
            [SDG_LIKE_A1111] = {.run = run_cfg_pp,
                                .borrowed = true,
                                .needs_uncond = true,
                                .calls = 1,
                                .schedulers = SDG_SCHEDULERS_A1111},
            [SDG_LIKE_DIFFUSERS] = {.run = run_cfg_pp,
                                    .borrowed = true,
                                    .needs_uncond = true,
                                    .calls = 1,
                                    .schedulers = SDG_SCHEDULERS_OF_CLASS,
                                    .own_scheduler = SDG_SCHEDULER_LEADING},
            [SDG_LIKE_COMFYUI] = {.run = run_cfg_pp,
                                  .needs_uncond = true,
                                  .calls = 1,
                                  .schedulers = SDG_SCHEDULERS_COMFYUI},
            [SDG_LIKE_SDCPP] = {.run = run_cfg_pp,
                                .borrowed = true,
                                .needs_uncond = true,
                                .calls = 1,
                                .schedulers = SDG_SCHEDULERS_SDCPP},
        },
};
