/* prediction.c - see prediction.h. A noised latent is written in two scales: x = x0 + sigma noise
 * (Karras et al. 2022), and the network's own, divided by sqrt(sigma^2 + 1), where it reads
 * sqrt(abar) x0 + sqrt(1 - abar) noise with abar = 1/(sigma^2 + 1). A network may name the noise,
 * the clean latent or a mix of both, v; given x each determines the other two.
 *
 * f32 in the order of k-diffusion, external.py (CompVisDenoiser, CompVisVDenoiser) for the first
 * scale and of diffusers, schedulers/scheduling_ddim.py (step) for the second. */
#include "sampling/prediction.h"

#include <math.h>

float sdg_input_scale(float sigma)
{
    return 1.0f / sqrtf(sigma * sigma + 1.0f);
}

/* eps: D = x - sigma out. v: with s = sigma^2 + 1, D = x/s - out sigma/sqrt(s). EDM-v is v of a
 * model whose sigma_data is 1 (Karras et al. 2022, table 1, last column, with v for F: ComfyUI,
 * comfy/model_sampling.py, V_PREDICTION): the same line; only its levels and timesteps are its own.
 */
void sdg_denoised_of(float *denoised, const float *x, const float *output, float sigma,
                     enum sdg_prediction prediction, size_t count)
{
    float keep = 0.0f, take = 1.0f; /* D = keep x + take out */
    if (prediction == SDG_PREDICT_EPS) {
        keep = 1.0f;
        take = -sigma;
    } else if (prediction == SDG_PREDICT_V || prediction == SDG_PREDICT_EDM_V) {
        const float s = sigma * sigma + 1.0f;
        keep = 1.0f / s;
        take = -sigma / sqrtf(s);
    }
    if (prediction == SDG_PREDICT_X0) /* not 0 x + out: x may be infinite */
        for (size_t i = 0; i < count; i++) denoised[i] = output[i];
    else
        for (size_t i = 0; i < count; i++) denoised[i] = output[i] * take + x[i] * keep;
}

/* With a = sqrt(abar), b = sqrt(1 - abar), so that x = a x0 + b eps:
 *   eps   x0 = (x - b out)/a
 *   x0    eps = (x - a out)/b
 *   v     x0 = a x - b out, eps = a out + b x (Salimans & Ho 2022, appendix D) */
void sdg_split_output(float *eps, float *x0, const float *x, const float *output, float abar,
                      enum sdg_prediction prediction, size_t count)
{
    const float a = sqrtf(abar), b = sqrtf(1.0f - abar);
    for (size_t i = 0; i < count; i++) {
        const float out = output[i];
        float noise = out, clean = out;
        if (prediction == SDG_PREDICT_EPS) {
            clean = (x[i] - b * out) / a;
        } else if (prediction == SDG_PREDICT_X0) {
            noise = (x[i] - a * out) / b;
        } else {
            clean = a * x[i] - b * out;
            noise = a * out + b * x[i];
        }
        if (eps) eps[i] = noise;
        if (x0) x0[i] = clean;
    }
}
