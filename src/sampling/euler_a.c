/* euler_a.c - Euler's method with ancestral noise: every step goes down further than asked and adds
 * fresh noise up to the level wanted (the `sample_euler_ancestral` of k-diffusion and diffusers'
 * EulerAncestralDiscreteScheduler; at eta 1 the variance is that of Ho et al. 2020's reverse
 * process). diffusers also draws on the step to level 0, times zero, which shows nowhere. */
#include "sampling/sigma_space.h"

static bool run(struct sdg_sampling *s)
{
    const float *sigmas = s->schedule->sigmas;
    for (int i = 0; i < s->schedule->steps; i++) {
        float down, up;
        if (!sdg_sigma_epsilon(s, i)) return false;
        sdg_sigma_ancestral(&down, &up, sigmas[i], sigmas[i + 1], (float)s->eta);
        sdg_sigma_euler(s, sigmas[i], down);
        if (sigmas[i + 1] > 0) sdg_sigma_renoise(s, up);
        if (s->after) s->after(s->user, i);
    }
    return true;
}

const struct sdg_sampler sdg_sampler_euler_a = {
    .name = "euler_a",
    .label = "Euler a",
    .aliases = "euler_a|k_euler_a|euler_ancestral|k_euler_ancestral|sample_euler_ancestral|"
               "EulerAncestralDiscrete|EulerAncestralDiscreteScheduler",
    .takes_eta = true,
    .default_eta = 1,
    .schedulers = {SDG_SCHEDULERS_KDIFFUSION, SDG_SCHEDULERS_SPACINGS},
    .own_scheduler = {SDG_SCHEDULER_DISCRETE, SDG_SCHEDULER_LEADING},
    .run = run,
};
