/* guidance.h - classifier-free guidance (Ho & Salimans 2022, "Classifier-free diffusion guidance").
 */
#ifndef SDG_SAMPLING_GUIDANCE_H
#define SDG_SAMPLING_GUIDANCE_H

#include <stddef.h>

/* eps = uncond + scale * (cond - uncond), in this order of operations; eps may be either input.
 * [count] each. */
void sdg_guide(float *eps, const float *cond, const float *uncond, float scale, size_t count);

#endif
