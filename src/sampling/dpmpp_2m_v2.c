/* dpmpp_2m_v2.c - DPM++ 2M with steadier weights: where two steps differ in length, the longer over
 * the shorter is the ratio, and the mean of both the exponent. A patch from users of A1111
 * (discussion 8457 of stable-diffusion-webui) that stable-diffusion.cpp took in
 * (src/runtime/denoiser.hpp, sample_dpmpp_2m_v2). One evaluation a step; order 1, as the exponent
 * is not the step's own: on steps that grow or shrink evenly the result is another than the ODE's.
 * With h = ln(s/s'), h_1 the step before, r = max(h, h_1)/min(h, h_1):
 *
 *   x' = (s'/s) x - (e^-(h + h_1)/2 - 1) ((1 + 1/(2r)) D - 1/(2r) D_1)
 *
 * The first step and the one to level 0 are those of DPM++ 2M. */
#include <math.h>
#include "sampling/multistep.h"
#include "sampling/samplers_all.h"
#include "sampling/sigma_space.h"

static bool run(struct sdg_sampling *s)
{
    const float *sigmas = s->schedule->sigmas;
    float *denoised[2] = {s->buffer[0], s->buffer[1]}, *mixed = s->buffer[2];
    for (int i = 0; i < s->schedule->steps; i++) {
        const float t = -logf(sigmas[i]), h = -logf(sigmas[i + 1]) - t;
        const float keep = sigmas[i + 1] / sigmas[i];
        float take = -expm1f(-h), *d = sdg_history_turn(denoised, 2);
        if (!sdg_denoise(s, d, NULL, s->x, sigmas[i], i)) return false;
        if (i > 0 && sigmas[i + 1] > 0) {
            const float before = t + logf(sigmas[i - 1]);
            const float low = fminf(before, h), high = fmaxf(before, h);
            const float half = 1 / (2 * (high / low));
            take = -expm1f(-(high + low) / 2);
            sdg_sigma_mix(s, mixed, 1 + half, denoised[0], -half, denoised[1]);
            d = mixed;
        }
        sdg_sigma_mix(s, s->x, keep, s->x, take, d);
        sdg_sigma_after(s, i, denoised[0]);
    }
    return true;
}

const struct sdg_sampler sdg_sampler_dpmpp_2m_v2 = {
    .name = "dpmpp_2m_v2",
    .label = "DPM++ 2M v2",
    .aliases = "dpmpp_2m_v2|dpm++2mv2|dpm++2m_v2|k_dpmpp_2m_v2|sample_dpmpp_2m_v2",
    .order = 1,
    .evaluations = 1,
    .buffers = 3,
    .way =
        {
            [SDG_LIKE_A1111] = {.run = run,
                                .borrowed = true,
                                .calls = 1,
                                .schedulers = SDG_SCHEDULERS_A1111,
                                .own_scheduler = SDG_SCHEDULER_KARRAS},
            [SDG_LIKE_DIFFUSERS] = {.run = run,
                                    .borrowed = true,
                                    .calls = 1,
                                    .schedulers = SDG_SCHEDULERS_OF_CLASS,
                                    .own_scheduler = SDG_SCHEDULER_LEADING},
            [SDG_LIKE_COMFYUI] =
                {.run = run, .borrowed = true, .calls = 1, .schedulers = SDG_SCHEDULERS_COMFYUI},
            [SDG_LIKE_SDCPP] = {.run = run, .calls = 1, .schedulers = SDG_SCHEDULERS_SDCPP},
        },
};
