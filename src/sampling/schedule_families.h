/* schedule_families.h - the parts of sdg_schedule_make. Steps and combination were checked.
 *
 * A list of levels is made in struct sdg_sigma_list and stored afterwards, when schedule.c has left
 * out the penultimate one where that is wanted. Each program's list is computed in that program's
 * precision and order of operations. */
#ifndef SDG_SAMPLING_SCHEDULE_FAMILIES_H
#define SDG_SAMPLING_SCHEDULE_FAMILIES_H

#include "sampling/schedule.h"

struct sdg_sigma_list {
    const struct sdg_schedule_request *r;
    const struct sdg_levels *l;
    int n;           /* steps, with the one to be left out */
    double min, max; /* range: the request's or the model's */
    double rho;      /* the request's, or 0 */
    int count;       /* levels so far, the final one included */
    float sigma[SDG_MAX_STEPS + 4];
};

/* k-diffusion's formulas and their relatives. */
void sdg_list_formula(struct sdg_sigma_list *a);

/* Picked from the trained levels by index or timestep. Errors: SDGEN_ERR_ARG for more steps than
 * there are, and for the timesteps of a user that do not fall or leave the trained range. */
SDGEN_MUST_CHECK sdgen_status sdg_list_timesteps(struct sdg_sigma_list *a, sdgen_error *err);

/* Align Your Steps and GITS. Errors: SDGEN_ERR_ARG for a coefficient or length without a table. */
SDGEN_MUST_CHECK sdgen_status sdg_list_table(struct sdg_sigma_list *a, sdgen_error *err);

/* GITS: the levels of `steps` 2..20, steps + 1 of them, for coefficient 0.80 + 0.05 index, index
 * 0..14, the last one not yet 0. */
enum { SDG_GITS_COEFFICIENTS = 15, SDG_GITS_MIN_STEPS = 2, SDG_GITS_MAX_STEPS = 20 };
void sdg_gits_row(double *sigma, int index, int steps);

/* The list that A1111's samplers with abar walk (DDIM, PLMS, UniPC). Errors: SDGEN_ERR_ARG when the
 * list leaves nothing to do. */
SDGEN_MUST_CHECK sdgen_status sdg_schedule_timesteps(struct sdg_schedule *s,
                                                     const struct sdg_schedule_request *r,
                                                     const struct sdg_sampler *sampler,
                                                     const struct sdg_levels *l, sdgen_error *err);

/* diffusers' scheduler classes, both spaces: l is diffusers'. Errors: SDGEN_ERR_ARG for what the
 * class of the sampler does not have or take, and where it leaves the training levels. */
SDGEN_MUST_CHECK sdgen_status sdg_schedule_diffusers(struct sdg_schedule *s,
                                                     const struct sdg_schedule_request *r,
                                                     const struct sdg_sampler *sampler,
                                                     const struct sdg_levels *l, sdgen_error *err);

/* diffusers' class for EDM's levels. Errors: SDGEN_ERR_ARG for samplers and schedules that it is
 * not. */
SDGEN_MUST_CHECK sdgen_status sdg_schedule_edm(struct sdg_schedule *s,
                                               const struct sdg_schedule_request *r,
                                               const struct sdg_sampler *sampler,
                                               const struct sdg_levels *l, sdgen_error *err);

#endif
