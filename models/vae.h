/* vae.h - the first stage of latent diffusion (Rombach et al. 2022, section 3.1): AutoencoderKL.
 * The encoder takes an image [-1,1] to the mean and log-variance of a latent 8 times smaller, the
 * decoder takes a latent back. All normalisation is GroupNorm(32 groups, eps 1e-6).
 *
 *   decoder   z -1x1-> conv_in -> middle -> up[L-1] .. up[0] -> norm, SiLU, conv_out
 *             up[i]: blocks+1 resblocks, then (i > 0) nearest x2 + conv
 *   encoder   conv_in -> down[0] .. down[L-1] -> middle -> norm, SiLU, conv_out -1x1-> moments
 *             down[i]: blocks resblocks, then (i < L-1) pad (0,1,0,1) + conv with stride 2
 *   middle    resblock, attention with one head, resblock
 *
 * Tensor names, below the prefix "first_stage_model.": the tables of vae_bind.c. */
#ifndef SDG_MODELS_VAE_H
#define SDG_MODELS_VAE_H

#include "base/bind.h"
#include "ops/ops.h"

enum { SDG_VAE_MAX_LEVELS = 8, SDG_VAE_MAX_BLOCKS = 8 };

struct sdg_vae_config {
    int levels;                       /* factor = 2^(levels-1): 8 in all real models */
    int channels[SDG_VAE_MAX_LEVELS]; /* 128 256 512 512 */
    int blocks;                       /* resblocks per encoder level; the decoder has one more */
    int z_channels, image_channels;   /* 4, 3 */
    bool has_encoder;                 /* some files carry only the decoder */
};

struct sdg_vae_resblock {
    struct sdg_norm norm1, norm2;
    struct sdg_conv conv1, conv2, shortcut; /* shortcut: 1x1, where channels change */
};

struct sdg_vae_attention {
    struct sdg_norm norm;
    struct sdg_linear q, k, v, out; /* 1x1 convolutions; rank 2 in some copies */
};

struct sdg_vae_middle {
    struct sdg_vae_resblock block1, block2;
    struct sdg_vae_attention attention;
};

struct sdg_vae_level {
    struct sdg_vae_resblock blocks[SDG_VAE_MAX_BLOCKS + 1];
    struct sdg_conv resample; /* downsample.conv or upsample.conv */
};

struct sdg_vae_half { /* an encoder or a decoder */
    struct sdg_conv conv_in, conv_out;
    struct sdg_linear quant; /* encoder: quant_conv 2z -> 2z at the end; decoder: post_quant_conv
                                z -> z at the start */
    struct sdg_vae_middle middle;
    struct sdg_vae_level levels[SDG_VAE_MAX_LEVELS];
    struct sdg_norm norm_out;
};

struct sdg_vae {
    struct sdg_vae_config config;
    struct sdg_vae_half encoder, decoder;
};

void sdg_vae_bind(struct sdg_vae *m, const struct sdg_vae_config *config, struct sdg_binder *b);

int sdg_vae_factor(const struct sdg_vae_config *config); /* 2^(levels-1) */

/* image [n][3][h*f][w*f], unclamped, about [-1,1] = decoder(z [n][z][h][w]); z already divided by
 * the latent scale. Any h, w >= 1. */
void sdg_vae_decode(struct sdg_ops *o, float *image, const float *z, const struct sdg_vae *m,
                    size_t n, size_t h, size_t w);

/* Tiles that are decoded one by one and blended where they overlap: less memory, and not the same
 * picture. */
struct sdg_vae_tiling {
    size_t h, w;    /* of a tile of the latent; 0: no tiles */
    double overlap; /* share of a tile that its neighbour overlaps, below 1 */
};

/* sdg_vae_decode of one image as diffusers' AutoencoderKL.tiled_decode does it. Where diffusers'
 * factors leave a tile's overlap at a fraction of a latent pixel, in which its own tiles no longer
 * meet, it is rounded up. */
void sdg_vae_decode_tiled(struct sdg_ops *o, float *image, const float *z, const struct sdg_vae *m,
                          size_t h, size_t w, const struct sdg_vae_tiling *tiling);
size_t sdg_vae_tile_count(size_t h, size_t w, const struct sdg_vae_tiling *tiling);

/* moments [n][2z][h/f][w/f] = encoder(image [n][3][h][w]): mean, then log-variance (unclamped).
 * h and w are multiples of f. */
void sdg_vae_encode(struct sdg_ops *o, float *moments, const float *image, const struct sdg_vae *m,
                    size_t n, size_t h, size_t w);

#endif
