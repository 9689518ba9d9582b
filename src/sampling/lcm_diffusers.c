/* lcm_diffusers.c - sampling of latent consistency models (Luo et al. 2023, algorithm 3), as
 * diffusers' LCMScheduler walks it. Order 1, one evaluation a step. At timestep t the consistency
 * function mixes the clean latent with x so that it is the identity at t = 0:
 *
 *   D  = c_out x0 + c_skip x,  c_skip = 0.25/((10 t)^2 + 0.25),  c_out = 10 t/sqrt((10 t)^2 + 0.25)
 *   x' = sqrt(b) D + sqrt(1 - b) noise, after the last step D
 *
 * diffusers, scheduling_lcm.py (sigma_data 0.5, timestep_scaling 10). */
#include "sampling/diffusers_ways.h"
#include "sampling/vp_space.h"

#include <math.h>

#define DATA_VARIANCE 0.25f /* sigma_data^2 */
#define TIME_SCALE 10.0f

bool sdg_lcm_diffusers(struct sdg_sampling *s)
{
    float *noise = s->buffer[0], *denoised = s->buffer[1];
    const size_t count = s->n * s->len;
    for (int i = 0; i < s->schedule->steps; i++) {
        const float t = s->schedule->timesteps[i] * TIME_SCALE, all = t * t + DATA_VARIANCE;
        const float skip = DATA_VARIANCE / all, out = t / sqrtf(all);
        const float b = s->schedule->abar_next[i];
        const float clean = sqrtf(b), level = sqrtf(1 - b);
        if (!sdg_vp_predict(s, noise, denoised, s->x, i)) return false;
        for (size_t j = 0; j < count; j++) denoised[j] = out * denoised[j] + skip * s->x[j];
        const bool last = i + 1 == s->schedule->steps;
        if (!last) s->draw(s->user, noise);
        for (size_t j = 0; j < count; j++)
            s->x[j] = last ? denoised[j] : clean * denoised[j] + level * noise[j];
        sdg_vp_after(s, i, denoised);
    }
    return true;
}
