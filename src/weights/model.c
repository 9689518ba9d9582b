/* model.c - see model.h: which network comes from which file, plans, binding, and whether all
 * belong together. */
#include "weights/model.h"

#include <stdio.h>
#include <string.h>

#include "weights/arch.h"
#include "weights/arch_names.h"
#include "weights/binder.h"
#include "weights/family.h"
#include "weights/keys.h"

enum { CLIP_TOKENS = 49408, CLIP_POSITIONS = 77 }; /* of every CLIP (Radford et al. 2021) */

/* ---- files ---- */

enum { MAIN, OWN_UNET, OWN_VAE, OWN_CLIP_L, OWN_CLIP_G, OWN_TAESD, SOURCES };

/* A file that networks come from. */
struct source {
    struct sdg_weights *file; /* of the model */
    bool open;
    struct sdg_finding finding;
    struct sdg_filebinder binder;
};

struct opening {
    struct sdg_model *m;
    const struct sdg_model_options *opt;
    struct source sources[SOURCES];
    struct source *unet, *vae, *texts[SDG_MAX_CLIPS]; /* where each network comes from */
    const char *prefixes[SDG_MAX_CLIPS];              /* of the text encoders there */
};

static sdgen_status open_source(struct source *s, const char *path, const char *variant,
                                const struct sdg_log *log, sdgen_error *err)
{
    sdgen_status status;
    SDG_TRY(sdg_weights_open_variant(s->file, path, variant, err));
    SDG_TRY(sdg_keys_canonical(s->file, err));
    SDG_TRY(sdg_family_check_scales(s->file, err));
    sdg_family_find(&s->finding, s->file);
    SDG_TRY(sdg_filebinder_init(&s->binder, s->file, log, err));
    s->binder.keeper = s->file;
    s->open = true;
fail:
    return status;
}

static sdgen_status open_all(struct opening *o, sdgen_error *err)
{
    const struct sdg_model_options *opt = o->opt;
    struct sdg_model *m = o->m;
    const char *const paths[SOURCES] = {opt->path,        opt->unet_path,   opt->vae_path,
                                        opt->clip_l_path, opt->clip_g_path, opt->taesd_path};
    struct sdg_weights *const files[SOURCES] = {&m->file,        &m->unet_file,   &m->vae_file,
                                                &m->clip_l_file, &m->clip_g_file, &m->taesd_file};
    sdgen_status status = SDGEN_OK;
    for (int i = 0; i < SOURCES; i++) {
        o->sources[i].file = files[i];
        const char *variant = i == MAIN || i == OWN_UNET ? opt->variant : NULL;
        if (paths[i]) SDG_TRY(open_source(&o->sources[i], paths[i], variant, opt->log, err));
    }
fail:
    return status;
}

/* The file that was given for a network, else the main one. */
static struct source *given_or_main(struct opening *o, int own)
{
    return o->sources[own].open ? &o->sources[own] : &o->sources[MAIN];
}

/* "FILE: holds no VAE", "without a checkpoint (-m) there is no VAE" */
static const char *path_of(const struct source *s)
{
    return s->open ? s->file->path : "without a checkpoint (-m)";
}

static const char *holds(const struct source *s)
{
    return s->open ? ": holds" : " there is";
}

/* ---- UNet ---- */

static sdgen_status choose_unet(struct opening *o, sdgen_error *err)
{
    struct source *s = given_or_main(o, OWN_UNET);
    const enum sdg_kind kind = s->finding.kind;
    o->unet = s;
    if (!s->open)
        return sdg_fail(err, SDGEN_ERR_ARG,
                        "no checkpoint: name one with -m, or a UNet with --unet");
    if (kind == SDG_KIND_CHECKPOINT || kind == SDG_KIND_UNET) return SDGEN_OK;
    if (s == &o->sources[MAIN] || kind == SDG_KIND_UNKNOWN || s->finding.unet)
        return sdg_family_check(&s->finding, s->file, err);
    return sdg_fail(err, SDGEN_ERR_ARG, "%s: this is a %s and holds no UNet, which --unet wants",
                    s->file->path, s->finding.name);
}

