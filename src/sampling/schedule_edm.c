/* schedule_edm.c - the levels of diffusers' EDMEulerScheduler, for models that take any level
 * between two ends instead of trained timesteps (CosXL: 0.002 to 120).
 *
 *   exponential   even in log sigma, in f32 (its own under "sigma_schedule": "exponential")
 *   karras        Karras et al. 2022, eq. 5, in f64
 *
 * then 0. The model is told ln(sigma)/4. The first latent is noise * sqrt(sigma_max^2 + 1),
 * whatever the list begins with. (schedulers/scheduling_edm_euler.py) */
#include <math.h>

#include "sampling/samplers_all.h"
#include "sampling/schedule_families.h"

static const double own_rho = 7;

static double level(const struct sdg_schedule_request *r, double low, double high, int i)
{
    const int n = r->steps;
    const double rho = r->rho > 0 ? r->rho : own_rho, ramp = n > 1 ? (double)i / (n - 1) : 0;
    if (r->scheduler == SDG_SCHEDULER_KARRAS)
        return pow(pow(high, 1 / rho) + ramp * (pow(low, 1 / rho) - pow(high, 1 / rho)), rho);
    /* torch.linspace from the low end, turned round: one step is the low end */
    const int place = n - 1 - i;
    return (double)expf(sdg_linspace((float)log(low), (float)log(high), place, n));
}

sdgen_status sdg_schedule_edm(struct sdg_schedule *s, const struct sdg_schedule_request *r,
                              const struct sdg_sampler *sampler, const struct sdg_levels *l,
                              sdgen_error *err)
{
    const double low = r->sigma_min > 0 ? r->sigma_min : (double)l->sigma_min;
    const double high = r->sigma_max > 0 ? r->sigma_max : (double)l->sigma_max;
    const bool own = r->scheduler == sampler->way[SDG_LIKE_DIFFUSERS].own_scheduler;
    if (sampler != &sdg_sampler_euler)
        return sdg_fail(err, SDGEN_ERR_ARG,
                        "--sampling-method %s: this model predicts v under EDM's levels, for which "
                        "diffusers' way of sdgen has euler; or take --like comfyui",
                        sampler->name);
    if (!own && r->scheduler != SDG_SCHEDULER_EXPONENTIAL && r->scheduler != SDG_SCHEDULER_KARRAS)
        return sdg_fail(err, SDGEN_ERR_ARG,
                        "--scheduler %s: diffusers' EDMEulerScheduler has exponential and karras",
                        sdg_scheduler_name(r->scheduler));
    s->steps = r->steps;
    for (int i = 0; i < r->steps; i++) s->sigmas[i] = (float)level(r, low, high, i);
    s->sigmas[r->steps] = 0;
    for (int i = 0; i < r->steps; i++) {
        const float sigma = s->sigmas[i], next = s->sigmas[i + 1];
        s->timesteps[i] = 0.25f * logf(sigma);
        s->abar[i] = 1 / (sigma * sigma + 1);
        s->abar_next[i] = 1 / (next * next + 1);
    }
    s->init_sigma = (float)sqrt(high * high + 1);
    return SDGEN_OK;
}
