/* guidance.c - see guidance.h. Guiding epsilon is guiding the denoised image, for x0 is linear in
 * epsilon; A1111 does the latter, diffusers the former, and they differ by rounding only. */
#include "sampling/guidance.h"

void sdg_guide(float *eps, const float *cond, const float *uncond, float scale, size_t count)
{
    for (size_t i = 0; i < count; i++) eps[i] = uncond[i] + scale * (cond[i] - uncond[i]);
}
