/* cfgpp.c - CFG++ (Chung et al. 2024): guidance says where the clean picture is, the prediction
 * without prompt says along which noise to go there. D is the guided denoiser, U the one without
 * prompt; U is asked for at every scale, also at 1, and users set scales of about 1.
 *
 *   euler_cfg_pp       x' = D + s' (x - U)/s
 *   euler_a_cfg_pp     x' = D + down (x - U)/s + up noise                       (euler_a.c)
 *   dpmpp_2s_a_cfg_pp  e  = (m/s)(x + D - U) - (e^(-h/2) - 1) D                 (dpmpp_2s_a.c)
 *                      x' = (down/s)(x + D - U2) - (e^-h - 1) D2 + up noise
 *                      with D2, U2 at (e; m): the second U replaces the first, a quirk that is kept
 *   dpmpp_2m_cfg_pp    x' = D - e^-h U + e^-h x - (e^-h - 1) h/(2 h_last) (D - U_last)
 *
 * ComfyUI, comfy/k_diffusion/sampling.py (sample_*_cfg_pp), whose alpha factors are 1 for the
 * models here; stable-diffusion.cpp has the first two. */
#include <math.h>
#include <string.h>
#include "sampling/samplers_all.h"
#include "sampling/sigma_space.h"

/* y [n][len] = d + level (x - u)/sigma; y may be x. */
static void along_uncond(const struct sdg_sampling *s, float *y, const float *d, const float *u,
                         float sigma, float level)
{
    for (size_t j = 0; j < s->n * s->len; j++) y[j] = d[j] + (s->x[j] - u[j]) / sigma * level;
}

static bool run_euler(struct sdg_sampling *s)
{
    const float *sigmas = s->schedule->sigmas;
    float *denoised = s->buffer[0], *uncond = s->buffer[1];
    for (int i = 0; i < s->schedule->steps; i++) {
        if (!sdg_denoise(s, denoised, uncond, s->x, sigmas[i], i)) return false;
        along_uncond(s, s->x, denoised, uncond, sigmas[i], sigmas[i + 1]);
        sdg_sigma_after(s, i, denoised);
    }
    return true;
}

static bool run_euler_a(struct sdg_sampling *s)
{
    const float *sigmas = s->schedule->sigmas;
    float *denoised = s->buffer[0], *uncond = s->buffer[1];
    for (int i = 0; i < s->schedule->steps; i++) {
        float down, up;
        if (!sdg_denoise(s, denoised, uncond, s->x, sigmas[i], i)) return false;
        sdg_sigma_ancestral(&down, &up, sigmas[i], sigmas[i + 1], (float)s->options.eta);
        along_uncond(s, s->x, denoised, uncond, sigmas[i], down);
        if (up > 0) sdg_sigma_renoise(s, uncond, up);
        sdg_sigma_after(s, i, denoised);
    }
    return true;
}

/* y [n][len] = keep (x + d - u) + add z; y may be u or z. */
static void shifted(const struct sdg_sampling *s, float *y, float keep, const float *d,
                    const float *u, float add, const float *z)
{
    for (size_t j = 0; j < s->n * s->len; j++) y[j] = keep * (s->x[j] + (d[j] - u[j])) + add * z[j];
}

static bool step_2s(struct sdg_sampling *s, const float *denoised, const float *uncond, float sigma,
                    float down, int i)
{
    float *x2 = s->buffer[2], *denoised2 = s->buffer[3], *uncond2 = s->buffer[4];
    const float t = -logf(sigma), to = -logf(down), h = to - t, middle = expf(-(t + 0.5f * h));
    const float from = expf(-t);
    shifted(s, x2, middle / from, denoised, uncond, -expm1f(-h * 0.5f), denoised);
    if (!sdg_denoise(s, denoised2, uncond2, x2, middle, i)) return false;
    shifted(s, s->x, expf(-to) / from, denoised, uncond2, -expm1f(-h), denoised2);
    return true;
}

static bool run_2s(struct sdg_sampling *s)
{
    const float *sigmas = s->schedule->sigmas;
    float *denoised = s->buffer[0], *uncond = s->buffer[1];
    for (int i = 0; i < s->schedule->steps; i++) {
        float down, up;
        if (!sdg_denoise(s, denoised, uncond, s->x, sigmas[i], i)) return false;
        sdg_sigma_ancestral(&down, &up, sigmas[i], sigmas[i + 1], (float)s->options.eta);
        if (down == 0)
            memcpy(s->x, denoised, s->n * s->len * sizeof *s->x);
        else if (!step_2s(s, denoised, uncond, sigmas[i], down, i))
            return false;
        if (sigmas[i + 1] > 0) sdg_sigma_renoise(s, uncond, up);
        sdg_sigma_after(s, i, denoised);
    }
    return true;
}

