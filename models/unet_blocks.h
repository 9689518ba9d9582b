/* unet_blocks.h - the parts of the UNet that unet.c wires up: unet_time.c and unet_blocks.c. */
#ifndef SDG_MODELS_UNET_BLOCKS_H
#define SDG_MODELS_UNET_BLOCKS_H

#include "models/unet.h"

enum { SDG_UNET_GROUPS = 32 }; /* of every GroupNorm */
#define SDG_UNET_NORM_EPS 1e-5f

/* What the residual blocks know of the timestep: emb [n][time_width], of which only the first row
 * stands there where it counts for all images of a pass. */
struct sdg_unet_time {
    const float *emb;
    bool shared;
};

/* emb [n][time_width] = SiLU(time2(SiLU(time1(waves))) + label2(SiLU(label1(label)))), waves being
 * the embedded timesteps, plus time_cond(guidance). The outer SiLU opens the time branch of every
 * residual block; here it is computed once. Images mostly come at one timestep, with one label:
 * then one row is computed, which says the same as all. Takes emb from o->work. */
struct sdg_unet_time sdg_unet_embed(struct sdg_ops *o, const float *t,
                                    const struct sdg_unet_condition *condition,
                                    const struct sdg_unet *m, size_t n);

/* Residual block (He et al. 2016; Dhariwal & Nichol 2021, appendix A), all maps channels-last:
 *
 *   y = skip(x) + conv2(SiLU(GN(conv1(SiLU(GN(x))) + time(emb))))
 *
 * [x | beside] [n][h][w][c_in] -> y [n][h][w][c_out]; emb has been through SiLU already. y may be x
 * where the block has no skip convolution; channels beside x want one. */
void sdg_unet_resblock(struct sdg_ops *o, float *y, const float *x, struct sdg_beside beside,
                       const struct sdg_unet_time *t, const struct sdg_unet_resblock *r, size_t n,
                       size_t h, size_t w);

/* Spatial transformer (Rombach et al. 2022, appendix E.2.1) in place: x [n][t][c] with t = h*w
 *
 *   x += out(layers(in(GN(x))))        each layer: self-attention, cross-attention, GEGLU
 *
 * Image i attends to condition->context[i]. */
void sdg_unet_transform(struct sdg_ops *o, float *x, const struct sdg_unet_condition *condition,
                        const struct sdg_unet_transformer *m, size_t n, size_t t);

/* Columns of the keys of one layer: of two attentions where both attend to the context. */
size_t sdg_unet_layer_keys(const struct sdg_unet_transformer *m);

/* Its part of sdg_unet_remember; nothing where there is no transformer. */
void sdg_unet_remember_layers(struct sdg_ops *o, float *keys,
                              const struct sdg_unet_context *context,
                              const struct sdg_unet_transformer *m);

#endif
