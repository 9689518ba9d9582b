/* dpm_solver.c - see dpm_solver.h. With h = t' - t and s(t) = e^-t:
 *
 *   1  x' = x - s' (e^h - 1) eps
 *   2  x' = x - s' (e^h - 1) eps - s'/(2 r1) (e^h - 1)(eps1 - eps)
 *   3  x' = x - s' (e^h - 1) eps - s'/r2 ((e^h - 1)/h - 1)(eps2 - eps),   r1 = 1/3, r2 = 2/3
 *
 * f32 in the order of k-diffusion, sampling.py (class DPMSolver). */
#include "sampling/dpm_solver.h"

#include <math.h>
#include "sampling/sigma_space.h"

#define THIRD (1.0f / 3)
#define TWO_THIRDS (2.0f / 3)

void sdg_dpm_open(struct sdg_dpm_solver *d, struct sdg_sampling *s)
{
    *d = (struct sdg_dpm_solver) {.s = s,
                                  .x = s->x,
                                  .eps = s->buffer[0],
                                  .eps1 = s->buffer[1],
                                  .eps2 = s->buffer[2],
                                  .u = s->buffer[3]};
}

float sdg_dpm_t(float sigma)
{
    return -logf(sigma);
}

float sdg_dpm_sigma(float t)
{
    return expf(-t);
}

void sdg_dpm_range(float *from, float *to, const struct sdg_sampling *s)
{
    const struct sdg_schedule *schedule = s->schedule;
    const int steps = schedule->steps;
    float high = schedule->sigmas[0];
    float low = schedule->sigmas[steps] > 0 ? schedule->sigmas[steps] : schedule->sigmas[steps - 1];
    if (s->like == SDG_LIKE_A1111 && high > 0.999f * s->levels->sigma_max) {
        high = s->levels->sigma_max;
        low = s->levels->sigma_min;
    }
    *from = sdg_dpm_t(high);
    *to = sdg_dpm_t(low);
}

float sdg_dpm_ancestral(float *up, const struct sdg_sampling *s, float t, float to, float end)
{
    float down;
    *up = 0;
    if (!(s->options.eta > 0)) return to;
    sdg_sigma_ancestral(&down, up, sdg_dpm_sigma(t), sdg_dpm_sigma(to), (float)s->options.eta);
    const float lower = fminf(end, sdg_dpm_t(down));
    const float there = sdg_dpm_sigma(to), here = sdg_dpm_sigma(lower);
    *up = sqrtf(fmaxf(there * there - here * here, 0)); /* below 0 by rounding only */
    return lower;
}

/* eps [n][len] = (x - D(x; s(t))) / s(t) */
static bool noise_at(struct sdg_dpm_solver *d, float *eps, const float *x, float t)
{
    const float sigma = sdg_dpm_sigma(t);
    if (!sdg_denoise(d->s, eps, NULL, x, sigma, d->entry)) return false;
    sdg_sigma_slope(d->s, eps, x, eps, sigma);
    return true;
}

/* y = x - a eps - b (later - eps) */
static void combine(const struct sdg_dpm_solver *d, float *y, float a, float b, const float *later)
{
    for (size_t j = 0; j < d->s->n * d->s->len; j++)
        y[j] = d->x[j] - a * d->eps[j] - b * (later[j] - d->eps[j]);
}

bool sdg_dpm_begin(struct sdg_dpm_solver *d)
{
    return noise_at(d, d->eps, d->x, d->t);
}

bool sdg_dpm_inside(struct sdg_dpm_solver *d, float to, float r1)
{
    const float part = r1 * (to - d->t), there = d->t + part;
    sdg_sigma_mix(d->s, d->u, 1, d->x, -(sdg_dpm_sigma(there) * expm1f(part)), d->eps);
    return noise_at(d, d->eps1, d->u, there);
}

void sdg_dpm_step1(struct sdg_dpm_solver *d, float *y, float to)
{
    sdg_sigma_mix(d->s, y, 1, d->x, -(sdg_dpm_sigma(to) * expm1f(to - d->t)), d->eps);
}

void sdg_dpm_step2(struct sdg_dpm_solver *d, float *y, float to, float r1)
{
    const float sigma = sdg_dpm_sigma(to), grown = expm1f(to - d->t);
    combine(d, y, sigma * grown, sigma / (2 * r1) * grown, d->eps1);
}

bool sdg_dpm_step3(struct sdg_dpm_solver *d, float *y, float to)
{
    const float h = to - d->t, part = TWO_THIRDS * h, there = d->t + part;
    const float middle = sdg_dpm_sigma(there), sigma = sdg_dpm_sigma(to);
    combine(d, d->u, middle * expm1f(part),
            middle * (TWO_THIRDS / THIRD) * (expm1f(part) / part - 1), d->eps1);
    if (!noise_at(d, d->eps2, d->u, there)) return false;
    combine(d, y, sigma * expm1f(h), sigma / TWO_THIRDS * (expm1f(h) / h - 1), d->eps2);
    return true;
}
