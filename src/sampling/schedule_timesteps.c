/* schedule_timesteps.c - lists that pick trained levels by index or timestep. Sources:
 * AUTOMATIC1111 stable-diffusion-webui 1.10, modules/sd_schedulers.py (simple, ddim),
 * modules/sd_samplers_timesteps.py, modules/models/diffusion/uni_pc/uni_pc.py and
 * modules/sd_samplers_lcm.py (get_sigmas, t_to_sigma); ComfyUI,
 * comfy/samplers.py (simple, ddim, beta) and comfy_extras/nodes_custom_sampler.py
 * (SDTurboScheduler); stable-diffusion.cpp, src/runtime/denoiser.hpp (simple, beta, smoothstep,
 * LCM); CompVis latent-diffusion, ldm/models/diffusion/ddim.py. */
#include "sampling/schedule_families.h"

#include <math.h>
#include "sampling/beta_quantile.h"
#include "sampling/samplers_all.h"

enum { LAST = SDG_TRAIN_STEPS - 1, DISTILLED = 50, TURBO_STEPS = 10 };
enum { APART = SDG_TRAIN_STEPS / DISTILLED };
#define BETA_SHAPE 0.6 /* Lee et al. 2024, "Beta sampling is all you need" */

/* The level of training step t: a look into the table, except in stable-diffusion.cpp, which always
 * goes through the logarithm and, for EDM models, through a formula of its own. */
static float level(const struct sdg_levels *l, int t)
{
    if (l->like != SDG_LIKE_SDCPP) return l->sigma[t];
    if (l->prediction == SDG_PREDICT_EDM_V) return expf((float)(t * 4) / (float)SDG_TRAIN_STEPS);
    return expf(l->log_sigma[t]);
}

static void add(struct sdg_sigma_list *a, int t)
{
    a->sigma[a->count++] = level(a->l, t);
}

/* Every (1000/n)-th level from the noisiest on. */
static void simple(struct sdg_sigma_list *a)
{
    const double stride = (double)SDG_TRAIN_STEPS / a->n;
    for (int i = 0; i < a->n; i++) {
        const int down =
            a->l->like == SDG_LIKE_SDCPP ? (int)((float)i * (float)stride) : (int)(i * stride);
        add(a, down < LAST ? LAST - down : 0);
    }
}

/* Every (1000/n)-th level from number 1 on, the stride rounded down, so that n need not come out.
 */
static void ddim(struct sdg_sigma_list *a)
{
    const int stride = SDG_TRAIN_STEPS / a->n > 1 ? SDG_TRAIN_STEPS / a->n : 1;
    for (int i = (LAST - 1) / stride; i >= 0; i--) add(a, 1 + i * stride);
}

/* Quantiles of the beta distribution as indices, each level once: more of them at both ends. */
static void beta(struct sdg_sigma_list *a)
{
    for (int i = 0, before = -1; i < a->n; i++) {
        /* numpy.linspace without its end; stable-diffusion.cpp divides */
        const double part = a->l->like == SDG_LIKE_SDCPP ? (double)i / a->n : i * (1.0 / a->n);
        const int t = (int)rint(sdg_beta_quantile(1 - part, BETA_SHAPE, BETA_SHAPE) * LAST);
        if (t != before) add(a, t);
        before = t;
    }
}

/* u^2 (3 - 2u), u from 1 down to 1/n: many steps at both ends. */
static void smoothstep(struct sdg_sigma_list *a)
{
    for (int i = 0; i < a->n; i++) {
        const float u = 1.0f - (float)i / (float)a->n;
        add(a, (int)roundf(u * u * (3.0f - 2.0f * u) * LAST));
    }
}

