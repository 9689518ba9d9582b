/* vp_space.c - see vp_space.h. f32 in the order of the originals: AUTOMATIC1111
 * stable-diffusion-webui 1.10, modules/sd_samplers_timesteps_impl.py, and diffusers, schedulers/
 * scheduling_ddim.py. */
#include "sampling/vp_space.h"

#include <math.h>
#include <string.h>
#include "sampling/prediction.h"

bool sdg_vp_model(struct sdg_sampling *s, float *out, float *uncond, const float *x, int step)
{
    const struct sdg_schedule *schedule = s->schedule;
    memcpy(s->input, x, s->n * s->len * sizeof *x);
    return s->model(s->user, out, uncond, s->input, schedule->timesteps[step],
                    schedule->sigmas[step], step);
}

bool sdg_vp_predict(struct sdg_sampling *s, float *eps, float *x0, const float *x, int step)
{
    if (!sdg_vp_model(s, eps, NULL, x, step)) return false;
    sdg_split_output(eps, x0, x, eps, s->schedule->abar[step], s->levels->prediction,
                     s->n * s->len);
    return true;
}

/* A1111 has b in double here, and so everything but 1 - a. */
float sdg_vp_noise_level(enum sdg_like like, float a, float b, double eta)
{
    if (like == SDG_LIKE_DIFFUSERS) return (float)eta * sqrtf((1 - b) / (1 - a) * (1 - a / b));
    const double wide = (double)b;
    return (float)(eta * sqrt((1 - wide) / (double)(1 - a) * (1 - (double)a / wide)));
}

void sdg_vp_step(const struct sdg_sampling *s, float *y, const float *x0, const float *eps, float b,
                 float level)
{
    const float root_b = sqrtf(b);
    const float direction = sqrtf(fmaxf(1 - b - level * level, 0)); /* below 0 by rounding only */
    for (size_t j = 0; j < s->n * s->len; j++) y[j] = root_b * x0[j] + direction * eps[j];
}

void sdg_vp_after(struct sdg_sampling *s, int step, const float *x0)
{
    if (s->after) s->after(s->user, step, x0);
}
