/* levels.c - see levels.h. Sources: CompVis latent-diffusion, ldm/modules/diffusionmodules/util.py
 * (make_beta_schedule); k-diffusion, external.py; AUTOMATIC1111 stable-diffusion-webui,
 * modules/sd_models.py (rescale_zero_terminal_snr_abar); diffusers, schedulers/
 * scheduling_euler_discrete.py; ComfyUI, comfy/model_sampling.py; stable-diffusion.cpp,
 * src/stable-diffusion.cpp (calculate_alphas_cumprod) and src/runtime/denoiser.hpp. */
#include "sampling/levels.h"

#include <math.h>

#define BETA_FIRST 0.00085
#define BETA_LAST 0.012
#define ABAR_END_DIFFUSERS 0x1p-24f
#define ABAR_END 4.8973451890853435e-08 /* A1111 and ComfyUI: abar at t = 999 instead of 0 */
#define EDM_SIGMA_MIN 0.002             /* CosXL */
#define EDM_SIGMA_MAX 120.0

enum { LAST = SDG_TRAIN_STEPS - 1 };

float sdg_linspace(float a, float b, int i, int n)
{
    if (n == 1) return a;
    const float step = (b - a) / (float)(n - 1);
    return i < n / 2 ? a + step * (float)i : b - step * (float)(n - 1 - i);
}

/* ---- abar ---- */

/* 1 - beta_i: in f64 for latent-diffusion, in f32 for the other two, each step rounded; that alone
 * makes the tables differ: abar by up to 1e-6 of itself, sigma by 9e-6. */
static double alpha(int i, enum sdg_like like)
{
    if (like == SDG_LIKE_DIFFUSERS) {
        const float root =
            sdg_linspace((float)sqrt(BETA_FIRST), (float)sqrt(BETA_LAST), i, SDG_TRAIN_STEPS);
        return (double)(1.0f - root * root);
    }
    if (like == SDG_LIKE_SDCPP) {
        const float first = sqrtf((float)BETA_FIRST), last = sqrtf((float)BETA_LAST);
        const float root = first + (last - first) * ((float)i / (float)LAST);
        return (double)(1.0f - root * root);
    }
    const double root = sqrt(BETA_FIRST) + (sqrt(BETA_LAST) - sqrt(BETA_FIRST)) * i / LAST;
    return 1.0 - root * root;
}

/* Zero terminal SNR (Lin et al. 2023, algorithm 1): shift sqrt(abar) so that it ends on 0, stretch
 * it so that it begins where it did. */
static void rescale_f32(float *abar)
{
    const float first = sqrtf(abar[0]), last = sqrtf(abar[LAST]);
    for (int i = 0; i < SDG_TRAIN_STEPS; i++) {
        const float root = (sqrtf(abar[i]) - last) * (first / (first - last));
        abar[i] = root * root;
    }
}

/* diffusers goes through betas again and multiplies anew. */
static void rescale_diffusers(float *abar)
{
    double product = 1;
    rescale_f32(abar);
    float before = 1;
    for (int i = 0; i < SDG_TRAIN_STEPS; i++) {
        const float ratio = i ? abar[i] / before : abar[i], beta = 1 - ratio;
        before = abar[i];
        product *= (double)(1 - beta);
        abar[i] = (float)product;
    }
    abar[LAST] = ABAR_END_DIFFUSERS;
}

/* sigma and its logarithm from abar in f32. */
static void init_f32(struct sdg_levels *l)
{
    double product = 1; /* torch accumulates in f64 and stores f32; stable-diffusion.cpp in f32 */
    for (int i = 0; i < SDG_TRAIN_STEPS; i++) {
        product *= alpha(i, l->like);
        if (l->like == SDG_LIKE_SDCPP) product = (double)(float)product;
        l->abar[i] = (float)product;
    }
    if (l->zero_terminal_snr && l->like == SDG_LIKE_DIFFUSERS) {
        rescale_diffusers(l->abar);
    } else if (l->zero_terminal_snr) {
        rescale_f32(l->abar);
        l->abar[LAST] = (float)ABAR_END;
    }
    for (int i = 0; i < SDG_TRAIN_STEPS; i++) {
        l->sigma[i] = sqrtf((1.0f - l->abar[i]) / l->abar[i]);
        l->log_sigma[i] = logf(l->sigma[i]);
    }
}

