/* clip_text.h - CLIP's text transformer (Radford et al. 2021, section 2.4): prompt tokens to the
 * sequence of vectors that the UNet attends to, and to one vector for the whole text.
 *
 *   ids [n][t] --embed--> x [n][t][d] --layers x (LN, causal attention, +; LN, MLP, +)--> final LN
 *                                          |                                                 |
 *                                     hidden [n][t][d] of an earlier layer       first end token's
 * row (SD2: through the final LN; SDXL: as is)         x projection pooled [n][projection]
 *
 * SD1 uses the ViT-L/14 text tower: d 768, 12 layers, 12 heads of 64, MLP 3072 with quick-GELU; SD2
 * OpenCLIP's ViT-H (1024, 24 layers), SDXL the ViT-L and OpenCLIP's ViT-bigG (1280, 32 layers),
 * both of these with the exact GELU. Tensor names, below the prefix
 * "cond_stage_model.transformer.": the tables of clip_text.c. */
#ifndef SDG_MODELS_CLIP_TEXT_H
#define SDG_MODELS_CLIP_TEXT_H

#include "base/bind.h"
#include "ops/ops.h"

enum { SDG_CLIP_MAX_LAYERS = 64 };

struct sdg_clip_config {
    int vocab, positions; /* 49408, 77 */
    int width, layers, heads, mlp;
    int projection; /* width of the pooled vector; 0: there is no text_projection */
    enum sdg_activation activation;
};

struct sdg_clip_layer {
    struct sdg_norm norm1, norm2;
    struct sdg_linear q, k, v, out, fc1, fc2;
};

struct sdg_clip {
    struct sdg_clip_config config;
    struct sdg_embedding tokens, positions;
    struct sdg_clip_layer layers[SDG_CLIP_MAX_LAYERS];
    struct sdg_norm final_norm;
    struct sdg_linear projection; /* without bias; data NULL where config.projection is 0 */
};

/* What a pass gives. */
struct sdg_clip_take {
    int skip;    /* hidden states behind layer `layers - skip`: 0 the last, 1 the one before it */
    bool plain;  /* they are given as they are; else through the final norm */
    bool pooled; /* the pooled vector too: all layers run */
};

/* Sets the config and walks all weights past the binder, names below "....transformer."
 * (text_model. and text_projection). */
void sdg_clip_bind(struct sdg_clip *m, const struct sdg_clip_config *config, struct sdg_binder *b);

/* One pass: hidden [n][t][width] as `take` says, and, if it says so, pooled [n][projection, or
 * width where there is none]: the final norm of the last layer at the first end-of-text token,
 * times the projection. That token is the first of the largest ids (transformers, modeling_clip.py;
 * OpenCLIP, transformer.py). ids [n][t] with t <= positions and 0 <= id < vocab. masked [n][t] is
 * not 0 for tokens that no token attends to, themselves included, as under an attention mask; the
 * first of each text must be seen; NULL: all are seen. */
void sdg_clip_encode(struct sdg_ops *o, float *hidden, float *pooled, const int32_t *ids,
                     const uint8_t *masked, const struct sdg_clip *m, size_t n, size_t t,
                     const struct sdg_clip_take *take);

#endif
