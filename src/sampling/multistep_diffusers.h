/* multistep_diffusers.h - diffusers' multistep classes. All hold the network's own input,
 * x = alpha x0 + sigma' eps with alpha = 1/sqrt(s^2 + 1) and sigma' = s alpha, and count in
 * lambda = ln(alpha/sigma') = -ln s (Lu et al. 2022a). */
#ifndef SDG_SAMPLING_MULTISTEP_DIFFUSERS_H
#define SDG_SAMPLING_MULTISTEP_DIFFUSERS_H

#include "sampling/sampler.h"

/* A level s in the terms of these classes. */
struct sdg_vp_level {
    float alpha, sigma, lambda;
};
struct sdg_vp_level sdg_vp_level_of(float s);

/* x0 [n][len] at s->x and entry `step` of the schedule (convert_model_output). False: stopped. */
bool sdg_multistep_x0(struct sdg_sampling *s, float *x0, int step);

/* Whether step i of n keeps to a lower order because the end is near: at most `left` steps are left
 * after it. The classes care in runs below 15 steps. */
bool sdg_multistep_lowered(const struct sdg_sampling *s, int i, int left);

/* DPMSolverMultistepScheduler; 4 buffers. Flags: 0 is dpmsolver++ with solver_type midpoint. */
enum { SDG_DPMPP_HEUN = 1, SDG_DPMPP_SDE = 2, SDG_DPMPP_BUFFERS = 4 };
bool sdg_dpmpp_diffusers(struct sdg_sampling *s, unsigned flags);

bool sdg_deis_diffusers(struct sdg_sampling *s); /* DEISMultistepScheduler; 4 buffers */

/* UniPCMultistepScheduler; 6 buffers. */
enum { SDG_UNIPC_BUFFERS = 6 };
bool sdg_unipc_diffusers(struct sdg_sampling *s, bool bh2);

#endif
