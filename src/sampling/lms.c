/* lms.c - linear multistep with the slopes of up to four levels (Adams & Bashforth's formula for
 * unequal steps). Order 4 once four slopes are known; one evaluation a step. With d = (x - D)/s the
 * slope at each level:
 *
 *   x' = x + sum_j c_j d_{i-j},   c_j = integral from s_i to s_{i+1} of
 *                                       prod_{k != j} (v - s_{i-k}) / (s_{i-j} - s_{i-k}) dv
 *
 * k-diffusion sampling.py (sample_lms), which integrates numerically what is a polynomial;
 * diffusers scheduling_lms_discrete.py; ComfyUI sample_lms, which says x' = D on the step to level
 * 0. stable-diffusion.cpp src/runtime/denoiser.hpp sums 1000 midpoints and moves the history by one
 * (its lms_shift 1): the slope before this one serves two weights, the oldest none. */
#include <math.h>
#include <string.h>
#include "sampling/multistep.h"
#include "sampling/samplers_all.h"
#include "sampling/sigma_space.h"

enum { HIGHEST = 4, MIDPOINTS = 1000 };

/* Lagrange's polynomial j over the levels s[i], s[i - 1], ..., at v. */
static double basis(const float *sigmas, int i, int order, int j, double v)
{
    double product = 1;
    for (int k = 0; k < order; k++)
        if (k != j)
            product *= (v - (double)sigmas[i - k]) / (double)(sigmas[i - j] - sigmas[i - k]);
    return product;
}

/* Its integral over step i. Two points of Gauss & Legendre are exact up to the third power. */
static double exact(const float *sigmas, int i, int order, int j)
{
    const double a = (double)sigmas[i], b = (double)sigmas[i + 1];
    const double middle = (a + b) / 2, half = (b - a) / 2, place = half / sqrt(3);
    return half * (basis(sigmas, i, order, j, middle - place) +
                   basis(sigmas, i, order, j, middle + place));
}

static double midpoints(const float *sigmas, int i, int order, int j)
{
    const double a = (double)sigmas[i], width = ((double)sigmas[i + 1] - a) / MIDPOINTS;
    double sum = 0;
    for (int p = 0; p < MIDPOINTS; p++) sum += basis(sigmas, i, order, j, a + (p + 0.5) * width);
    return sum * width;
}

static bool run(struct sdg_sampling *s)
{
    const float *sigmas = s->schedule->sigmas;
    const bool shifted = s->like == SDG_LIKE_SDCPP;
    float *denoised = s->buffer[0], *slope[HIGHEST];
    memcpy(slope, &s->buffer[1], sizeof slope);
    for (int i = 0; i < s->schedule->steps; i++) {
        const int order = sdg_step_order(s, i, HIGHEST);
        float weight[HIGHEST];
        if (!sdg_denoise(s, denoised, NULL, s->x, sigmas[i], i)) return false;
        sdg_sigma_slope(s, sdg_history_turn(slope, HIGHEST), s->x, denoised, sigmas[i]);
        for (int j = 0; j < order; j++)
            weight[j] = (float)(shifted ? midpoints : exact)(sigmas, i, order, j);
        float *lag[HIGHEST] = {slope[0], slope[1], slope[shifted ? 1 : 2], slope[shifted ? 2 : 3]};
        if (sigmas[i + 1] == 0 && s->like == SDG_LIKE_COMFYUI)
            memcpy(s->x, denoised, s->n * s->len * sizeof *s->x);
        else
            sdg_history_add(s, weight, lag, order);
        sdg_sigma_after(s, i, denoised);
    }
    return true;
}

const struct sdg_sampler sdg_sampler_lms = {
    .name = "lms",
    .label = "LMS",
    .aliases = "lms|k_lms|sample_lms|LMSDiscrete|LMSDiscreteScheduler",
    .order = 4,
    .evaluations = 1,
    .buffers = 1 + HIGHEST,
    .takes = SDG_TAKES_ORDER,
    .way =
        {
            [SDG_LIKE_A1111] = {.run = run, .calls = 1, .schedulers = SDG_SCHEDULERS_A1111},
            [SDG_LIKE_DIFFUSERS] = {.run = run,
                                    .calls = 1,
                                    .schedulers = SDG_SCHEDULERS_OF_CLASS,
                                    .own_scheduler = SDG_SCHEDULER_LEADING},
            [SDG_LIKE_COMFYUI] = {.run = run, .calls = 1, .schedulers = SDG_SCHEDULERS_COMFYUI},
            [SDG_LIKE_SDCPP] = {.run = run, .calls = 1, .schedulers = SDG_SCHEDULERS_SDCPP},
        },
};
