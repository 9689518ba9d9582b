/* sigma_space.h - what samplers that hold x = x0 + sigma*noise share. */
#ifndef SDG_SAMPLING_SIGMA_SPACE_H
#define SDG_SAMPLING_SIGMA_SPACE_H

#include "sampling/sampler.h"

/* s->eps = guided epsilon at s->x, level and timestep of call `i`. False: stopped. */
bool sdg_sigma_epsilon(struct sdg_sampling *s, int i);

/* One Euler step of dx/dsigma = (x - x0)/sigma from sigma to `to`, with x0 = x - sigma*eps
 * (Karras et al. 2022, algorithm 1). */
void sdg_sigma_euler(struct sdg_sampling *s, float sigma, float to);

/* Splits a step from level `from` to `to` into a step down to *down and fresh noise of level *up,
 * down^2 + up^2 = to^2. eta 0: no noise; 1: as much as the reverse diffusion of training has. */
void sdg_sigma_ancestral(float *down, float *up, float from, float to, float eta);

/* x += noise * level, with noise drawn anew. */
void sdg_sigma_renoise(struct sdg_sampling *s, float level);

#endif
