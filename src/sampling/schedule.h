/* schedule.h - at which noise levels the model is asked, in which order.
 *
 * Training fixed 1000 levels (levels.h). A schedule picks n of them, or values between them, from
 * noisy to clean. Which ones is a habit of the program: the same "Euler, 20 steps" visits other
 * levels in A1111 than in diffusers. One file per family of habits:
 *   schedule_kdiffusion.c   k-diffusion's lists, as A1111 calls them
 *   schedule_ddim.c         A1111's list for DDIM
 *   schedule_diffusers.c    the spacings of diffusers' scheduler classes
 * To add one: a value here, a row of names in scheduler_names.c, a case in its family's file, and a
 * bit in the samplers that may use it. */
#ifndef SDG_SAMPLING_SCHEDULE_H
#define SDG_SAMPLING_SCHEDULE_H

#include "base/status.h"
#include "sampling/levels.h"

enum { SDG_MAX_STEPS = 1000 };

enum sdg_scheduler {
    SDG_SCHEDULER_DISCRETE, /* k-diffusion get_sigmas: A1111 "Automatic" for Euler and Euler a */
    SDG_SCHEDULER_KARRAS,   /* Karras et al. 2022, eq. 5 */
    SDG_SCHEDULER_LEADING,  /* diffusers spacings (Lin et al. 2023, table 2) */
    SDG_SCHEDULER_LINSPACE,
    SDG_SCHEDULER_TRAILING,
    SDG_SCHEDULER_DDIM, /* A1111's DDIM list: 1, 1 + c, ... */
    SDG_SCHEDULER_COUNT
};

/* Sets of schedulers, as samplers list what they can follow. */
#define SDG_SCHEDULER_BIT(s) (1u << (s))
#define SDG_SCHEDULERS_KDIFFUSION                                                          \
    (SDG_SCHEDULER_BIT(SDG_SCHEDULER_DISCRETE) | SDG_SCHEDULER_BIT(SDG_SCHEDULER_KARRAS) | \
     SDG_SCHEDULER_BIT(SDG_SCHEDULER_DDIM))
#define SDG_SCHEDULERS_SPACINGS                                                             \
    (SDG_SCHEDULER_BIT(SDG_SCHEDULER_LEADING) | SDG_SCHEDULER_BIT(SDG_SCHEDULER_LINSPACE) | \
     SDG_SCHEDULER_BIT(SDG_SCHEDULER_TRAILING))

struct sdg_schedule {
    int steps;                       /* model calls; not always the number that was asked for */
    float timesteps[SDG_MAX_STEPS];  /* given to the UNet; may be fractional */
    float sigmas[SDG_MAX_STEPS + 1]; /* level of each call, then the final one (sigma space: 0) */
    float abar[SDG_MAX_STEPS];       /* variance-preserving samplers: abar of each call */
    float abar_next[SDG_MAX_STEPS];  /*   and where its step leads; not always the next call's */
    float init_sigma;                /* initial latent = noise * init_sigma */
};

struct sdg_sampler;

/* What the program uses when nobody chooses. */
enum sdg_scheduler sdg_scheduler_default(const struct sdg_sampler *sampler, enum sdg_like like);

/* The levels of a run of `steps`. Errors: SDGEN_ERR_ARG for a combination that the chosen program
 * does not have, or steps out of range (1..1000); the text says which are possible. */
SDGEN_MUST_CHECK sdgen_status sdg_schedule_make(struct sdg_schedule *s,
                                                const struct sdg_sampler *sampler,
                                                enum sdg_scheduler scheduler, enum sdg_like like,
                                                int steps, sdgen_error *err);

const char *sdg_scheduler_name(enum sdg_scheduler s);  /* "discrete"; NULL past the end */
const char *sdg_scheduler_label(enum sdg_scheduler s); /* A1111's: "Automatic", "Karras", ... */

/* Any spelling, without regard to case, spaces, '_' and '-'. Errors: SDGEN_ERR_ARG with the nearest
 * match. */
SDGEN_MUST_CHECK sdgen_status sdg_scheduler_find(enum sdg_scheduler *s, const char *name,
                                                 sdgen_error *err);

#endif
