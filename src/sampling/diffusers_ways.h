/* diffusers_ways.h - ways of walking that several entries of the sampler table share: diffusers'
 * classes that are another thing than the sampler of the same name elsewhere, and PLMS, which is
 * PNDM without its Runge-Kutta start. All hold the network's own input (vp_space.h). */
#ifndef SDG_SAMPLING_DIFFUSERS_WAYS_H
#define SDG_SAMPLING_DIFFUSERS_WAYS_H

#include "sampling/sampler.h"

bool sdg_ddpm_diffusers(struct sdg_sampling *s); /* DDPMScheduler; 2 buffers */
bool sdg_lcm_diffusers(struct sdg_sampling *s);  /* LCMScheduler; 2 buffers */
bool sdg_tcd_diffusers(struct sdg_sampling *s);  /* TCDScheduler; 3 buffers */

enum { SDG_PLMS_BUFFERS = 6 };
bool sdg_plms(struct sdg_sampling *s);           /* A1111's PLMS */
bool sdg_pndm_diffusers(struct sdg_sampling *s); /* PNDMScheduler with skip_prk_steps */

#endif
