/* schedule_diffusers.c - the spacings of diffusers' scheduler classes under Stable Diffusion 1's
 * stock configuration (steps_offset 1, set_alpha_to_one false). Sources: diffusers, schedulers/
 * scheduling_euler_discrete.py, scheduling_euler_ancestral_discrete.py and scheduling_ddim.py
 * (set_timesteps); numpy's arange, linspace and interp where their rounding decides; the spacings
 * are compared in Lin et al. 2023, "Common diffusion noise schedules and sample steps are flawed".
 */
#include "sampling/schedule_families.h"

#include <math.h>

enum { STEPS_OFFSET = 1 };
#define KARRAS_RHO 7.0

/* numpy.linspace(a, b, n)[i] */
static double linspace(double a, double b, int i, int n)
{
    if (n == 1) return a;
    return i == n - 1 ? b : i * ((b - a) / (n - 1)) + a;
}

/* t[0..count) from noisy to clean; returns count. */
static int leading(double *t, int n)
{
    const int ratio = SDG_TRAIN_STEPS / n;
    for (int i = 0; i < n; i++) t[i] = (n - 1 - i) * ratio + STEPS_OFFSET;
    return n;
}

static int spread(double *t, int n)
{
    for (int i = 0; i < n; i++) t[i] = linspace(0, SDG_TRAIN_STEPS - 1, n - 1 - i, n);
    return n;
}

/* numpy.arange(1000, 0, -1000/n) - 1. Its length is a quotient rounded up, which for some n (61,
 * 103,
 * ...) is n + 1; then diffusers runs one step more, at t = -1, and so does this. */
static int trailing(double *t, int n)
{
    const double start = SDG_TRAIN_STEPS, ratio = start / n;
    const double difference = (start - ratio) - start;
    const int count = (int)ceil(-start / -ratio);
    for (int i = 0; i < count; i++) t[i] = rint(start + i * difference) - 1;
    return count;
}

static int spacing(double *t, enum sdg_scheduler scheduler, int n)
{
    if (scheduler == SDG_SCHEDULER_LINSPACE) return spread(t, n);
    if (scheduler == SDG_SCHEDULER_TRAILING) return trailing(t, n);
    return leading(t, n); /* Karras too starts from the default spacing */
}

/* numpy.interp over the table of sigmas: linear in sigma, constant outside. */
static double sigma_at(const struct sdg_levels *l, double t)
{
    const int last = SDG_TRAIN_STEPS - 1;
    if (t <= 0) return (double)l->sigma[0];
    if (t >= last) return (double)l->sigma[last];
    const int low = (int)t;
    const double a = (double)l->sigma[low], b = (double)l->sigma[low + 1];
    return (b - a) * (t - low) + a;
}

static double sigma_to_t(const struct sdg_levels *l, double sigma)
{
    const double log_sigma = log(fmax(sigma, 1e-10));
    const int low = sdg_levels_bracket(l, log_sigma);
    const float a = l->log_sigma[low], b = l->log_sigma[low + 1];
    const double w = fmin(fmax(((double)a - log_sigma) / (double)(a - b), 0), 1);
    return (1 - w) * low + w * (low + 1);
}

/* Karras et al. 2022, eq. 5, between the ends of the list that the spacing gave. */
static void karras(double *sigma, double *t, const struct sdg_levels *l, int n)
{
    const double first = pow(sigma[0], 1 / KARRAS_RHO), last = pow(sigma[n - 1], 1 / KARRAS_RHO);
    for (int i = 0; i < n; i++) {
        sigma[i] = pow(first + linspace(0, 1, i, n) * (last - first), KARRAS_RHO);
        t[i] = sigma_to_t(l, sigma[i]);
    }
}

/* The Euler classes: fractional steps, sigmas with a final 0. */
static void sigma_space(struct sdg_schedule *s, const struct sdg_levels *l,
                        enum sdg_scheduler scheduler, int n)
{
    double t[SDG_MAX_STEPS], sigma[SDG_MAX_STEPS] = {0};
    s->steps = spacing(t, scheduler, n);
    for (int i = 0; i < s->steps; i++) {
        t[i] = (double)(float)t[i]; /* numpy holds the list in f32 */
        sigma[i] = sigma_at(l, t[i]);
    }
    if (scheduler == SDG_SCHEDULER_KARRAS) karras(sigma, t, l, s->steps);
    for (int i = 0; i < s->steps; i++) {
        s->sigmas[i] = (float)sigma[i];
        s->timesteps[i] = (float)t[i];
    }
    const float top = s->sigmas[0];
    const bool full = scheduler == SDG_SCHEDULER_LINSPACE || scheduler == SDG_SCHEDULER_TRAILING;
    s->init_sigma = full ? top : sqrtf(top * top + 1);
}

/* DDIM: whole steps; each leads 1000/n steps down (rounded), wherever the next call may be. Below
 * step 0 lies abar_0 (set_alpha_to_one false). */
static sdgen_status vp_space(struct sdg_schedule *s, const struct sdg_levels *l,
                             enum sdg_scheduler scheduler, int n, sdgen_error *err)
{
    double list[SDG_MAX_STEPS];
    const int stride = SDG_TRAIN_STEPS / n;
    s->steps = spacing(list, scheduler, n);
    for (int i = 0; i < s->steps; i++) {
        const int t = (int)rint(list[i]), next = t - stride > 0 ? t - stride : 0;
        if (t < 0 || t >= SDG_TRAIN_STEPS)
            return sdg_fail(err, SDGEN_ERR_ARG,
                            "--steps %d: diffusers' DDIM leaves the trained steps 0..999 there "
                            "(it asks for %d); take another number",
                            n, t);
        s->timesteps[i] = (float)t;
        s->sigmas[i] = l->sigma[t];
        s->sigmas[i + 1] = l->sigma[next];
        s->abar[i] = l->abar[t];
        s->abar_next[i] = l->abar[next];
    }
    s->init_sigma = 1;
    return SDGEN_OK;
}

sdgen_status sdg_schedule_diffusers(struct sdg_schedule *s, enum sdg_scheduler scheduler, int steps,
                                    bool variance_preserving, sdgen_error *err)
{
    struct sdg_levels l;
    sdg_levels_init(&l, SDG_LIKE_DIFFUSERS);
    if (variance_preserving) return vp_space(s, &l, scheduler, steps, err);
    sigma_space(s, &l, scheduler, steps);
    return SDGEN_OK;
}
