/* inputs.c - see inputs.h. Sources: diffusers, pipelines/stable_diffusion/
 * pipeline_stable_diffusion_inpaint.py (prepare_mask_latents), _instruct_pix2pix.py
 * (prepare_image_latents), _depth2img.py (prepare_depth_map); AUTOMATIC1111 stable-diffusion-webui
 * 1.10, modules/processing.py (txt2img_image_conditioning: no picture is a grey one, masked all
 * over). */
#include "pipeline/inputs.h"

#include <math.h>
#include <string.h>

#include "pipeline/autoencoder.h"

enum { WHITE = 128 };                  /* of 8 bits: what is as bright as this is to be repainted */
static const float bicubic_a = -0.75f; /* torch's interpolate(mode="bicubic") */

static size_t latent_pixels(const struct sdg_plan *p)
{
    return p->h * p->w;
}

static bool has_picture(const struct sdg_model *m)
{
    return m->facts.extra == SDG_EXTRA_INPAINT || m->facts.extra == SDG_EXTRA_EDIT;
}

static bool has_map(const struct sdg_model *m)
{
    return m->facts.extra == SDG_EXTRA_INPAINT || m->facts.extra == SDG_EXTRA_DEPTH;
}

size_t sdg_inputs_count(const struct sdg_plan *p, const struct sdg_model *m)
{
    const size_t z = sdg_latent_channels(m);
    return latent_pixels(p) * (has_map(m) + (has_picture(m) ? z : 0));
}

void sdg_inputs_reserve(struct sdg_inputs *in, const struct sdg_plan *p, const struct sdg_model *m,
                        struct sdg_arena *arena)
{
    *in = (struct sdg_inputs) {.count = sdg_inputs_count(p, m)};
    if (has_picture(m))
        in->moments = sdg_arena_floats(arena, 2 * sdg_latent_channels(m) * latent_pixels(p));
    if (has_map(m)) in->map = sdg_arena_floats(arena, latent_pixels(p));
}

/* ---- maps ---- */

/* Nearest pixel of the mask, 1 where it is to be repainted (everywhere without a mask). */
static void shrink_mask(float *map, const struct sdg_plan *p)
{
    const sdgen_pixels *mask = p->params->mask;
    for (size_t i = 0; i < p->h; i++)
        for (size_t j = 0; j < p->w; j++) {
            const size_t y = i * p->height / p->h, x = j * p->width / p->w;
            map[i * p->w + j] = !mask || mask->data[y * p->width + x] >= WHITE ? 1.0f : 0.0f;
        }
}

/* Weights of four neighbours at a distance t beyond the second (Keys 1981, a = -0.75). */
static void cubic_weights(float w[4], float t)
{
    const float a = bicubic_a, s[4] = {t + 1, t, 1 - t, 2 - t};
    for (int i = 0; i < 4; i++)
        w[i] = i == 1 || i == 2 ? ((a + 2) * s[i] - (a + 3)) * s[i] * s[i] + 1
                                : ((a * s[i] - 5 * a) * s[i] + 8 * a) * s[i] - 4 * a;
}

static size_t clamped(long i, int size)
{
    return (size_t)(i < 0 ? 0 : i >= size ? size - 1 : i);
}

/* Depth at pixel (i, j) of the latent: bicubic, pixels taken as areas (align_corners=False). */
static float depth_at(const sdgen_pixels *d, size_t i, size_t j, const struct sdg_plan *p)
{
    const float y = ((float)i + 0.5f) * (float)d->height / (float)p->h - 0.5f;
    const float x = ((float)j + 0.5f) * (float)d->width / (float)p->w - 0.5f;
    float wy[4], wx[4], sum = 0;
    cubic_weights(wy, y - floorf(y));
    cubic_weights(wx, x - floorf(x));
    for (int a = 0; a < 4; a++) {
        float row = 0;
        for (int b = 0; b < 4; b++)
            row += wx[b] *
                   (float)d->data[clamped((long)floorf(y) + a - 1, d->height) * (size_t)d->width +
                                  clamped((long)floorf(x) + b - 1, d->width)];
        sum += wy[a] * row;
    }
    return sum;
}

/* Stretched so that the farthest is -1 and the nearest 1. */
static void shrink_depth(float *map, const struct sdg_plan *p)
{
    float low = INFINITY, high = -INFINITY;
    for (size_t k = 0; k < latent_pixels(p); k++) {
        map[k] = depth_at(p->params->depth, k / p->w, k % p->w, p);
        low = fminf(low, map[k]);
        high = fmaxf(high, map[k]);
    }
    for (size_t k = 0; k < latent_pixels(p); k++)
        map[k] = high > low ? 2.0f * (map[k] - low) / (high - low) - 1.0f : 0.0f;
}

/* ---- pictures ---- */

/* image [3][height][width] about [-1,1]: the picture, grey where it is to be repainted. */
static void prepare_picture(float *image, const struct sdg_plan *p, const struct sdg_model *m)
{
    const sdgen_pixels *picture = p->params->init_image, *mask = p->params->mask;
    const size_t count = p->width * p->height;
    const bool masked = m->facts.extra == SDG_EXTRA_INPAINT;
    for (size_t i = 0; i < count; i++) {
        const bool grey = !picture || (masked && (!mask || mask->data[i] >= WHITE));
        for (size_t c = 0; c < 3; c++)
            image[c * count + i] =
                grey ? 0.0f : 2.0f * ((float)picture->data[3 * i + c] / 255.0f) - 1.0f;
    }
}

static void encode_picture(struct sdg_inputs *in, struct sdg_ops *o, const struct sdg_plan *p,
                           const struct sdg_model *m)
{
    const size_t mark = sdg_arena_mark(o->work);
    float *image = sdg_arena_floats(o->work, 3 * p->width * p->height);
    if (!o->dry) prepare_picture(image, p, m);
    sdg_encode_image(o, in->moments, image, m, p->height, p->width);
    sdg_arena_release(o->work, mark);
}

void sdg_inputs_encode(struct sdg_inputs *in, struct sdg_ops *o, const struct sdg_plan *p,
                       const struct sdg_model *m)
{
    if (has_picture(m)) encode_picture(in, o, p, m);
    if (o->dry || !has_map(m)) return;
    if (m->facts.extra == SDG_EXTRA_DEPTH)
        shrink_depth(in->map, p);
    else
        shrink_mask(in->map, p);
}

/* Sample or mean of the posterior (Kingma & Welling 2014); its deviation is bounded as in CompVis'
 * DiagonalGaussianDistribution. */
static float latent_of(const struct sdg_inputs *in, const float *noise, size_t i, size_t count)
{
    if (!noise) return in->moments[i];
    const float logvar = fminf(fmaxf(in->moments[count + i], -30.0f), 20.0f);
    return in->moments[i] + expf(0.5f * logvar) * noise[i];
}

void sdg_inputs_fill(float *extra, const struct sdg_inputs *in, const float *noise,
                     const struct sdg_plan *p, const struct sdg_model *m)
{
    const size_t pixels = latent_pixels(p), count = sdg_latent_channels(m) * pixels;
    const bool scaled = m->facts.extra == SDG_EXTRA_INPAINT;
    if (has_map(m)) {
        memcpy(extra, in->map, pixels * sizeof *extra);
        extra += pixels;
    }
    for (size_t i = 0; has_picture(m) && i < count; i++) {
        const size_t c = i / pixels;
        const float z = latent_of(in, scaled ? noise : NULL, i, count);
        extra[i] = scaled ? sdg_latent_to_unet(z, c, &m->facts) : z;
    }
}
