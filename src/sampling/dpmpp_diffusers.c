/* dpmpp_diffusers.c - DPM-Solver++ as diffusers walks it: scheduling_dpmsolver_multistep.py,
 * algorithm types dpmsolver++ and sde-dpmsolver++, orders 1 to 3 (Lu et al. 2022b, "DPM-Solver++",
 * algorithm 2 and appendix B; Lu et al. 2022a, appendix B for order 3). With m_0 the newest x0,
 * h = lambda' - lambda, r_k = h_k/h, H = (1 + eta) h and E = 1 - e^-H:
 *
 *   x' = sigma'/sigma e^(-eta h) x + alpha' E m_0 + c_1 D_1 + c_2 D_2 + sigma' sqrt(1 - e^(-2 eta
 * h)) noise order 2   D_1 = (m_0 - m_1)/r_0     c_1 = alpha' E/2, or (heun) alpha' (1 - E/H) order
 * 3   a = (m_0 - m_1)/r_0, b = (m_1 - m_2)/r_1, D_1 = a + (a - b) r_0/(r_0 + r_1), D_2 = (a -
 * b)/(r_0 + r_1)  c_1 = alpha' (1 - E/H),  c_2 = alpha' ((E - H)/H^2 + 1/2)
 *
 * dpmsolver++ is eta 0, sde-dpmsolver++ eta 1; the SDE's third order has -1/2 in place of +1/2 in
 * c_2 there, and here. As in dpmpp_3m_sde.c, order 3 is
 * one of the weights, 2 of the error. The first step has order 1, the second at most 2, and so have
 * the last ones when the run is short or ends at level 0. */
#include <math.h>
#include <string.h>
#include "sampling/multistep.h"
#include "sampling/multistep_diffusers.h"
#include "sampling/vp_space.h"

enum { HIGHEST = 3, SHORT_RUN = 15 };

struct sdg_vp_level sdg_vp_level_of(float s)
{
    const float alpha = 1 / sqrtf(s * s + 1), sigma = s * alpha;
    return (struct sdg_vp_level) {alpha, sigma, logf(alpha) - logf(sigma)};
}

bool sdg_multistep_x0(struct sdg_sampling *s, float *x0, int step)
{
    const struct sdg_vp_level l = sdg_vp_level_of(s->schedule->sigmas[step]);
    const enum sdg_prediction prediction = s->levels->prediction;
    if (!sdg_vp_model(s, x0, NULL, s->x, step)) return false;
    for (size_t j = 0; j < s->n * s->len; j++) {
        if (prediction == SDG_PREDICT_EPS)
            x0[j] = (s->x[j] - l.sigma * x0[j]) / l.alpha;
        else if (prediction != SDG_PREDICT_X0)
            x0[j] = l.alpha * s->x[j] - l.sigma * x0[j];
    }
    return true;
}

bool sdg_multistep_lowered(const struct sdg_sampling *s, int i, int left)
{
    const int steps = s->schedule->steps;
    return i >= steps - 1 - left && s->options.lower_order_final && steps < SHORT_RUN;
}

static int order_of(const struct sdg_sampling *s, int i)
{
    const bool last = i == s->schedule->steps - 1;
    if (last && (sdg_multistep_lowered(s, i, 0) || s->schedule->sigmas[i + 1] == 0)) return 1;
    return sdg_step_order(s, i, sdg_multistep_lowered(s, i, 1) ? 2 : HIGHEST);
}

/* Step i with m [3] newest first. noise [n][len] or NULL. */
static void step(struct sdg_sampling *s, float *const m[HIGHEST], const float *noise, float eta,
                 bool heun, int i)
{
    const float *sigmas = s->schedule->sigmas;
    const int order = order_of(s, i);
    const struct sdg_vp_level to = sdg_vp_level_of(sigmas[i + 1]),
                              from = sdg_vp_level_of(sigmas[i]);
    const float h = to.lambda - from.lambda, wide = (1 + eta) * h;
    const float fall = 1 - expf(-wide); /* E */
    const float keep = to.sigma / from.sigma * (eta > 0 ? expf(-eta * h) : 1);
    const float fresh = noise ? to.sigma * sqrtf(1 - expf(-2 * eta * h)) : 0;
    float c1 = to.alpha * (1 - fall / wide), c2 = 0, r0 = 1, r1 = 1;
    if (order == 2 && !heun) c1 = 0.5f * (to.alpha * fall);
    if (order >= 2) r0 = (from.lambda - sdg_vp_level_of(sigmas[i - 1]).lambda) / h;
    if (order == 3) {
        const struct sdg_vp_level two = sdg_vp_level_of(sigmas[i - 2]);
        r1 = (sdg_vp_level_of(sigmas[i - 1]).lambda - two.lambda) / h;
        c2 = to.alpha * ((fall - wide) / (wide * wide) + (noise ? -0.5f : 0.5f));
    }
    for (size_t j = 0; j < s->n * s->len; j++) {
        float y = keep * s->x[j] + to.alpha * fall * m[0][j];
        const float a = order >= 2 ? (1 / r0) * (m[0][j] - m[1][j]) : 0;
        if (order == 2) y += c1 * a;
        if (order == 3) {
            const float bend = a - (1 / r1) * (m[1][j] - m[2][j]);
            y += c1 * (a + r0 / (r0 + r1) * bend) + c2 * ((1 / (r0 + r1)) * bend);
        }
        s->x[j] = noise ? y + fresh * noise[j] : y;
    }
}

bool sdg_dpmpp_diffusers(struct sdg_sampling *s, unsigned flags)
{
    const float eta = flags & SDG_DPMPP_SDE ? (float)s->options.eta : 0;
    float *noise = s->buffer[HIGHEST], *m[HIGHEST];
    memcpy(m, s->buffer, sizeof m);
    for (int i = 0; i < s->schedule->steps; i++) {
        if (!sdg_multistep_x0(s, sdg_history_turn(m, HIGHEST), i)) return false;
        if (eta > 0) s->draw(s->user, noise);
        if (eta > 0) /* as everywhere: s_noise on all fresh noise, 1 in the class itself */
            for (size_t j = 0; j < s->n * s->len; j++) noise[j] *= (float)s->options.s_noise;
        step(s, m, eta > 0 ? noise : NULL, eta, flags & SDG_DPMPP_HEUN, i);
        sdg_vp_after(s, i, m[0]);
    }
    return true;
}
