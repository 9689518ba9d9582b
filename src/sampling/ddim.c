/* ddim.c - denoising diffusion implicit models (Song et al. 2021, eq. 12 and 16). Order 1, one
 * evaluation a step. x holds the model's own input. A step from abar a to b:
 *
 *   x0    = (x - sqrt(1 - a) eps) / sqrt(a)
 *   level = eta sqrt((1 - b)/(1 - a)) sqrt(1 - a/b)
 *   x'    = sqrt(b) x0 + sqrt(1 - b - level^2) eps + level noise
 *
 * AUTOMATIC1111 stable-diffusion-webui 1.10, modules/sd_samplers_timesteps_impl.py (ddim);
 * diffusers, scheduling_ddim.py. A1111 draws on every step, at eta 0 too; diffusers only when eta >
 * 0.
 *
 * Divided by sqrt(abar) the same step reads as Euler's in sigma space, with ancestral noise for
 * eta > 0. That is what ComfyUI means by "ddim" (comfy/samplers.py: Euler; only its inpainting
 * differs) and stable-diffusion.cpp by "ddim_trailing" (src/runtime/denoiser.hpp: Euler a with
 * eta 0). */
#include "sampling/samplers_all.h"
#include "sampling/vp_space.h"

static bool run(struct sdg_sampling *s)
{
    float *eps = s->buffer[0], *x0 = s->buffer[1], *noise = s->buffer[2];
    const bool draws = s->like == SDG_LIKE_A1111 || s->options.eta > 0;
    for (int i = 0; i < s->schedule->steps; i++) {
        const float a = s->schedule->abar[i], b = s->schedule->abar_next[i];
        const float level = sdg_vp_noise_level(s->like, a, b, s->options.eta);
        if (!sdg_vp_predict(s, eps, x0, s->x, i)) return false;
        if (draws) s->draw(s->user, noise);
        sdg_vp_step(s, s->x, x0, eps, b, level);
        if (draws)
            for (size_t j = 0; j < s->n * s->len; j++) s->x[j] += level * noise[j];
        sdg_vp_after(s, i, x0);
    }
    return true;
}

static bool run_sigma_space(struct sdg_sampling *s)
{
    const bool ancestral = s->like == SDG_LIKE_SDCPP || s->options.eta > 0;
    const struct sdg_sampler *twin = ancestral ? &sdg_sampler_euler_a : &sdg_sampler_euler;
    return twin->way[s->like].run(s);
}

const struct sdg_sampler sdg_sampler_ddim = {
    .name = "ddim",
    .label = "DDIM",
    .aliases = "ddim|DDIMScheduler|ddim_trailing",
    .order = 1,
    .evaluations = 1,
    .buffers = 3,
    .takes = SDG_TAKES_ETA,
    .way =
        {
            [SDG_LIKE_A1111] = {.run = run,
                                .variance_preserving = true,
                                .calls = 1,
                                .schedulers = SDG_SCHEDULERS_A1111_TIMESTEPS,
                                .own_scheduler = SDG_SCHEDULER_DDIM},
            [SDG_LIKE_DIFFUSERS] = {.run = run,
                                    .variance_preserving = true,
                                    .calls = 1,
                                    .schedulers = SDG_SCHEDULERS_SPACINGS,
                                    .own_scheduler = SDG_SCHEDULER_LEADING},
            [SDG_LIKE_COMFYUI] = {.run = run_sigma_space,
                                  .calls = 1,
                                  .schedulers = SDG_SCHEDULERS_COMFYUI},
            [SDG_LIKE_SDCPP] = {.run = run_sigma_space,
                                .calls = 1,
                                .schedulers = SDG_SCHEDULERS_SDCPP,
                                .own_scheduler = SDG_SCHEDULER_SIMPLE},
        },
};
