/* noise.h - who draws which random numbers: the generators of one batch under each program.
 *
 * A1111 gives every image its own generator, so that an image does not depend on its batch; so does
 * sdgen under every program. `joint` draws a batch from one stream instead, as diffusers (one
 * generator) and ComfyUI do. */
#ifndef SDG_SAMPLING_NOISE_H
#define SDG_SAMPLING_NOISE_H

#include "base/arena.h"
#include "sampling/levels.h"
#include "sampling/rng.h"

struct sdg_noise_request {
    enum sdg_like like;
    enum sdg_rng_kind rng; /* ComfyUI: where samplers draw; its first noise is always the CPU's */
    int64_t seed; /* of the first image of the batch; image i: seed + i, unless strength > 0 */
    int64_t subseed;
    double strength;           /* A1111's variation strength, 0..1: subseed + i then counts */
    size_t resize_h, resize_w; /* latent extent of "seed resize", 0: off */
    int64_t ensd;              /* A1111's "eta noise seed delta": added for all later draws */
    bool joint;
    size_t n, c, h, w; /* shape of a draw */
};

struct sdg_noise; /* lives in the arena */

/* Seed and subseed of image i as the program writes them in infotext. */
int64_t sdg_noise_seed(const struct sdg_noise_request *request, size_t i);
int64_t sdg_noise_subseed(const struct sdg_noise_request *request, size_t i);

/* Takes everything it will ever need from `arena` (in a measuring arena too). NULL where a real
 * arena is exhausted. */
struct sdg_noise *sdg_noise_open(struct sdg_arena *arena, const struct sdg_noise_request *request);

/* y [n][c][h][w] = the first noise of the run, of level 1. Once, before all later draws. */
void sdg_noise_first(struct sdg_noise *s, float *y);

/* y [n][c][h][w] = the next draw of every image. */
void sdg_noise_next(struct sdg_noise *s, float *y);

/* Sets up Brownian paths over levels sigma_min..sigma_max (brownian.h), then increments from them,
 * divided by sqrt|to - from|. */
void sdg_noise_brownian_range(struct sdg_noise *s, float sigma_min, float sigma_max);
void sdg_noise_brownian(struct sdg_noise *s, float *y, float from, float to);

#endif
