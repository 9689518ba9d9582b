/* guidance.h - classifier-free guidance (Ho & Salimans 2022, "Classifier-free diffusion guidance")
 * and its relatives. */
#ifndef SDG_SAMPLING_GUIDANCE_H
#define SDG_SAMPLING_GUIDANCE_H

#include <stdbool.h>
#include <stddef.h>
#include "sampling/levels.h"

struct sdg_guidance {
    double scale;
    double rescale;    /* phi (Lin et al. 2023, eq. 16): 0 off */
    double start, end; /* share of the run, 0..1, in which guidance acts (Kynkaanniemi et al.
                          2024); outside: cond alone */
    double skip_early; /* A1111 "Skip Early CFG": first share of the steps without uncond */
    double min_sigma;  /* A1111 NGMS ("s_min_uncond"): below it every second step reuses cond */
    bool min_sigma_all_steps; /*   every step, not every second */
    bool above_one;           /* guidance only for scale > 1 (else whenever scale != 1) */
};

/* Whether the uncond pass takes part in a call at entry `step` of `steps`, whose level is sigma. */
bool sdg_guidance_wants_uncond(const struct sdg_guidance *g, int step, int steps, float sigma);

/* out = uncond + sum_i weight[i] * scale * (cond[i] - uncond), then rescaled, for one image. cond:
 * [conds] arrays; all [count]; out may be cond[0] or uncond. uncond NULL: out = cond mixed by its
 * weights. input (what the network was shown, of unit variance), sigma, prediction: what the
 * outputs were computed at; only rescaling under ComfyUI's rule looks at them. */
void sdg_guide(float *out, const float *const *cond, const float *weight, int conds,
               const float *uncond, const struct sdg_guidance *g, enum sdg_like like,
               const float *input, float sigma, enum sdg_prediction prediction, size_t count);

#endif
