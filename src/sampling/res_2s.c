/* res_2s.c - refined exponential solver, singlestep (Zhang et al. 2023, algorithm 1), an
 * exponential Runge-Kutta method of order 2 for D in t = -ln sigma with c2 = 1/2; with eta,
 * ancestral noise (euler_a.c). Two evaluations a step but for the one to level 0, where x' = D.
 * With h = ln(s/down), m = s e^(-h/2), p1(z) = (e^z - 1)/z, p2(z) = (p1(z) - 1)/z:
 *
 *   e  = x + h/2 p1(-h/2) (D(x; s) - x)
 *   x' = x + h (b1 (D(x; s) - x) + b2 (D(e; m) - x)) + up noise,   b2 = 2 p2(-h), b1 = p1(-h) - b2
 *
 * stable-diffusion.cpp, src/runtime/denoiser.hpp (sample_res_2s). */
#include <math.h>
#include <string.h>
#include "sampling/samplers_all.h"
#include "sampling/sigma_space.h"

#define C2 0.5f

/* Near 0 by their series, where the quotients lose everything. */
static float p1(float z)
{
    return fabsf(z) < 1e-6f ? 1 + z * 0.5f + z * z / 6 : (expf(z) - 1) / z;
}

static float p2(float z)
{
    return fabsf(z) < 1e-6f ? 0.5f + z / 6 + z * z / 24 : (p1(z) - 1) / z;
}

static bool step(struct sdg_sampling *s, const float *denoised, float sigma, float down, int i)
{
    float *x2 = s->buffer[1], *denoised2 = s->buffer[2];
    const size_t count = s->n * s->len;
    const float t = -logf(sigma), h = -logf(down) - t, reach = h * (C2 * p1(-h * C2));
    const float b2 = p2(-h) / C2, b1 = p1(-h) - b2;
    for (size_t j = 0; j < count; j++) x2[j] = s->x[j] + (denoised[j] - s->x[j]) * reach;
    if (!sdg_denoise(s, denoised2, NULL, x2, expf(-(t + h * C2)), i)) return false;
    for (size_t j = 0; j < count; j++) {
        const float e1 = denoised[j] - s->x[j], e2 = denoised2[j] - s->x[j];
        s->x[j] += h * (b1 * e1 + b2 * e2);
    }
    return true;
}

static bool run(struct sdg_sampling *s)
{
    const float *sigmas = s->schedule->sigmas;
    float *denoised = s->buffer[0];
    for (int i = 0; i < s->schedule->steps; i++) {
        float down, up;
        if (!sdg_denoise(s, denoised, NULL, s->x, sigmas[i], i)) return false;
        sdg_sigma_ancestral(&down, &up, sigmas[i], sigmas[i + 1], (float)s->options.eta);
        if (down == 0)
            memcpy(s->x, denoised, s->n * s->len * sizeof *s->x);
        else if (!step(s, denoised, sigmas[i], down, i))
            return false;
        if (up > 0) sdg_sigma_renoise(s, s->buffer[1], up);
        sdg_sigma_after(s, i, denoised);
    }
    return true;
}

const struct sdg_sampler sdg_sampler_res_2s = {
    .name = "res_2s",
    .label = "RES 2S",
    .aliases = "res_2s|res2s|k_res_2s",
    .order = 2,
    .evaluations = 2,
    .buffers = 3,
    .takes = SDG_TAKES_ETA | SDG_TAKES_S_NOISE,
    .way =
        {
            [SDG_LIKE_A1111] =
                {.run = run, .borrowed = true, .calls = 2, .schedulers = SDG_SCHEDULERS_A1111},
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