/* ---- text encoders ---- */

enum { ROLE_L, ROLE_G }; /* CLIP-L (SD2: OpenCLIP H) and OpenCLIP bigG */

/* Where in a file the encoder of a role is; NULL: nowhere. A file that was given for one encoder
 * and holds one is taken at its word, and so is a main file where the family has but one. */
static const char *text_in(const struct source *s, bool own, int role, bool two)
{
    const int count = s->finding.text_count;
    if (count == 2) return s->finding.texts[role];
    if (count == 0) return NULL;
    const char *only = s->finding.texts[0];
    const bool fits = (strcmp(only, SDG_KEY_CLIP_1) == 0) == (role == ROLE_G);
    return own || !two || fits ? only : NULL;
}

static sdgen_status choose_texts(struct opening *o, sdgen_error *err)
{
    static const int owns[] = {[ROLE_L] = OWN_CLIP_L, [ROLE_G] = OWN_CLIP_G};
    struct sdg_model *m = o->m;
    struct source *const main = &o->sources[MAIN];
    const enum sdg_family family = o->unet->finding.family;
    const bool two = family == SDG_FAMILY_SDXL;
    m->clip_count = two ? 2 : 1;
    for (int i = 0; i < m->clip_count; i++) {
        const int role = i == 1 || family == SDG_FAMILY_SDXL_REFINER ? ROLE_G : ROLE_L;
        struct source *s = given_or_main(o, owns[role]);
        if (!two && s == main) s = given_or_main(o, owns[!role]); /* whichever option names it */
        o->texts[i] = s;
        o->prefixes[i] = text_in(s, s != main, role, two);
        if (!o->prefixes[i])
            return sdg_fail(err, SDGEN_ERR_MODEL,
                            "%s%s no text encoder %s, which the UNet (%s) wants; give one with %s",
                            path_of(s), holds(s),
                            role == ROLE_G             ? "OpenCLIP bigG"
                            : family == SDG_FAMILY_SD2 ? "OpenCLIP H"
                                                       : "CLIP-L",
                            sdg_family_name(family), role == ROLE_G ? "--clip-g" : "--clip-l");
    }
    return SDGEN_OK;
}

/* What UNets of the family were trained on. SD2: the layer before the last of OpenCLIP's 24 (LDM,
 * FrozenOpenCLIPEmbedder, "penultimate"); diffusers stores 23 and no projection. SDXL: the same
 * layers of both encoders without the norm (generative-models, sd_xl_base.yaml: layer_idx 11,
 * "penultimate"). */
static struct sdg_clip_take take_of(const struct opening *o, int i)
{
    enum { OPENCLIP_H_LAYERS = 24 };
    const enum sdg_family family = o->unet->finding.family;
    const int layers = o->m->clips[i].config.layers;
    const bool whole = sdg_text_is_openclip(o->texts[i]->file, o->prefixes[i]) ||
                       o->m->clips[i].config.projection > 0;
    switch (family) {
    case SDG_FAMILY_SD1: break;
    case SDG_FAMILY_SD2:
        return (struct sdg_clip_take) {.skip = layers == OPENCLIP_H_LAYERS ||
                                               (layers != OPENCLIP_H_LAYERS - 1 && whole)};
    case SDG_FAMILY_SDXL:
        return (struct sdg_clip_take) {.skip = 1, .plain = true, .pooled = i == 1};
    case SDG_FAMILY_SDXL_REFINER:
        return (struct sdg_clip_take) {.skip = 1, .plain = true, .pooled = true};
    }
    return (struct sdg_clip_take) {.skip = 0};
}

/* ---- binding ---- */

static sdgen_status bind_texts(struct opening *o, sdgen_error *err)
{
    struct sdg_model *m = o->m;
    sdgen_status status = SDGEN_OK;
    for (int i = 0; i < m->clip_count; i++) {
        struct sdg_clip_config clip;
        struct sdg_filebinder *b = &o->texts[i]->binder;
        SDG_TRY(sdg_arch_clip(&clip, o->texts[i]->file, o->prefixes[i],
                              sdg_family_openclip(o->unet->finding.family, i), err));
        sdg_filebinder_network(b, o->prefixes[i], false);
        sdg_clip_bind(&m->clips[i], &clip, &b->binder);
        m->takes[i] = take_of(o, i);
    }
fail:
    return status;
}

