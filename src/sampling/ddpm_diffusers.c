/* ddpm_diffusers.c - ancestral sampling from the reverse process of training (Ho et al. 2020, eq. 7
 * and 15), as diffusers' DDPMScheduler walks it. Order 1, one evaluation a step. From abar a to b,
 * with alpha = a/b and beta = 1 - alpha:
 *
 *   x' = sqrt(b) beta/(1 - a) x0 + sqrt(alpha) (1 - b)/(1 - a) x + sqrt(v) noise
 *   v  = (1 - b)/(1 - a) beta, at least 1e-20 ("fixed_small"); no noise at timestep 0
 *
 * diffusers, scheduling_ddpm.py. The last step leads to abar 1. */
#include "sampling/diffusers_ways.h"
#include "sampling/vp_space.h"

#include <math.h>

#define LEAST_VARIANCE 1e-20f

bool sdg_ddpm_diffusers(struct sdg_sampling *s)
{
    float *noise = s->buffer[0], *x0 = s->buffer[1];
    const size_t count = s->n * s->len;
    for (int i = 0; i < s->schedule->steps; i++) {
        const float a = s->schedule->abar[i], b = s->schedule->abar_next[i];
        const float alpha = a / b, beta = 1 - alpha;
        const float clean = sqrtf(b) * beta / (1 - a), keep = sqrtf(alpha) * (1 - b) / (1 - a);
        const float level = sqrtf(fmaxf((1 - b) / (1 - a) * beta, LEAST_VARIANCE));
        if (!sdg_vp_predict(s, noise, x0, s->x, i)) return false;
        for (size_t j = 0; j < count; j++) s->x[j] = clean * x0[j] + keep * s->x[j];
        if (s->schedule->timesteps[i] > 0) {
            s->draw(s->user, noise);
            for (size_t j = 0; j < count; j++) s->x[j] += level * noise[j];
        }
        sdg_vp_after(s, i, x0);
    }
    return true;
}
