/* unet.h - the denoising UNet with cross-attention (Ho et al. 2020, appendix B; Dhariwal & Nichol
 * 2021; Rombach et al. 2022, section 3.3), in the numbering of the single-file checkpoints.
 *
 *   input_blocks    conv 3x3; then per level: `blocks` x (res [+ transformer]),
 *                   then, but not in the last level, conv 3x3 with stride 2
 *   middle_block    res, transformer, res; or one res alone (SSD-1B, Vega); or nothing (BK-SDM)
 *   output_blocks   per level from the deepest: blocks+1 x (concat skip, res [+ transformer]),
 *                   then, but not in the shallowest level, nearest x2 + conv 3x3
 *   out             GroupNorm, SiLU, conv 3x3
 *
 * One network for Stable Diffusion 1, 2, XL, the XL refiner and what was distilled from them.
 * Everything is read from the checkpoint's names and shapes (src/weights/arch.h): widths, levels,
 * blocks per level, where transformers sit and how deep, context width, input channels, and whether
 * a vector or a guidance scale conditions the time embedding. Tensor names, below the prefix
 * "model.diffusion_model.": the tables of unet_bind.c. */
#ifndef SDG_MODELS_UNET_H
#define SDG_MODELS_UNET_H

#include "base/bind.h"
#include "ops/ops.h"

enum {
    SDG_UNET_MAX_LEVELS = 8,
    SDG_UNET_MAX_PER_LEVEL = 5, /* blocks per level, decoder side */
    SDG_UNET_MAX_DEPTH = 16,    /* transformer blocks in one transformer */
    SDG_UNET_MAX_BLOCKS = SDG_UNET_MAX_LEVELS * (SDG_UNET_MAX_PER_LEVEL + 1)
};

/* Trailing comments: Stable Diffusion 1.5. */
struct sdg_unet_config {
    int in_channels, out_channels;     /* 4, 4 */
    int model_channels;                /* 320: width of input_blocks.0 */
    int levels;                        /* 4 */
    int blocks[SDG_UNET_MAX_LEVELS];   /* 2 2 2 2: encoder side; the decoder has one more */
    int channels[SDG_UNET_MAX_LEVELS]; /* 320 640 1280 1280 */
    /* Transformer layers beside each resblock of a level, 0: no transformer; both sides in the
     * order in which they run. {1, 1}, {1, 1}, {1, 1}, {0, 0} and {1, 1, 1} .. {0, 0, 0}. Only the
     * distilled models have different numbers within a level and a decoder that is no mirror. */
    int depth_in[SDG_UNET_MAX_LEVELS][SDG_UNET_MAX_PER_LEVEL];
    int depth_out[SDG_UNET_MAX_LEVELS][SDG_UNET_MAX_PER_LEVEL];
    int middle;       /* 2: resblocks in the middle; 1; 0: no middle block at all */
    int middle_depth; /* 1: between the two */
    int context;      /* 768 */
    int time_width;   /* 1280: width of the time embedding */
    int label;        /* 0; width of the vector beside the timestep: SDXL 2816 */
    int time_cond;    /* 0; width of an embedded guidance scale: LCM 256 */
    /* A layer's first attention reads the context too, not the map: SDXS-512-0.9, first level. */
    bool only_cross[SDG_UNET_MAX_LEVELS];
    bool linear_projection; /* proj_in/out are stored as linear (rank 2), not 1x1 conv */
    int heads[SDG_UNET_MAX_LEVELS], middle_heads; /* 8 8 8 8, by the head rule */
};

struct sdg_unet_resblock {
    struct sdg_norm norm1, norm2;
    struct sdg_conv conv1, conv2, skip; /* skip: 1x1, where channels change */
    struct sdg_linear time;             /* emb_layers.1 */
    int c_in, c_out;
};

struct sdg_unet_attention {
    struct sdg_linear q, k, v, out;
};

struct sdg_unet_layer { /* BasicTransformerBlock */
    struct sdg_norm norm1, norm2, norm3;
    struct sdg_unet_attention self, cross;
    struct sdg_linear ff_in, ff_out;
};

struct sdg_unet_transformer { /* SpatialTransformer */
    struct sdg_norm norm;
    struct sdg_linear in, out;
    int depth, heads, c; /* depth 0: not there */
    size_t keys_at;      /* columns of the keys of all transformers before it: sdg_unet_remember */
    bool only_cross;     /* `self` of every layer attends to the context */
    struct sdg_unet_layer layers[SDG_UNET_MAX_DEPTH];
};

struct sdg_unet_block { /* one entry of input_blocks or output_blocks */
    struct sdg_unet_resblock res;
    struct sdg_unet_transformer transformer;
    struct sdg_conv resample; /* data NULL where there is none */
    bool has_res;
};

