/* dpm_adaptive.c - DPM-Solver-23 with steps of a width of its own choice (Lu et al. 2022, appendix
 * C): a step of order 2 and one of order 3 from the same evaluations; their difference, relative to
 * a tolerance, says whether the step counts and how wide the next one is. Three evaluations a
 * trial, as many trials as it takes. It follows no schedule but its ends, and stops at the lowest
 * level.
 *
 *   delta = max(atol, rtol max(|low|, |low before|))     error = |(low - high)/delta|_2 / sqrt(N)
 *   h' = h (1 + atan(error^(-1/3) - 1)), counts when h'/h >= 0.81; exponent -2/3 with eta
 *
 * The width belongs to the batch as a whole, as in the original: images of a batch are not
 * independent here.
 *
 * k-diffusion sampling.py (sample_dpm_adaptive, PIDStepSizeController with its defaults: only the
 * integral part); A1111 modules/sd_samplers_kdiffusion.py hands it the range of the model and its
 * own eta (1), ComfyUI comfy/samplers.py the range of the schedule and eta 0. */
#include <math.h>
#include <string.h>
#include "sampling/dpm_solver.h"
#include "sampling/samplers_all.h"
#include "sampling/sigma_space.h"

#define RELATIVE 0.05f
#define ABSOLUTE 0.0078f
#define FIRST_WIDTH 0.05
#define SAFETY 0.81
#define TINY 1e-8

static double error_of(const float *low, const float *high, const float *before, size_t count)
{
    double sum = 0;
    for (size_t j = 0; j < count; j++) {
        const float size = fmaxf(fabsf(low[j]), fabsf(before[j]));
        const double e = (double)((low[j] - high[j]) / fmaxf(ABSOLUTE, RELATIVE * size));
        sum += e * e;
    }
    return sqrt(sum) / sqrt((double)count);
}

/* low and high [n][len]: both orders of a step to `to`, sharing two of three evaluations. */
static bool trial(struct sdg_dpm_solver *d, float *low, float *high, float to)
{
    if (!sdg_dpm_begin(d) || !sdg_dpm_inside(d, to, 1.0f / 3)) return false;
    sdg_dpm_step2(d, low, to, 1.0f / 3);
    return sdg_dpm_step3(d, high, to);
}

/* What a trial of width *width says: whether it counts; *width becomes that of the next. An error
 * that is not a number counts: it would never become one. */
static bool counts(double *width, double error, double order)
{
    const double factor = 1 + atan(pow(1 / (error + TINY), 1 / order) - 1);
    *width *= factor;
    return !(factor < SAFETY);
}

static bool run(struct sdg_sampling *s)
{
    const size_t count = s->n * s->len, bytes = count * sizeof *s->x;
    const double order = s->options.eta > 0 ? 1.5 : 3;
    float *low = s->buffer[SDG_DPM_BUFFERS], *high = s->buffer[SDG_DPM_BUFFERS + 1];
    float *before = s->buffer[SDG_DPM_BUFFERS + 2], end;
    double width = FIRST_WIDTH;
    struct sdg_dpm_solver d;
    sdg_dpm_open(&d, s);
    sdg_dpm_range(&d.t, &end, s);
    memcpy(before, s->x, bytes);
    while (d.t < end - 1e-5f) {
        float up;
        const float next = fminf(end, d.t + (float)width);
        const float to = sdg_dpm_ancestral(&up, s, d.t, next, end);
        if (!trial(&d, low, high, to)) return false;
        if (!counts(&width, error_of(low, high, before, count), order)) continue;
        memcpy(before, low, bytes);
        memcpy(s->x, high, bytes);
        if (s->options.eta > 0) sdg_sigma_renoise(s, d.u, up);
        d.t = next;
        sdg_sigma_after(s, d.entry, NULL);
        if (d.entry < s->schedule->steps - 1) d.entry++;
    }
    return true;
}

const struct sdg_sampler sdg_sampler_dpm_adaptive = {
    .name = "dpm_adaptive",
    .label = "DPM adaptive",
    .aliases = "dpm_adaptive|k_dpm_ad|k_dpm_adaptive|sample_dpm_adaptive",
    .order = 3,
    .evaluations = 0,
    .buffers = SDG_DPM_BUFFERS + 3,
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
