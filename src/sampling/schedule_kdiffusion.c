/* schedule_kdiffusion.c - the lists of k-diffusion, as A1111 calls them; f32 in the order of the
 * originals. Sources: k-diffusion, external.py (DiscreteSchedule) and sampling.py
 * (get_sigmas_karras); AUTOMATIC1111 stable-diffusion-webui 1.10, modules/sd_schedulers.py. */
#include "sampling/schedule_families.h"

#include <math.h>

#define KARRAS_RHO 7.0 /* Karras et al. 2022, section 3.2 */

/* Training step (fractional) to sigma: linear in log sigma between the neighbours. */
static float t_to_sigma(const struct sdg_levels *l, float t)
{
    const int low = (int)floorf(t), high = (int)ceilf(t);
    const float w = t - floorf(t);
    return expf((1.0f - w) * l->log_sigma[low] + w * l->log_sigma[high]);
}

/* Its inverse: the step that the UNet is told, clamped to the trained range. */
static float sigma_to_t(const struct sdg_levels *l, float sigma)
{
    const float log_sigma = logf(sigma);
    const int low = sdg_levels_bracket(l, (double)log_sigma);
    const float a = l->log_sigma[low], b = l->log_sigma[low + 1];
    const float w = fminf(fmaxf((a - log_sigma) / (a - b), 0.0f), 1.0f);
    return (1.0f - w) * (float)low + w * (float)(low + 1);
}

/* Training steps 999 to 0 in n equal parts. */
static void discrete(struct sdg_schedule *s, const struct sdg_levels *l, int n)
{
    for (int i = 0; i < n; i++)
        s->sigmas[i] = t_to_sigma(l, sdg_linspace(SDG_TRAIN_STEPS - 1, 0, i, n));
    s->steps = n;
}

/* sigma_i = (smax^(1/rho) + i/(n-1) (smin^(1/rho) - smax^(1/rho)))^rho (Karras et al. 2022, eq. 5)
 * between the ends of the trained range. */
static void karras(struct sdg_schedule *s, const struct sdg_levels *l, int n)
{
    const double first = pow((double)l->sigma[SDG_TRAIN_STEPS - 1], 1.0 / KARRAS_RHO);
    const double last = pow((double)l->sigma[0], 1.0 / KARRAS_RHO);
    const float from = (float)first, to = (float)(last - first);
    for (int i = 0; i < n; i++)
        s->sigmas[i] = powf(from + sdg_linspace(0, 1, i, n) * to, (float)KARRAS_RHO);
    s->steps = n;
}

/* Every (1000/n)-th trained level from number 1 on, rounded down, so that n need not come out. */
static void ddim_levels(struct sdg_schedule *s, const struct sdg_levels *l, int n)
{
    const int stride = SDG_TRAIN_STEPS / n;
    const int count = (SDG_TRAIN_STEPS - 2) / stride + 1;
    for (int i = 0; i < count; i++) s->sigmas[i] = l->sigma[1 + (count - 1 - i) * stride];
    s->steps = count;
}

void sdg_schedule_kdiffusion(struct sdg_schedule *s, enum sdg_scheduler scheduler, int steps)
{
    struct sdg_levels l;
    sdg_levels_init(&l, SDG_LIKE_A1111);
    if (scheduler == SDG_SCHEDULER_KARRAS)
        karras(s, &l, steps);
    else if (scheduler == SDG_SCHEDULER_DDIM)
        ddim_levels(s, &l, steps);
    else
        discrete(s, &l, steps);
    for (int i = 0; i < s->steps; i++) s->timesteps[i] = sigma_to_t(&l, s->sigmas[i]);
    s->sigmas[s->steps] = 0;
    s->init_sigma = s->sigmas[0];
}