/* ComfyUI: all in f64, from sigma, rounded at the end. */
static void init_f64(struct sdg_levels *l)
{
    double root[SDG_TRAIN_STEPS], product = 1;
    for (int i = 0; i < SDG_TRAIN_STEPS; i++) {
        product *= alpha(i, l->like);
        root[i] = sqrt(product);
    }
    const double first = root[0], last = root[LAST];
    for (int i = 0; i < SDG_TRAIN_STEPS; i++) {
        double abar = root[i] * root[i];
        if (l->zero_terminal_snr) {
            const double moved = (root[i] - last) * (first / (first - last));
            abar = i == LAST ? ABAR_END : moved * moved;
        }
        const double sigma = sqrt((1 - abar) / abar);
        l->abar[i] = (float)abar;
        l->sigma[i] = (float)sigma;
        l->log_sigma[i] = (float)log(sigma);
    }
}

/* ComfyUI's ModelSamplingContinuousEDM: any level from sigma_min to sigma_max may be asked for; the
 * table, even in log sigma, is for schedules that want one. */
static void init_edm(struct sdg_levels *l)
{
    for (int i = 0; i < SDG_TRAIN_STEPS; i++) {
        l->sigma[i] = expf(
            sdg_linspace((float)log(EDM_SIGMA_MIN), (float)log(EDM_SIGMA_MAX), i, SDG_TRAIN_STEPS));
        l->log_sigma[i] = logf(l->sigma[i]);
        l->abar[i] = 1 / (l->sigma[i] * l->sigma[i] + 1);
    }
}

void sdg_levels_init(struct sdg_levels *l, enum sdg_like like, enum sdg_prediction prediction,
                     bool zero_terminal_snr)
{
    const bool edm = prediction == SDG_PREDICT_EDM_V;
    l->like = like;
    l->prediction = prediction;
    l->zero_terminal_snr = zero_terminal_snr && !edm;
    if (edm)
        init_edm(l);
    else if (like == SDG_LIKE_COMFYUI)
        init_f64(l);
    else
        init_f32(l);
    const bool stated = edm && like == SDG_LIKE_SDCPP;
    l->sigma_min = stated ? (float)EDM_SIGMA_MIN : l->sigma[0];
    l->sigma_max = stated ? (float)EDM_SIGMA_MAX : l->sigma[LAST];
}

/* ---- between level and timestep ---- */

int sdg_levels_bracket(const struct sdg_levels *l, double log_sigma)
{
    int low = 0, high = LAST; /* log_sigma grows with the index */
    while (high - low > 1) {
        const int middle = (low + high) / 2;
        if (log_sigma >= (double)l->log_sigma[middle])
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* The first of the nearest levels, as torch's argmin picks it. */
static float nearest(const struct sdg_levels *l, float log_sigma)
{
    const int low = sdg_levels_bracket(l, (double)log_sigma);
    const float below = fabsf(log_sigma - l->log_sigma[low]);
    const float above = fabsf(log_sigma - l->log_sigma[low + 1]);
    return (float)(above < below ? low + 1 : low);
}

float sdg_levels_timestep(const struct sdg_levels *l, double sigma)
{
    const float log_sigma = logf((float)sigma);
    if (l->prediction == SDG_PREDICT_EDM_V) return 0.25f * log_sigma;
    if (l->like == SDG_LIKE_COMFYUI) return nearest(l, log_sigma);
    const bool wide = l->like == SDG_LIKE_DIFFUSERS; /* numpy keeps f64 */
    const double at = wide ? log(fmax(sigma, 1e-10)) : (double)log_sigma;
    const int low = sdg_levels_bracket(l, at);
    const float a = l->log_sigma[low], b = l->log_sigma[low + 1];
    if (wide) {
        const double w = fmin(fmax(((double)a - at) / (double)(a - b), 0), 1);
        return (float)((1 - w) * low + w * (low + 1));
    }
    const float w = fminf(fmaxf((a - log_sigma) / (a - b), 0.0f), 1.0f);
    return (1.0f - w) * (float)low + w * (float)(low + 1);
}

float sdg_levels_sigma(const struct sdg_levels *l, double t)
{
    if (l->prediction == SDG_PREDICT_EDM_V) return expf((float)t / 0.25f);
    const float at = fminf(fmaxf((float)t, 0), LAST);
    const int low = (int)floorf(at), high = (int)ceilf(at);
    const float w = at - floorf(at);
    return expf((1.0f - w) * l->log_sigma[low] + w * l->log_sigma[high]);
}
