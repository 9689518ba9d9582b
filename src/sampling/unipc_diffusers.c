/* unipc_diffusers.c - UniPC as diffusers walks it: scheduling_unipc_multistep.py, data prediction.
 * Equations: unipc_coefficients.h. The corrector of a step runs at the head of the next one, with
 * the order of the predictor that led there; the predictor of step i has order
 * min(solver order, i + 1, steps - i), the last limit only with lower_order_final. bh1 ends in NaN
 * there when the last level is 0 (infinity times an empty sum); here the empty sum is nothing. */
#include <string.h>
#include "sampling/multistep.h"
#include "sampling/multistep_diffusers.h"
#include "sampling/unipc_coefficients.h"
#include "sampling/vp_space.h"

enum { KNOWN = SDG_UNIPC_ORDER + 1 };

/* The coefficients of step i, to level i + 1. */
static void coefficients(struct sdg_unipc_step *c, const struct sdg_sampling *s, int i, bool bh2)
{
    const float *sigmas = s->schedule->sigmas;
    const bool falls = s->options.lower_order_final || sigmas[i + 1] == 0; /* else NaN there */
    const int left = falls ? s->schedule->steps - i : SDG_UNIPC_ORDER;
    const int order = sdg_step_order(s, i, left < SDG_UNIPC_ORDER ? left : SDG_UNIPC_ORDER);
    struct sdg_vp_level from[SDG_UNIPC_ORDER];
    for (int k = 0; k < order; k++) from[k] = sdg_vp_level_of(sigmas[i - k]);
    sdg_unipc_step(c, sdg_vp_level_of(sigmas[i + 1]), from, order, bh2);
}

bool sdg_unipc_diffusers(struct sdg_sampling *s, bool bh2)
{
    const size_t bytes = s->n * s->len * sizeof *s->x;
    float *m[KNOWN], *before = s->buffer[KNOWN]; /* x at the head of the step before, corrected */
    struct sdg_unipc_step c = {0};
    memcpy(m, s->buffer, sizeof m);
    for (int i = 0; i < s->schedule->steps; i++) {
        if (!sdg_multistep_x0(s, sdg_history_turn(m, KNOWN), i)) return false;
        if (i > 0) sdg_unipc_apply(s, s->x, before, &c, &m[1], m[0]);
        memcpy(before, s->x, bytes);
        coefficients(&c, s, i, bh2);
        sdg_unipc_apply(s, s->x, before, &c, m, NULL);
        sdg_vp_after(s, i, m[0]);
    }
    return true;
}