static sdgen_status bind_unet(struct opening *o, sdgen_error *err)
{
    sdgen_status status;
    struct sdg_unet_config unet;
    struct sdg_filebinder *b = &o->unet->binder;
    const struct sdg_weights *file = o->unet->file;
    const bool ema = o->opt->ema && sdg_has_ema(file);
    if (o->opt->ema && !ema)
        sdg_log(o->opt->log, SDGEN_LOG_WARN, "%s: holds no EMA weights; its plain weights are used",
                file->path);
    o->m->ema = ema;
    SDG_TRY(sdg_arch_unet(&unet, file, SDG_KEY_UNET, err));
    SDG_TRY(sdg_unet_arena_create(&o->m->arena, err));
    sdg_filebinder_network(b, SDG_KEY_UNET, ema);
    SDG_TRY(sdg_unet_bind(&o->m->unet, &unet, &b->binder, &o->m->arena, err));
fail:
    return status;
}

/* Where the tiny autoencoder is, if one is to be used: its own file; a VAE's file that holds
 * nothing else; a model that has no other. */
static struct source *choose_taesd(struct opening *o)
{
    struct source *s = &o->sources[OWN_TAESD];
    if (s->open) return s;
    s = given_or_main(o, OWN_VAE);
    return s->open && !s->finding.vae && s->finding.taesd_decoder ? s : NULL;
}

static sdgen_status bind_taesd(struct opening *o, sdgen_error *err)
{
    struct sdg_taesd_config config;
    struct source *s = choose_taesd(o);
    if (!s) return SDGEN_OK;
    if (!s->finding.taesd_encoder && !s->finding.taesd_decoder)
        return sdg_fail(err, SDGEN_ERR_ARG,
                        "%s: this is a %s and holds no tiny autoencoder, which "
                        "--taesd wants",
                        s->file->path, s->finding.name);
    const sdgen_status status = sdg_arch_taesd(&config, s->file, SDG_KEY_TAESD, err);
    if (status != SDGEN_OK) return status;
    sdg_filebinder_network(&s->binder, SDG_KEY_TAESD, false);
    sdg_taesd_bind(&o->m->taesd, &config, &s->binder.binder);
    o->m->has_taesd = true;
    return SDGEN_OK;
}

static sdgen_status bind_vae(struct opening *o, sdgen_error *err)
{
    struct sdg_vae_config vae;
    struct source *s = given_or_main(o, OWN_VAE);
    struct sdg_model *m = o->m;
    if (o->opt->without_vae) return SDGEN_OK;
    if (m->has_taesd && !s->finding.vae) s = &o->sources[MAIN]; /* it may still encode */
    if (!s->open || !s->finding.vae) {
        if (m->has_taesd && m->taesd.config.has_decoder) return SDGEN_OK;
        return sdg_fail(err, SDGEN_ERR_MODEL, "%s%s no VAE; give one with --vae", path_of(s),
                        holds(s));
    }
    const sdgen_status status = sdg_arch_vae(&vae, s->file, SDG_KEY_VAE, err);
    if (status != SDGEN_OK) return status;
    sdg_filebinder_network(&s->binder, SDG_KEY_VAE, false);
    sdg_vae_bind(&m->vae, &vae, &s->binder.binder);
    m->has_vae = true;
    o->vae = s;
    return SDGEN_OK;
}

/* Every file's problems are said, and the first file's are the error. */
static sdgen_status finish_all(const struct opening *o, sdgen_error *err)
{
    sdgen_status status = SDGEN_OK;
    for (int i = 0; i < SOURCES; i++) {
        sdgen_error other;
        if (!o->sources[i].open) continue;
        const sdgen_status found =
            sdg_filebinder_finish(&o->sources[i].binder, status == SDGEN_OK ? err : &other);
        if (status == SDGEN_OK) status = found;
    }
    return status;
}

