/* unipc_coefficients.c - see unipc_coefficients.h. */
#include "sampling/unipc_coefficients.h"

#include <math.h>

/* a z = b for n <= 3, by elimination with row pivots; a and b are used up. */
static void solve(float *z, float a[SDG_UNIPC_ORDER][SDG_UNIPC_ORDER], float *b, int n)
{
    for (int c = 0; c < n; c++) {
        int best = c;
        for (int i = c + 1; i < n; i++)
            if (fabsf(a[i][c]) > fabsf(a[best][c])) best = i;
        for (int k = 0; k < n; k++) {
            const float swap = a[c][k];
            a[c][k] = a[best][k];
            a[best][k] = swap;
        }
        const float swap = b[c];
        b[c] = b[best];
        b[best] = swap;
        for (int i = c + 1; i < n; i++) {
            const float f = a[i][c] / a[c][c];
            for (int k = c; k < n; k++) a[i][k] -= f * a[c][k];
            b[i] -= f * b[c];
        }
    }
    for (int i = n - 1; i >= 0; i--) {
        z[i] = b[i];
        for (int k = i + 1; k < n; k++) z[i] -= a[i][k] * z[k];
        z[i] /= a[i][i];
    }
}

/* z [n]: sum_k z_k r_k^i = b_i for i = 0..n - 1. */
static void match_moments(float *z, const float *r, const float *b, int n)
{
    float a[SDG_UNIPC_ORDER][SDG_UNIPC_ORDER] = {{0}}, right[SDG_UNIPC_ORDER] = {0};
    for (int i = 0; i < n; i++) {
        right[i] = b[i];
        for (int k = 0; k < n; k++) a[i][k] = i == 0 ? 1 : i == 1 ? r[k] : r[k] * r[k];
    }
    solve(z, a, right, n);
}

void sdg_unipc_step(struct sdg_unipc_step *c, struct sdg_vp_level to,
                    const struct sdg_vp_level *from, int order, bool bh2)
{
    const float h = to.lambda - from[0].lambda, phi1 = expm1f(-h);
    const float scale = bh2 ? phi1 : -h;
    float b[SDG_UNIPC_ORDER] = {0}, phi = phi1 / -h - 1, factorial = 1;
    *c = (struct sdg_unipc_step) {.order = order,
                                  .keep = to.sigma / from[0].sigma,
                                  .take = to.alpha * phi1,
                                  .scale = to.alpha * scale};
    for (int k = 1; k < order; k++) c->r[k - 1] = (from[k].lambda - from[0].lambda) / h;
    c->r[order - 1] = 1;
    for (int i = 0; i < order; i++) {
        b[i] = phi * factorial / scale;
        factorial *= (float)(i + 2);
        phi = phi / -h - 1 / factorial;
    }
    /* Where one condition is left the originals take its limit for small h. */
    if (order <= 2)
        c->predict[0] = 0.5f;
    else
        match_moments(c->predict, c->r, b, order - 1);
    if (order == 1)
        c->correct[0] = 0.5f;
    else
        match_moments(c->correct, c->r, b, order);
}

void sdg_unipc_apply(const struct sdg_sampling *s, float *y, const float *x,
                     const struct sdg_unipc_step *c, float *const m[], const float *reached)
{
    const float *weight = reached ? c->correct : c->predict;
    for (size_t j = 0; j < s->n * s->len; j++) {
        const float base = c->keep * x[j] - c->take * m[0][j];
        float sum = 0;
        for (int k = 1; k < c->order; k++)
            sum += weight[k - 1] * ((m[k][j] - m[0][j]) / c->r[k - 1]);
        if (reached) sum += weight[c->order - 1] * (reached[j] - m[0][j]);
        /* scale is infinite for bh1 on the step to level 0, where the sum is empty */
        y[j] = c->order > 1 || reached ? base - c->scale * sum : base;
    }
}
