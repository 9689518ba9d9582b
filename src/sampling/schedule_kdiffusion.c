/* schedule_kdiffusion.c - lists made by a formula, in the order of operations of the originals.
 * Sources: k-diffusion, external.py (DiscreteSchedule) and sampling.py (get_sigmas_*);
 * AUTOMATIC1111 stable-diffusion-webui 1.10, modules/sd_schedulers.py; ComfyUI, comfy/samplers.py;
 * stable-diffusion.cpp, src/runtime/denoiser.hpp. A schedule that a program does not have is
 * computed as the one does that has it. */
#include "sampling/schedule_families.h"

#include <math.h>
#include "sampling/beta_quantile.h"

enum { LAST = SDG_TRAIN_STEPS - 1 };
#define KARRAS_RHO 7.0 /* Karras et al. 2022, section 3.2 */
#define BETA_SHAPE 0.6 /* Lee et al. 2024, "Beta sampling is all you need" */
#define VP_BETA_D 19.9f
#define VP_BETA_MIN 0.1f
#define VP_END 1e-3f
#define LINEAR_THRESHOLD 0.025

static bool is_sdcpp(const struct sdg_sigma_list *a)
{
    return a->l->like == SDG_LIKE_SDCPP;
}

/* ---- timesteps in equal parts ---- */

/* stable-diffusion.cpp's level of a training step, also of EDM models. */
static float level_sdcpp(const struct sdg_levels *l, float t)
{
    if (l->prediction == SDG_PREDICT_EDM_V) return expf(t * 4 / (float)SDG_TRAIN_STEPS);
    return sdg_levels_sigma(l, (double)t);
}

/* The whole trained range, or the timesteps of a narrower one. */
static void ends(const struct sdg_sigma_list *a, float *from, float *to)
{
    *from = sdg_levels_timestep(a->l, a->max);
    *to = sdg_levels_timestep(a->l, a->min);
}

/* From the noisiest timestep to the cleanest, both included. stable-diffusion.cpp counts down by a
 * rounded stride. */
static void discrete(struct sdg_sigma_list *a)
{
    float from, to;
    ends(a, &from, &to);
    const float stride = a->n > 1 ? (float)LAST / (float)(a->n - 1) : 0;
    for (int i = 0; i < a->n; i++)
        a->sigma[i] = is_sdcpp(a) ? level_sdcpp(a->l, fmaxf((float)LAST - stride * (float)i, 0))
                                  : sdg_levels_sigma(a->l, (double)sdg_linspace(from, to, i, a->n));
    a->count = a->n;
}

/* In n + 1 parts without the last: the step to 0 is as long as the others. */
static void sgm_uniform(struct sdg_sigma_list *a)
{
    float from, to, t = LAST;
    ends(a, &from, &to);
    for (int i = 0; i < a->n; i++, t += -(float)LAST / (float)a->n)
        a->sigma[i] = is_sdcpp(a)
                          ? level_sdcpp(a->l, t)
                          : sdg_levels_sigma(a->l, (double)sdg_linspace(from, to, i, a->n + 1));
    a->count = a->n;
}

/* ---- functions of the range ---- */

/* sigma_i = (smax^(1/rho) + i/(n-1) (smin^(1/rho) - smax^(1/rho)))^rho (Karras et al. 2022, eq. 5)
 */
static void karras(struct sdg_sigma_list *a)
{
    const double rho = a->rho > 0 ? a->rho : KARRAS_RHO;
    const float power = (float)rho;
    if (is_sdcpp(a)) {
        const float last = powf(fmaxf((float)a->min, 1e-6f), 1.0f / power);
        const float first = powf((float)a->max, 1.0f / power);
        for (int i = 0; i < a->n; i++)
            a->sigma[i] = powf(first + (float)i / ((float)a->n - 1.0f) * (last - first), power);
    } else {
        const double first = pow(a->max, 1.0 / rho), last = pow(a->min, 1.0 / rho);
        const float from = (float)first, way = (float)(last - first);
        for (int i = 0; i < a->n; i++)
            a->sigma[i] = powf(from + sdg_linspace(0, 1, i, a->n) * way, power);
    }
    a->count = a->n;
}

/* Equal parts of log sigma. */
static void exponential(struct sdg_sigma_list *a)
{
    if (is_sdcpp(a)) {
        const float first = logf((float)a->max), last = logf((float)a->min);
        const float stride = (first - last) / (float)(a->n - 1);
        for (int i = 0; i < a->n; i++) a->sigma[i] = expf(first - stride * (float)i);
    } else {
        const float first = (float)log(a->max), last = (float)log(a->min);
        for (int i = 0; i < a->n; i++) a->sigma[i] = expf(sdg_linspace(first, last, i, a->n));
    }
    a->count = a->n;
}

/* log sigma = (1 - i/(n-1))^rho log(smax/smin) + log smin */
static void polyexponential(struct sdg_sigma_list *a)
{
    const float way = (float)(log(a->max) - log(a->min)), last = (float)log(a->min);
    const float rho = a->rho > 0 ? (float)a->rho : 1;
    for (int i = 0; i < a->n; i++) {
        const float ramp = sdg_linspace(1, 0, i, a->n);
        a->sigma[i] = expf((rho == 1 ? ramp : powf(ramp, rho)) * way + last);
    }
    a->count = a->n;
}

