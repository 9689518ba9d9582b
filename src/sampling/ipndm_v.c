/* ipndm_v.c - iPNDM with weights for steps of unequal length (Zhang & Chen 2023). One evaluation a
 * step. With signed steps a = s' - s, b, c, e the ones before, and slopes d = (x - D)/s:
 *
 *   order 2   w = (2 + a/b)/2, -(a/b)/2
 *   order 3   w += T (1, -(1 + b/c), b/c),   T = (1 - a/(3(a + b)) a(a + b)/(b(b + c)))/2
 *   order 4   w += T' (1, -(1 + b/c + q), b/c + q(1 + c/e), -q b/c),   q = b(b + c)/(c(c + e)),
 *             T' = ((1 - a/(3(a + b)))/2 + (1 - a/(2(a + b))) a/(6(a + b + c)))
 *                  a(a + b)(a + b + c)/(b(b + c)(b + c + e))
 *   x' = x + a sum_j w_j d_j
 *
 * These are the program's weights: the last of order 4 has b/c where c/e would make their sum 1, so
 * that the error is of order 1 unless the steps shrink evenly; order 2 is what it says. ComfyUI
 * comfy/k_diffusion/sampling.py (sample_ipndm_v), x' = D on the step to level 0;
 * stable-diffusion.cpp src/runtime/denoiser.hpp (sample_ipndm_v) has order 2 as above, but iPNDM's
 * equal-step weights from the third step on, and no special last step. */
#include <string.h>
#include "sampling/multistep.h"
#include "sampling/samplers_all.h"
#include "sampling/sigma_space.h"

enum { HIGHEST = 4 };

/* w [order] for step i. */
static void weights(float *w, const float *sigmas, int i, int order)
{
    float h[HIGHEST] = {0}; /* a, b, c, e */
    for (int k = 0; k < order; k++) h[k] = sigmas[i + 1 - k] - sigmas[i - k];
    const float a = h[0], b = h[1], c = h[2], e = h[3];
    w[0] = 1;
    if (order >= 2) {
        w[0] = (2 + a / b) / 2;
        w[1] = -(a / b) / 2;
    }
    if (order >= 3) {
        const float t = (1 - a / (3 * (a + b)) * (a * (a + b)) / (b * (b + c))) / 2;
        w[0] += t;
        w[1] -= (1 + b / c) * t;
        w[2] = t * b / c;
    }
    if (order == 4) {
        const float q = b * (b + c) / (c * (c + e));
        const float bend =
            (1 - a / (3 * (a + b))) / 2 + (1 - a / (2 * (a + b))) * a / (6 * (a + b + c));
        const float t = bend * (a * (a + b) * (a + b + c)) / (b * (b + c) * (b + c + e));
        w[0] += t;
        w[1] -= (1 + b / c + q) * t;
        w[2] += (b / c + q * (1 + c / e)) * t;
        w[3] = -t * q * b / c;
    }
}

static void weights_sdcpp(float *w, const float *sigmas, int i, int order)
{
    static const float equal[2][HIGHEST] = {{23.0f / 12, -16.0f / 12, 5.0f / 12},
                                            {55.0f / 24, -59.0f / 24, 37.0f / 24, -9.0f / 24}};
    if (order <= 2)
        weights(w, sigmas, i, order);
    else
        memcpy(w, equal[order - 3], sizeof equal[0]);
}

static bool run(struct sdg_sampling *s)
{
    const float *sigmas = s->schedule->sigmas;
    const bool sdcpp = s->like == SDG_LIKE_SDCPP;
    float *denoised = s->buffer[0], *slope[HIGHEST], w[HIGHEST];
    memcpy(slope, &s->buffer[1], sizeof slope);
    for (int i = 0; i < s->schedule->steps; i++) {
        const int order = sdg_step_order(s, i, HIGHEST);
        if (!sdg_denoise(s, denoised, NULL, s->x, sigmas[i], i)) return false;
        sdg_sigma_slope(s, sdg_history_turn(slope, HIGHEST), s->x, denoised, sigmas[i]);
        (sdcpp ? weights_sdcpp : weights)(w, sigmas, i, order);
        for (int k = 0; k < order; k++) w[k] *= sigmas[i + 1] - sigmas[i];
        if (sigmas[i + 1] == 0 && !sdcpp)
            memcpy(s->x, denoised, s->n * s->len * sizeof *s->x);
        else
            sdg_history_add(s, w, slope, order);
        sdg_sigma_after(s, i, denoised);
    }
    return true;
}

const struct sdg_sampler sdg_sampler_ipndm_v = {
    .name = "ipndm_v",
    .label = "IPNDM_V",
    .aliases = "ipndm_v|k_ipndm_v|sample_ipndm_v",
    .order = 4,
    .evaluations = 1,
    .buffers = 1 + HIGHEST,
    .takes = SDG_TAKES_ORDER,
    .way =
        {
            [SDG_LIKE_A1111] =
                {.run = run, .borrowed = true, .calls = 1, .schedulers = SDG_SCHEDULERS_A1111},
            [SDG_LIKE_DIFFUSERS] = {.run = run,
                                    .borrowed = true,
                                    .calls = 1,
                                    .schedulers = SDG_SCHEDULERS_OF_CLASS,
                                    .own_scheduler = SDG_SCHEDULER_LEADING},
            [SDG_LIKE_COMFYUI] = {.run = run, .calls = 1, .schedulers = SDG_SCHEDULERS_COMFYUI},
            [SDG_LIKE_SDCPP] = {.run = run, .calls = 1, .schedulers = SDG_SCHEDULERS_SDCPP},
        },
};
