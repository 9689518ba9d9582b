/* model.c - see model.h: file, family, plans of the three networks, binding, and the facts that no
 * shape tells. Keys follow the CompVis single files; metadata keys the modelspec standard
 * (Stability AI, ModelSpec 1.0.0). */
#include "weights/model.h"

#include <stdio.h>
#include <string.h>

#include "weights/arch.h"
#include "weights/arch_names.h"
#include "weights/binder.h"
#include "weights/family.h"
#include "weights/keys.h"

static const float sd1_latent_scale = 0.18215f; /* CompVis configs/stable-diffusion, scale_factor */

enum { SD1_SIZE = 512, MIN_SIZE = 64, MAX_SIZE = 4096 };
enum { CLIP_TOKENS = 49408, CLIP_POSITIONS = 77 }; /* of every CLIP (Radford et al. 2021) */

/* modelspec.resolution is "WxH". What does not parse, or no VAE could make, is as if not there. */
static void read_native_size(struct sdg_model *m)
{
    const char *text = sdg_weights_metadata(&m->file, "modelspec.resolution");
    const int factor = sdg_vae_factor(&m->vae.config);
    int w = 0, h = 0, end = 0;
    if (text && sscanf(text, "%4dx%4d%n", &w, &h, &end) == 2 && text[end] == 0 && w >= MIN_SIZE &&
        h >= MIN_SIZE && w <= MAX_SIZE && h <= MAX_SIZE && w % factor == 0 && h % factor == 0) {
        m->facts.native_width = w;
        m->facts.native_height = h;
    } else {
        m->facts.native_width = m->facts.native_height = SD1_SIZE;
    }
}

/* Text encoder and UNet of the main file. */
static sdgen_status bind_main(struct sdg_model *m, struct sdg_filebinder *b,
                              const struct sdg_finding *f, const struct sdg_model_options *opt,
                              sdgen_error *err)
{
    sdgen_status status;
    struct sdg_clip_config clip;
    struct sdg_unet_config unet;
    const bool ema = opt->ema && sdg_has_ema(&m->file);
    if (opt->ema && !ema)
        sdg_log(opt->log, SDGEN_LOG_WARN, "%s: holds no EMA weights; its plain weights are used",
                m->file.path);
    SDG_TRY(sdg_arch_clip(&clip, &m->file, f->clip_prefix, err));
    SDG_TRY(sdg_arch_unet(&unet, &m->file, f->unet_prefix, err));
    SDG_TRY(sdg_unet_arena_create(&m->arena, err));
    sdg_filebinder_network(b, f->clip_prefix, false);
    sdg_clip_bind(&m->clips[0], &clip, &b->binder);
    sdg_filebinder_network(b, f->unet_prefix, ema);
    SDG_TRY(sdg_unet_bind(&m->unet, &unet, &b->binder, &m->arena, err));
fail:
    return status;
}

static sdgen_status bind_vae(struct sdg_model *m, struct sdg_filebinder *b,
                             const struct sdg_finding *f, sdgen_error *err)
{
    struct sdg_vae_config vae;
    if (!f->vae_prefix)
        return sdg_fail(err, SDGEN_ERR_MODEL, "%s: holds no VAE%s; give one with --vae",
                        b->file->path,
                        f->kind == SDG_KIND_DIFFUSERS_VAE ? " that sdgen reads (it is one of a "
                                                            "diffusers folder)"
                                                          : "");
    const sdgen_status status = sdg_arch_vae(&vae, b->file, f->vae_prefix, err);
    if (status != SDGEN_OK) return status;
    sdg_filebinder_network(b, f->vae_prefix, false);
    sdg_vae_bind(&m->vae, &vae, &b->binder);
    return SDGEN_OK;
}

/* The VAE of a file of its own, which may also be a whole checkpoint. */
static sdgen_status open_vae(struct sdg_model *m, const struct sdg_model_options *opt,
                             sdgen_error *err)
{
    sdgen_status status;
    struct sdg_filebinder binder = {0};
    struct sdg_finding finding;
    SDG_TRY(sdg_weights_open(&m->vae_file, opt->vae_path, err));
    SDG_TRY(sdg_keys_canonical(&m->vae_file, err));
    sdg_family_find(&finding, &m->vae_file);
    SDG_TRY(sdg_filebinder_init(&binder, &m->vae_file, opt->log, err));
    SDG_TRY(bind_vae(m, &binder, &finding, err));
    SDG_TRY(sdg_filebinder_finish(&binder, err));
fail:
    sdg_filebinder_destroy(&binder);
    return status;
}

/* Counts what no network took; the leftovers of training are told as one number. A VAE that another
 * file replaces is not unused without reason either. */
