/* schedule.h - at which noise levels the model is asked, in which order.
 *
 * Training fixed 1000 levels (levels.h). A schedule picks n of them, or values between them, from
 * noisy to clean. Which ones is a habit of the program: the same "Euler, 20 steps" visits other
 * levels in A1111 than in diffusers. One file per family of habits:
 *
 *   schedule_kdiffusion.c   formulas: k-diffusion's and their relatives
 *   schedule_timesteps.c    picks from the trained levels; A1111's list for samplers with abar
 *   schedule_tables.c       published tables: Align Your Steps, GITS (gits_sigmas.c)
 *   schedule_diffusers.c    diffusers' scheduler classes
 *
 * To add one: a value here, a row in scheduler_names.c, a case in its family's file and in
 * schedule.c, and a bit in the samplers that may use it where a set below does not hold it. */
#ifndef SDG_SAMPLING_SCHEDULE_H
#define SDG_SAMPLING_SCHEDULE_H

#include <stdint.h>
#include "base/status.h"
#include "sampling/levels.h"

enum { SDG_MAX_STEPS = 1000 };

enum sdg_scheduler {
    SDG_SCHEDULER_DISCRETE,    /* k-diffusion get_sigmas: A1111 "Uniform", ComfyUI "normal" */
    SDG_SCHEDULER_KARRAS,      /* Karras et al. 2022, eq. 5 */
    SDG_SCHEDULER_EXPONENTIAL, /* uniform in log sigma */
    SDG_SCHEDULER_POLYEXPONENTIAL,
    SDG_SCHEDULER_SGM_UNIFORM, /* generative-models' EDM-like spacing of timesteps */
    SDG_SCHEDULER_SIMPLE,      /* every (1000/n)-th level */
    SDG_SCHEDULER_DDIM,        /* A1111's DDIM list: 1, 1 + c, ...; ComfyUI "ddim_uniform" */
    SDG_SCHEDULER_BETA,        /* quantiles of Beta(0.6, 0.6) (Lee et al. 2024) */
    SDG_SCHEDULER_KL_OPTIMAL,  /* Sabour et al. 2024, eq. 4 */
    SDG_SCHEDULER_AYS,         /* Align Your Steps (Sabour et al. 2024), the model's own table */
    SDG_SCHEDULER_AYS_SD1,
    SDG_SCHEDULER_AYS_SDXL,
    SDG_SCHEDULER_GITS,  /* Chen et al. 2024 */
    SDG_SCHEDULER_TURBO, /* ComfyUI's SDTurboScheduler */
    SDG_SCHEDULER_LINEAR_QUADRATIC,
    SDG_SCHEDULER_VP,           /* k-diffusion get_sigmas_vp (Song et al. 2021) */
    SDG_SCHEDULER_SMOOTHSTEP,   /* stable-diffusion.cpp */
    SDG_SCHEDULER_BONG_TANGENT, /* stable-diffusion.cpp */
    SDG_SCHEDULER_LCM,          /* the 50 distilled levels of LCM and TCD */
    SDG_SCHEDULER_LEADING,      /* diffusers spacings (Lin et al. 2023, table 2) */
    SDG_SCHEDULER_LINSPACE,
    SDG_SCHEDULER_TRAILING,
    SDG_SCHEDULER_SIGMAS,    /* a list of levels given by the user */
    SDG_SCHEDULER_TIMESTEPS, /* a list of timesteps given by the user */
    SDG_SCHEDULER_COUNT
};

/* Sets of schedulers, as samplers list what they can follow. */
typedef uint64_t sdg_scheduler_set;
#define SDG_SCHEDULER_BIT(s) ((sdg_scheduler_set)1 << (s))
/* Lists that the user gives. */
#define SDG_SCHEDULERS_LISTS \
    (SDG_SCHEDULER_BIT(SDG_SCHEDULER_SIGMAS) | SDG_SCHEDULER_BIT(SDG_SCHEDULER_TIMESTEPS))
/* diffusers' timestep_spacing, and its use_karras_sigmas, use_exponential_sigmas, use_beta_sigmas
 */
#define SDG_SCHEDULERS_SPACINGS                                                             \
    (SDG_SCHEDULER_BIT(SDG_SCHEDULER_LEADING) | SDG_SCHEDULER_BIT(SDG_SCHEDULER_LINSPACE) | \
     SDG_SCHEDULER_BIT(SDG_SCHEDULER_TRAILING))