/* h_last 0: the first step, which has no U_last. */
static void step_2m(struct sdg_sampling *s, const float *d, const float *u, const float *u_last,
                    float h, float h_last)
{
    const float shrink = expf(-h);
    const float lean = h_last > 0 ? -expm1f(-h) * (1 / (2 * (h_last / h))) : 0;
    for (size_t j = 0; j < s->n * s->len; j++) {
        float mix = -shrink * u[j];
        if (h_last > 0) mix += lean * (d[j] - u_last[j]);
        s->x[j] = d[j] + mix + shrink * s->x[j];
    }
}

static bool run_2m(struct sdg_sampling *s)
{
    const float *sigmas = s->schedule->sigmas;
    float *denoised = s->buffer[0], *uncond = s->buffer[1], *last = s->buffer[2], h_last = 0;
    for (int i = 0; i < s->schedule->steps; i++) {
        if (!sdg_denoise(s, denoised, uncond, s->x, sigmas[i], i)) return false;
        if (sigmas[i + 1] == 0) {
            memcpy(s->x, denoised, s->n * s->len * sizeof *s->x);
        } else {
            const float h = -logf(sigmas[i + 1]) + logf(sigmas[i]);
            step_2m(s, denoised, uncond, last, h, h_last);
            h_last = h;
        }
        memcpy(last, uncond, s->n * s->len * sizeof *last);
        sdg_sigma_after(s, i, denoised);
    }
    return true;
}

/* `lacks`: stable-diffusion.cpp has it not. */
#define WAYS(walk, eta, lacks)                                           \
    {                                                                    \
        [SDG_LIKE_A1111] = {.run = (walk),                               \
                            .borrowed = true,                            \
                            .needs_uncond = true,                        \
                            .calls = 1,                                  \
                            .default_eta = (eta),                        \
                            .schedulers = SDG_SCHEDULERS_A1111},         \
        [SDG_LIKE_DIFFUSERS] = {.run = (walk),                           \
                                .borrowed = true,                        \
                                .needs_uncond = true,                    \
                                .calls = 1,                              \
                                .default_eta = (eta),                    \
                                .schedulers = SDG_SCHEDULERS_OF_CLASS,   \
                                .own_scheduler = SDG_SCHEDULER_LEADING}, \
        [SDG_LIKE_COMFYUI] = {.run = (walk),                             \
                              .needs_uncond = true,                      \
                              .calls = 1,                                \
                              .default_eta = (eta),                      \
                              .schedulers = SDG_SCHEDULERS_COMFYUI},     \
        [SDG_LIKE_SDCPP] = {.run = (walk),                               \
                            .borrowed = (lacks),                         \
                            .needs_uncond = true,                        \
                            .calls = 1,                                  \
                            .default_eta = (eta),                        \
                            .schedulers = SDG_SCHEDULERS_SDCPP},         \
    }

const struct sdg_sampler sdg_sampler_euler_cfg_pp = {
    .name = "euler_cfg_pp",
    .label = "Euler CFG++",
    .aliases = "euler_cfg_pp|euler_cfg++|k_euler_cfg_pp|sample_euler_cfg_pp",
    .order = 1,
    .evaluations = 1,
    .buffers = 2,
    .way = WAYS(run_euler, 0, false),
};

const struct sdg_sampler sdg_sampler_euler_a_cfg_pp = {
    .name = "euler_a_cfg_pp",
    .label = "Euler a CFG++",
    .aliases = "euler_a_cfg_pp|euler_a_cfg++|euler_ancestral_cfg_pp|k_euler_a_cfg_pp|"
               "sample_euler_ancestral_cfg_pp",
    .order = 1,
    .evaluations = 1,
    .buffers = 2,
    .stochastic = true,
    .takes = SDG_TAKES_ETA | SDG_TAKES_S_NOISE,
    .way = WAYS(run_euler_a, 1, false),
};

const struct sdg_sampler sdg_sampler_dpmpp_2s_a_cfg_pp = {
    .name = "dpmpp_2s_a_cfg_pp",
    .label = "DPM++ 2S a CFG++",
    .aliases = "dpmpp_2s_a_cfg_pp|dpm++2s_a_cfg++|dpmpp_2s_ancestral_cfg_pp|"
               "k_dpmpp_2s_a_cfg_pp|sample_dpmpp_2s_ancestral_cfg_pp",
    .order = 1,
    .evaluations = 2,
    .buffers = 5,
    .stochastic = true,
    .takes = SDG_TAKES_ETA | SDG_TAKES_S_NOISE,
    .way = WAYS(run_2s, 1, true),
};

const struct sdg_sampler sdg_sampler_dpmpp_2m_cfg_pp = {
    .name = "dpmpp_2m_cfg_pp",
    .label = "DPM++ 2M CFG++",
    .aliases = "dpmpp_2m_cfg_pp|dpm++2m_cfg++|k_dpmpp_2m_cfg_pp|sample_dpmpp_2m_cfg_pp",
    .order = 1,
    .evaluations = 1,
    .buffers = 3,
    .way = WAYS(run_2m, 0, true),
};
