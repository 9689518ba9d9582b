/* heunpp2.c - Heun++: a step along a mean of the slopes at its start, at its end and at the end of
 * the next one, the later ones weighted by their level relative to the first level S of the run.
 * Three evaluations a step, then two, and one on the last:
 *
 *   x' = x + (w1 d + w2 d2 + w3 d3)(s' - s),   w2 = s'/(3S), w3 = s''/(3S), w1 = 1 - w2 - w3
 *   x' = x + (w1 d + w2 d2)(s' - s),           w2 = s'/(2S),                w1 = 1 - w2
 *
 * The weights are not those of a method of higher order: it converges with order 1. ComfyUI,
 * comfy/k_diffusion/sampling.py (sample_heunpp2), from Carzit's sd-webui-samplers-scheduler; Forge
 * has the same. It draws noise on every step, used or not. */
#include <string.h>
#include "sampling/samplers_all.h"
#include "sampling/sigma_space.h"

/* y [n][len] = x + d (to - sigma), then d2 [n][len] = the slope there. */
static bool look_ahead(struct sdg_sampling *s, float *y, float *d2, const float *x, const float *d,
                       float sigma, float to, int step)
{
    sdg_sigma_mix(s, y, 1, x, to - sigma, d);
    if (!sdg_denoise(s, d2, NULL, y, to, step)) return false;
    sdg_sigma_slope(s, d2, y, d2, to);
    return true;
}

static bool step(struct sdg_sampling *s, float *d, float sigma, int i)
{
    const float *sigmas = s->schedule->sigmas;
    const float next = sigmas[i + 1], end = sigmas[s->schedule->steps], dt = next - sigma;
    float *x2 = s->buffer[2], *d2 = s->buffer[3], *d3 = s->buffer[4];
    if (next == end) {
        sdg_sigma_mix(s, s->x, 1, s->x, dt, d);
        return true;
    }
    if (!look_ahead(s, x2, d2, s->x, d, sigma, next, i)) return false;
    const bool three = sigmas[i + 2] != end;
    if (three && !look_ahead(s, x2, d3, x2, d2, next, sigmas[i + 2], i)) return false;
    const float whole = (three ? 3 : 2) * sigmas[0];
    const float w2 = next / whole, w3 = three ? sigmas[i + 2] / whole : 0, w1 = 1 - w2 - w3;
    for (size_t j = 0; j < s->n * s->len; j++) {
        float mean = w1 * d[j] + w2 * d2[j];
        if (three) mean += w3 * d3[j];
        s->x[j] += mean * dt;
    }
    return true;
}

static bool run(struct sdg_sampling *s)
{
    float *denoised = s->buffer[0], *d = s->buffer[1];
    for (int i = 0; i < s->schedule->steps; i++) {
        const float sigma = sdg_sigma_churn(s, d, i, true);
        if (!sdg_denoise(s, denoised, NULL, s->x, sigma, i)) return false;
        sdg_sigma_slope(s, d, s->x, denoised, sigma);
        if (!step(s, d, sigma, i)) return false;
        sdg_sigma_after(s, i, denoised);
    }
    return true;
}

const struct sdg_sampler sdg_sampler_heunpp2 = {
    .name = "heunpp2",
    .label = "HeunPP2",
    .aliases = "heunpp2|heun++2|heun++|k_heunpp2|sample_heunpp2",
    .order = 1,
    .evaluations = 3,
    .buffers = 5,
    .takes = SDG_TAKES_CHURN | SDG_TAKES_S_NOISE,
    .way =
        {
            [SDG_LIKE_A1111] = {.run = run, .calls = 1, .schedulers = SDG_SCHEDULERS_A1111},
            [SDG_LIKE_DIFFUSERS] = {.run = run,
                                    .borrowed = true,
                                    .calls = 1,
                                    .schedulers = SDG_SCHEDULERS_OF_CLASS,
                                    .own_scheduler = SDG_SCHEDULER_LEADING},
            [SDG_LIKE_COMFYUI] = {.run = run, .calls = 1, .schedulers = SDG_SCHEDULERS_COMFYUI},
            [SDG_LIKE_SDCPP] =
                {.run = run, .borrowed = true, .calls = 1, .schedulers = SDG_SCHEDULERS_SDCPP},
        },
};
