/* vae_trunk.h - the map that flows through the autoencoder, and the steps that change it in place.
 *
 * Memory decides the shape of this file. Under SD1 at 512 x 512 pixels the last doubling gives a
 * map of 256 channels, 256 MiB in f32, and the block behind it makes two maps of 128 channels from
 * it, one of which waits for the statistics of the other. Kept apart they are 512 MiB. Here one
 * buffer of 256 MiB holds whatever there is: steps that grow or shrink the map go over it strip by
 * strip and write each strip over lines that nobody reads any more. Nothing is computed twice, and
 * each value is computed from the same numbers in the same order as if all maps existed whole:
 * GroupNorm's sums, which belong to a whole map, are collected while its strips are made, and
 * strips begin where the tiles of a Winograd convolution do. */
#ifndef SDG_MODELS_VAE_TRUNK_H
#define SDG_MODELS_VAE_TRUNK_H

#include "models/vae.h"

/* The map [h][w][c] of one image, at the front of a buffer with room for what the steps need. */
struct sdg_vae_trunk {
    struct sdg_ops *o;
    float *data;
    size_t need; /* floats of the buffer: what a dry walk finds out, and a real one is told */
    size_t h, w, c;
};

/* Declares what stands at the front to be [h][w][c]. */
void sdg_vae_shape(struct sdg_vae_trunk *x, size_t h, size_t w, size_t c);

/* `count` floats behind the map, `before` floats away from it; valid until the map changes. */
float *sdg_vae_room(struct sdg_vae_trunk *x, size_t before, size_t count);

/* y [h][w][out] = conv3x3(prologue(x)), behind x. pro may be NULL. */
float *sdg_vae_convolve(struct sdg_vae_trunk *x, const struct sdg_prologue *pro,
                        const struct sdg_conv *conv);

/* The map that was made behind x takes its place as [h][w][c]. */
void sdg_vae_settle(struct sdg_vae_trunk *x, const float *y, size_t h, size_t w, size_t c);

/* x = shortcut(x) + conv2(SiLU(GN(conv1(SiLU(GN(x)))))): the UNet's block without time. */
void sdg_vae_resblock(struct sdg_vae_trunk *x, const struct sdg_vae_resblock *r);

/* x += out(softmax(q k^T / sqrt(c)) v), q, k, v from GN(x): one head as wide as the map, over all
 * pixels. */
void sdg_vae_attend(struct sdg_vae_trunk *x, const struct sdg_vae_attention *a);

/* x = conv3x3(x doubled). */
void sdg_vae_upsample(struct sdg_vae_trunk *x, const struct sdg_conv *conv);

/* x = conv3x3 with stride 2 of x, padded on the right and at the bottom only: the first tap lies on
 * the first pixel, unlike in the UNet. */
void sdg_vae_downsample(struct sdg_vae_trunk *x, const struct sdg_conv *conv);

enum { SDG_VAE_GROUPS = 32 };
#define SDG_VAE_NORM_EPS 1e-6f

#endif
