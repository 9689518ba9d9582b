/* denoise.h - the model as samplers see it: the UNet over all images of a batch, with every side of
 * the prompt and without it, made one by guidance. */
#ifndef SDG_PIPELINE_DENOISE_H
#define SDG_PIPELINE_DENOISE_H

#include "pipeline/conditioning.h"
#include "pipeline/plan.h"
#include "pipeline/unet_keys.h"

/* A UNet and what it attends to. Where there is a refiner a run has two: the base model down to
 * some noise level, the refiner below it (Podell et al. 2023, section 2.5). */
struct sdg_expert {
    const struct sdg_unet *unet;
    const struct sdg_encoders *encoders;
    struct sdg_conditioning cond, uncond; /* uncond: used where plan->guided */
    struct sdg_unet_keys keys;
};

enum { SDG_MAX_EXPERTS = 2 };

/* Room for sides of a pass: without prompt, its parts, and the picture alone. */
enum { SDG_SIDE_UNCOND = 0, SDG_SIDE_PARTS = 1 };

struct sdg_denoiser {
    const struct sdg_plan *plan;
    struct sdg_ops *ops;
    struct sdg_expert experts[SDG_MAX_EXPERTS];
    int expert_count, expert; /* the one at work; it never goes back */
    size_t n, latent;         /* images of the batch at work; values of one latent */
    int call;                 /* model calls so far in this walk */

    size_t group;        /* images that go through the UNet at once, at most */
    size_t extra;        /* values of an image's input behind its latent */
    float *extras;       /* [n][extra] what those are (inputs.h) */
    float *input;        /* [group][latent + extra] */
    float *timesteps;    /* [group] */
    float *labels;       /* [group][label], of the UNet that has the widest */
    float *guidance;     /* [group][time_cond] */
    float *output;       /* [sides][n][latent]: without prompt, its parts, the picture alone */
    float *weights;      /* [parts] */
    const float **sides; /* [parts] */
    float *guided;       /* [n][latent] copy of the last result, for --trace; or NULL */
    struct sdg_unet_context contexts[2 * SDG_MAX_BATCH]; /* read in dry runs too */
    const float *context_keys[2 * SDG_MAX_BATCH];
};

/* Takes what the largest batch needs from the arena. The pointers above are set, the rest is 0. */
void sdg_denoiser_reserve(struct sdg_denoiser *d, struct sdg_arena *arena);

/* Before each walk, over n images. */
void sdg_denoiser_begin(struct sdg_denoiser *d, size_t n);

/* Before each call: true where the refiner takes over with it. */
bool sdg_denoiser_advance(struct sdg_denoiser *d, float sigma, int step);

/* struct sdg_sampling's `model`: out, uncond, input [n][latent]. uncond may be NULL. False when
 * cancelled. In a dry run only the memory is taken, of all experts. */
bool sdg_denoiser_call(struct sdg_denoiser *d, float *out, float *uncond, const float *input,
                       float t, float sigma, int step);

#endif
