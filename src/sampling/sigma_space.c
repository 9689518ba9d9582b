/* sigma_space.c - see sigma_space.h. f32 in the order of the originals: k-diffusion, sampling.py
 * (to_d, get_ancestral_step) and external.py (CompVisDenoiser); diffusers,
 * scheduling_euler_discrete.py and scheduling_euler_ancestral_discrete.py. */
#include "sampling/sigma_space.h"

#include <math.h>

bool sdg_sigma_epsilon(struct sdg_sampling *s, int i)
{
    const float sigma = s->schedule->sigmas[i];
    const float norm =
        sqrtf(sigma * sigma + 1); /* the model was trained on inputs of unit variance */
    const size_t count = s->n * s->len;
    if (s->like == SDG_LIKE_DIFFUSERS) {
        for (size_t j = 0; j < count; j++) s->model_input[j] = s->x[j] / norm;
    } else {
        const float scale = 1 / norm;
        for (size_t j = 0; j < count; j++) s->model_input[j] = s->x[j] * scale;
    }
    return s->model(s->user, s->eps, s->model_input, s->schedule->timesteps[i], i);
}

void sdg_sigma_euler(struct sdg_sampling *s, float sigma, float to)
{
    const float dt = to - sigma;
    for (size_t j = 0; j < s->n * s->len; j++) {
        const float x0 = s->x[j] - sigma * s->eps[j];
        s->x[j] += (s->x[j] - x0) / sigma * dt;
    }
}

void sdg_sigma_ancestral(float *down, float *up, float from, float to, float eta)
{
    const float to2 = to * to, from2 = from * from;
    *up = fminf(to, eta * sqrtf(to2 * (from2 - to2) / from2));
    *down = sqrtf(to2 - *up * *up);
}

void sdg_sigma_renoise(struct sdg_sampling *s, float level)
{
    s->draw(s->user, s->noise);
    for (size_t j = 0; j < s->n * s->len; j++) s->x[j] += s->noise[j] * level;
}
