/* dpmpp_2m_sde.c - DPM-Solver++(2M) on the reverse SDE (Lu et al. 2022b, section 5 and appendix
 * B.3), with the second-order term by a midpoint or by Heun's rule. Order 1 in noise (2 at eta 0);
 * one evaluation a step. With h = ln(s/s'), H = (1 + eta) h, h_1 the step before and r = h_1/h:
 *
 *   x' = (s'/s) e^(-eta h) x + (1 - e^-H) D + c (D - D_1)/r + s' sqrt(1 - e^(-2 eta h)) noise
 *   midpoint   c = (1 - e^-H)/2        Heun   c = 1 - (1 - e^-H)/H
 *
 * On the step to level 0 x' = D. k-diffusion sampling.py (sample_dpmpp_2m_sde) and ComfyUI take the
 * noise from a Brownian path; stable-diffusion.cpp (midpoint only) draws it anew, and so do its
 * borrowed relatives; diffusers' class is in dpmpp_diffusers.c. */
#include <math.h>
#include <string.h>
#include "sampling/multistep.h"
#include "sampling/multistep_diffusers.h"
#include "sampling/samplers_all.h"
#include "sampling/sigma_space.h"

/* x [n][len] to level `to`; d: D newest first; before: h_1, 0 at the first step. */
static void step(struct sdg_sampling *s, float *const d[2], float *noise, float from, float to,
                 float h, float before, bool heun)
{
    const float eta = (float)s->options.eta, s_noise = (float)s->options.s_noise;
    const float eta_h = eta * h, wide = -h - eta_h, fall = -expm1f(wide);
    sdg_sigma_mix(s, s->x, to / from * expf(-eta_h), s->x, fall, d[0]);
    if (before > 0 && s->options.order > 1) {
        const float c = (heun ? fall / wide + 1 : 0.5f * fall) * (1 / (before / h));
        for (size_t j = 0; j < s->n * s->len; j++) s->x[j] += c * (d[0][j] - d[1][j]);
    }
    if (!(eta > 0 && s_noise > 0)) return;
    const float level = sqrtf(-expm1f(-2 * eta_h));
    sdg_step_noise(s, noise, from, to);
    for (size_t j = 0; j < s->n * s->len; j++) s->x[j] += noise[j] * to * level * s_noise;
}

static bool walk(struct sdg_sampling *s, bool heun)
{
    const float *sigmas = s->schedule->sigmas;
    float *denoised[2] = {s->buffer[0], s->buffer[1]}, before = 0;
    for (int i = 0; i < s->schedule->steps; i++) {
        float *d = sdg_history_turn(denoised, 2);
        if (!sdg_denoise(s, d, NULL, s->x, sigmas[i], i)) return false;
        if (sigmas[i + 1] == 0) {
            memcpy(s->x, d, s->n * s->len * sizeof *d);
        } else {
            const float h = -logf(sigmas[i + 1]) + logf(sigmas[i]);
            step(s, denoised, s->buffer[2], sigmas[i], sigmas[i + 1], h, before, heun);
            before = h;
        }
        sdg_sigma_after(s, i, d);
    }
    return true;
}

static bool run(struct sdg_sampling *s)
{
    return walk(s, false);
}

static bool run_heun(struct sdg_sampling *s)
{
    return walk(s, true);
}

static bool run_diffusers(struct sdg_sampling *s)
{
    return sdg_dpmpp_diffusers(s, SDG_DPMPP_SDE);
}

static bool run_diffusers_heun(struct sdg_sampling *s)
{
    return sdg_dpmpp_diffusers(s, SDG_DPMPP_SDE | SDG_DPMPP_HEUN);
}

const struct sdg_sampler sdg_sampler_dpmpp_2m_sde = {
    .name = "dpmpp_2m_sde",
    .label = "DPM++ 2M SDE",
    .aliases = "dpmpp_2m_sde|dpm++2m_sde|k_dpmpp_2m_sde|dpmpp_2m_sde_gpu|sample_dpmpp_2m_sde|"
               "sde-dpmsolver++",
    .order = 2,
    .evaluations = 1,
    .buffers = SDG_DPMPP_BUFFERS,
    .stochastic = true,
    .takes = SDG_TAKES_ETA | SDG_TAKES_S_NOISE | SDG_TAKES_ORDER | SDG_TAKES_LOWER_ORDER_FINAL,
    .way =
        {
            [SDG_LIKE_A1111] = {.run = run,
                                .brownian = true,
                                .calls = 1,
                                .default_eta = 1,
                                .schedulers = SDG_SCHEDULERS_A1111,
                                .own_scheduler = SDG_SCHEDULER_EXPONENTIAL},
            [SDG_LIKE_DIFFUSERS] = {.run = run_diffusers,
                                    .variance_preserving = true,
                                    .calls = 1,
                                    .default_eta = 1,
                                    .schedulers = SDG_SCHEDULERS_OF_CLASS,
                                    .own_scheduler = SDG_SCHEDULER_LEADING},
            [SDG_LIKE_COMFYUI] = {.run = run,
                                  .brownian = true,
                                  .calls = 1,
                                  .default_eta = 1,
                                  .schedulers = SDG_SCHEDULERS_COMFYUI},
            [SDG_LIKE_SDCPP] =
                {.run = run, .calls = 1, .default_eta = 1, .schedulers = SDG_SCHEDULERS_SDCPP},
        },
};

const struct sdg_sampler sdg_sampler_dpmpp_2m_sde_heun = {
    .name = "dpmpp_2m_sde_heun",
    .label = "DPM++ 2M SDE Heun",
    .aliases = "dpmpp_2m_sde_heun|dpm++2m_sde_heun|k_dpmpp_2m_sde_heun|dpmpp_2m_sde_heun_gpu|"
               "sample_dpmpp_2m_sde_heun",
    .order = 2,
    .evaluations = 1,
    .buffers = SDG_DPMPP_BUFFERS,
    .stochastic = true,
    .takes = SDG_TAKES_ETA | SDG_TAKES_S_NOISE | SDG_TAKES_ORDER | SDG_TAKES_LOWER_ORDER_FINAL,
    .way =
        {
            [SDG_LIKE_A1111] = {.run = run_heun,
                                .brownian = true,
                                .calls = 1,
                                .default_eta = 1,
                                .schedulers = SDG_SCHEDULERS_A1111,
                                .own_scheduler = SDG_SCHEDULER_EXPONENTIAL},
            [SDG_LIKE_DIFFUSERS] = {.run = run_diffusers_heun,
                                    .variance_preserving = true,
                                    .calls = 1,
                                    .default_eta = 1,
                                    .schedulers = SDG_SCHEDULERS_OF_CLASS,
                                    .own_scheduler = SDG_SCHEDULER_LEADING},
            [SDG_LIKE_COMFYUI] = {.run = run_heun,
                                  .brownian = true,
                                  .calls = 1,
                                  .default_eta = 1,
                                  .schedulers = SDG_SCHEDULERS_COMFYUI},
            [SDG_LIKE_SDCPP] = {.run = run_heun,
                                .borrowed = true,
                                .calls = 1,
                                .default_eta = 1,
                                .schedulers = SDG_SCHEDULERS_SDCPP},
        },
};
