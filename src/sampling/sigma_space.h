/* sigma_space.h - what samplers that hold x = x0 + sigma*noise share. */
#ifndef SDG_SAMPLING_SIGMA_SPACE_H
#define SDG_SAMPLING_SIGMA_SPACE_H

#include "sampling/sampler.h"

/* denoised [n][len] = D(x; sigma): shows the model x * c_in(sigma) at the timestep of sigma and
 * turns its output into a clean latent (prediction.h). uncond: the same without prompt, or NULL.
 * step: entry of the schedule; at the level of that entry the schedule's own timestep is used.
 * False: stopped. */
bool sdg_denoise(struct sdg_sampling *s, float *denoised, float *uncond, const float *x,
                 float sigma, int step);

/* The same at a timestep of the caller's choice. */
bool sdg_denoise_at(struct sdg_sampling *s, float *denoised, float *uncond, const float *x,
                    float sigma, float timestep, int step);

/* Splits a step from level `from` to `to` into a step down to *down and fresh noise of level *up,
 * down^2 + up^2 = to^2. eta 0: no noise; 1: as much as the reverse diffusion of training has. */
void sdg_sigma_ancestral(float *down, float *up, float from, float to, float eta);

/* x += noise * level * s_noise, with noise drawn anew into `noise`. */
void sdg_sigma_renoise(struct sdg_sampling *s, float *noise, float level);

/* y = a x + b z elementwise over [n][len]; y may be x or z. */
void sdg_sigma_mix(const struct sdg_sampling *s, float *y, float a, const float *x, float b,
                   const float *z);

/* d [n][len] = (x - denoised) / sigma: the slope dx/dsigma of the probability-flow ODE (Karras et
 * al. 2022, eq. 3); the noise as the model sees it. d may be x or denoised. */
void sdg_sigma_slope(const struct sdg_sampling *s, float *d, const float *x, const float *denoised,
                     float sigma);

/* y = x + (x - denoised)/sigma * (to - sigma), a step of Euler. y may be x. */
void sdg_sigma_euler(const struct sdg_sampling *s, float *y, const float *x, const float *denoised,
                     float sigma, float to);

/* Before step i, noise added back (Karras et al. 2022, algorithm 2, lines 4 to 6): x goes up from
 * the level of entry i to the level that is returned. Draws only where the noise shows, or, with
 * `always`, on every step of a run that has churn. noise: scratch. */
float sdg_sigma_churn(struct sdg_sampling *s, float *noise, int i, bool always);

/* The level halfway between two in log sigma. */
float sdg_sigma_middle(float from, float to);

/* y[0..count) = Karras et al. 2022, eq. 5, rho 7: from high to low, as k-diffusion's
 * get_sigmas_karras computes it in f32, without its final 0. count > 1. */
void sdg_sigma_karras(float *y, int count, float low, float high);

/* Tells the caller that entry `step` is done. */
void sdg_sigma_after(struct sdg_sampling *s, int step, const float *denoised);

#endif
