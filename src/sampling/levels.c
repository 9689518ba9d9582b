/* levels.c - see levels.h. Sources: CompVis latent-diffusion, ldm/modules/diffusionmodules/util.py
 * (make_beta_schedule) and k-diffusion, external.py (sigmas); diffusers, schedulers/
 * scheduling_euler_discrete.py (constructor). */
#include "sampling/levels.h"

#include <math.h>

#define BETA_FIRST 0.00085
#define BETA_LAST 0.012

float sdg_linspace(float a, float b, int i, int n)
{
    if (n == 1) return a;
    const float step = (b - a) / (float)(n - 1);
    return i < n / 2 ? a + step * (float)i : b - step * (float)(n - 1 - i);
}

/* 1 - beta_i: in double for latent-diffusion; diffusers rounds every step of it to f32, which is
 * what makes the two tables differ: abar by up to 1e-6 of itself, sigma by 9e-6. */
static double alpha(int i, enum sdg_like like)
{
    if (like == SDG_LIKE_DIFFUSERS) {
        const float root =
            sdg_linspace((float)sqrt(BETA_FIRST), (float)sqrt(BETA_LAST), i, SDG_TRAIN_STEPS);
        return 1.0f - root * root;
    }
    const double root =
        sqrt(BETA_FIRST) + (sqrt(BETA_LAST) - sqrt(BETA_FIRST)) * i / (SDG_TRAIN_STEPS - 1);
    return 1.0 - root * root;
}

void sdg_levels_init(struct sdg_levels *l, enum sdg_like like)
{
    double product = 1.0; /* both accumulate in double and store f32 */
    for (int i = 0; i < SDG_TRAIN_STEPS; i++) {
        product *= alpha(i, like);
        const float abar = (float)product;
        l->abar[i] = abar;
        l->sigma[i] = sqrtf((1.0f - abar) / abar);
        l->log_sigma[i] = logf(l->sigma[i]);
    }
}

int sdg_levels_bracket(const struct sdg_levels *l, double log_sigma)
{
    int low = 0, high = SDG_TRAIN_STEPS - 1; /* log_sigma grows with the index */
    while (high - low > 1) {
        const int middle = (low + high) / 2;
        if (log_sigma >= (double)l->log_sigma[middle])
            low = middle;
        else
            high = middle;
    }
    return low;
}
