/* dpm_fast.c - DPM-Solver-fast (Lu et al. 2022, section 3.4): n evaluations shared out to steps of
 * order 3 that are even in ln sigma, with one or two of lower order at the end. It stops at the
 * lowest level, not at 0, and follows no schedule but its ends.
 *
 * k-diffusion sampling.py (sample_dpm_fast); A1111 modules/sd_samplers_kdiffusion.py, which hands
 * it the range of the model and its own eta (1); ComfyUI comfy/samplers.py, the range of the
 * schedule and eta 0. */
#include "sampling/dpm_solver.h"
#include "sampling/samplers_all.h"
#include "sampling/sigma_space.h"

/* The order of step i of `count`, for n evaluations in all. */
static int order_of(int i, int count, int n)
{
    if (n % 3 == 0) return i < count - 2 ? 3 : count - i; /* 3 ... 3 2 1 */
    return i < count - 1 ? 3 : n % 3;
}

static bool step(struct sdg_dpm_solver *d, float to, int order)
{
    if (!sdg_dpm_begin(d)) return false;
    if (order == 1) {
        sdg_dpm_step1(d, d->s->x, to);
        return true;
    }
    const float r1 = order == 2 ? 0.5f : 1.0f / 3;
    d->entry++;
    if (!sdg_dpm_inside(d, to, r1)) return false;
    if (order == 2) {
        sdg_dpm_step2(d, d->s->x, to, r1);
        return true;
    }
    d->entry++;
    return sdg_dpm_step3(d, d->s->x, to);
}

static bool run(struct sdg_sampling *s)
{
    const int n = s->schedule->steps, count = n / 3 + 1;
    struct sdg_dpm_solver d;
    float start, end;
    sdg_dpm_open(&d, s);
    sdg_dpm_range(&start, &end, s);
    for (int i = 0; i < count; i++) {
        const float next = sdg_linspace(start, end, i + 1, count + 1);
        float up;
        d.t = sdg_linspace(start, end, i, count + 1);
        const float to = sdg_dpm_ancestral(&up, s, d.t, next, end);
        if (!step(&d, to, order_of(i, count, n))) return false;
        if (s->options.eta > 0) sdg_sigma_renoise(s, d.u, up);
        sdg_sigma_after(s, d.entry, NULL);
        d.entry++;
    }
    return true;
}

const struct sdg_sampler sdg_sampler_dpm_fast = {
    .name = "dpm_fast",
    .label = "DPM fast",
    .aliases = "dpm_fast|k_dpm_fast|sample_dpm_fast",
    .order = 2, /* 3, but for the last one or two steps */
    .evaluations = 1,
    .buffers = SDG_DPM_BUFFERS,
    .stochastic = true,
    .takes = SDG_TAKES_ETA | SDG_TAKES_S_NOISE,
    .way =
        {
            [SDG_LIKE_A1111] =
                {.run = run, .calls = 1, .default_eta = 1, .schedulers = SDG_SCHEDULERS_A1111},
            [SDG_LIKE_DIFFUSERS] = {.run = run,
                                    .borrowed = true,
                                    .calls = 1,
                                    .schedulers = SDG_SCHEDULERS_OF_CLASS,
                                    .own_scheduler = SDG_SCHEDULER_LEADING},
            [SDG_LIKE_COMFYUI] = {.run = run, .calls = 1, .schedulers = SDG_SCHEDULERS_COMFYUI},
            [SDG_LIKE_SDCPP] =
                {.run = run, .borrowed = true, .calls = 1, .schedulers = SDG_SCHEDULERS_SDCPP},
        },
};
