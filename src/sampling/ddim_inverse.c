/* ddim_inverse.c - DDIM run backwards: from a clean latent up to the noise from which DDIM would
 * draw it again (Song et al. 2021, section 4.3; Dhariwal & Nichol 2021, appendix F). Order 1, one
 * evaluation a step, no draws:
 *
 *   x' = sqrt(b) x0 + sqrt(1 - b) eps,   b > a
 *
 * diffusers, scheduling_ddim_inverse.py. The model is asked at the timestep that the step leads to,
 * its answer taken apart at the level a that x has. No other program has it. */
#include "sampling/prediction.h"
#include "sampling/samplers_all.h"
#include "sampling/vp_space.h"

static bool run(struct sdg_sampling *s)
{
    float *eps = s->buffer[0], *x0 = s->buffer[1];
    for (int i = 0; i < s->schedule->steps; i++) {
        if (!sdg_vp_predict(s, eps, x0, s->x, i)) return false;
        sdg_vp_step(s, s->x, x0, eps, s->schedule->abar_next[i], 0);
        sdg_vp_after(s, i, x0);
    }
    return true;
}

const struct sdg_sampler sdg_sampler_ddim_inverse = {
    .name = "ddim_inverse",
    .label = "DDIM inverse",
    .aliases = "ddim_inverse|DDIMInverseScheduler",
    .order = 1,
    .evaluations = 1,
    .buffers = 2,
    .way =
        {
            [SDG_LIKE_DIFFUSERS] = {.run = run,
                                    .variance_preserving = true,
                                    .calls = 1,
                                    .schedulers = SDG_SCHEDULER_BIT(SDG_SCHEDULER_LEADING) |
                                                  SDG_SCHEDULER_BIT(SDG_SCHEDULER_TRAILING),
                                    .own_scheduler = SDG_SCHEDULER_LEADING},
        },
};
