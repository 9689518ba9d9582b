/* ddim_cfg_pp.c - DDIM with CFG++ (Chung et al. 2024, "CFG++: manifold-constrained classifier-free
 * guidance", algorithm 2). Order 1, one evaluation a step. The clean latent comes from guided
 * noise, the way back up from the noise without prompt, so that a step stays near the data:
 *
 *   eps = eps_u + lambda (eps_c - eps_u),  lambda = scale / 12.5
 *   x0  = (x - sqrt(1 - a) eps) / sqrt(a)
 *   x'  = sqrt(b) x0 + sqrt(1 - b - level^2) eps_u + level noise
 *
 * The paper's lambda lies in 0..1; AUTOMATIC1111 stable-diffusion-webui 1.10, modules/
 * sd_samplers_timesteps_impl.py (ddim_cfgpp), divides the usual scale by 12.5 to get there. Noise
 * level and draws as ddim.c. Only A1111 has it; its sigma-space twin is euler_cfg_pp.c. */
#include "sampling/prediction.h"
#include "sampling/samplers_all.h"
#include "sampling/vp_space.h"

#include <math.h>

#define SCALE_OF_ONE 12.5f

/* From eps guided by the whole scale to x0 and back to eps without prompt: guided is overwritten by
 * x0. The caller's guidance is linear, so a share of it is a share of the difference. */
static void clean_latent(const struct sdg_sampling *s, float *guided, const float *uncond, float a)
{
    const float root_a = sqrtf(a), root_1a = sqrtf(1 - a);
    for (size_t j = 0; j < s->n * s->len; j++) {
        const float eps = uncond[j] + (guided[j] - uncond[j]) / SCALE_OF_ONE;
        guided[j] = (s->x[j] - root_1a * eps) / root_a;
    }
}

static bool run(struct sdg_sampling *s)
{
    float *guided = s->buffer[0], *uncond = s->buffer[1], *noise = s->buffer[2];
    const enum sdg_prediction prediction = s->levels->prediction;
    const bool draws = s->like == SDG_LIKE_A1111 || s->options.eta > 0;
    const size_t count = s->n * s->len;
    for (int i = 0; i < s->schedule->steps; i++) {
        const float a = s->schedule->abar[i], b = s->schedule->abar_next[i];
        const float level = sdg_vp_noise_level(s->like, a, b, s->options.eta);
        if (!sdg_vp_model(s, guided, uncond, s->x, i)) return false;
        sdg_split_output(guided, NULL, s->x, guided, a, prediction, count);
        sdg_split_output(uncond, NULL, s->x, uncond, a, prediction, count);
        clean_latent(s, guided, uncond, a);
        if (draws) s->draw(s->user, noise);
        sdg_vp_step(s, s->x, guided, uncond, b, level);
        if (draws)
            for (size_t j = 0; j < count; j++) s->x[j] += level * noise[j];
        sdg_vp_after(s, i, guided);
    }
    return true;
}

#define WAY(program, set, own)                            \
    [program] = {.run = run,                              \
                 .borrowed = (program) != SDG_LIKE_A1111, \
                 .variance_preserving = true,             \
                 .needs_uncond = true,                    \
                 .calls = 1,                              \
                 .schedulers = (set),                     \
                 .own_scheduler = (own)}

const struct sdg_sampler sdg_sampler_ddim_cfg_pp = {
    .name = "ddim_cfg_pp",
    .label = "DDIM CFG++",
    .aliases = "ddim_cfg_pp|ddim_cfgpp|DDIM CFG++|ddim_cfg++",
    .order = 1,
    .evaluations = 1,
    .buffers = 3,
    .takes = SDG_TAKES_ETA,
    .way =
        {
            WAY(SDG_LIKE_A1111, SDG_SCHEDULERS_A1111_TIMESTEPS, SDG_SCHEDULER_DDIM),
            WAY(SDG_LIKE_DIFFUSERS, SDG_SCHEDULERS_SPACINGS, SDG_SCHEDULER_LEADING),
            WAY(SDG_LIKE_COMFYUI, SDG_SCHEDULERS_A1111_TIMESTEPS, SDG_SCHEDULER_DDIM),
            WAY(SDG_LIKE_SDCPP, SDG_SCHEDULERS_A1111_TIMESTEPS, SDG_SCHEDULER_DDIM),
        },
};
