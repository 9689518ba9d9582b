/* dpm_solver.h - the steps of DPM-Solver (Lu et al. 2022, algorithms 1 to 3): exponential
 * integrators in t = -ln sigma for the noise eps = (x - D)/sigma. What dpm_fast.c and
 * dpm_adaptive.c share. */
#ifndef SDG_SAMPLING_DPM_SOLVER_H
#define SDG_SAMPLING_DPM_SOLVER_H

#include "sampling/sampler.h"

enum { SDG_DPM_BUFFERS = 4 };

/* A step that begins at x and t. */
struct sdg_dpm_solver {
    struct sdg_sampling *s;
    const float *x; /* [n][len] */
    float t;
    int entry;                /* of the schedule: what the model calls are booked under */
    float *eps, *eps1, *eps2; /* [n][len] noise at t and at the points inside the step */
    float *u;                 /* [n][len] scratch */
};

/* Uses s->buffer[0 .. SDG_DPM_BUFFERS). */
void sdg_dpm_open(struct sdg_dpm_solver *d, struct sdg_sampling *s);

float sdg_dpm_t(float sigma); /* -ln sigma */
float sdg_dpm_sigma(float t); /* e^-t */

/* The levels between which the solver walks, as t: those of the model under A1111, whatever the
 * schedule, unless the run starts below them; of the schedule elsewhere, without its final 0. */
void sdg_dpm_range(float *from, float *to, const struct sdg_sampling *s);

/* With eta: where an ancestral step from t to `to` goes (not beyond `end`), and the fresh noise
 * that belongs to it. */
float sdg_dpm_ancestral(float *up, const struct sdg_sampling *s, float t, float to, float end);

/* Evaluations, each one model call. begin: eps at t. inside: eps1 at t + r1 (to - t). */
bool sdg_dpm_begin(struct sdg_dpm_solver *d);
bool sdg_dpm_inside(struct sdg_dpm_solver *d, float to, float r1);

/* y [n][len] = x moved to `to`, from eps alone; from eps and eps1 at r1; from eps and eps1 at 1/3
 * with one more evaluation at 2/3. y may be x for the first two; for the third when nothing else
 * follows. */
void sdg_dpm_step1(struct sdg_dpm_solver *d, float *y, float to);
void sdg_dpm_step2(struct sdg_dpm_solver *d, float *y, float to, float r1);
bool sdg_dpm_step3(struct sdg_dpm_solver *d, float *y, float to);

#endif
