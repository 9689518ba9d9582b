/* noise.c - see noise.h. Who draws what, and from where:
 *
 *   A1111      modules/rng.py (ImageRNG): one generator per image for all of its draws. The subseed
 *              and noise of another size are drawn by generators of their own. After the first
 *              noise, ENSD starts the generators anew.
 *   diffusers  utils/torch_utils.py (randn_tensor): one generator for all draws.
 *   ComfyUI    comfy/sample.py (prepare_noise): the first noise always comes from the CPU. Samplers
 *              draw from a new generator where the latent is: on a GPU with the same seed, on the
 *              CPU with seed + 1, lest the first noise comes again (comfy/k_diffusion/sampling.py,
 *              default_noise_sampler; releases up to October 2025 did repeat it there).
 *              SDG_RNG_CUDA thus means ComfyUI on a GPU.
 *   sd.cpp     src/stable-diffusion.cpp: one generator per image, Philox in f32.
 *
 * Brownian trees draw their nodes from the same source as images, except ComfyUI's, which are built
 * on the CPU (cpu=True). stable-diffusion.cpp has a tree of its own making (dpm++2m_sde_bt) that
 * draws from std::normal_distribution, whose numbers no standard fixes; it is not imitated.
 *
 * A batch drawn jointly is one image of n times as many channels. */
#include "sampling/noise.h"

#include <math.h>
#include "sampling/brownian.h"
#include "sampling/variation.h"

struct sdg_noise {
    struct sdg_noise_request q;
    size_t images, channels, count; /* streams, and the shape of what each draws */
    struct sdg_rng *rng;            /* [images] */
    float *own, *other;             /* [channels][largest extent] noise of seed, of subseed */
    float *tree;                    /* [SDG_BROWNIAN_LEVELS][count] */
    float sigma_min, sigma_max;
};

static bool varies(const struct sdg_noise_request *q)
{
    return q->strength > 0;
}

static bool resizes(const struct sdg_noise_request *q)
{
    return q->resize_h > 0 && q->resize_w > 0 && (q->resize_h != q->h || q->resize_w != q->w);
}

/* Wraps around, as the originals' 64-bit seeds do. */
static int64_t plus(int64_t seed, uint64_t i)
{
    return (int64_t)((uint64_t)seed + i);
}

int64_t sdg_noise_seed(const struct sdg_noise_request *q, size_t i)
{
    return q->joint || varies(q) ? q->seed : plus(q->seed, i);
}

int64_t sdg_noise_subseed(const struct sdg_noise_request *q, size_t i)
{
    return q->joint ? q->subseed : plus(q->subseed, i);
}

struct sdg_noise *sdg_noise_open(struct sdg_arena *arena, const struct sdg_noise_request *q)
{
    struct sdg_noise s = {.q = *q, .images = q->joint ? 1 : q->n};
    s.channels = q->joint ? q->n * q->c : q->c;
    s.count = s.channels * q->h * q->w;
    const size_t extent = resizes(q) ? q->resize_h * q->resize_w : q->h * q->w;
    struct sdg_noise *out = sdg_arena_alloc(arena, 1, sizeof *out);
    s.rng = sdg_arena_alloc(arena, s.images, sizeof *s.rng);
    s.tree = sdg_arena_floats(arena, SDG_BROWNIAN_LEVELS * s.count);
    if (!out || !s.rng || !s.tree) return NULL;
    if (resizes(q)) {
        s.own = sdg_arena_floats(arena, s.channels * extent);
        if (!s.own) return NULL;
    }
    if (varies(q)) {
        s.other = sdg_arena_floats(arena, s.channels * extent);
        if (!s.other) return NULL;
    }
    if (!arena->measure) *out = s;
    return out;
}

static void start(struct sdg_rng *r, const struct sdg_noise_request *q, enum sdg_rng_kind kind,
                  int64_t seed)
{
    sdg_rng_seed(r, kind, (uint64_t)seed);
    r->narrow = q->like == SDG_LIKE_SDCPP;
}

/* The noise of a seed's first draw: y [count]. */
static void draw_fresh(float *y, const struct sdg_noise_request *q, enum sdg_rng_kind kind,
                       int64_t seed, size_t count)
{
    struct sdg_rng r;
    start(&r, q, kind, seed);
    sdg_rng_normal(&r, y, count);
}

/* First noise of image i: y [channels][h][w]. With another size, the noise that counts is drawn at
 * that size by a fresh generator, and what surrounds it by the image's own. */
static void first_of(struct sdg_noise *s, float *y, size_t i, enum sdg_rng_kind kind)
{
    const struct sdg_noise_request *q = &s->q;
    const bool other_size = resizes(q);
    const size_t h = other_size ? q->resize_h : q->h, w = other_size ? q->resize_w : q->w;
    const int64_t seed = sdg_noise_seed(q, i);
    float *own = other_size ? s->own : y;
    start(&s->rng[i], q, kind, seed);
    if (other_size)
        draw_fresh(own, q, kind, seed, s->channels * h * w);
    else
        sdg_rng_normal(&s->rng[i], own, s->count);
    if (varies(q)) {
        draw_fresh(s->other, q, kind, sdg_noise_subseed(q, i), s->channels * h * w);
        sdg_slerp(own, s->other, s->channels, h, w, q->strength);
    }
    if (!other_size) return;
    sdg_rng_normal(&s->rng[i], y, s->count);
    sdg_paste_centre(y, q->h, q->w, own, h, w, s->channels);
}

void sdg_noise_first(struct sdg_noise *s, float *y)
{
    const struct sdg_noise_request *q = &s->q;
    const bool comfy = q->like == SDG_LIKE_COMFYUI;
    for (size_t i = 0; i < s->images; i++) {
        first_of(s, y + i * s->count, i, comfy ? SDG_RNG_CPU : q->rng);
        const uint64_t apart = comfy && q->rng == SDG_RNG_CPU;
        if (comfy || q->ensd != 0)
            start(&s->rng[i], q, q->rng, plus(sdg_noise_seed(q, i), (uint64_t)q->ensd + apart));
    }
}

void sdg_noise_next(struct sdg_noise *s, float *y)
{
    for (size_t i = 0; i < s->images; i++) sdg_rng_normal(&s->rng[i], y + i * s->count, s->count);
}

void sdg_noise_brownian_range(struct sdg_noise *s, float sigma_min, float sigma_max)
{
    s->sigma_min = sigma_min;
    s->sigma_max = sigma_max;
}

/* ENSD does not reach the trees, whose seeds are the images' (A1111, modules/sd_samplers_common.py,
 * create_noise_sampler). */
void sdg_noise_brownian(struct sdg_noise *s, float *y, float from, float to)
{
    const enum sdg_rng_kind kind = s->q.like == SDG_LIKE_COMFYUI ? SDG_RNG_CPU : s->q.rng;
    const float norm = sqrtf(fabsf(to - from));
    for (size_t i = 0; i < s->images; i++) {
        float *image = y + i * s->count;
        struct sdg_brownian b;
        sdg_brownian_init(&b, s->tree, s->count, kind, (uint64_t)sdg_noise_seed(&s->q, i),
                          (double)s->sigma_min, (double)s->sigma_max);
        sdg_brownian_increment(&b, image, (double)from, (double)to);
        if (norm > 0)
            for (size_t j = 0; j < s->count; j++) image[j] /= norm;
    }
}
