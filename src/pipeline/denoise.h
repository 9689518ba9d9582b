/* denoise.h - the model as samplers see it: the UNet over all images of a batch, with every side of
 * the prompt and without it, made one by guidance. */
#ifndef SDG_PIPELINE_DENOISE_H
#define SDG_PIPELINE_DENOISE_H

#include "pipeline/conditioning.h"
#include "pipeline/plan.h"
#include "pipeline/unet_keys.h"

struct sdg_denoiser {
    const struct sdg_plan *plan;
    const struct sdg_unet *unet;
    struct sdg_ops *ops;
    const struct sdg_conditioning *cond, *uncond; /* uncond: used where plan->guided */
    size_t n, latent; /* images of the batch at work; values of one latent */
    int call;         /* model calls so far in this walk */

    size_t group;        /* images that go through the UNet at once, at most */
    float *input;        /* [group][latent] */
    float *timesteps;    /* [group] */
    float *output;       /* [1 + parts][n][latent]: without prompt, then its parts */
    float *weights;      /* [parts] */
    const float **sides; /* [parts] */
    float *guided;       /* [n][latent] copy of the last result, for --trace; or NULL */
    struct sdg_unet_context contexts[2 * SDG_MAX_BATCH]; /* read in dry runs too */
    const float *context_keys[2 * SDG_MAX_BATCH];
    struct sdg_unet_keys keys;
};

/* Takes what the largest batch needs from the arena. The pointers above are set, the rest is 0. */
void sdg_denoiser_reserve(struct sdg_denoiser *d, struct sdg_arena *arena);

/* Before each walk, over n images. */
void sdg_denoiser_begin(struct sdg_denoiser *d, size_t n);

/* struct sdg_sampling's `model`: out, uncond, input [n][latent]. uncond may be NULL. False when
 * cancelled. In a dry run only the memory is taken. */
bool sdg_denoiser_call(struct sdg_denoiser *d, float *out, float *uncond, const float *input,
                       float t, float sigma, int step);

#endif