/* sigma^2 = exp(beta_d t^2/2 + beta_min t) - 1, t from 1 to 0.001 (Song et al. 2021, eq. 29) */
static void vp(struct sdg_sigma_list *a)
{
    for (int i = 0; i < a->n; i++) {
        const float t = sdg_linspace(1, VP_END, i, a->n);
        a->sigma[i] = sqrtf(expf(VP_BETA_D * (t * t) / 2 + VP_BETA_MIN * t) - 1);
    }
    a->count = a->n;
}

/* Quantiles of the beta distribution across the range, both ends included; A1111's reading of Lee
 * et al. 2024. The other programs': schedule_timesteps.c. */
static void beta(struct sdg_sigma_list *a)
{
    for (int i = 0; i < a->n; i++) {
        const double p = a->n == 1 ? 1 : i == a->n - 1 ? 0 : 1 - i * (1.0 / (a->n - 1));
        const double place = sdg_beta_quantile(p, BETA_SHAPE, BETA_SHAPE);
        a->sigma[i] = (float)(a->min + place * (a->max - a->min));
    }
    a->count = a->n;
}

/* Equal parts of arctan sigma (Sabour et al. 2024, eq. 4 with KL-optimal sampling). A1111 puts n +
 * 1 values from end to end and stops on the lowest; the others n values, then 0. */
static void kl_optimal(struct sdg_sigma_list *a)
{
    const bool a1111 = a->l->like == SDG_LIKE_A1111, single = is_sdcpp(a) && a->n == 1;
    const bool wide = a->l->like == SDG_LIKE_COMFYUI; /* math.atan, then f32 */
    const float last = wide ? (float)atan(a->min) : atanf(fmaxf((float)a->min, 1e-6f));
    const float first = wide ? (float)atan(a->max) : atanf((float)a->max);
    const int parts = a1111 ? a->n : a->n - 1;
    a->count = a1111 ? a->n + 1 : a->n;
    for (int i = 0; i < a->count; i++) {
        const float part = (float)i / (float)parts;
        a->sigma[i] = single ? (float)a->max : tanf(part * last + (1.0f - part) * first);
    }
}

/* For the first half of the steps sigma falls by 2.5 % of its top altogether, then along a parabola
 * that joins smoothly and ends on 0 (from Mochi, genmoai/models, src/mochi_preview/infer.py). */
static void linear_quadratic(struct sdg_sigma_list *a)
{
    const int n = a->n, half = n / 2, rest = n - half;
    const double lag = half - LINEAR_THRESHOLD * n;
    const double square = lag / ((double)half * rest * rest);
    const double line = LINEAR_THRESHOLD / half - 2 * lag / ((double)rest * rest);
    for (int i = 0; i < n; i++) {
        double done = 0;
        if (i > 0)
            done = i < half ? i * LINEAR_THRESHOLD / half
                            : square * i * i + line * i + square * ((double)half * half);
        a->sigma[i] = (float)(1 - done) * a->l->sigma_max;
    }
    a->count = n;
}

/* ---- bong tangent ---- */

/* a->sigma gets `count` levels along arctan(-slope (x - pivot)), stretched to reach from `from` to
 * `to`; the last `cut` of them left out. */
static void tangent(struct sdg_sigma_list *a, int count, int cut, float slope, float pivot,
                    float from, float to)
{
    const float pi = 3.14159265358979323846f;
#define CURVE(x) (((2.0f / pi) * atanf(-slope * ((x)-pivot)) + 1.0f) * 0.5f)
    const float high = CURVE(0.0f), low = CURVE((float)(count - 1));
    const float scale = 1.0f / (high - low);
    for (int x = 0; x < count - cut; x++)
        a->sigma[a->count++] =
            fabsf(high - low) < 1e-8f ? from : (CURVE((float)x) - low) * scale * (from - to) + to;
#undef CURVE
}

/* Two arcs that meet in the middle of the range, 60 % of the steps on the upper one, cut or filled
 * up to n levels. */
static void bong_tangent(struct sdg_sigma_list *a)
{
    const float first = (float)a->max, last = (float)a->min;
    const float middle = last + (first - last) * 0.5f;
    const int steps = a->n + 2, upper = (int)((float)steps * 0.6f);
    const float slope = 0.2f / ((float)steps / 40.0f);
    tangent(a, upper, 1, slope, (float)upper, first, middle);
    tangent(a, steps - upper, 0, slope, 0, middle, last);
    while (a->count < a->n) a->sigma[a->count++] = last;
    a->count = a->n;
}

void sdg_list_formula(struct sdg_sigma_list *a)
{
    switch (a->r->scheduler) {
    case SDG_SCHEDULER_KARRAS: karras(a); break;
    case SDG_SCHEDULER_EXPONENTIAL: exponential(a); break;
    case SDG_SCHEDULER_POLYEXPONENTIAL: polyexponential(a); break;
    case SDG_SCHEDULER_SGM_UNIFORM: sgm_uniform(a); break;
    case SDG_SCHEDULER_BETA: beta(a); break;
    case SDG_SCHEDULER_KL_OPTIMAL: kl_optimal(a); break;
    case SDG_SCHEDULER_LINEAR_QUADRATIC: linear_quadratic(a); break;
    case SDG_SCHEDULER_VP: vp(a); break;
    case SDG_SCHEDULER_BONG_TANGENT: bong_tangent(a); break;
    default: discrete(a); break;
    }
    if (a->r->scheduler != SDG_SCHEDULER_KL_OPTIMAL || a->l->like != SDG_LIKE_A1111)
        a->sigma[a->count++] = 0;
}