#define SDG_SCHEDULERS_DIFFUSERS_FLAGS                                                        \
    (SDG_SCHEDULER_BIT(SDG_SCHEDULER_KARRAS) | SDG_SCHEDULER_BIT(SDG_SCHEDULER_EXPONENTIAL) | \
     SDG_SCHEDULER_BIT(SDG_SCHEDULER_BETA))
/* Align Your Steps: by the model, or a table by name. */
#define SDG_SCHEDULERS_AYS                                                             \
    (SDG_SCHEDULER_BIT(SDG_SCHEDULER_AYS) | SDG_SCHEDULER_BIT(SDG_SCHEDULER_AYS_SD1) | \
     SDG_SCHEDULER_BIT(SDG_SCHEDULER_AYS_SDXL))
/* Every list of sigmas: all but diffusers' spacings. */
#define SDG_SCHEDULERS_SIGMA_SPACE \
    ((SDG_SCHEDULER_BIT(SDG_SCHEDULER_COUNT) - 1) & ~SDG_SCHEDULERS_SPACINGS)
/* What each program offers for samplers in sigma space, its own and borrowed ones. */
#define SDG_SCHEDULERS_A1111 SDG_SCHEDULERS_SIGMA_SPACE
#define SDG_SCHEDULERS_COMFYUI SDG_SCHEDULERS_SIGMA_SPACE
#define SDG_SCHEDULERS_SDCPP SDG_SCHEDULERS_SIGMA_SPACE
/* A1111's samplers that hold abar (DDIM, PLMS, UniPC) follow one list of timesteps. */
#define SDG_SCHEDULERS_A1111_TIMESTEPS SDG_SCHEDULER_BIT(SDG_SCHEDULER_DDIM)

/* "Automatic": whatever the sampler follows unasked. Only in a request. */
#define SDG_SCHEDULER_OWN SDG_SCHEDULER_COUNT

/* Everything that picks the levels. Zero-initialised plus scheduler and steps is a plain request.
 */
struct sdg_schedule_request {
    enum sdg_scheduler scheduler;
    /* diffusers, under karras, exponential and beta: the spacing whose ends they take; one of
     * LEADING, LINSPACE, TRAILING; anything else: the class's own in SD configurations. */
    enum sdg_scheduler spacing;
    int steps;
    const double *list; /* SIGMAS, TIMESTEPS: [list_count], noisy to clean */
    int list_count;
    double rho, sigma_min, sigma_max; /* 0: the schedule's own */
    double gits_coefficient;          /* 0.80 ... 1.50; 0: 1.20 */
    bool sdxl;                        /* which table AYS means */
    bool discard_penultimate;         /* one step more, then the last level above 0 left out */
};

struct sdg_schedule {
    int steps;                       /* entries below; not always the number that was asked for */
    float timesteps[SDG_MAX_STEPS];  /* given to the UNet; may be fractional */
    float sigmas[SDG_MAX_STEPS + 1]; /* level of each entry, then the final one (mostly 0) */
    float abar[SDG_MAX_STEPS];       /* variance-preserving samplers: abar of each entry */
    float abar_next[SDG_MAX_STEPS];  /*   and where its step leads; not always the next one's */
    float init_sigma;                /* initial latent = noise * init_sigma */
};

struct sdg_sampler;

/* What the program uses when nobody chooses. */
enum sdg_scheduler sdg_scheduler_default(const struct sdg_sampler *sampler, enum sdg_like like);

/* The levels of a run under l->like. Errors: SDGEN_ERR_ARG for a combination that the chosen
 * program does not have, steps out of range (1..1000), a list that does not fall; the text says
 * which are possible. */
SDGEN_MUST_CHECK sdgen_status sdg_schedule_make(struct sdg_schedule *s,
                                                const struct sdg_schedule_request *request,
                                                const struct sdg_sampler *sampler,
                                                const struct sdg_levels *l, sdgen_error *err);

const char *sdg_scheduler_name(enum sdg_scheduler s);    /* "discrete"; NULL past the end */
const char *sdg_scheduler_label(enum sdg_scheduler s);   /* A1111's: "Automatic" for OWN, ... */
const char *sdg_scheduler_aliases(enum sdg_scheduler s); /* all spellings, separated by '|' */

/* Does the program have it by itself? The others borrow it. */
bool sdg_scheduler_is_own(enum sdg_scheduler s, enum sdg_like like);

/* Any spelling, without regard to case, spaces, '_' and '-'; "automatic" gives OWN. Errors:
 * SDGEN_ERR_ARG with the nearest match. */
SDGEN_MUST_CHECK sdgen_status sdg_scheduler_find(enum sdg_scheduler *s, const char *name,
                                                 sdgen_error *err);

#endif
