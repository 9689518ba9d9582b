/* ddim.c - denoising diffusion implicit models (Song et al. 2021, eq. 12 and 16). x holds the
 * model's own input. A step from abar a to b:
 *
 *   x0    = (x - sqrt(1 - a) eps) / sqrt(a)
 *   sigma = eta sqrt((1 - b)/(1 - a)) sqrt(1 - a/b)
 *   x'    = sqrt(b) x0 + sqrt(1 - b - sigma^2) eps + sigma noise
 *
 * f32 in the order of the originals: AUTOMATIC1111 stable-diffusion-webui 1.10, modules/
 * sd_samplers_timesteps_impl.py (ddim), and diffusers, scheduling_ddim.py. A1111 draws on every
 * step, at eta 0 too; diffusers only when eta > 0. */
#include "sampling/sampler.h"

#include <math.h>

/* A1111 has b in double here, and so everything but 1 - a. */
static float noise_level(enum sdg_like like, float a, float b, double eta)
{
    if (like == SDG_LIKE_DIFFUSERS) return (float)eta * sqrtf((1 - b) / (1 - a) * (1 - a / b));
    const double wide = (double)b;
    return (float)(eta * sqrt((1 - wide) / (double)(1 - a) * (1 - (double)a / wide)));
}

static void step(struct sdg_sampling *s, float a, float b)
{
    const bool draws = s->like == SDG_LIKE_A1111 || s->eta > 0;
    const float level = noise_level(s->like, a, b, s->eta);
    const float root_a = sqrtf(a), root_1a = sqrtf(1 - a), root_b = sqrtf(b);
    const float direction = sqrtf(fmaxf(1 - b - level * level, 0)); /* below 0 by rounding only */
    if (draws) s->draw(s->user, s->noise);
    for (size_t j = 0; j < s->n * s->len; j++) {
        const float x0 = (s->x[j] - root_1a * s->eps[j]) / root_a;
        s->x[j] = root_b * x0 + direction * s->eps[j];
        if (draws) s->x[j] += level * s->noise[j];
    }
}

static bool run(struct sdg_sampling *s)
{
    const struct sdg_schedule *schedule = s->schedule;
    for (int i = 0; i < schedule->steps; i++) {
        for (size_t j = 0; j < s->n * s->len; j++) s->model_input[j] = s->x[j];
        if (!s->model(s->user, s->eps, s->model_input, schedule->timesteps[i], i)) return false;
        step(s, schedule->abar[i], schedule->abar_next[i]);
        if (s->after) s->after(s->user, i);
    }
    return true;
}

const struct sdg_sampler sdg_sampler_ddim = {
    .name = "ddim",
    .label = "DDIM",
    .aliases = "ddim|DDIMScheduler",
    .variance_preserving = true,
    .takes_eta = true,
    .default_eta = 0,
    .schedulers = {SDG_SCHEDULER_BIT(SDG_SCHEDULER_DDIM), SDG_SCHEDULERS_SPACINGS},
    .own_scheduler = {SDG_SCHEDULER_DDIM, SDG_SCHEDULER_LEADING},
    .run = run,
};
