/* restart.c - Restart sampling (Xu et al. 2023, algorithm 1): Heun's method, but from 20 steps on
 * the walk goes back up once (from 36 on twice) from near level 0.1 to near level 2, by fresh noise
 * of sqrt(top^2 - bottom^2), and comes down again: what the ODE got wrong is partly forgotten. All
 * in all as many Heun steps as were asked for.
 *
 * A1111 modules/sd_samplers_extra.py (restart_sampler): below 20 steps the schedule as it is; else
 * a Karras list of its own between the schedule's ends, and another from 2 to 0.1. */
#include <math.h>
#include "sampling/samplers_all.h"
#include "sampling/sigma_space.h"

#define LOW 0.1f
#define HIGH 2.0f

/* The way as pairs of levels; where a pair does not start at the end of the one before, noise. */
struct way {
    float from[SDG_MAX_STEPS], to[SDG_MAX_STEPS];
    int count;
};

static void add(struct way *w, float from, float to)
{
    if (w->count == SDG_MAX_STEPS) return;
    w->from[w->count] = from;
    w->to[w->count++] = to;
}

static int nearest(const float *sigmas, int count, float wanted)
{
    int best = 0;
    for (int i = 1; i < count; i++)
        if (fabsf(sigmas[i] - wanted) < fabsf(sigmas[best] - wanted)) best = i;
    return best;
}

static void plan(struct way *w, const struct sdg_schedule *schedule)
{
    const int steps = schedule->steps, times = steps >= 36 ? 2 : steps >= 20 ? 1 : 0;
    const int again = steps >= 36 ? steps / 4 : 9, main = steps - again * times;
    const float *sigmas = schedule->sigmas;
    float list[SDG_MAX_STEPS + 1] = {0}, loop[SDG_MAX_STEPS];
    w->count = 0;
    if (!times) {
        for (int i = 0; i < steps; i++) add(w, sigmas[i], sigmas[i + 1]);
        return;
    }
    sdg_sigma_karras(list, main, sigmas[steps - 1], sigmas[0]);
    const int bottom = nearest(list, main + 1, LOW), top = nearest(list, main + 1, HIGH);
    for (int i = 0; i < main; i++) {
        add(w, list[i], list[i + 1]);
        if (i + 1 != bottom || top >= bottom) continue;
        sdg_sigma_karras(loop, again + 1, list[bottom], list[top]);
        for (int k = 0; k < times; k++)
            for (int j = 0; j < again; j++) add(w, loop[j], loop[j + 1]);
    }
}

/* x [n][len] from level `from` to level `to` by Heun's method. */
static bool step(struct sdg_sampling *s, float from, float to, int entry)
{
    float *denoised = s->buffer[0], *d = s->buffer[1], *x2 = s->buffer[2], *d2 = s->buffer[3];
    if (!sdg_denoise(s, denoised, NULL, s->x, from, entry)) return false;
    if (to == 0) {
        sdg_sigma_euler(s, s->x, s->x, denoised, from, to);
        return true;
    }
    sdg_sigma_slope(s, d, s->x, denoised, from);
    sdg_sigma_mix(s, x2, 1, s->x, to - from, d);
    if (!sdg_denoise(s, d2, NULL, x2, to, entry)) return false;
    sdg_sigma_slope(s, d2, x2, d2, to);
    for (size_t j = 0; j < s->n * s->len; j++) s->x[j] += (d[j] + d2[j]) / 2 * (to - from);
    return true;
}

static bool run(struct sdg_sampling *s)
{
    struct way w;
    plan(&w, s->schedule);
    for (int i = 0; i < w.count; i++) {
        const float last = i ? w.to[i - 1] : w.from[0], from = w.from[i];
        if (last < from) sdg_sigma_renoise(s, s->buffer[1], sqrtf(from * from - last * last));
        if (!step(s, from, w.to[i], i)) return false;
        sdg_sigma_after(s, i, s->buffer[0]);
    }
    return true;
}

const struct sdg_sampler sdg_sampler_restart = {
    .name = "restart",
    .label = "Restart",
    .aliases = "restart|k_restart|restart_sampler",
    .order = 2,
    .evaluations = 2,
    .buffers = 4,
    .stochastic = true, /* from 20 steps on */
    .takes = SDG_TAKES_S_NOISE,
    .way =
        {
            [SDG_LIKE_A1111] = {.run = run,
                                .calls = 2,
                                .schedulers = SDG_SCHEDULERS_A1111,
                                .own_scheduler = SDG_SCHEDULER_KARRAS},
            [SDG_LIKE_DIFFUSERS] = {.run = run,
                                    .borrowed = true,
                                    .calls = 1,
                                    .schedulers = SDG_SCHEDULERS_OF_CLASS,
                                    .own_scheduler = SDG_SCHEDULER_KARRAS},
            [SDG_LIKE_COMFYUI] = {.run = run,
                                  .borrowed = true,
                                  .calls = 1,
                                  .schedulers = SDG_SCHEDULERS_COMFYUI,
                                  .own_scheduler = SDG_SCHEDULER_KARRAS},
            [SDG_LIKE_SDCPP] = {.run = run,
                                .borrowed = true,
                                .calls = 1,
                                .schedulers = SDG_SCHEDULERS_SDCPP,
                                .own_scheduler = SDG_SCHEDULER_KARRAS},
        },
};