struct sdg_unet {
    struct sdg_unet_config config;
    struct sdg_linear time1, time2;                 /* time_embed.0, .2 */
    struct sdg_linear time_cond;                    /* time_embed.cond_proj: no bias */
    struct sdg_linear label1, label2;               /* label_emb.0.0, .0.2 */
    struct sdg_conv conv_in;                        /* input_blocks.0.0 */
    int inputs, outputs;                            /* entries used below; inputs[0] is conv_in */
    struct sdg_unet_block *input, *output, *middle; /* [inputs], [outputs], [1] from the arena */
    struct sdg_unet_resblock middle_res2;           /* middle_block.2 */
    size_t key_columns;                             /* of the keys of all layers together */
    struct sdg_norm norm_out;
    struct sdg_conv conv_out;
};

/* An arena for sdg_unet_bind with room for the most blocks there can be; pages that stay untouched
 * cost nothing. Errors: SDGEN_ERR_MEMORY. */
SDGEN_MUST_CHECK sdgen_status sdg_unet_arena_create(struct sdg_arena *model, sdgen_error *err);

/* Lays out the blocks in `model` (an arena that outlives m; about 35 KB a block) and walks all
 * weights past the binder, names below "model.diffusion_model.". Errors: SDGEN_ERR_MEMORY. */
SDGEN_MUST_CHECK sdgen_status sdg_unet_bind(struct sdg_unet *m,
                                            const struct sdg_unet_config *config,
                                            struct sdg_binder *b, struct sdg_arena *model,
                                            sdgen_error *err);

/* What the UNet attends to: for each image of the pass its own sequence of vectors. */
struct sdg_unet_context {
    const float *data; /* [t][config.context] */
    size_t t;
};

/* All that steers a pass over n images, besides the timesteps. */
struct sdg_unet_condition {
    const struct sdg_unet_context *context; /* [n] */
    const float *const *keys; /* [n]: keys of each image's context, from sdg_unet_remember; where
                                 it, or one of them, is NULL, they are computed as they are needed.
                                 The same bits either way */
    const float *label;       /* [n][config.label]; not looked at where config.label is 0 */
    const float *guidance;    /* [n][config.time_cond], sdg_unet_embed_guidance of the scales; not
                                 looked at where config.time_cond is 0 */
};

/* Sinusoidal embedding (Ho et al. 2020, after Vaswani et al. 2017, section 3.5) of timesteps t [n],
 * which may be fractional: with half = c/2 and f_i = 10000^(-i/half),
 *
 *   y [n][c] = cos(t f_0), ..., cos(t f_half-1), sin(t f_0), ..., sin(t f_half-1)
 *
 * SDXL's vector embeds picture sizes the same way, c = 256 (generative-models,
 * ConcatTimestepEmbedderND). An odd c ends in 0. */
void sdg_unet_embed_timesteps(float *y, const float *t, size_t n, size_t c);

/* Guidance scale w [n] of a UNet distilled to take it as input, as diffusers embeds it (pipeline of
 * latent consistency models, get_guidance_scale_embedding, which is VDM's): with half = c/2 and
 * f_i = 10000^(-i/(half-1)),
 *
 *   y [n][c] = sin(1000 w f_0), ..., sin(1000 w f_half-1), cos(1000 w f_0), ...
 *
 * Sines first and half-1: unlike timesteps on both counts. c >= 4; an odd c ends in 0. diffusers
 * passes w - 1, w being the scale that a user writes. */
void sdg_unet_embed_guidance(float *y, const float *w, size_t n, size_t c);

/* How an odd-sized level comes back from its half: the target of nearest x2 is cropped to the
 * skip's size before the convolution (diffusers, ComfyUI) or after it (A1111). */
enum sdg_unet_upsampling { SDG_UPSAMPLE_CROP_BEFORE, SDG_UPSAMPLE_CROP_AFTER };

/* keys = keys and values of all cross-attentions for one context: they depend on no image and no
 * timestep, so that a walk of many steps computes them once. sdg_unet_keys_floats(m, context->t)
 * floats: layer after layer K [t][c], V [t][c], the layers in the order of input blocks, middle,
 * output blocks. */
size_t sdg_unet_keys_floats(const struct sdg_unet *m, size_t t);
void sdg_unet_remember(struct sdg_ops *o, float *keys, const struct sdg_unet_context *context,
                       const struct sdg_unet *m);

/* y [n][out][h][w] = model output at timesteps t[n] (fractional allowed) for x [n][in][h][w].
 * Any h, w >= 1. */
void sdg_unet_forward(struct sdg_ops *o, float *y, const float *x, const float *t,
                      const struct sdg_unet_condition *condition, const struct sdg_unet *m,
                      size_t n, size_t h, size_t w, enum sdg_unet_upsampling upsampling);

#endif
