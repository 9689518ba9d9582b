/* autoencoder.c - see autoencoder.h. */
#include "pipeline/autoencoder.h"

static const float no_variance =
    -30.0f; /* where posteriors are cut off (CompVis, distributions.py) */

static bool tiny_decodes(const struct sdg_model *m)
{
    return m->has_taesd && m->taesd.config.has_decoder;
}

/* The VAE encodes where there is one: its latents are the better ones, and it is done once a run.
 */
static bool tiny_encodes(const struct sdg_model *m)
{
    return m->has_taesd && m->taesd.config.has_encoder &&
           !(m->has_vae && m->vae.config.has_encoder);
}

size_t sdg_latent_channels(const struct sdg_model *m)
{
    return (size_t)(m->has_vae ? m->vae.config.z_channels : m->taesd.config.z_channels);
}

int sdg_latent_factor(const struct sdg_model *m)
{
    return m->has_vae ? sdg_vae_factor(&m->vae.config) : SDG_TAESD_FACTOR;
}

bool sdg_can_encode(const struct sdg_model *m)
{
    return tiny_encodes(m) || (m->has_vae && m->vae.config.has_encoder);
}

float sdg_latent_to_vae(float x, size_t c, const struct sdg_facts *f)
{
    c %= SDG_LATENT_CHANNELS;
    return x * f->latent_std[c] / f->latent_scale + f->latent_mean[c];
}

float sdg_latent_to_unet(float z, size_t c, const struct sdg_facts *f)
{
    c %= SDG_LATENT_CHANNELS;
    return (z - f->latent_mean[c]) * f->latent_scale / f->latent_std[c];
}

void sdg_decode_latent(struct sdg_ops *o, float *image, float *z, const float *x,
                       const struct sdg_model *m, const struct sdg_vae_tiling *tiling, size_t h,
                       size_t w)
{
    if (tiny_decodes(m)) {
        sdg_taesd_decode(o, image, x, &m->taesd, 1, h, w);
        return;
    }
    const size_t count = sdg_latent_channels(m) * h * w;
    for (size_t i = 0; !o->dry && i < count; i++)
        z[i] = sdg_latent_to_vae(x[i], i / (h * w), &m->facts);
    if (tiling)
        sdg_vae_decode_tiled(o, image, z, &m->vae, h, w, tiling);
    else
        sdg_vae_decode(o, image, z, &m->vae, 1, h, w);
}

void sdg_encode_image(struct sdg_ops *o, float *moments, const float *image,
                      const struct sdg_model *m, size_t h, size_t w)
{
    if (!tiny_encodes(m)) {
        sdg_vae_encode(o, moments, image, &m->vae, 1, h, w);
        return;
    }
    const size_t factor = SDG_TAESD_FACTOR, pixels = h / factor * (w / factor);
    const size_t count = sdg_latent_channels(m) * pixels;
    sdg_taesd_encode(o, moments, image, &m->taesd, 1, h, w);
    for (size_t i = 0; !o->dry && i < count; i++) {
        moments[i] = sdg_latent_to_vae(moments[i], i / pixels, &m->facts);
        moments[count + i] = no_variance;
    }
}
