/* dpmpp_2m.c - DPM-Solver++(2M) (Lu et al. 2022b, algorithm 2): a multistep exponential integrator
 * of the ODE in t = -ln s, with D extrapolated from two levels. Order 2, one evaluation a step.
 * With h = t' - t, h_1 the step before and r = h_1/h:
 *
 *   x' = (s'/s) x - (e^-h - 1) ((1 + 1/(2r)) D - 1/(2r) D_1)
 *
 * The first step and the one to level 0 take D alone. k-diffusion sampling.py (sample_dpmpp_2m);
 * ComfyUI and stable-diffusion.cpp the same; diffusers' class is in dpmpp_diffusers.c. */
#include <math.h>
#include "sampling/multistep.h"
#include "sampling/multistep_diffusers.h"
#include "sampling/samplers_all.h"
#include "sampling/sigma_space.h"

static bool run(struct sdg_sampling *s)
{
    const float *sigmas = s->schedule->sigmas;
    float *denoised[2] = {s->buffer[0], s->buffer[1]}, *mixed = s->buffer[2];
    for (int i = 0; i < s->schedule->steps; i++) {
        const float t = -logf(sigmas[i]), to = -logf(sigmas[i + 1]), h = to - t;
        const float keep = expf(-to) / expf(-t), take = -expm1f(-h);
        float *d = sdg_history_turn(denoised, 2);
        if (!sdg_denoise(s, d, NULL, s->x, sigmas[i], i)) return false;
        if (sdg_step_order(s, i, 2) == 2 && sigmas[i + 1] > 0) {
            const float half = 1 / (2 * ((t + logf(sigmas[i - 1])) / h)); /* 1/(2r) */
            sdg_sigma_mix(s, mixed, 1 + half, denoised[0], -half, denoised[1]);
            d = mixed;
        }
        sdg_sigma_mix(s, s->x, keep, s->x, take, d);
        sdg_sigma_after(s, i, denoised[0]);
    }
    return true;
}

static bool run_diffusers(struct sdg_sampling *s)
{
    return sdg_dpmpp_diffusers(s, 0);
}

const struct sdg_sampler sdg_sampler_dpmpp_2m = {
    .name = "dpmpp_2m",
    .label = "DPM++ 2M",
    .aliases = "dpmpp_2m|dpm++2m|k_dpmpp_2m|sample_dpmpp_2m|dpmpp|dpm_m|DPMSolverMultistep|"
               "DPMSolverMultistepScheduler",
    .order = 2,
    .evaluations = 1,
    .buffers = SDG_DPMPP_BUFFERS,
    .takes = SDG_TAKES_ORDER | SDG_TAKES_LOWER_ORDER_FINAL,
    .way =
        {
            [SDG_LIKE_A1111] = {.run = run,
                                .calls = 1,
                                .schedulers = SDG_SCHEDULERS_A1111,
                                .own_scheduler = SDG_SCHEDULER_KARRAS},
            [SDG_LIKE_DIFFUSERS] = {.run = run_diffusers,
                                    .variance_preserving = true,
                                    .calls = 1,
                                    .schedulers = SDG_SCHEDULERS_OF_CLASS,
                                    .own_scheduler = SDG_SCHEDULER_LEADING},
            [SDG_LIKE_COMFYUI] = {.run = run, .calls = 1, .schedulers = SDG_SCHEDULERS_COMFYUI},
            [SDG_LIKE_SDCPP] = {.run = run, .calls = 1, .schedulers = SDG_SCHEDULERS_SDCPP},
        },
};
