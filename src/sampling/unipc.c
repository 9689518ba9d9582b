/* unipc.c - UniPC (Zhao et al. 2023): a multistep predictor, then a corrector that uses the
 * evaluation at the predicted point, which the next step needs anyway. Order 3 (the corrector's is
 * one higher than its predictor's); one evaluation a step. Equations: unipc_coefficients.h. bh1 and
 * bh2 are two choices of B(h), equal in the limit.
 *
 * Two programs hold the original authors' uni_pc.py, over their own levels:
 *   A1111    modules/models/diffusion/uni_pc/uni_pc.py (sample, multistep, time_uniform), called by
 *            modules/sd_samplers_timesteps_impl.py: x as the network takes it; times from 1 down to
 *            1/1000 in equal steps, as many as the schedule has entries, ln alpha interpolated
 *            between the trained levels; ends at the lowest level, not at 0.
 *   ComfyUI  comfy/extra_samplers/uni_pc.py: the levels of the schedule, with 0.001 for the final
 *            0; x and its level scaled by 1/sqrt(s^2 + 1) on the way in and back on the way out.
 * Step k = 1, 2, ... has order k up to the solver's, falling again to 1 at the end; the last has no
 * corrector. (A1111 refuses runs of fewer steps than the order; here the order gives way.)
 * diffusers' class is in unipc_diffusers.c. */
#include <math.h>
#include <string.h>
#include "sampling/multistep.h"
#include "sampling/multistep_diffusers.h"
#include "sampling/samplers_all.h"
#include "sampling/sigma_space.h"
#include "sampling/unipc_coefficients.h"

enum { KNOWN = SDG_UNIPC_ORDER + 1 };
#define COMFYUI_END 0.001f

/* Level k of a program, 0..steps, and the clean latent x0 [n][len] there at x. False: stopped. */
struct levels {
    struct sdg_vp_level (*at)(const struct sdg_sampling *s, int k);
    bool (*clean)(struct sdg_sampling *s, float *x0, const float *x, int k);
};

static struct sdg_vp_level of_log_alpha(float log_alpha)
{
    const float variance = 1 - expf(2 * log_alpha);
    return (struct sdg_vp_level) {expf(log_alpha), sqrtf(variance),
                                  log_alpha - 0.5f * logf(variance)};
}

/* A1111's time of entry k. */
static float a1111_time(const struct sdg_sampling *s, int k)
{
    return sdg_linspace(1, (float)(1.0 / SDG_TRAIN_STEPS), k, s->schedule->steps + 1);
}

/* ln alpha at a time, linear between those of the training steps (i + 1)/1000. */
static struct sdg_vp_level a1111_at(const struct sdg_sampling *s, int k)
{
    const float t = a1111_time(s, k);
    int low = 0;
    while (low < SDG_TRAIN_STEPS - 2 && sdg_linspace(0, 1, low + 2, SDG_TRAIN_STEPS + 1) < t) low++;
    const float a = sdg_linspace(0, 1, low + 1, SDG_TRAIN_STEPS + 1);
    const float b = sdg_linspace(0, 1, low + 2, SDG_TRAIN_STEPS + 1);
    const float from = 0.5f * logf(s->levels->abar[low]);
    const float to = 0.5f * logf(s->levels->abar[low + 1]);
    return of_log_alpha(from + (t - a) * (to - from) / (b - a));
}

/* Under v prediction A1111 finds the noise with the level of the timestep cut to a whole number
 * (modules/sd_samplers_timesteps.py, CompVisTimestepsVDenoiser). */
static bool a1111_clean(struct sdg_sampling *s, float *x0, const float *x, int k)
{
    const struct sdg_vp_level l = a1111_at(s, k);
    const float t = (a1111_time(s, k) - (float)(1.0 / SDG_TRAIN_STEPS)) * SDG_TRAIN_STEPS;
    const float abar = s->levels->abar[(int)t], a = sqrtf(abar), b = sqrtf(1 - abar);
    const size_t count = s->n * s->len;
    memcpy(s->input, x, count * sizeof *x);
    if (!s->model(s->user, x0, NULL, s->input, t, l.sigma / l.alpha, k)) return false;
    if (s->levels->prediction == SDG_PREDICT_X0) return true;
    for (size_t j = 0; j < count; j++) {
        const float eps = s->levels->prediction == SDG_PREDICT_EPS ? x0[j] : a * x0[j] + b * x[j];
        x0[j] = (x[j] - l.sigma * eps) / l.alpha;
    }
    return true;
}

static float comfyui_sigma(const struct sdg_sampling *s, int k)
{
    const float sigma = s->schedule->sigmas[k];
    return sigma > 0 ? sigma : COMFYUI_END;
}

static struct sdg_vp_level comfyui_at(const struct sdg_sampling *s, int k)
{
    const float sigma = comfyui_sigma(s, k);
    return of_log_alpha(0.5f * logf(1 / (sigma * sigma + 1)));
}

/* x0 is what the model says but for rounding, yet the rounding is the original's. */
static bool comfyui_clean(struct sdg_sampling *s, float *x0, const float *x, int k)
{
    const struct sdg_vp_level l = comfyui_at(s, k);
    const float sigma = comfyui_sigma(s, k), grow = sqrtf(sigma * sigma + 1);
    for (size_t j = 0; j < s->n * s->len; j++) s->x[j] = x[j] * grow;
    if (!sdg_denoise(s, x0, NULL, s->x, sigma, k)) return false;
    for (size_t j = 0; j < s->n * s->len; j++)
        x0[j] = (x[j] - l.sigma * ((s->x[j] - x0[j]) / sigma)) / l.alpha;
    return true;
}

