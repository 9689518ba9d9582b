/* plan_noise.c - which generators a run draws from. */
#define _GNU_SOURCE
#include "pipeline/autoencoder.h"
#include "pipeline/plan_parts.h"

#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/names.h"

/* As A1111 draws it: uniform below 2^32 - 2. */
static int64_t random_seed(void)
{
    uint32_t seed;
    do {
        if (getrandom(&seed, sizeof seed, 0) != sizeof seed) seed = (uint32_t)getpid();
    } while (seed >= UINT32_MAX - 1);
    return seed;
}

static sdgen_status plan_rng(struct sdg_plan *p, sdgen_error *err)
{
    const char *name = p->params->rng;
    const int i = name ? sdg_name_choice(name, "cpu|cuda=nv=gpu=philox") : (int)p->convention->rng;
    if (i < 0)
        return sdg_fail(err, SDGEN_ERR_ARG,
                        "--rng %s: no such noise source; there are cpu and cuda", name);
    p->noise.rng = (enum sdg_rng_kind)i;
    return SDGEN_OK;
}

static sdgen_status plan_seeds(struct sdg_plan *p, sdgen_error *err)
{
    const sdgen_image_params *a = p->params;
    p->noise.seed = a->seed < 0 ? random_seed() : a->seed;
    if (p->noise.seed > INT64_MAX - p->images)
        return sdg_fail(err, SDGEN_ERR_ARG,
                        "-s %lld: too large for %d images with seeds of their own",
                        (long long)p->noise.seed, p->images);
    if (!(a->variation_strength >= 0 && a->variation_strength <= 1))
        return sdg_fail(err, SDGEN_ERR_ARG, "--variation-strength %g: must be between 0 and 1",
                        a->variation_strength);
    p->noise.strength = a->variation_strength;
    if (p->noise.strength > 0)
        p->noise.subseed = a->variation_seed < 0 ? random_seed() : a->variation_seed;
    else if (a->variation_seed >= 0)
        return sdg_fail(err, SDGEN_ERR_ARG,
                        "--variation-seed %lld: has no effect without --variation-strength",
                        (long long)a->variation_seed);
    if (p->noise.subseed > INT64_MAX - p->images)
        return sdg_fail(err, SDGEN_ERR_ARG, "--variation-seed %lld: too large for %d images",
                        (long long)p->noise.subseed, p->images);
    p->noise.ensd = a->ensd;
    return SDGEN_OK;
}

/* A1111 leaves the resize out unless both sides are given. */
static sdgen_status plan_resize(struct sdg_plan *p, const struct sdg_model *m, sdgen_error *err)
{
    const int factor = sdg_latent_factor(m);
    const int w = p->params->seed_resize_width, h = p->params->seed_resize_height;
    if (w == 0 && h == 0) return SDGEN_OK;
    if (w < factor || h < factor || w > 16384 || h > 16384)
        return sdg_fail(err, SDGEN_ERR_ARG, "--seed-resize %dx%d: sides must be from %d to 16384",
                        w, h, factor);
    p->noise.resize_w = (size_t)(w / factor);
    p->noise.resize_h = (size_t)(h / factor);
    return SDGEN_OK;
}

sdgen_status sdg_plan_noise(struct sdg_plan *p, const struct sdg_model *m, sdgen_error *err)
{
    const char *batch = p->params->batch_noise;
    const int joint = batch ? sdg_name_choice(batch, "each|joint") : 0;
    sdgen_status status;
    if (joint < 0)
        return sdg_fail(err, SDGEN_ERR_ARG, "--batch-noise %s: there are each and joint", batch);
    p->noise = (struct sdg_noise_request) {
        .like = p->convention->like,
        .joint = joint == 1,
        .n = (size_t)p->batch,
        .c = sdg_latent_channels(m),
        .h = p->h,
        .w = p->w,
    };
    SDG_TRY(plan_rng(p, err));
    SDG_TRY(plan_seeds(p, err));
    SDG_TRY(plan_resize(p, m, err));
fail:
    return status;
}

/* What image i counts up by: a batch that draws jointly has one seed. */
static int count_of(const struct sdg_plan *p, int i)
{
    return p->noise.joint ? i - i % p->batch : i;
}

/* A1111, processing.py: with a variation the seed stays and the subseed counts. */
int64_t sdg_plan_seed(const struct sdg_plan *p, int i)
{
    return p->noise.strength > 0 ? p->noise.seed : p->noise.seed + count_of(p, i);
}

int64_t sdg_plan_subseed(const struct sdg_plan *p, int i)
{
    return p->noise.subseed + count_of(p, i);
}
