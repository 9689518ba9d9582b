/* euler.c - Euler's method on the probability-flow ODE (Karras et al. 2022, algorithm 1, in its
 * plain first-order form; the `sample_euler` of k-diffusion without churn and diffusers'
 * EulerDiscreteScheduler). k-diffusion draws noise here on every step and leaves it unused; nothing
 * else in a run draws from an image's generator, so leaving the draw out changes nothing. */
#include "sampling/sigma_space.h"

static bool run(struct sdg_sampling *s)
{
    const float *sigmas = s->schedule->sigmas;
    for (int i = 0; i < s->schedule->steps; i++) {
        if (!sdg_sigma_epsilon(s, i)) return false;
        sdg_sigma_euler(s, sigmas[i], sigmas[i + 1]);
        if (s->after) s->after(s->user, i);
    }
    return true;
}

const struct sdg_sampler sdg_sampler_euler = {
    .name = "euler",
    .label = "Euler",
    .aliases = "euler|k_euler|sample_euler|EulerDiscrete|EulerDiscreteScheduler",
    .schedulers = {SDG_SCHEDULERS_KDIFFUSION,
                   SDG_SCHEDULERS_SPACINGS | SDG_SCHEDULER_BIT(SDG_SCHEDULER_KARRAS)},
    .own_scheduler = {SDG_SCHEDULER_DISCRETE, SDG_SCHEDULER_LEADING},
    .run = run,
};
