/* taesd.h - the tiny autoencoder (madebyollin/taesd, taesd.py): a stand-in for the VAE that is a
 * hundred times smaller, distilled from it; one for the latents of SD1 and SD2, one for SDXL's. No
 * normalisation, no attention: 3x3 convolutions and ReLU at one width.
 *
 *   decoder   clamp, conv, ReLU, 3 x (3 blocks, nearest x2, conv without bias), block, conv
 *   encoder   conv, block, 3 x (conv with stride 2 without bias, 3 blocks), conv
 *   block     y = ReLU(x + conv(ReLU(conv(ReLU(conv(x))))))
 *
 * It was trained on latents as the UNet sees them, so no latent scale comes between the two, and on
 * pictures in [0,1]; the functions below take and give [-1,1] as those of vae.h do.
 *
 * Tensor names, below the prefix "taesd.": places in the nn.Sequential of taesd.py, where the clamp
 * is number 0 of the decoder (diffusers' AutoencoderTiny has it elsewhere, so its numbers are one
 * less); the tables of taesd_bind.c. */
#ifndef SDG_MODELS_TAESD_H
#define SDG_MODELS_TAESD_H

#include "base/bind.h"
#include "ops/ops.h"

enum { SDG_TAESD_STAGES = 3, SDG_TAESD_BLOCKS = 3, SDG_TAESD_FACTOR = 8 };

struct sdg_taesd_config {
    int width;                      /* 64 */
    int z_channels, image_channels; /* 4, 3 */
    bool has_encoder, has_decoder;  /* often two files */
};

struct sdg_taesd_block {
    struct sdg_conv conv[3];
};

struct sdg_taesd_stage {
    struct sdg_taesd_block blocks[SDG_TAESD_BLOCKS];
    struct sdg_conv resample; /* no bias; decoder: behind the blocks, encoder: before them */
};

struct sdg_taesd_half {
    struct sdg_conv conv_in, conv_out;
    struct sdg_taesd_block block; /* of full size: the encoder's first, the decoder's last */
    struct sdg_taesd_stage stages[SDG_TAESD_STAGES]; /* in the order in which they run */
};

struct sdg_taesd {
    struct sdg_taesd_config config;
    struct sdg_taesd_half encoder, decoder;
};

void sdg_taesd_bind(struct sdg_taesd *m, const struct sdg_taesd_config *config,
                    struct sdg_binder *b);

/* image [n][3][8h][8w], unclamped, about [-1,1] = decoder(z [n][z][h][w]); z as the UNet sees it,
 * not divided by a latent scale. Any h, w >= 1. */
void sdg_taesd_decode(struct sdg_ops *o, float *image, const float *z, const struct sdg_taesd *m,
                      size_t n, size_t h, size_t w);

/* z [n][z][h/8][w/8], as the UNet sees it = encoder(image [n][3][h][w], [-1,1]). There is no
 * variance. h and w are multiples of 8. */
void sdg_taesd_encode(struct sdg_ops *o, float *z, const float *image, const struct sdg_taesd *m,
                      size_t n, size_t h, size_t w);

#endif
