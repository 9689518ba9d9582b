/* guidance.c - see guidance.h. Guiding the network's output is guiding the denoised image, for each
 * prediction type gives the latter as a linear function of the former; programs do one or the other
 * and differ by rounding only. Not so the rescaling, which depends on the scale of what is
 * rescaled.
 *
 * Sources: AUTOMATIC1111 stable-diffusion-webui 1.10, modules/sd_samplers_cfg_denoiser.py (forward,
 * combine_denoised); diffusers, guiders/classifier_free_guidance.py (interval) and
 * pipelines/stable_diffusion/pipeline_stable_diffusion.py (rescale_noise_cfg); ComfyUI,
 * comfy_extras/nodes_model_advanced.py (RescaleCFG). */
#include "sampling/guidance.h"

#include <math.h>

/* Which share of the run step `step` lies in: diffusers rounds both ends down to whole steps. An
 * end of 1 is never passed: samplers that ask more often than once a step (DPM adaptive, Heun++)
 * go on counting under A1111. */
static bool in_interval(const struct sdg_guidance *g, int step, int steps)
{
    return step >= (int)(g->start * steps) && (g->end >= 1 || step < (int)(g->end * steps));
}

/* Steps on which A1111 leaves out the uncond pass: the first ones (the step at the share itself
 * included), and below a level every odd one, or all. */
static bool skipped(const struct sdg_guidance *g, int step, int steps, float sigma)
{
    if (g->skip_early != 0 && (double)step / steps <= g->skip_early) return true;
    return (step % 2 || g->min_sigma_all_steps) && g->min_sigma > 0 && (double)sigma < g->min_sigma;
}

bool sdg_guidance_wants_uncond(const struct sdg_guidance *g, int step, int steps, float sigma)
{
    const bool acts = g->above_one ? g->scale > 1 : g->scale != 1;
    return acts && in_interval(g, step, steps) && !skipped(g, step, steps, sigma);
}

/* An affine map of the network's output to v: v = (a out + b input). Rescaling v by k then means
 * out' = k out + (1 - k) shift input, with shift = -b/a. */
struct to_v {
    double a, b;
};

/* With s = sigma^2 + 1: eps: v = sqrt(s) eps - sigma input; x0: v = (input/sqrt(s) - x0)
 * sqrt(s)/sigma; from input = (x0 + sigma eps)/sqrt(s) and v = (eps - sigma x0)/sqrt(s). */
static struct to_v to_v_of(double sigma, enum sdg_prediction prediction)
{
    const double root = sqrt(sigma * sigma + 1);
    if (prediction == SDG_PREDICT_EPS) return (struct to_v) {root, -sigma};
    if (prediction == SDG_PREDICT_X0 && sigma > 0) return (struct to_v) {-root / sigma, 1 / sigma};
    return (struct to_v) {1, 0};
}

/* Mean and standard deviation as they come in, by the update of Welford 1962. */
struct spread {
    double mean, sum;
};

static void take(struct spread *s, double value, size_t i)
{
    const double off = value - s->mean;
    s->mean += off / (double)(i + 1);
    s->sum += off * (value - s->mean);
}

/* Value i guided, or, with factor 1, merely mixed by the prompts' weights. */
static float mixed(const float *const *cond, const float *weight, int conds, const float *base,
                   double factor, size_t i)
{
    const float from = base[i];
    float y = from;
    for (int k = 0; k < conds; k++) y += (cond[k][i] - from) * (float)((double)weight[k] * factor);
    return y;
}

/* k of Lin et al. 2023, eq. 15 and 16: phi std(cond)/std(guided) + 1 - phi, std over the image with
 * count - 1 in the divisor. 1 where nothing can be compared. */
static double factor_of(const float *const *cond, const float *weight, int conds,
                        const float *uncond, const struct sdg_guidance *g, struct to_v v,
                        const float *input, size_t count)
{
    const bool alone = conds == 1 && weight[0] == 1;
    struct spread plain = {0}, guided = {0};
    for (size_t i = 0; i < count; i++) {
        const double shift = v.b != 0 ? v.b * (double)input[i] : 0;
        const float c = alone ? cond[0][i] : mixed(cond, weight, conds, uncond, 1, i);
        take(&plain, v.a * (double)c + shift, i);
        take(&guided, v.a * (double)mixed(cond, weight, conds, uncond, g->scale, i) + shift, i);
    }
    if (!(guided.sum > 0)) return 1;
    return g->rescale * sqrt(plain.sum / guided.sum) + (1 - g->rescale);
}

void sdg_guide(float *out, const float *const *cond, const float *weight, int conds,
               const float *uncond, const struct sdg_guidance *g, enum sdg_like like,
               const float *input, float sigma, enum sdg_prediction prediction, size_t count)
{
    if (!uncond) { /* A1111 puts the first prompt in its place and guides by 1 */
        for (size_t i = 0; i < count; i++) out[i] = mixed(cond, weight, conds, cond[0], 1, i);
        return;
    }
    if (g->rescale == 0) {
        for (size_t i = 0; i < count; i++) out[i] = mixed(cond, weight, conds, uncond, g->scale, i);
        return;
    }
    struct to_v v = {1, 0}; /* diffusers rescales what the network says, whatever that is */
    if (like == SDG_LIKE_COMFYUI) v = to_v_of((double)sigma, prediction);
    const double k = factor_of(cond, weight, conds, uncond, g, v, input, count);
    const float scale = (float)k, shift = (float)((1 - k) * -v.b / v.a);
    for (size_t i = 0; i < count; i++) {
        const float y = scale * mixed(cond, weight, conds, uncond, g->scale, i);
        out[i] = shift != 0 ? y + shift * input[i] : y;
    }
}
