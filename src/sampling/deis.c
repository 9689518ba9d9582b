/* deis.c - diffusion exponential integrator sampler, tAB-DEIS (Zhang & Chen 2023, section 3.3): the
 * noise extrapolated by Lagrange's polynomials in the time u of a variance-preserving process, not
 * in its level. Order 3, one evaluation a step.
 *
 *   u = (sqrt(m^2 + 2 B L(s)) - m)/B,   L(s) = ln(s^2 + 1)
 *   B = 2 (L(0.002)/0.001 - L(80))/(0.001 - 1),   m = L(80) - B/2
 *   x' = x + sum_j C_j d_j,   C_j = integral from u to u' of ds/du prod_{k != j} (v - u_k)/(u_j -
 * u_k)
 *
 * ComfyUI comfy/k_diffusion/deis.py (deis_mode "tab") and sampling.py (sample_deis): the integral
 * is a sum over 10000 points times (u' - u)/10000, both ends among them; the first step and the one
 * to level 0 are Euler's. f32 where the levels turn into times, as there: L of a low level has few
 * digits left. diffusers' class of the name is another method (deis_diffusers.c). */
#include <math.h>
#include <string.h>
#include "sampling/multistep.h"
#include "sampling/multistep_diffusers.h"
#include "sampling/samplers_all.h"
#include "sampling/sigma_space.h"

enum { HIGHEST = 3, POINTS = 10000 };

/* The process: beta rises from m to m + B. */
struct process {
    float m, b;
};

static float log_growth(float sigma)
{
    return logf(sigma * sigma + 1);
}

static struct process process(void)
{
    const float low = log_growth(0.002f), high = log_growth(80);
    const float b = 2 * (low / 1e-3f - high) / (float)(1e-3 - 1);
    return (struct process) {high - 0.5f * b, b};
}

static float time_of(struct process p, float sigma)
{
    return (sqrtf(p.m * p.m + 2 * p.b * log_growth(sigma)) - p.m) / p.b;
}

/* ds/du = (u B + m)/(2 sqrt(A (1 - A))) with ln A = -u^2 B/2 - u m. */
static double rate(struct process p, double u)
{
    const double m = (double)p.m, b = (double)p.b;
    const double log_a = -0.5 * u * u * b - u * m;
    return 0.5 * (u * b + m) / sqrt(exp(log_a) * -expm1(log_a));
}

/* C [order] for step i. */
static void weights(float *c, const float *sigmas, int i, int order)
{
    const struct process p = process();
    double u[HIGHEST], sum[HIGHEST] = {0};
    for (int k = 0; k < order; k++) u[k] = (double)time_of(p, sigmas[i - k]);
    const double end = (double)time_of(p, sigmas[i + 1]);
    for (int n = 0; n < POINTS; n++) {
        const double v = u[0] + (end - u[0]) * n / (POINTS - 1), slope = rate(p, v);
        for (int j = 0; j < order; j++) {
            double product = slope;
            for (int k = 0; k < order; k++)
                if (k != j) product *= (v - u[k]) / (u[j] - u[k]);
            sum[j] += product;
        }
    }
    for (int j = 0; j < order; j++) c[j] = (float)(sum[j] * (end - u[0]) / POINTS);
}

static bool run(struct sdg_sampling *s)
{
    const float *sigmas = s->schedule->sigmas;
    float *denoised = s->buffer[0], *slope[HIGHEST], c[HIGHEST];
    memcpy(slope, &s->buffer[1], sizeof slope);
    for (int i = 0; i < s->schedule->steps; i++) {
        const int order = sigmas[i + 1] > 0 ? sdg_step_order(s, i, HIGHEST) : 1;
        if (!sdg_denoise(s, denoised, NULL, s->x, sigmas[i], i)) return false;
        sdg_sigma_slope(s, sdg_history_turn(slope, HIGHEST), s->x, denoised, sigmas[i]);
        if (order == 1)
            c[0] = sigmas[i + 1] - sigmas[i];
        else
            weights(c, sigmas, i, order);
        sdg_history_add(s, c, slope, order);
        sdg_sigma_after(s, i, denoised);
    }
    return true;
}

const struct sdg_sampler sdg_sampler_deis = {
    .name = "deis",
    .label = "DEIS",
    .aliases = "deis|k_deis|sample_deis|DEISMultistep|DEISMultistepScheduler|deis_m",
    .order = 3,
    .evaluations = 1,
    .buffers = 1 + HIGHEST,
    .takes = SDG_TAKES_ORDER | SDG_TAKES_LOWER_ORDER_FINAL,
    .way =
        {
            [SDG_LIKE_A1111] =
                {.run = run, .borrowed = true, .calls = 1, .schedulers = SDG_SCHEDULERS_A1111},
            [SDG_LIKE_DIFFUSERS] = {.run = sdg_deis_diffusers,
                                    .variance_preserving = true,
                                    .calls = 1,
                                    .default_order = 2,
                                    .schedulers = SDG_SCHEDULERS_OF_CLASS,
                                    .own_scheduler = SDG_SCHEDULER_LEADING},
            [SDG_LIKE_COMFYUI] = {.run = run, .calls = 1, .schedulers = SDG_SCHEDULERS_COMFYUI},
            [SDG_LIKE_SDCPP] =
                {.run = run, .borrowed = true, .calls = 1, .schedulers = SDG_SCHEDULERS_SDCPP},
        },
};
