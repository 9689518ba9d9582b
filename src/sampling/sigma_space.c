/* sigma_space.c - see sigma_space.h. f32 in the order of the originals: k-diffusion, sampling.py
 * (get_ancestral_step) and external.py (CompVisDenoiser); diffusers,
 * scheduling_euler_discrete.py. */
#include "sampling/sigma_space.h"

#include <math.h>
#include "sampling/prediction.h"

/* The timestep of a level: the schedule's own where it says one (some programs keep other numbers
 * there than interpolation gives), for the entries that a step from entry `step` may look at. */
static float timestep(const struct sdg_sampling *s, float sigma, int step)
{
    const struct sdg_schedule *schedule = s->schedule;
    for (int i = step; i < step + 3 && i < schedule->steps; i++)
        if (schedule->sigmas[i] == sigma) return schedule->timesteps[i];
    return sdg_levels_timestep(s->levels, (double)sigma);
}

bool sdg_denoise_at(struct sdg_sampling *s, float *denoised, float *uncond, const float *x,
                    float sigma, float t, int step)
{
    const enum sdg_prediction prediction = s->levels->prediction;
    const size_t count = s->n * s->len;
    if (s->like == SDG_LIKE_DIFFUSERS) {
        const float norm = sqrtf(sigma * sigma + 1);
        for (size_t j = 0; j < count; j++) s->input[j] = x[j] / norm;
    } else {
        const float scale = sdg_input_scale(sigma);
        for (size_t j = 0; j < count; j++) s->input[j] = x[j] * scale;
    }
    if (!s->model(s->user, denoised, uncond, s->input, t, sigma, step)) return false;
    sdg_denoised_of(denoised, x, denoised, sigma, prediction, count);
    if (uncond) sdg_denoised_of(uncond, x, uncond, sigma, prediction, count);
    return true;
}

bool sdg_denoise(struct sdg_sampling *s, float *denoised, float *uncond, const float *x,
                 float sigma, int step)
{
    return sdg_denoise_at(s, denoised, uncond, x, sigma, timestep(s, sigma, step), step);
}

void sdg_sigma_ancestral(float *down, float *up, float from, float to, float eta)
{
    const float to2 = to * to, from2 = from * from;
    *up = 0;
    if (eta > 0) *up = fminf(to, eta * sqrtf(to2 * (from2 - to2) / from2));
    *down = eta > 0 ? sqrtf(to2 - *up * *up) : to;
}

void sdg_sigma_renoise(struct sdg_sampling *s, float *noise, float level)
{
    const float s_noise = (float)s->options.s_noise;
    s->draw(s->user, noise);
    for (size_t j = 0; j < s->n * s->len; j++) s->x[j] += noise[j] * s_noise * level;
}

void sdg_sigma_mix(const struct sdg_sampling *s, float *y, float a, const float *x, float b,
                   const float *z)
{
    for (size_t j = 0; j < s->n * s->len; j++) y[j] = a * x[j] + b * z[j];
}

void sdg_sigma_slope(const struct sdg_sampling *s, float *d, const float *x, const float *denoised,
                     float sigma)
{
    for (size_t j = 0; j < s->n * s->len; j++) d[j] = (x[j] - denoised[j]) / sigma;
}

void sdg_sigma_euler(const struct sdg_sampling *s, float *y, const float *x, const float *denoised,
                     float sigma, float to)
{
    const float dt = to - sigma;
    for (size_t j = 0; j < s->n * s->len; j++) y[j] = x[j] + (x[j] - denoised[j]) / sigma * dt;
}

float sdg_sigma_churn(struct sdg_sampling *s, float *noise, int i, bool always)
{
    const struct sdg_sampler_options *o = &s->options;
    const float sigma = s->schedule->sigmas[i];
    const bool inside = o->s_tmin <= (double)sigma && (double)sigma <= o->s_tmax;
    const double gamma = inside ? fmin(o->s_churn / s->schedule->steps, sqrt(2.0) - 1) : 0;
    if (gamma > 0 || (always && o->s_churn > 0)) s->draw(s->user, noise);
    if (!(gamma > 0)) return sigma;
    const float hat = sigma * (float)(gamma + 1);
    const float level = sqrtf(hat * hat - sigma * sigma), s_noise = (float)o->s_noise;
    for (size_t j = 0; j < s->n * s->len; j++) s->x[j] += noise[j] * s_noise * level;
    return hat;
}

float sdg_sigma_middle(float from, float to)
{
    const float a = logf(from), b = logf(to);
    return expf(b - (b - a) * 0.5f);
}

void sdg_sigma_karras(float *y, int count, float low, float high)
{
    const float first = (float)pow((double)high, 1.0 / 7), last = (float)pow((double)low, 1.0 / 7);
    for (int i = 0; i < count; i++)
        y[i] = powf(first + sdg_linspace(0, 1, i, count) * (last - first), 7);
}

void sdg_sigma_after(struct sdg_sampling *s, int step, const float *denoised)
{
    if (s->after) s->after(s->user, step, denoised);
}
