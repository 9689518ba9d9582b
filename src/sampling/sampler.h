/* sampler.h - the walk from noise to a clean latent. One small file per sampler, one table.
 *
 * A sampler sees x [n][len], n images of len = 4*h*w values, and asks for the guided model output
 * (epsilon) at a step. Samplers in sigma space (Karras et al. 2022) hold x = x0 + sigma*noise and
 * the model sees x / sqrt(sigma^2 + 1); variance-preserving ones (DDIM) hold the model's own input.
 *
 * To add one: a file that fills a struct sdg_sampler (euler.c is the shortest), a line here, a line
 * in the table of sampler.c. */
#ifndef SDG_SAMPLING_SAMPLER_H
#define SDG_SAMPLING_SAMPLER_H

#include <stdbool.h>
#include <stddef.h>
#include "sampling/schedule.h"

struct sdg_sampling {
    const struct sdg_schedule *schedule;
    enum sdg_like like;
    float *x;           /* [n][len] in: initial latent; out: the result */
    float *eps, *noise; /* [n][len] scratch, given by the caller */
    float *model_input; /* [n][len] scratch: what the model is shown */
    size_t n, len;
    double eta; /* share of fresh noise, 0..1 */
    /* Guided epsilon at model_input and timestep t; false stops the walk (cancelled). */
    bool (*model)(void *user, float *eps, const float *model_input, float t, int step);
    /* Fresh normal noise, image i from image i's generator. */
    void (*draw)(void *user, float *noise);
    /* After step `step` (0-based), x and eps being current. May be NULL. */
    void (*after)(void *user, int step);
    void *user;
};

struct sdg_sampler {
    const char *name;  /* "euler_a": the flag's spelling */
    const char *label; /* "Euler a": A1111's infotext spelling */
    const char
        *aliases; /* all spellings, separated by '|'; compared without case, space, '_', '-' */
    bool variance_preserving;
    bool takes_eta; /* false: eta means nothing to it */
    double default_eta;
    unsigned schedulers[SDG_LIKE_COUNT];              /* set it can follow in each program */
    enum sdg_scheduler own_scheduler[SDG_LIKE_COUNT]; /* and the one it follows unasked */
    bool (*run)(struct sdg_sampling *s);              /* false: stopped */
};

extern const struct sdg_sampler sdg_sampler_euler, sdg_sampler_euler_a, sdg_sampler_ddim;

/* i-th sampler or NULL past the end. */
const struct sdg_sampler *sdg_sampler_at(int i);

/* Errors: SDGEN_ERR_ARG with the nearest match. */
SDGEN_MUST_CHECK sdgen_status sdg_sampler_find(const struct sdg_sampler **s, const char *name,
                                               sdgen_error *err);

#endif
