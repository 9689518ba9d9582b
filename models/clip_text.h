/* clip_text.h - CLIP's text transformer (Radford et al. 2021, section 2.4): prompt tokens to the
 * sequence of vectors that the UNet attends to.
 *
 *   ids [n][t] --embed--> x [n][t][d] --layers x (LN, causal attention, +; LN, MLP, +)--> final LN
 *
 * SD1 uses the ViT-L/14 text tower: d 768, 12 layers, 12 heads of 64, MLP 3072 with quick-GELU.
 * Tensor names, below the prefix "cond_stage_model.transformer.text_model.": the tables of
 * clip_text.c. */
#ifndef SDG_MODELS_CLIP_TEXT_H
#define SDG_MODELS_CLIP_TEXT_H

#include "base/bind.h"
#include "ops/ops.h"

enum { SDG_CLIP_MAX_LAYERS = 64 };

struct sdg_clip_config {
    int vocab, positions; /* 49408, 77 */
    int width, layers, heads, mlp;
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
};

/* Sets the config and walks all weights past the binder, names below the text model's prefix. */
void sdg_clip_bind(struct sdg_clip *m, const struct sdg_clip_config *config, struct sdg_binder *b);

/* y [n][t][width] = final_norm(output of layer `layers - skip`); skip 0 is the last layer ("clip
 * skip 1" as A1111 counts). ids [n][t] with t <= positions and 0 <= id < vocab. */
void sdg_clip_forward(struct sdg_ops *o, float *y, const int32_t *ids, const struct sdg_clip *m,
                      size_t n, size_t t, int skip);

/* The same where hidden [n][t] is not 0 for tokens that no token attends to, themselves included,
 * as under an attention mask. The first of each text must be seen. NULL: all are seen. */
void sdg_clip_forward_hiding(struct sdg_ops *o, float *y, const int32_t *ids, const uint8_t *hidden,
                             const struct sdg_clip *m, size_t n, size_t t, int skip);

#endif
