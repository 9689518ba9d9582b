/* schedule.h - at which noise levels the model is asked, in which order.
 *
 * Training fixed 1000 levels: beta_i "scaled linear" from 0.00085 to 0.012, abar_t = prod(1 - beta)
 * (Ho et al. 2020), sigma_t = sqrt((1 - abar_t) / abar_t) (Karras et al. 2022). A schedule picks n of
 * them, or values between them. */
#ifndef SDG_SAMPLING_SCHEDULE_H
#define SDG_SAMPLING_SCHEDULE_H

#include "base/status.h"

enum { SDG_TRAIN_STEPS = 1000, SDG_MAX_STEPS = 1000 };

/* Whose arithmetic and conventions: k-diffusion inside A1111, or diffusers' scheduler classes. */
enum sdg_like { SDG_LIKE_A1111, SDG_LIKE_DIFFUSERS };

enum sdg_scheduler {
    SDG_SCHEDULER_DISCRETE, /* k-diffusion get_sigmas: A1111 "Automatic" for Euler and Euler a */
    SDG_SCHEDULER_KARRAS,
    SDG_SCHEDULER_LEADING, SDG_SCHEDULER_LINSPACE, SDG_SCHEDULER_TRAILING, /* diffusers spacings */
    SDG_SCHEDULER_DDIM,     /* A1111's DDIM list: 1, 1 + c, ... */
    SDG_SCHEDULER_COUNT
};

struct sdg_schedule {
    int steps;                         /* model calls */
    float timesteps[SDG_MAX_STEPS];    /* given to the UNet; may be fractional */
    float sigmas[SDG_MAX_STEPS + 1];   /* sigma space: level of each call, then the final one (0) */
    double abar[SDG_MAX_STEPS + 1];    /* ancestral-free VP samplers (DDIM): abar of each call, then final */
    float init_sigma;                  /* initial latent = noise * init_sigma */
};

/* The training levels in both precisions used by the originals. */
struct sdg_levels {
    double abar[SDG_TRAIN_STEPS];   /* f64 products rounded to f32 (LDM) or f32 products (diffusers) */
    float sigma[SDG_TRAIN_STEPS];
};
void sdg_levels_init(struct sdg_levels *l, enum sdg_like like);

struct sdg_sampler;
/* Errors: SDGEN_ERR_ARG for a combination that the chosen program does not have, or steps out of range
 * (1..1000); the text says which are possible. */
SDGEN_MUST_CHECK sdgen_status sdg_schedule_make(struct sdg_schedule *s, const struct sdg_sampler *sampler,
                                                enum sdg_scheduler scheduler, enum sdg_like like,
                                                int steps, sdgen_error *err);

#endif