/* ---- what is left ---- */

/* A network of the main file that another file replaces. */
static bool is_replaced(const struct opening *o, const char *name)
{
    static const struct {
        int own;
        const char *prefix;
    } owners[] = {{OWN_TAESD, SDG_KEY_TAESD},   {OWN_UNET, SDG_KEY_UNET},
                  {OWN_VAE, SDG_KEY_VAE},       {OWN_CLIP_L, SDG_KEY_CLIP},
                  {OWN_CLIP_L, SDG_KEY_CLIP_0}, {OWN_CLIP_G, SDG_KEY_CLIP_1},
                  {OWN_CLIP_G, SDG_KEY_CLIP_0}};
    for (size_t i = 0; i < sizeof owners / sizeof owners[0]; i++)
        if (o->sources[owners[i].own].open && sdg_name_after(name, owners[i].prefix)) return true;
    return false;
}

/* Counts what no network took; the leftovers of training are told as one number. */
static void count_unused(const struct opening *o)
{
    const struct source *s = &o->sources[MAIN];
    struct sdg_model *m = o->m;
    size_t leftovers = 0;
    if (!s->open) return;
    m->used = s->binder.used;
    for (size_t i = 0; i < s->file->count; i++) {
        const char *name = s->file->entries[i].name;
        if (s->binder.taken[i]) continue;
        if (sdg_is_leftover(name) || is_replaced(o, name)) {
            leftovers++;
            continue;
        }
        m->unused++;
        sdg_log(o->opt->log, SDGEN_LOG_VERBOSE, "unused tensor: %s", name);
    }
    sdg_log(o->opt->log, SDGEN_LOG_VERBOSE,
            "%s: %zu tensors used, %zu unused, %zu that only training or other engines need",
            s->file->path, m->used, m->unused, leftovers);
}

static void find_facts(const struct opening *o)
{
    struct sdg_model *m = o->m;
    const struct source *main = &o->sources[MAIN];
    sdg_facts_find(&m->facts, &o->unet->finding, o->unet->file,
                   main->open ? main->file : o->unet->file, o->vae ? o->vae->file : NULL,
                   m->has_vae ? sdg_vae_factor(&m->vae.config) : SDG_TAESD_FACTOR);
    sdg_log(o->opt->log, SDGEN_LOG_VERBOSE, "%s: %s", o->unet->file->path, o->unet->finding.name);
}

static sdgen_status check_fit(const struct opening *o, sdgen_error *err)
{
    const struct sdg_model *m = o->m;
    const struct sdg_clip_config *clips[SDG_MAX_CLIPS];
    for (int i = 0; i < m->clip_count; i++) clips[i] = &m->clips[i].config;
    return sdg_model_fits(clips, m->clip_count, &m->unet.config, m->has_vae ? &m->vae.config : NULL,
                          &m->facts, o->unet->file->path, err);
}

sdgen_status sdg_model_open(struct sdg_model *m, const struct sdg_model_options *opt,
                            sdgen_error *err)
{
    sdgen_status status;
    struct opening o = {.m = m, .opt = opt};
    memset(m, 0, sizeof *m);
    SDG_TRY(open_all(&o, err));
    SDG_TRY(choose_unet(&o, err));
    SDG_TRY(choose_texts(&o, err));
    SDG_TRY(bind_texts(&o, err));
    SDG_TRY(bind_unet(&o, err));
    SDG_TRY(bind_taesd(&o, err));
    SDG_TRY(bind_vae(&o, err));
    SDG_TRY(finish_all(&o, err));
    find_facts(&o);
    SDG_TRY(check_fit(&o, err));
    count_unused(&o);
fail:
    for (int i = 0; i < SOURCES; i++) sdg_filebinder_destroy(&o.sources[i].binder);
    if (status != SDGEN_OK) sdg_model_close(m);
    return status;
}

/* ---- fitting ---- */

