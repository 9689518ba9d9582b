/* schedule_ddim.c - A1111's list for DDIM. Sources: CompVis latent-diffusion, ldm/models/diffusion/
 * ddim.py; AUTOMATIC1111 stable-diffusion-webui 1.10, modules/sd_samplers_timesteps.py (the list)
 * and sd_samplers_timesteps_impl.py (the walk). */
#include "sampling/schedule_families.h"

/* The list is 1, 1 + c, 1 + 2c, ... below 1001, clipped to 999, with c = 1000/steps rounded down.
 * A1111 walks from its top entry down to its second one, every step leading to the entry below; so
 * there is one model call fewer than entries (20 steps: 19 calls), and the picture ends on the
 * level of training step 1, not on a clean one. */
sdgen_status sdg_schedule_ddim(struct sdg_schedule *s, int steps, sdgen_error *err)
{
    struct sdg_levels l;
    const int stride = SDG_TRAIN_STEPS / steps;
    const int entries = (SDG_TRAIN_STEPS - 1) / stride + 1;
    if (entries < 2)
        return sdg_fail(err, SDGEN_ERR_ARG,
                        "--steps %d: DDIM under --like a1111 calls the model steps - 1 times; "
                        "use at least 2",
                        steps);
    sdg_levels_init(&l, SDG_LIKE_A1111);
    s->steps = entries - 1;
    for (int i = 0; i <= s->steps; i++) {
        int t = 1 + (entries - 1 - i) * stride;
        if (t > SDG_TRAIN_STEPS - 1) t = SDG_TRAIN_STEPS - 1;
        s->sigmas[i] = l.sigma[t];
        if (i > 0) s->abar_next[i - 1] = l.abar[t];
        if (i == s->steps) break;
        s->timesteps[i] = (float)t;
        s->abar[i] = l.abar[t];
    }
    s->init_sigma = 1;
    return SDGEN_OK;
}
