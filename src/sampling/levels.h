/* levels.h - the noise levels a model was trained on.
 *
 * Training step t mixes x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) noise (Ho et al. 2020, eq. 4),
 * with abar_t = prod_{i<=t} (1 - beta_i) and, for Stable Diffusion, beta "scaled linear" from
 * 0.00085 to 0.012 over 1000 steps: linear in its square root. Divided by sqrt(abar_t) the same mix
 * reads x = x_0 + sigma_t noise, sigma_t = sqrt((1 - abar_t) / abar_t): sigma space (Karras et al.
 * 2022). */
#ifndef SDG_SAMPLING_LEVELS_H
#define SDG_SAMPLING_LEVELS_H

#include <stdbool.h>

enum { SDG_TRAIN_STEPS = 1000 };

/* Whose arithmetic and conventions: k-diffusion inside A1111, diffusers' scheduler classes,
 * ComfyUI, stable-diffusion.cpp. */
enum sdg_like {
    SDG_LIKE_A1111,
    SDG_LIKE_DIFFUSERS,
    SDG_LIKE_COMFYUI,
    SDG_LIKE_SDCPP,
    SDG_LIKE_COUNT
};

/* What the network was trained to say about its input. */
enum sdg_prediction {
    SDG_PREDICT_EPS,   /* the noise (Ho et al. 2020) */
    SDG_PREDICT_V,     /* sqrt(abar) noise - sqrt(1-abar) x0 (Salimans & Ho 2022, appendix D) */
    SDG_PREDICT_X0,    /* the clean latent */
    SDG_PREDICT_EDM_V, /* v under EDM preconditioning, sigma_data 1, t = ln(sigma)/4 (CosXL) */
    SDG_PREDICT_COUNT
};

/* The originals compute the same formula in different precision and meet in f32. */
struct sdg_levels {
    enum sdg_like like;
    enum sdg_prediction prediction;
    bool zero_terminal_snr; /* betas rescaled (Lin et al. 2023, algorithm 1) */
    float abar[SDG_TRAIN_STEPS];
    float sigma[SDG_TRAIN_STEPS];
    float log_sigma[SDG_TRAIN_STEPS];
    float sigma_min, sigma_max; /* range of the levels: sigma[0], sigma[999]; EDM: 0.002, 120 */
};
void sdg_levels_init(struct sdg_levels *l, enum sdg_like like, enum sdg_prediction prediction,
                     bool zero_terminal_snr);

/* The timestep that the program of l->like shows the network at level sigma: between the trained
 * levels by interpolation in log sigma (k-diffusion, diffusers, stable-diffusion.cpp) or the
 * nearest one (ComfyUI). */
float sdg_levels_timestep(const struct sdg_levels *l, double sigma);

/* The level of a (fractional) timestep, interpolated in log sigma. */
float sdg_levels_sigma(const struct sdg_levels *l, double t);

/* The index `low` of the pair of levels low, low + 1 between which log_sigma lies; the first or the
 * last pair when it lies outside. */
int sdg_levels_bracket(const struct sdg_levels *l, double log_sigma);

/* Value i of n from a to b in f32: a + i*step in the first half, b - (n-1-i)*step in the second, as
 * torch.linspace counts from the nearer end. n 1: a. */
float sdg_linspace(float a, float b, int i, int n);

#endif
