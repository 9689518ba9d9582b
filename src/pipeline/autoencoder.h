/* autoencoder.h - between pictures and the latents that a UNet sees, by whichever autoencoder the
 * model has: the VAE, or the tiny one where that was asked for (models/vae.h, models/taesd.h). */
#ifndef SDG_PIPELINE_AUTOENCODER_H
#define SDG_PIPELINE_AUTOENCODER_H

#include "weights/model.h"

size_t sdg_latent_channels(const struct sdg_model *m);
int sdg_latent_factor(const struct sdg_model *m); /* pixels of the picture a side: 8 */
bool sdg_can_encode(const struct sdg_model *m);

/* image [3][f*h][f*w], unclamped, about [-1,1], from the latent x [z][h][w]. z [z][h][w] is
 * scratch. tiling NULL: as a whole; the tiny autoencoder never needs tiles. */
void sdg_decode_latent(struct sdg_ops *o, float *image, float *z, const float *x,
                       const struct sdg_model *m, const struct sdg_vae_tiling *tiling, size_t h,
                       size_t w);

/* moments [2z][h/f][w/f] of image [3][h][w]: mean, log-variance (unclamped), not scaled. The tiny
 * autoencoder has no variance: its logarithm is as low as it is taken seriously. */
void sdg_encode_image(struct sdg_ops *o, float *moments, const float *image,
                      const struct sdg_model *m, size_t h, size_t w);

/* Channel c of a latent as the VAE makes it, from what the UNet sees, and back. */
float sdg_latent_to_vae(float x, size_t c, const struct sdg_facts *f);
float sdg_latent_to_unet(float z, size_t c, const struct sdg_facts *f);

#endif