static sdgen_status texts_fit(const struct sdg_clip_config *const *clips, int clip_count,
                              const struct sdg_unet_config *unet, const struct sdg_facts *facts,
                              const char *path, sdgen_error *err)
{
    enum { SIZE_EMBEDDING = 256 };
    int width = 0;
    for (int i = 0; i < clip_count; i++) {
        const struct sdg_clip_config *clip = clips[i];
        if (clip->vocab != CLIP_TOKENS || clip->positions < CLIP_POSITIONS)
            return sdg_fail(err, SDGEN_ERR_MODEL,
                            "%s: text encoder for %d tokens at %d positions; CLIP's has %d and %d",
                            path, clip->vocab, clip->positions, CLIP_TOKENS, CLIP_POSITIONS);
        width += clip->width;
    }
    if (width != unet->context)
        return sdg_fail(err, SDGEN_ERR_MODEL,
                        "%s: text encoder%s %d wide%s, the UNet attends to vectors of %d: they do "
                        "not belong together",
                        path, clip_count > 1 ? "s are" : " is", width,
                        clip_count > 1 ? " together" : "", unet->context);
    const struct sdg_clip_config *last = clips[clip_count - 1];
    const int pooled = last->projection ? last->projection : last->width;
    const int sizes = facts->label == SDG_LABEL_REFINER ? 5 : 6;
    if (unet->label && unet->label != pooled + sizes * SIZE_EMBEDDING)
        return sdg_fail(err, SDGEN_ERR_MODEL,
                        "%s: pooled text of %d values and %d sizes, the UNet's label_emb takes %d: "
                        "they do not belong together",
                        path, pooled, sizes, unet->label);
    return SDGEN_OK;
}

sdgen_status sdg_model_fits(const struct sdg_clip_config *const *clips, int clip_count,
                            const struct sdg_unet_config *unet, const struct sdg_vae_config *vae,
                            const struct sdg_facts *facts, const char *path, sdgen_error *err)
{
    const sdgen_status status = texts_fit(clips, clip_count, unet, facts, path, err);
    if (status != SDGEN_OK || !vae) return status;
    const int z = vae->z_channels, extra = facts->extra == SDG_EXTRA_INPAINT ? z + 1
                                           : facts->extra == SDG_EXTRA_EDIT  ? z
                                           : facts->extra == SDG_EXTRA_DEPTH ? 1
                                                                             : 0;
    if (unet->in_channels != z + extra || unet->out_channels != z)
        return sdg_fail(err, SDGEN_ERR_MODEL,
                        "%s: UNet with %d input and %d output channels, VAE with %d latent "
                        "channels: they do not belong together",
                        path, unet->in_channels, unet->out_channels, z);
    return SDGEN_OK;
}

/* ---- life ---- */

void sdg_model_let_go(const struct sdg_model *m, const struct sdg_tensor *weight)
{
    sdg_weights_let_go(&m->file, weight);
    sdg_weights_let_go(&m->unet_file, weight);
    sdg_weights_let_go(&m->vae_file, weight);
    sdg_weights_let_go(&m->clip_l_file, weight);
    sdg_weights_let_go(&m->clip_g_file, weight);
    sdg_weights_let_go(&m->taesd_file, weight);
}

void sdg_model_ask_for(const struct sdg_model *m, const struct sdg_tensor *weight)
{
    sdg_weights_ask_for(&m->file, weight);
    sdg_weights_ask_for(&m->unet_file, weight);
    sdg_weights_ask_for(&m->vae_file, weight);
    sdg_weights_ask_for(&m->clip_l_file, weight);
    sdg_weights_ask_for(&m->clip_g_file, weight);
    sdg_weights_ask_for(&m->taesd_file, weight);
}

void sdg_model_close(struct sdg_model *m)
{
    sdg_arena_destroy(&m->arena);
    sdg_weights_close(&m->unet_file);
    sdg_weights_close(&m->vae_file);
    sdg_weights_close(&m->clip_l_file);
    sdg_weights_close(&m->clip_g_file);
    sdg_weights_close(&m->taesd_file);
    sdg_weights_close(&m->file);
    memset(m, 0, sizeof *m);
}
