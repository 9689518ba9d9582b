/* vp_space.h - what samplers share that hold the network's own input,
 * x = sqrt(abar) x0 + sqrt(1 - abar) eps (Ho et al. 2020, eq. 4): of variance 1 at every level for
 * data of variance 1, hence "variance preserving". */
#ifndef SDG_SAMPLING_VP_SPACE_H
#define SDG_SAMPLING_VP_SPACE_H

#include "sampling/sampler.h"

/* out [n][len] = the guided output, as the network gave it, at x [n][len] and entry `step` of the
 * schedule; with `uncond` not NULL also the output without prompt. False: stopped. */
bool sdg_vp_model(struct sdg_sampling *s, float *out, float *uncond, const float *x, int step);

/* eps and x0 [n][len] at x [n][len] and entry `step` of the schedule. False: stopped. */
bool sdg_vp_predict(struct sdg_sampling *s, float *eps, float *x0, const float *x, int step);

/* The level of DDIM's fresh noise on a step from abar a to b (Song et al. 2021, eq. 16):
 * eta sqrt((1 - b)/(1 - a)) sqrt(1 - a/b). */
float sdg_vp_noise_level(enum sdg_like like, float a, float b, double eta);

/* y = sqrt(b) x0 + sqrt(1 - b - level^2) eps (Song et al. 2021, eq. 12, without its noise), all
 * [n][len]; y may be x0 or eps. */
void sdg_vp_step(const struct sdg_sampling *s, float *y, const float *x0, const float *eps, float b,
                 float level);

/* Tells the caller that entry `step` is done. */
void sdg_vp_after(struct sdg_sampling *s, int step, const float *x0);

#endif