/* Timesteps 999, 899, ... 99 on which SD-Turbo was distilled (Sauer et al. 2023). */
static sdgen_status turbo(struct sdg_sigma_list *a, sdgen_error *err)
{
    if (a->n > TURBO_STEPS)
        return sdg_fail(err, SDGEN_ERR_ARG, "--steps %d: SD-Turbo has %d levels; take at most %d",
                        a->r->steps, TURBO_STEPS, TURBO_STEPS - (a->n - a->r->steps));
    for (int i = 0; i < a->n; i++)
        a->sigma[a->count++] = a->l->like == SDG_LIKE_COMFYUI
                                   ? sdg_levels_sigma(a->l, LAST - 100 * i)
                                   : level(a->l, LAST - 100 * i);
    return SDGEN_OK;
}

/* A1111's LCM: n timesteps from 999 to 19, ln sigma linear between the distilled levels. */
static void lcm_a1111(struct sdg_sigma_list *a)
{
    for (int i = 0; i < a->n; i++) {
        const float t = sdg_linspace(LAST, APART - 1, i, a->n);
        const float at = fminf(fmaxf((t - (APART - 1)) / APART, 0), DISTILLED - 1);
        const int low = (int)at, high = (int)ceilf(at);
        const float part = at - (float)low;
        a->sigma[a->count++] = expf((1 - part) * a->l->log_sigma[(low + 1) * APART - 1] +
                                    part * a->l->log_sigma[(high + 1) * APART - 1]);
    }
}

/* Evenly from the 50 timesteps 999, 979, ... 19 of consistency distillation (Luo et al. 2023). */
static sdgen_status lcm(struct sdg_sigma_list *a, sdgen_error *err)
{
    if (a->l->like == SDG_LIKE_A1111) return lcm_a1111(a), SDGEN_OK;
    if (a->n > DISTILLED)
        return sdg_fail(err, SDGEN_ERR_ARG, "--steps %d: LCM has %d levels; take at most %d",
                        a->r->steps, DISTILLED, DISTILLED - (a->n - a->r->steps));
    for (int i = 0; i < a->n; i++) add(a, (DISTILLED - i * DISTILLED / a->n) * APART - 1);
    return SDGEN_OK;
}

/* Timesteps that the user wrote, whole or not. */
static sdgen_status given(struct sdg_sigma_list *a, sdgen_error *err)
{
    const struct sdg_schedule_request *r = a->r;
    if (r->list_count < 1 || r->list_count > SDG_MAX_STEPS)
        return sdg_fail(err, SDGEN_ERR_ARG, "--timesteps: %d values; must be 1 to %d",
                        r->list_count, SDG_MAX_STEPS);
    for (int i = 0; i < r->list_count; i++) {
        const double t = r->list[i];
        if (!(t >= 0 && t <= LAST) || (i > 0 && !((float)t < (float)r->list[i - 1])))
            return sdg_fail(err, SDGEN_ERR_ARG,
                            "--timesteps: value %d, %g: must be between 0 and %d and fall", i + 1,
                            t, LAST);
        a->sigma[a->count++] = sdg_levels_sigma(a->l, t);
    }
    return SDGEN_OK;
}

sdgen_status sdg_list_timesteps(struct sdg_sigma_list *a, sdgen_error *err)
{
    const enum sdg_scheduler s = a->r->scheduler;
    const bool trained =
        s == SDG_SCHEDULER_TURBO || s == SDG_SCHEDULER_LCM || s == SDG_SCHEDULER_TIMESTEPS;
    sdgen_status status = SDGEN_OK;
    if (trained && a->l->prediction == SDG_PREDICT_EDM_V)
        return sdg_fail(err, SDGEN_ERR_ARG,
                        "--scheduler %s: means timesteps 0 to %d, which an EDM model does not have",
                        sdg_scheduler_name(s), LAST);
    switch (s) {
    case SDG_SCHEDULER_SIMPLE: simple(a); break;
    case SDG_SCHEDULER_DDIM: ddim(a); break;
    case SDG_SCHEDULER_BETA: beta(a); break;
    case SDG_SCHEDULER_SMOOTHSTEP: smoothstep(a); break;
    case SDG_SCHEDULER_TURBO: status = turbo(a, err); break;
    case SDG_SCHEDULER_LCM: status = lcm(a, err); break;
    default: status = given(a, err); break;
    }
    a->sigma[a->count++] = 0;
    return status;
}