static void count_unused(struct sdg_model *m, const struct sdg_filebinder *b,
                         const struct sdg_finding *f, const struct sdg_log *log)
{
    size_t leftovers = 0;
    const char *replaced = m->vae_file.path ? f->vae_prefix : NULL;
    m->used = b->used;
    for (size_t i = 0; i < m->file.count; i++) {
        const char *name = m->file.entries[i].name;
        if (b->taken[i]) continue;
        if (sdg_is_leftover(name) || (replaced && sdg_name_after(name, replaced))) {
            leftovers++;
            continue;
        }
        m->unused++;
        sdg_log(log, SDGEN_LOG_VERBOSE, "unused tensor: %s", name);
    }
    sdg_log(log, SDGEN_LOG_VERBOSE,
            "%s: %zu tensors used, %zu unused, %zu that only training or other engines need",
            m->file.path, m->used, m->unused, leftovers);
}

sdgen_status sdg_model_open(struct sdg_model *m, const struct sdg_model_options *opt,
                            sdgen_error *err)
{
    sdgen_status status;
    struct sdg_filebinder binder = {0};
    struct sdg_finding finding;
    memset(m, 0, sizeof *m);
    SDG_TRY(sdg_weights_open(&m->file, opt->path, err));
    SDG_TRY(sdg_keys_canonical(&m->file, err));
    sdg_family_find(&finding, &m->file);
    SDG_TRY(sdg_family_check(&finding, &m->file, err));
    m->facts.family = SDG_FAMILY_SD1;
    m->facts.latent_scale = sd1_latent_scale;
    for (int c = 0; c < SDG_LATENT_CHANNELS; c++) m->facts.latent_std[c] = 1;
    m->clip_count = 1;
    SDG_TRY(sdg_filebinder_init(&binder, &m->file, opt->log, err));
    SDG_TRY(bind_main(m, &binder, &finding, opt, err));
    if (!opt->vae_path) SDG_TRY(bind_vae(m, &binder, &finding, err));
    SDG_TRY(sdg_filebinder_finish(&binder, err));
    if (opt->vae_path) SDG_TRY(open_vae(m, opt, err));
    read_native_size(m);
    const struct sdg_clip_config *clips[] = {&m->clips[0].config};
    SDG_TRY(
        sdg_model_fits(clips, 1, &m->unet.config, &m->vae.config, &m->facts, m->file.path, err));
    count_unused(m, &binder, &finding, opt->log);
    sdg_filebinder_destroy(&binder);
    return SDGEN_OK;
fail:
    sdg_filebinder_destroy(&binder);
    sdg_model_close(m);
    return status;
}

sdgen_status sdg_model_fits(const struct sdg_clip_config *const *clips, int clip_count,
                            const struct sdg_unet_config *unet, const struct sdg_vae_config *vae,
                            const struct sdg_facts *facts, const char *path, sdgen_error *err)
{
    const struct sdg_clip_config *clip = clips[0];
    (void)clip_count, (void)facts;
    if (clip->vocab != CLIP_TOKENS || clip->positions < CLIP_POSITIONS)
        return sdg_fail(err, SDGEN_ERR_MODEL,
                        "%s: text encoder for %d tokens at %d positions; CLIP's has %d and %d",
                        path, clip->vocab, clip->positions, CLIP_TOKENS, CLIP_POSITIONS);
    if (clip->width != unet->context)
        return sdg_fail(err, SDGEN_ERR_MODEL,
                        "%s: text encoder is %d wide, the UNet attends to vectors of %d: they do "
                        "not belong together",
                        path, clip->width, unet->context);
    if (vae && (unet->in_channels != vae->z_channels || unet->out_channels != vae->z_channels))
        return sdg_fail(err, SDGEN_ERR_MODEL,
                        "%s: UNet with %d input and %d output channels, VAE with %d latent "
                        "channels: they do not belong together",
                        path, unet->in_channels, unet->out_channels, vae->z_channels);
    return SDGEN_OK;
}

void sdg_model_let_go(const struct sdg_model *m, const struct sdg_tensor *weight)
{
    sdg_weights_let_go(&m->file, weight);
    sdg_weights_let_go(&m->unet_file, weight);
    sdg_weights_let_go(&m->vae_file, weight);
    sdg_weights_let_go(&m->clip_l_file, weight);
    sdg_weights_let_go(&m->clip_g_file, weight);
}

void sdg_model_ask_for(const struct sdg_model *m, const struct sdg_tensor *weight)
{
    sdg_weights_ask_for(&m->file, weight);
    sdg_weights_ask_for(&m->unet_file, weight);
    sdg_weights_ask_for(&m->vae_file, weight);
    sdg_weights_ask_for(&m->clip_l_file, weight);
    sdg_weights_ask_for(&m->clip_g_file, weight);
}

void sdg_model_close(struct sdg_model *m)
{
    sdg_arena_destroy(&m->arena);
    sdg_weights_close(&m->unet_file);
    sdg_weights_close(&m->vae_file);
    sdg_weights_close(&m->clip_l_file);
    sdg_weights_close(&m->clip_g_file);
    sdg_weights_close(&m->file);
    memset(m, 0, sizeof *m);
}
