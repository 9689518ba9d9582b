/* res_multistep.c - refined exponential solver, multistep (Zhang et al. 2023, "Improved order
 * analysis and design of exponential integrator for diffusion models sampling", section 3; the
 * second-order weights of Hochbruck & Ostermann 2010). Order 2, one evaluation a step; with
 * ancestral noise for eta > 0. With (down, up) the ancestral split of the step, h = ln(s/down), and
 * down_1 and s_1 of the step before:
 *
 *   c = (ln down_1 - ln s_1)/h,  f_1 = (e^-h - 1)/-h,  f_2 = (f_1 - 1)/-h,  w = f_2/c
 *   x' = e^-h x + h ((f_1 - w) D + w D_1) + up noise
 *
 * The first step and the one to level 0 are Euler's. CFG++ (Chung et al. 2024) takes the direction
 * from U, the picture without prompt: Euler's step is D + down (x - U)/s, and above x + D - U
 * stands for x, U for D. ComfyUI comfy/k_diffusion/sampling.py (res_multistep);
 * stable-diffusion.cpp src/runtime/denoiser.hpp (sample_res_multistep), eta 0 unasked. */
#include <math.h>
#include "sampling/multistep.h"
#include "sampling/samplers_all.h"
#include "sampling/sigma_space.h"

/* x to level `down` from the directions guide [2] (D, or U under CFG++; newest first). c: the place
 * of the older one in units of this step. */
static void step(struct sdg_sampling *s, float *const guide[2], float h, float c)
{
    const float f1 = expm1f(-h) / -h, f2 = (f1 - 1) / -h;
    float old = f2 / c, now = f1 - f2 / c;
    if (isnan(old)) old = 0;
    if (isnan(now)) now = 0;
    const float keep = expf(-h);
    for (size_t j = 0; j < s->n * s->len; j++)
        s->x[j] = keep * s->x[j] + h * (now * guide[0][j] + old * guide[1][j]);
}

/* guide [2] newest first; the clean latent goes to `denoised`, which is guide[0] without CFG++. */
static bool walk(struct sdg_sampling *s, bool cfg_pp)
{
    const float *sigmas = s->schedule->sigmas;
    const size_t count = s->n * s->len;
    float *guide[2] = {s->buffer[0], s->buffer[1]}, last_down = 0;
    for (int i = 0; i < s->schedule->steps; i++) {
        float down, up, *u = sdg_history_turn(guide, 2), *d = cfg_pp ? s->buffer[2] : u;
        if (!sdg_denoise(s, d, cfg_pp ? u : NULL, s->x, sigmas[i], i)) return false;
        sdg_sigma_ancestral(&down, &up, sigmas[i], sigmas[i + 1], (float)s->options.eta);
        if (down == 0 || i == 0) {
            for (size_t j = 0; j < count; j++) {
                const float slope = (s->x[j] - u[j]) / sigmas[i];
                s->x[j] = cfg_pp ? d[j] + slope * down : s->x[j] + slope * (down - sigmas[i]);
            }
        } else {
            const float t = -logf(sigmas[i]), h = -logf(down) - t;
            const float c = (-logf(sigmas[i - 1]) + logf(last_down)) / h;
            for (size_t j = 0; cfg_pp && j < count; j++) s->x[j] += d[j] - u[j];
            step(s, guide, h, c);
        }
        if (up > 0) sdg_sigma_renoise(s, s->buffer[3], up);
        last_down = down;
        sdg_sigma_after(s, i, d);
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

const struct sdg_sampler sdg_sampler_res_multistep = {
    .name = "res_multistep",
    .label = "RES multistep",
    .aliases = "res_multistep|k_res_multistep|sample_res_multistep",
    .order = 2,
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

/* The ways of the relatives, which ComfyUI alone has. */
#define WAYS(walk_, eta_, uncond_)                                       \
    {                                                                    \
        [SDG_LIKE_A1111] = {.run = (walk_),                              \
                            .borrowed = true,                            \
                            .needs_uncond = (uncond_),                   \
                            .calls = 1,                                  \
                            .default_eta = (eta_),                       \
                            .schedulers = SDG_SCHEDULERS_A1111},         \
        [SDG_LIKE_DIFFUSERS] = {.run = (walk_),                          \
                                .borrowed = true,                        \
                                .needs_uncond = (uncond_),               \
                                .calls = 1,                              \
                                .default_eta = (eta_),                   \
                                .schedulers = SDG_SCHEDULERS_OF_CLASS,   \
                                .own_scheduler = SDG_SCHEDULER_LEADING}, \
        [SDG_LIKE_COMFYUI] = {.run = (walk_),                            \
                              .needs_uncond = (uncond_),                 \
                              .calls = 1,                                \
                              .default_eta = (eta_),                     \
                              .schedulers = SDG_SCHEDULERS_COMFYUI},     \
        [SDG_LIKE_SDCPP] = {                                             \
            .run = (walk_),                                              \
            .borrowed = true,                                            \
            .needs_uncond = (uncond_),                                   \
            .calls = 1,                                                  \
            .default_eta = (eta_),                                       \
            .schedulers = SDG_SCHEDULERS_SDCPP                           \
        }                                                                \
    }

const struct sdg_sampler sdg_sampler_res_multistep_a = {
    .name = "res_multistep_a",
    .label = "RES multistep a",
    .aliases = "res_multistep_a|res_multistep_ancestral|sample_res_multistep_ancestral",
    .order = 2,
    .evaluations = 1,
    .buffers = 4,
    .stochastic = true,
    .takes = SDG_TAKES_ETA | SDG_TAKES_S_NOISE,
    .way = WAYS(run, 1, false),
};

const struct sdg_sampler sdg_sampler_res_multistep_cfg_pp = {
    .name = "res_multistep_cfg_pp",
    .label = "RES multistep CFG++",
    .aliases = "res_multistep_cfg_pp|res_multistep_cfg++|sample_res_multistep_cfg_pp",
    .order = 2,
    .evaluations = 1,
    .buffers = 4,
    .takes = SDG_TAKES_ETA | SDG_TAKES_S_NOISE,
    .way = WAYS(run_cfg_pp, 0, true),
};

const struct sdg_sampler sdg_sampler_res_multistep_a_cfg_pp = {
    .name = "res_multistep_a_cfg_pp",
    .label = "RES multistep a CFG++",
    .aliases = "res_multistep_a_cfg_pp|res_multistep_a_cfg++|res_multistep_ancestral_cfg_pp|"
               "res_multistep_ancestral_cfg++|sample_res_multistep_ancestral_cfg_pp",
    .order = 2,
    .evaluations = 1,
    .buffers = 4,
    .stochastic = true,
    .takes = SDG_TAKES_ETA | SDG_TAKES_S_NOISE,
    .way = WAYS(run_cfg_pp, 1, true),
};