/* ---- A1111's samplers with abar ---- */

/* Entry i of the list 1, 1 + c, 1 + 2c, ... below 1001 from its top, clipped to 999. */
static int entry(int i, int entries, int stride)
{
    const int t = 1 + (entries - 1 - i) * stride;
    return t < LAST ? t : LAST;
}

/* From the top entry down to the second one, every step leading to the entry below; so there is one
 * model call fewer than entries (20 steps: 19 calls), and the picture ends on the level of training
 * step 1, not on a clean one. */
static void walk_down(struct sdg_schedule *s, const struct sdg_levels *l, int entries, int stride)
{
    s->steps = entries - 1;
    for (int i = 0; i <= s->steps; i++) {
        const int t = entry(i, entries, stride);
        s->sigmas[i] = l->sigma[t];
        if (i > 0) s->abar_next[i - 1] = l->abar[t];
        if (i == s->steps) break;
        s->timesteps[i] = (float)t;
        s->abar[i] = l->abar[t];
    }
}

/* UniPC takes as many equal steps of time from 1 to 1/1000 as the list has entries, timestep
 * 1000 time - 1, and places ln sqrt(abar) between those of the trained steps. */
static void equal_times(struct sdg_schedule *s, const struct sdg_levels *l, int entries)
{
    s->steps = entries < SDG_MAX_STEPS ? entries : SDG_MAX_STEPS;
    for (int i = 0; i <= s->steps; i++) {
        const float time = sdg_linspace(1, (float)(1.0 / SDG_TRAIN_STEPS), i, s->steps + 1);
        const float t = (time - (float)(1.0 / SDG_TRAIN_STEPS)) * SDG_TRAIN_STEPS;
        const float at = fminf(fmaxf(t, 0), LAST);
        const int low = at < LAST ? (int)at : LAST - 1;
        const float from = 0.5f * logf(l->abar[low]), to = 0.5f * logf(l->abar[low + 1]);
        const float abar = expf(2 * (from + (at - (float)low) * (to - from)));
        s->sigmas[i] = sqrtf((1 - abar) / abar);
        if (i > 0) s->abar_next[i - 1] = abar;
        if (i == s->steps) break;
        s->timesteps[i] = t;
        s->abar[i] = abar;
    }
}

sdgen_status sdg_schedule_timesteps(struct sdg_schedule *s, const struct sdg_schedule_request *r,
                                    const struct sdg_sampler *sampler, const struct sdg_levels *l,
                                    sdgen_error *err)
{
    const bool unipc = sampler == &sdg_sampler_unipc || sampler == &sdg_sampler_unipc_bh2;
    const int n = r->steps + r->discard_penultimate; /* A1111 counts one on and leaves none out */
    const int stride = n <= SDG_TRAIN_STEPS ? SDG_TRAIN_STEPS / n : 1;
    const int entries = LAST / stride + 1;
    if (l->prediction == SDG_PREDICT_EDM_V)
        return sdg_fail(err, SDGEN_ERR_ARG,
                        "--sampling-method %s: means timesteps 0 to %d, which an EDM model does "
                        "not have",
                        sampler->name, LAST);
    if (n > SDG_TRAIN_STEPS)
        return sdg_fail(err, SDGEN_ERR_ARG, "--steps %d: with --discard-penultimate at most %d",
                        r->steps, SDG_TRAIN_STEPS - 1);
    if (!unipc && entries < 2)
        return sdg_fail(err, SDGEN_ERR_ARG,
                        "--steps %d: %s under --like a1111 calls the model steps - 1 times; use at "
                        "least 2",
                        r->steps, sampler->label);
    if (unipc)
        equal_times(s, l, entries);
    else
        walk_down(s, l, entries, stride);
    s->init_sigma = 1;
    return SDGEN_OK;
}
