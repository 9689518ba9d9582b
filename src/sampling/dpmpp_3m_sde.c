/* dpmpp_3m_sde.c - DPM-Solver++(3M) on the reverse SDE (Crowson's extension of Lu et al. 2022b with
 * the third-order term of Lu et al. 2022a, appendix B). One evaluation a step. With h = ln(s/s'), H
 * = (1 + eta) h, r_k = h_k/h for the steps before, and phi_2 = (e^-H - 1)/H + 1, phi_3 = phi_2/H -
 * 1/2:
 *
 *   x' = e^-H x + (1 - e^-H) D + phi_2 D' - phi_3 D'' + s' sqrt(1 - e^(-2 eta h)) noise
 *   a = (D - D_1)/r_0, b = (D_1 - D_2)/r_1, D' = a + (a - b) r_0/(r_0 + r_1), D'' = (a - b)/(r_0 +
 * r_1)
 *
 * With one older D: D' = a, D'' = 0. D'' is half of the second derivative where the expansion wants
 * the whole, so at eta 0 the order is 2, not 3, if with a small constant; in noise it is 1. On the
 * step to level 0 x' = D. k-diffusion sampling.py (sample_dpmpp_3m_sde); ComfyUI the same. A1111
 * leaves out the last level above 0. In diffusers DPMSolverMultistepScheduler with solver_order 3
 * (dpmpp_diffusers.c). */
#include <math.h>
#include <string.h>
#include "sampling/multistep.h"
#include "sampling/multistep_diffusers.h"
#include "sampling/samplers_all.h"
#include "sampling/sigma_space.h"

enum { KNOWN = 3 };

/* x += phi_2 D' - phi_3 D''. d: D newest first; h: steps newest first, 0 where there is none. */
static void bend(struct sdg_sampling *s, float *const d[KNOWN], const float h[KNOWN], float wide)
{
    const float phi2 = expm1f(-wide) / wide + 1, phi3 = phi2 / wide - 0.5f;
    const float r0 = h[1] / h[0], r1 = h[2] / h[0];
    for (size_t j = 0; j < s->n * s->len; j++) {
        const float a = (d[0][j] - d[1][j]) / r0;
        if (h[2] > 0) {
            const float turn = a - (d[1][j] - d[2][j]) / r1;
            const float first = a + turn * r0 / (r0 + r1), second = turn / (r0 + r1);
            s->x[j] = s->x[j] + phi2 * first - phi3 * second;
        } else {
            s->x[j] += phi2 * a;
        }
    }
}

static void step(struct sdg_sampling *s, float *const d[KNOWN], float *noise, float from, float to,
                 const float h[KNOWN])
{
    const float eta = (float)s->options.eta, s_noise = (float)s->options.s_noise;
    const float wide = h[0] * (eta + 1);
    sdg_sigma_mix(s, s->x, expf(-wide), s->x, -expm1f(-wide), d[0]);
    if (h[1] > 0) bend(s, d, h, wide);
    if (!(eta > 0 && s_noise > 0)) return;
    const float level = sqrtf(-expm1f(-2 * h[0] * eta));
    sdg_step_noise(s, noise, from, to);
    for (size_t j = 0; j < s->n * s->len; j++) s->x[j] += noise[j] * to * level * s_noise;
}

static bool run(struct sdg_sampling *s)
{
    const float *sigmas = s->schedule->sigmas;
    float *denoised[KNOWN], h[KNOWN] = {0};
    memcpy(denoised, s->buffer, sizeof denoised);
    for (int i = 0; i < s->schedule->steps; i++) {
        float *d = sdg_history_turn(denoised, KNOWN);
        if (!sdg_denoise(s, d, NULL, s->x, sigmas[i], i)) return false;
        if (sigmas[i + 1] == 0) {
            memcpy(s->x, d, s->n * s->len * sizeof *d);
        } else {
            h[2] = s->options.order > 2 ? h[1] : 0;
            h[1] = s->options.order > 1 ? h[0] : 0;
            h[0] = -logf(sigmas[i + 1]) + logf(sigmas[i]);
            step(s, denoised, s->buffer[KNOWN], sigmas[i], sigmas[i + 1], h);
        }
        sdg_sigma_after(s, i, d);
    }
    return true;
}

static bool run_diffusers(struct sdg_sampling *s)
{
    return sdg_dpmpp_diffusers(s, SDG_DPMPP_SDE);
}

const struct sdg_sampler sdg_sampler_dpmpp_3m_sde = {
    .name = "dpmpp_3m_sde",
    .label = "DPM++ 3M SDE",
    .aliases = "dpmpp_3m_sde|dpm++3msde|dpm++3m_sde|k_dpmpp_3m_sde|dpmpp_3m_sde_gpu|"
               "sample_dpmpp_3m_sde",
    .order = 3,
    .evaluations = 1,
    .buffers = KNOWN + 1,
    .stochastic = true,
    .takes = SDG_TAKES_ETA | SDG_TAKES_S_NOISE | SDG_TAKES_ORDER | SDG_TAKES_LOWER_ORDER_FINAL,
    .way =
        {
            [SDG_LIKE_A1111] = {.run = run,
                                .brownian = true,
                                .discard_penultimate = true,
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
            [SDG_LIKE_SDCPP] = {.run = run,
                                .borrowed = true,
                                .calls = 1,
                                .default_eta = 1,
                                .schedulers = SDG_SCHEDULERS_SDCPP},
        },
};
