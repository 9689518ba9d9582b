/* deis_diffusers.c - DEIS as diffusers walks it: scheduling_deis_multistep.py ("logrho"; Zhang &
 * Chen 2023, the rho-AB method with Lagrange's polynomials in ln rho). With rho = s, the level, and
 * eps at the last levels b, c, d, newest first:
 *
 *   order 1   x' = alpha'/alpha x - sigma' (e^h - 1) eps_b
 *   order 2,3 x' = alpha' (x/alpha + K_b eps_b + K_c eps_c [+ K_d eps_d])
 *   K_b = integral from rho to rho' of (ln v - ln c)[(ln v - ln d)] /
 *                                      ((ln b - ln c)[(ln b - ln d)]) dv
 *
 * Orders at the start and in runs below 15 steps as for DPM-Solver++ (dpmpp_diffusers.c). The walk
 * ends at the lowest level, not at 0; a list of the user's may, by a step of order 1. */
#include <math.h>
#include <string.h>
#include "sampling/multistep.h"
#include "sampling/multistep_diffusers.h"
#include "sampling/vp_space.h"

enum { HIGHEST = 3 };

/* The antiderivatives at t. The original computes them in f32, where order 3 loses half its digits
 * on short steps, differently on every machine; double here is what it means. */
static double primitive2(double t, double b, double c)
{
    return t * (log(t) - log(c) - 1) / (log(b) - log(c));
}

static double primitive3(double t, double b, double c, double d)
{
    const double lt = log(t), lc = log(c), ld = log(d);
    const double above = t * (lt * lt - 2 * lt + 2 - (lc + ld) * (lt - 1) + lc * ld);
    return above / ((log(b) - lc) * (log(b) - ld));
}

/* K [order] of a step from rho[0] to `to`, over the levels rho [order], newest first. */
static void weights(float *k, double to, const double *rho, int order)
{
    const double now = rho[0];
    for (int j = 0; j < order; j++) {
        const double b = rho[j], c = rho[(j + 1) % order], d = rho[(j + 2) % order];
        k[j] = (float)(order == 2 ? primitive2(to, b, c) - primitive2(now, b, c)
                                  : primitive3(to, b, c, d) - primitive3(now, b, c, d));
    }
}

static void step(struct sdg_sampling *s, float *const eps[HIGHEST], int i)
{
    const float *sigmas = s->schedule->sigmas;
    const struct sdg_vp_level to = sdg_vp_level_of(sigmas[i + 1]),
                              from = sdg_vp_level_of(sigmas[i]);
    const int most = sdg_multistep_lowered(s, i, 0)   ? 1
                     : sdg_multistep_lowered(s, i, 1) ? 2
                                                      : HIGHEST;
    const int order = to.sigma > 0 ? sdg_step_order(s, i, most) : 1;
    double rho[HIGHEST];
    float k[HIGHEST] = {0};
    if (order == 1) {
        const float keep = to.alpha / from.alpha;
        const float take = to.sigma > 0 ? to.sigma * (expf(to.lambda - from.lambda) - 1)
                                        : from.sigma / from.alpha; /* its limit at level 0 */
        for (size_t j = 0; j < s->n * s->len; j++) s->x[j] = keep * s->x[j] - take * eps[0][j];
        return;
    }
    for (int j = 0; j < order; j++) rho[j] = (double)sigmas[i - j];
    weights(k, (double)sigmas[i + 1], rho, order);
    for (size_t j = 0; j < s->n * s->len; j++) {
        float sum = s->x[j] / from.alpha + k[0] * eps[0][j] + k[1] * eps[1][j];
        if (order == 3) sum += k[2] * eps[2][j];
        s->x[j] = to.alpha * sum;
    }
}

bool sdg_deis_diffusers(struct sdg_sampling *s)
{
    float *x0 = s->buffer[HIGHEST], *eps[HIGHEST];
    memcpy(eps, s->buffer, sizeof eps);
    for (int i = 0; i < s->schedule->steps; i++) {
        const struct sdg_vp_level l = sdg_vp_level_of(s->schedule->sigmas[i]);
        float *e = sdg_history_turn(eps, HIGHEST);
        if (!sdg_multistep_x0(s, x0, i)) return false;
        for (size_t j = 0; j < s->n * s->len; j++) e[j] = (s->x[j] - l.alpha * x0[j]) / l.sigma;
        step(s, eps, i);
        sdg_vp_after(s, i, x0);
    }
    return true;
}
