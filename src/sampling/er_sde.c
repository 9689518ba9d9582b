/* er_sde.c - extended reverse-time SDE solver (Cui et al. 2023, "Elucidating the solution space of
 * extended reverse-time SDE for diffusion models", VP ER-SDE-Solver-3 with noise scale function 5):
 * multistep, up to three levels. Order 1 in noise; one evaluation a step. With
 * f(v) = v (e^(v^0.3) + 10), r = f(s')/f(s), g = s' - s, differences D' = (D - D_1)/(s - s_1) and
 * D'' = (D' - D'_1)/((s - s_2)/2), and integrals from s' to s by 200 left rectangles:
 *
 *   x' = r x + (1 - r) D + (g + f(s') I_0) D' + (g^2/2 + f(s') I_1) D'' + sqrt(s'^2 - s^2 r^2)
 * noise I_0 = integral dv/f(v),   I_1 = integral (v - s) dv/f(v)
 *
 * On the step to level 0 x' = D. ComfyUI comfy/k_diffusion/sampling.py (sample_er_sde);
 * stable-diffusion.cpp src/runtime/denoiser.hpp (sample_er_sde), where eta is a switch: any eta
 * above 0 gives the noise in full. */
#include <math.h>
#include <string.h>
#include "sampling/multistep.h"
#include "sampling/samplers_all.h"
#include "sampling/sigma_space.h"

enum { POINTS = 200 };

static float scaler(float v)
{
    return v * (expf(powf(v, 0.3f)) + 10);
}

/* I_0 and I_1. */
static void integrate(float *zeroth, float *first, float from, float to)
{
    const float width = -(to - from) / POINTS;
    double sum0 = 0, sum1 = 0;
    for (int p = 0; p < POINTS; p++) {
        const float v = to + (float)p * width, f = scaler(v);
        sum0 += (double)(1 / f);
        sum1 += (double)((v - from) / f);
    }
    *zeroth = (float)sum0 * width;
    *first = (float)sum1 * width;
}

/* Step i; d: D newest first; slope: D' newest first, slope[0] to be filled. */
static void step(struct sdg_sampling *s, float *const d[2], float *const slope[2], int i)
{
    const float *sigmas = s->schedule->sigmas, from = sigmas[i], to = sigmas[i + 1];
    const float f = scaler(to), r = f / scaler(from), g = to - from;
    float zeroth, first;
    sdg_sigma_mix(s, s->x, r, s->x, 1 - r, d[0]);
    if (i == 0) return;
    integrate(&zeroth, &first, from, to);
    const float w1 = g + zeroth * f, w2 = g * g / 2 + first * f;
    const float back = from - sigmas[i - 1], back2 = i > 1 ? (from - sigmas[i - 2]) / 2 : 1;
    for (size_t j = 0; j < s->n * s->len; j++) {
        slope[0][j] = (d[0][j] - d[1][j]) / back;
        s->x[j] += w1 * slope[0][j];
        if (i > 1) s->x[j] += w2 * ((slope[0][j] - slope[1][j]) / back2);
    }
}

/* The level of the noise that step i adds. */
static float fresh(const struct sdg_sampling *s, int i)
{
    const float from = s->schedule->sigmas[i], to = s->schedule->sigmas[i + 1];
    const float r = scaler(to) / scaler(from), square = to * to - from * from * (r * r);
    const float share = s->like == SDG_LIKE_SDCPP ? s->options.eta > 0 : (float)s->options.eta;
    return share > 0 && square > 0 ? sqrtf(square) * share : 0;
}

static bool run(struct sdg_sampling *s)
{
    const float *sigmas = s->schedule->sigmas;
    float *denoised[2] = {s->buffer[0], s->buffer[1]}, *slope[2] = {s->buffer[2], s->buffer[3]};
    for (int i = 0; i < s->schedule->steps; i++) {
        float *d = sdg_history_turn(denoised, 2);
        if (!sdg_denoise(s, d, NULL, s->x, sigmas[i], i)) return false;
        if (sigmas[i + 1] == 0) {
            memcpy(s->x, d, s->n * s->len * sizeof *d);
        } else {
            sdg_history_turn(slope, 2);
            step(s, denoised, slope, i);
            const float level = fresh(s, i);
            if (level > 0 && s->options.s_noise > 0) sdg_sigma_renoise(s, s->buffer[4], level);
        }
        sdg_sigma_after(s, i, d);
    }
    return true;
}

const struct sdg_sampler sdg_sampler_er_sde = {
    .name = "er_sde",
    .label = "ER SDE",
    .aliases = "er_sde|k_er_sde|sample_er_sde",
    .order = 3,
    .evaluations = 1,
    .buffers = 5,
    .stochastic = true,
    .takes = SDG_TAKES_ETA | SDG_TAKES_S_NOISE,
    .way =
        {
            [SDG_LIKE_A1111] = {.run = run,
                                .borrowed = true,
                                .calls = 1,
                                .default_eta = 1,
                                .schedulers = SDG_SCHEDULERS_A1111},
            [SDG_LIKE_DIFFUSERS] = {.run = run,
                                    .borrowed = true,
                                    .calls = 1,
                                    .default_eta = 1,
                                    .schedulers = SDG_SCHEDULERS_OF_CLASS,
                                    .own_scheduler = SDG_SCHEDULER_LEADING},
            [SDG_LIKE_COMFYUI] =
                {.run = run, .calls = 1, .default_eta = 1, .schedulers = SDG_SCHEDULERS_COMFYUI},
            [SDG_LIKE_SDCPP] =
                {.run = run, .calls = 1, .default_eta = 1, .schedulers = SDG_SCHEDULERS_SDCPP},
        },
};
