/* ipndm.c - improved pseudo numerical method (Zhang & Chen 2023, "Fast sampling of diffusion models
 * with exponential integrator", appendix; after Liu et al. 2022): Adams & Bashforth's weights for
 * equal steps on the slopes d = (x - D)/s of up to four levels, whatever the steps are. Order 1 on
 * steps that differ, 4 where they do not; one evaluation a step.
 *
 *   x' = x + (s' - s) sum_j c_j d_j      c = 1 | 3, -1 (/2) | 23, -16, 5 (/12) | 55, -59, 37, -9
 * (/24)
 *
 * ComfyUI comfy/k_diffusion/sampling.py (sample_ipndm), x' = D on the step to level 0;
 * stable-diffusion.cpp src/runtime/denoiser.hpp (sample_ipndm), which keeps the weights there too.
 * diffusers' IPNDMScheduler has a schedule of its own and is made for other models. */
#include <string.h>
#include "sampling/multistep.h"
#include "sampling/samplers_all.h"
#include "sampling/sigma_space.h"

enum { HIGHEST = 4 };

/* x += dt (c_0 d_0 + ...)/scale, newest slope first. */
static void step(struct sdg_sampling *s, float *const slope[HIGHEST], int order, float dt)
{
    static const float weight[HIGHEST][HIGHEST] = {{1}, {3, -1}, {23, -16, 5}, {55, -59, 37, -9}};
    static const float scale[HIGHEST] = {1, 2, 12, 24};
    for (size_t j = 0; j < s->n * s->len; j++) {
        float sum = weight[order - 1][0] * slope[0][j];
        for (int k = 1; k < order; k++) sum += weight[order - 1][k] * slope[k][j];
        s->x[j] += dt * sum / scale[order - 1];
    }
}

static bool run(struct sdg_sampling *s)
{
    const float *sigmas = s->schedule->sigmas;
    float *denoised = s->buffer[0], *slope[HIGHEST];
    memcpy(slope, &s->buffer[1], sizeof slope);
    for (int i = 0; i < s->schedule->steps; i++) {
        if (!sdg_denoise(s, denoised, NULL, s->x, sigmas[i], i)) return false;
        sdg_sigma_slope(s, sdg_history_turn(slope, HIGHEST), s->x, denoised, sigmas[i]);
        if (sigmas[i + 1] == 0 && s->like != SDG_LIKE_SDCPP)
            memcpy(s->x, denoised, s->n * s->len * sizeof *s->x);
        else
            step(s, slope, sdg_step_order(s, i, HIGHEST), sigmas[i + 1] - sigmas[i]);
        sdg_sigma_after(s, i, denoised);
    }
    return true;
}

const struct sdg_sampler sdg_sampler_ipndm = {
    .name = "ipndm",
    .label = "IPNDM",
    .aliases = "ipndm|k_ipndm|sample_ipndm",
    .order = 4,
    .evaluations = 1,
    .buffers = 1 + HIGHEST,
    .takes = SDG_TAKES_ORDER,
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
