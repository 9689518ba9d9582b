/* unipc_coefficients.h - the numbers of one step of UniPC (Zhao et al. 2023, "UniPC: a unified
 * predictor-corrector framework for fast sampling of diffusion models", algorithms 5 and 6 for
 * data prediction, with B(h) of section 3.1). From level 0 to level t, with lambda =
 * ln(alpha/sigma), h = lambda_t - lambda_0, r_k = (lambda_-k - lambda_0)/h, m the clean latents and
 * k = 1..order - 1:
 *
 *   base   = sigma_t/sigma_0 x - alpha_t (e^-h - 1) m_0
 *   predict  x_t = base - alpha_t B (sum p_k (m_-k - m_0)/r_k)
 *   correct  x_t = base - alpha_t B (sum c_k (m_-k - m_0)/r_k + c_t (m_t - m_0))
 *
 * where p and c make the method exact for polynomials up to the order. */
#ifndef SDG_SAMPLING_UNIPC_COEFFICIENTS_H
#define SDG_SAMPLING_UNIPC_COEFFICIENTS_H

#include "sampling/multistep_diffusers.h"
#include "sampling/sampler.h"

enum { SDG_UNIPC_ORDER = 3 };

struct sdg_unipc_step {
    int order;
    float keep, take, scale;        /* sigma_t/sigma_0, alpha_t (e^-h - 1), alpha_t B */
    float r[SDG_UNIPC_ORDER];       /* r_1 .. r_(order-1), then 1 for the new level */
    float predict[SDG_UNIPC_ORDER]; /* p_1 .. */
    float correct[SDG_UNIPC_ORDER]; /* c_1 .. c_(order-1), c_t */
};

/* from [order]: levels known, newest first. bh2: B = e^-h - 1, else B = -h. f32 in the order of the
 * originals (diffusers scheduling_unipc_multistep.py, multistep_uni_p_bh_update and _c_; the same
 * lines in A1111's and ComfyUI's uni_pc.py). */
void sdg_unipc_step(struct sdg_unipc_step *c, struct sdg_vp_level to,
                    const struct sdg_vp_level *from, int order, bool bh2);

/* y [n][len] = the step from x, m [order] clean latents of the known levels, newest first; after
 * the corrector when `reached`, the clean latent at the predicted point, is given. y may be x. */
void sdg_unipc_apply(const struct sdg_sampling *s, float *y, const float *x,
                     const struct sdg_unipc_step *c, float *const m[], const float *reached);

#endif