/* s->x = x [n][len], scaled back where the caller's is in sigma space. */
static void show(struct sdg_sampling *s, const float *x, float alpha)
{
    for (size_t j = 0; j < s->n * s->len; j++) s->x[j] = x[j] / alpha;
}

static bool walk(struct sdg_sampling *s, const struct levels *levels, int order, bool bh2,
                 bool sigma_space)
{
    const int steps = s->schedule->steps;
    float *m[KNOWN], *x = s->buffer[KNOWN], *predicted = s->buffer[KNOWN + 1];
    memcpy(m, s->buffer, sizeof m);
    memcpy(x, s->x, s->n * s->len * sizeof *x);
    if (sigma_space) {
        const float first = s->schedule->sigmas[0], shrink = sqrtf(1 + first * first);
        for (size_t j = 0; j < s->n * s->len; j++) x[j] /= shrink;
    }
    if (!levels->clean(s, m[0], x, 0)) return false;
    for (int k = 1; k <= steps; k++) {
        const int left = s->options.lower_order_final ? steps + 1 - k : order;
        const int now = k < order ? k : order < left ? order : left;
        const struct sdg_vp_level to = levels->at(s, k);
        struct sdg_vp_level from[SDG_UNIPC_ORDER];
        struct sdg_unipc_step c;
        for (int i = 0; i < now; i++) from[i] = levels->at(s, k - 1 - i);
        sdg_unipc_step(&c, to, from, now, bh2);
        if (k == steps) {
            sdg_unipc_apply(s, x, x, &c, m, NULL);
        } else {
            sdg_unipc_apply(s, predicted, x, &c, m, NULL);
            if (!levels->clean(s, sdg_history_turn(m, KNOWN), predicted, k)) return false;
            sdg_unipc_apply(s, x, x, &c, &m[1], m[0]);
        }
        show(s, x, sigma_space ? to.alpha : 1);
        sdg_sigma_after(s, k - 1, m[0]);
    }
    return true;
}

static bool a1111(struct sdg_sampling *s, bool bh2)
{
    static const struct levels levels = {a1111_at, a1111_clean};
    return walk(s, &levels, sdg_step_order(s, s->schedule->steps - 1, SDG_UNIPC_ORDER), bh2, false);
}

/* One step alone ComfyUI does not take: it hands back the noise. Here it is a step of order 1. */
static bool comfyui(struct sdg_sampling *s, bool bh2)
{
    static const struct levels levels = {comfyui_at, comfyui_clean};
    return walk(s, &levels, sdg_step_order(s, s->schedule->steps - 2, SDG_UNIPC_ORDER), bh2, true);
}

static bool run_a1111(struct sdg_sampling *s)
{
    return a1111(s, false);
}

static bool run_a1111_bh2(struct sdg_sampling *s)
{
    return a1111(s, true);
}

static bool run_comfyui(struct sdg_sampling *s)
{
    return comfyui(s, false);
}

static bool run_comfyui_bh2(struct sdg_sampling *s)
{
    return comfyui(s, true);
}

/* The class's default is bh2, under either name. */
static bool run_diffusers(struct sdg_sampling *s)
{
    return sdg_unipc_diffusers(s, true);
}

/* The two differ in their B(h) alone. */
#define WAYS(a1111_, comfyui_)                                                                    \
    {                                                                                             \
        [SDG_LIKE_A1111] = {.run = (a1111_),                                                      \
                            .variance_preserving = true,                                          \
                            .calls = 1,                                                           \
                            .schedulers = SDG_SCHEDULERS_A1111_TIMESTEPS,                         \
                            .own_scheduler = SDG_SCHEDULER_DDIM},                                 \
        [SDG_LIKE_DIFFUSERS] = {.run = run_diffusers,                                             \
                                .variance_preserving = true,                                      \
                                .calls = 1,                                                       \
                                .default_order = 2,                                               \
                                .schedulers = SDG_SCHEDULERS_OF_CLASS,                            \
                                .own_scheduler = SDG_SCHEDULER_LEADING},                          \
        [SDG_LIKE_COMFYUI] = {.run = (comfyui_),                                                  \
                              .discard_penultimate = true,                                        \
                              .calls = 1,                                                         \
                              .schedulers = SDG_SCHEDULERS_COMFYUI},                              \
        [SDG_LIKE_SDCPP] = {                                                                      \
            .run = (comfyui_), .borrowed = true, .calls = 1, .schedulers = SDG_SCHEDULERS_SDCPP}, \
    }

const struct sdg_sampler sdg_sampler_unipc = {
    .name = "unipc",
    .label = "UniPC",
    .aliases = "unipc|uni_pc|unipc_bh1|k_unipc|sample_unipc|UniPCMultistep|UniPCMultistepScheduler",
    .order = 3,
    .evaluations = 1,
    .buffers = SDG_UNIPC_BUFFERS,
    .takes = SDG_TAKES_ORDER | SDG_TAKES_LOWER_ORDER_FINAL,
    .way = WAYS(run_a1111, run_comfyui),
};

const struct sdg_sampler sdg_sampler_unipc_bh2 = {
    .name = "unipc_bh2",
    .label = "UniPC bh2",
    .aliases = "unipc_bh2|uni_pc_bh2|sample_unipc_bh2",
    .order = 3,
    .evaluations = 1,
    .buffers = SDG_UNIPC_BUFFERS,
    .takes = SDG_TAKES_ORDER | SDG_TAKES_LOWER_ORDER_FINAL,
    .way = WAYS(run_a1111_bh2, run_comfyui_bh2),
};
