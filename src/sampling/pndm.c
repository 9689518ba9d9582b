/* pndm.c - pseudo numerical methods for diffusion models (Liu et al. 2022), as diffusers'
 * PNDMScheduler walks them with skip_prk_steps, the setting of Stable Diffusion: the multistep part
 * alone (algorithm 2 without its Runge-Kutta start). Order 4 once four outputs are known, one
 * evaluation a step and one more to start. A step from abar a to b (eq. 9):
 *
 *   x' = sqrt(b/a) x - (b - a) eps' / (a sqrt(1 - b) + sqrt(a (1 - a) b))
 *
 * with eps' weighted as in plms.c. diffusers, scheduling_pndm.py (step_plms, _get_prev_sample).
 * Three things are its own: the list holds the second timestep twice, and the second visit repeats
 * the first step with the mean of both outputs; every step leads 1000/n timesteps down; what is
 * extrapolated is the output as the network gave it, v too, and turned into eps afterwards. */
#include "sampling/diffusers_ways.h"
#include "sampling/prediction.h"
#include "sampling/samplers_all.h"
#include "sampling/vp_space.h"

#include <math.h>
#include <string.h>

enum { LAGS = 4 };

/* mixed [n][len] from the newest outputs: call 1 (the repeated one) has its own in `out`, the
 * others in old[0]. */
static void extrapolate(const struct sdg_sampling *s, float *mixed, const float *out,
                        float *const old[LAGS], int call)
{
    for (size_t j = 0; j < s->n * s->len; j++) {
        if (call == 0)
            mixed[j] = old[0][j];
        else if (call == 1)
            mixed[j] = (out[j] + old[0][j]) / 2;
        else if (call == 2)
            mixed[j] = (3 * old[0][j] - old[1][j]) / 2;
        else if (call == 3)
            mixed[j] = (23 * old[0][j] - 16 * old[1][j] + 5 * old[2][j]) / 12;
        else
            mixed[j] =
                (1.0f / 24) * (55 * old[0][j] - 59 * old[1][j] + 37 * old[2][j] - 9 * old[3][j]);
    }
}

/* Eq. 9; eps is overwritten with x0. */
static void transfer(struct sdg_sampling *s, float *eps, float a, float b)
{
    const float keep = sqrtf(b / a), take = b - a;
    const float divisor = a * sqrtf(1 - b) + sqrtf(a * (1 - a) * b);
    const float root_a = sqrtf(a), root_1a = sqrtf(1 - a);
    for (size_t j = 0; j < s->n * s->len; j++) {
        const float x = s->x[j], e = eps[j];
        s->x[j] = keep * x - take * e / divisor;
        eps[j] = (x - root_1a * e) / root_a;
    }
}

bool sdg_pndm_diffusers(struct sdg_sampling *s)
{
    float *old[LAGS] = {s->buffer[0], s->buffer[1], s->buffer[2], s->buffer[3]};
    float *mixed = s->buffer[4], *start = s->buffer[5];
    const size_t count = s->n * s->len;
    for (int i = 0; i < s->schedule->steps; i++) {
        const float a = s->schedule->abar[i];
        float *out = mixed; /* of the repeated call: goes into the mean only */
        if (i != 1) {
            out = old[LAGS - 1];
            for (int k = LAGS - 1; k > 0; k--) old[k] = old[k - 1];
            old[0] = out;
        }
        if (!sdg_vp_model(s, out, NULL, s->x, i)) return false;
        extrapolate(s, mixed, out, old, i);
        if (i == 0) memcpy(start, s->x, count * sizeof *start);
        if (i == 1) memcpy(s->x, start, count * sizeof *start);
        sdg_split_output(mixed, NULL, s->x, mixed, a, s->levels->prediction, count);
        transfer(s, mixed, a, s->schedule->abar_next[i]);
        sdg_vp_after(s, i, mixed);
    }
    return true;
}

const struct sdg_sampler sdg_sampler_pndm = {
    .name = "pndm",
    .label = "PNDM",
    .aliases = "pndm|PNDMScheduler",
    .order = 4,
    .evaluations = 1,
    .buffers = SDG_PLMS_BUFFERS,
    .way =
        {
            [SDG_LIKE_A1111] = {.run = sdg_plms,
                                .borrowed = true,
                                .variance_preserving = true,
                                .calls = 1,
                                .schedulers = SDG_SCHEDULERS_A1111_TIMESTEPS,
                                .own_scheduler = SDG_SCHEDULER_DDIM},
            [SDG_LIKE_DIFFUSERS] = {.run = sdg_pndm_diffusers,
                                    .variance_preserving = true,
                                    .calls = 1,
                                    .schedulers = SDG_SCHEDULERS_SPACINGS,
                                    .own_scheduler = SDG_SCHEDULER_LEADING},
            [SDG_LIKE_COMFYUI] = {.run = sdg_plms,
                                  .borrowed = true,
                                  .variance_preserving = true,
                                  .calls = 1,
                                  .schedulers = SDG_SCHEDULERS_A1111_TIMESTEPS,
                                  .own_scheduler = SDG_SCHEDULER_DDIM},
            [SDG_LIKE_SDCPP] = {.run = sdg_plms,
                                .borrowed = true,
                                .variance_preserving = true,
                                .calls = 1,
                                .schedulers = SDG_SCHEDULERS_A1111_TIMESTEPS,
                                .own_scheduler = SDG_SCHEDULER_DDIM},
        },
};
