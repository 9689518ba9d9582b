/* tcd_diffusers.c - trajectory consistency distillation (Zheng et al. 2024, "Trajectory consistency
 * distillation", algorithm 4, strategic stochastic sampling), as diffusers' TCDScheduler walks it.
 * Order 1, one evaluation a step. A step to timestep p goes down to s = floor((1 - eta) p) and back
 * up with fresh noise:
 *
 *   y  = sqrt(abar_s) x0 + sqrt(1 - abar_s) eps
 *   x' = sqrt(abar_p/abar_s) y + sqrt(1 - abar_p/abar_s) noise   (eta 0 and the last step: y)
 *
 * diffusers, scheduling_tcd.py; eta is the paper's gamma. p is the next entry, 0 after the last. */
#include "sampling/diffusers_ways.h"
#include "sampling/vp_space.h"

#include <math.h>

bool sdg_tcd_diffusers(struct sdg_sampling *s)
{
    float *eps = s->buffer[0], *x0 = s->buffer[1], *noise = s->buffer[2];
    const float share = (float)fmax(1 - s->options.eta, 0); /* diffusers refuses eta above 1 */
    for (int i = 0; i < s->schedule->steps; i++) {
        const bool last = i + 1 == s->schedule->steps;
        const float to = last ? 0 : s->schedule->timesteps[i + 1];
        const float below = s->levels->abar[(int)floorf(share * to)];
        if (!sdg_vp_predict(s, eps, x0, s->x, i)) return false;
        sdg_vp_step(s, s->x, x0, eps, below, 0);
        if (!last && s->options.eta > 0) {
            const float ratio = s->schedule->abar_next[i] / below;
            const float keep = sqrtf(ratio), level = sqrtf(1 - ratio);
            s->draw(s->user, noise);
            for (size_t j = 0; j < s->n * s->len; j++) s->x[j] = keep * s->x[j] + level * noise[j];
        }
        sdg_vp_after(s, i, x0);
    }
    return true;
}
