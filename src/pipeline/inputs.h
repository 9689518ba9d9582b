/* inputs.h - what some UNets read beside the noisy latent: channels that stay the same through a
 * run.
 *
 *   inpainting   mask | latent of the picture with the masked part grey    (Rombach et al. 2022,
 * D.3) editing      latent of the picture, not scaled                          (Brooks et al. 2023)
 *   depth        depth, from -1 (far) to 1                                  (Stable Diffusion 2)
 *
 * Nothing is drawn over the picture afterwards: that is what the whole latent came to. */
#ifndef SDG_PIPELINE_INPUTS_H
#define SDG_PIPELINE_INPUTS_H

#include "pipeline/plan.h"

struct sdg_inputs {
    size_t count;   /* values for one image: channels * h * w; 0: the UNet reads its latent alone */
    float *moments; /* [2z][h][w] of the VAE encoder: mean, log-variance; NULL: not needed */
    float *map;     /* [1][h][w] mask or depth; NULL: not needed */
};

/* How many values an image has. */
size_t sdg_inputs_count(const struct sdg_plan *p, const struct sdg_model *m);

/* Takes the memory from the arena. */
void sdg_inputs_reserve(struct sdg_inputs *in, const struct sdg_plan *p, const struct sdg_model *m,
                        struct sdg_arena *arena);

/* Encodes the pictures of p->params. In a dry run only takes scratch. */
void sdg_inputs_encode(struct sdg_inputs *in, struct sdg_ops *o, const struct sdg_plan *p,
                       const struct sdg_model *m);

/* extra [count] for one image. noise [z][h][w] draws the picture's latent from what the encoder
 * says of it, as diffusers does; NULL: its mean. */
void sdg_inputs_fill(float *extra, const struct sdg_inputs *in, const float *noise,
                     const struct sdg_plan *p, const struct sdg_model *m);

#endif
