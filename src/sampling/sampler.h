/* sampler.h - the walk from noise to a clean latent. One small file per sampler, one table.
 *
 * A sampler holds x [n][len], n images of len = 4*h*w values. In sigma space (Karras et al. 2022)
 * x = x0 + sigma*noise and it asks for the denoised picture D(x; sigma) (sigma_space.h);
 * variance-preserving samplers hold the model's own input and ask for its output at a timestep.
 *
 * The same name may hide different arithmetic in different programs (UniPC, DEIS, LMS): a sampler
 * has one `way` per program. A program that lacks the sampler borrows the way of one that has it,
 * with its own schedules and noise.
 *
 * To add one: a file that fills a struct sdg_sampler (euler.c is the shortest), a line here, a line
 * in the table of sampler.c. */
#ifndef SDG_SAMPLING_SAMPLER_H
#define SDG_SAMPLING_SAMPLER_H

#include <stdbool.h>
#include <stddef.h>
#include "sampling/schedule.h"

enum { SDG_SAMPLER_BUFFERS = 12 };

/* What a user may turn. Which of them mean something to a sampler says its `takes`. */
struct sdg_sampler_options {
    double eta;                     /* share of fresh noise */
    double s_churn, s_tmin, s_tmax; /* Karras et al. 2022, algorithm 2: noise added back between */
    double s_noise;                 /*   levels s_tmin and s_tmax; factor on all fresh noise */
    double r;                       /* place of the midpoint in a step, 0..1 */
    int order;                      /* solver order; 0: the sampler's own */
    bool lower_order_final;         /* the last steps with a lower order */
};
enum {
    SDG_TAKES_ETA = 1,
    SDG_TAKES_CHURN = 2, /* s_churn, s_tmin, s_tmax */
    SDG_TAKES_S_NOISE = 4,
    SDG_TAKES_R = 8,
    SDG_TAKES_ORDER = 16,
    SDG_TAKES_LOWER_ORDER_FINAL = 32
};

struct sdg_sampling {
    const struct sdg_schedule *schedule;
    const struct sdg_levels *levels;
    enum sdg_like like;
    struct sdg_sampler_options options; /* all values decided: nothing negative, order > 0 */
    size_t n, len;
    float *x;                           /* [n][len] in: initial latent; out: the result */
    float *buffer[SDG_SAMPLER_BUFFERS]; /* [n][len] each: as many as the sampler asks for */
    float *input;                       /* [n][len] scratch: what the model is shown */
    double scale;                       /* guidance scale: for samplers whose equation names it */
    /* Guided model output at `input` and timestep t, whose level is sigma; with `uncond` not NULL
     * also the output without prompt. step: entry of the schedule. False stops the walk. */
    bool (*model)(void *user, float *out, float *uncond, const float *input, float t, float sigma,
                  int step);
    /* Fresh normal noise [n][len], image i from image i's generator. */
    void (*draw)(void *user, float *noise);
    /* Normal noise of the Brownian path between two levels, divided by sqrt|to - from|: the same
     * levels always give the same noise (brownian.h). */
    void (*brownian)(void *user, float *noise, float from, float to);
    /* After entry `step` of the schedule (0-based); x is current, `denoised` the last D (may be
     * NULL). May be NULL. */
    void (*after)(void *user, int step, const float *denoised);
    void *user;
};

/* How one program runs a sampler. */
struct sdg_sampler_way {
    bool (*run)(struct sdg_sampling *s); /* false: stopped. NULL: nobody's way fits this program */
    bool borrowed;                       /* the program has no such sampler of its own */
    bool variance_preserving;
    bool needs_uncond;        /* asks for the uncond output even at scale 1 */
    bool brownian;            /* draws from the Brownian path, not from the stream */
    bool discard_penultimate; /* its schedule always leaves out the last level above 0 */
    int calls;                /* model calls per step that prompt editing counts (A1111: 1 or 2) */
    double default_eta;
    int default_order;                /* solver order unasked; 0: the sampler's */
    sdg_scheduler_set schedulers;     /* set it can follow */
    enum sdg_scheduler own_scheduler; /* and the one it follows unasked */
};

struct sdg_sampler {
    const char *name;  /* "euler_a": the flag's spelling */
    const char *label; /* "Euler a": A1111's infotext spelling */
    const char
        *aliases;    /* all spellings, separated by '|'; compared without case, space, '_', '-' */
    int order;       /* of convergence */
    int evaluations; /* model calls per step; 0: as many as it needs */
    int buffers;     /* scratch it uses, at most SDG_SAMPLER_BUFFERS */
    bool stochastic; /* with its default options */
    unsigned takes;  /* SDG_TAKES_... */
    struct sdg_sampler_way way[SDG_LIKE_COUNT];
};

/* i-th sampler or NULL past the end. */
const struct sdg_sampler *sdg_sampler_at(int i);

/* The sampler that diffusers' scheduler class is, or NULL. algorithm, "" or what the class is
 * configured with: "dpmsolver++", "sde-dpmsolver++", ... */
const struct sdg_sampler *sdg_sampler_of_class(const char *name, const char *algorithm);

/* Finds a sampler by any spelling, also by old compound names such as "DPM++ 2M Karras", whose tail
 * then sets *scheduler (left alone otherwise; NULL: compounds are not taken apart). Errors:
 * SDGEN_ERR_ARG with the nearest match. */
SDGEN_MUST_CHECK sdgen_status sdg_sampler_find(const struct sdg_sampler **s,
                                               enum sdg_scheduler *scheduler, const char *name,
                                               sdgen_error *err);

#endif
