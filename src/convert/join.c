/* join.c - see join.h. */
#define _GNU_SOURCE
#include "convert/join.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "weights/arch_names.h"
#include "weights/binder.h"
#include "weights/keys.h"
#include "files/read.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

enum { BIGG_WIDTH = 1280 }; /* of OpenCLIP bigG's tokens; the refiner attends to nothing else */

bool sdg_is_network(const char *canonical)
{
    static const char *const prefixes[] = {SDG_KEY_UNET, SDG_KEY_VAE,    SDG_KEY_TAESD,
                                           SDG_KEY_CLIP, SDG_KEY_CLIP_0, SDG_KEY_CLIP_1};
    for (size_t i = 0; i < COUNT(prefixes); i++)
        if (sdg_name_after(canonical, prefixes[i])) return true;
    return false;
}

const struct sdg_weights *sdg_joined_file(const struct sdg_joined *j, enum sdg_join_file network)
{
    return j->files[network].path ? &j->files[network] : &j->files[SDG_JOIN_MAIN];
}

/* ---- what belongs where ---- */

/* Which text encoders the UNet wants, from its own shapes. */
struct texts {
    const char *l, *g; /* canonical prefixes */
};

static struct texts wanted_texts(const struct sdg_joined *j)
{
    static const char tail[] = ".attn2.to_k.weight";
    const struct sdg_weights *w = sdg_joined_file(j, SDG_JOIN_UNET);
    const bool both = j->files[SDG_JOIN_CLIP_L].path && j->files[SDG_JOIN_CLIP_G].path;
    bool unet = false, label = false;
    int64_t context = 0;
    for (size_t i = 0; i < w->count; i++) {
        const struct sdg_entry *e = &w->entries[i];
        const char *rest = sdg_name_after(e->name, SDG_KEY_UNET);
        if (!rest) continue;
        const size_t length = strlen(rest);
        unet = true;
        label |= sdg_name_after(rest, "label_emb.") != NULL;
        if (length > sizeof tail && strcmp(rest + length + 1 - sizeof tail, tail) == 0 &&
            e->tensor.rank == 2)
            context = e->tensor.shape[1];
    }
    const bool refiner = label && context == BIGG_WIDTH;
    const bool two =
        label || (!unet && (both || sdg_weights_find(&j->files[SDG_JOIN_MAIN],
                                                     SDG_KEY_CLIP_1 "text_model.final_layer_norm."
                                                                    "bias")));
    return (struct texts) {two ? SDG_KEY_CLIP_0 : SDG_KEY_CLIP,
                           refiner ? SDG_KEY_CLIP_0 : SDG_KEY_CLIP_1};
}

/* The text encoder of a file that is meant by --clip-l or --clip-g: by its width, else by its
 * place. NULL when there is none. */
static const char *text_in(const struct sdg_weights *w, bool bigg)
{
    static const char *const prefixes[] = {SDG_KEY_CLIP, SDG_KEY_CLIP_0, SDG_KEY_CLIP_1};
    const char *found = NULL;
    for (size_t i = 0; i < COUNT(prefixes); i++) {
        const char *prefix = prefixes[bigg ? COUNT(prefixes) - 1 - i : i];
        const struct sdg_tensor *t =
            sdg_arch_tensor(w, prefix, "text_model.embeddings.", "token_embedding.weight");
        if (!t) continue;
        if ((t->rank == 2 && t->shape[1] == BIGG_WIDTH) == bigg) return prefix;
        if (!found) found = prefix;
    }
    return found;
}

/* ---- adding ---- */

static sdgen_status add(struct sdg_joined *j, const char *prefix, const char *rest,
                        const struct sdg_entry *from, sdgen_error *err)
{
    struct sdg_entry *e;
    char *name;
    const size_t size = strlen(prefix) + strlen(rest);
    const sdgen_status status = sdg_weights_add(&e, &name, &j->all, size, err);
    if (status != SDGEN_OK) return status;
    memcpy(name, prefix, strlen(prefix));
    memcpy(name + strlen(prefix), rest, strlen(rest));
    e->stored = from->stored;
    e->part = from->part;
    e->tensor = from->tensor;
    return SDGEN_OK;
}

/* All tensors of a network of a file, which may have another prefix there. */
static sdgen_status add_network(struct sdg_joined *j, const char *as, const struct sdg_weights *w,
                                const char *prefix, const char *what, sdgen_error *err)
{
    sdgen_status status = SDGEN_OK;
    size_t added = 0;
    for (size_t i = 0; i < w->count && prefix; i++) {
        const char *rest = sdg_name_after(w->entries[i].name, prefix);
        if (!rest) continue;
        added++;
        SDG_TRY(add(j, as, rest, &w->entries[i], err));
    }
    if (!added)
        status = sdg_fail(err, SDGEN_ERR_MODEL, "%s: has no %s ('sdgen inspect' shows what it has)",
                          w->path, what);
fail:
    return status;
}

/* The weight that LitEma keeps for a weight of the UNet: CompVis ldm/modules/ema.py takes the
 * dots out of the name. */
static const struct sdg_entry *average_of(const struct sdg_weights *w, const char *rest)
{
    char name[SDG_KEY_SIZE];
    size_t n = (size_t)snprintf(name, sizeof name, "%sdiffusion_model", SDG_KEY_EMA);
    for (const char *c = rest; *c && n + 1 < sizeof name; c++)
        if (*c != '.') name[n++] = *c;
    name[n] = 0;
    return sdg_weights_find(w, name);
}

static sdgen_status add_averages(struct sdg_joined *j, const struct sdg_weights *w,
                                 sdgen_error *err)
{
    sdgen_status status = SDGEN_OK;
    if (!sdg_has_ema(w))
        return sdg_fail(err, SDGEN_ERR_MODEL,
                        "%s: holds no running averages (EMA) of a UNet; leave out --ema", w->path);
    for (size_t i = 0; i < w->count; i++) {
        const char *rest = sdg_name_after(w->entries[i].name, SDG_KEY_UNET);
        if (!rest) continue;
        const struct sdg_entry *e = average_of(w, rest);
        if (!e || sdg_tensor_count(&e->tensor) != sdg_tensor_count(&w->entries[i].tensor))
            return sdg_fail(err, SDGEN_ERR_MODEL,
                            "%s: the running average of %.200s is missing or has another shape",
                            w->path, w->entries[i].name);
        SDG_TRY(add(j, SDG_KEY_UNET, rest, e, err));
        struct sdg_tensor *t = &j->all.entries[j->all.count - 1].tensor;
        t->rank = w->entries[i].tensor.rank;
        memcpy(t->shape, w->entries[i].tensor.shape, sizeof t->shape);
    }
fail:
    return status;
}

/* ---- the main file's share ---- */

/* What tells how the model is to be run is kept, whatever it looks like. */
bool sdg_is_flag(const char *name)
{
    static const char *const flags[] = {"v_pred",   "ztsnr",   "edm_vpred.sigma_max",
                                        "edm_mean", "edm_std", "edm_vpred.sigma_min"};
    for (size_t i = 0; i < COUNT(flags); i++)
        if (strcmp(name, flags[i]) == 0) return true;
    return false;
}

/* A text encoder that came alone was named for what it is; beside the UNet of another file it goes
 * where that wants it. Returns its prefix then, with the rest of the name, else "" and the name. */
static const char *place_of(const char **rest, const struct sdg_joined *j,
                            const struct texts *texts, const char *name)
{
    const struct sdg_weights *main = &j->files[SDG_JOIN_MAIN];
    const struct sdg_entry *words = sdg_weights_find(main, SDG_KEY_CLIP_0 "text_model.embeddings."
                                                                          "token_embedding.weight");
    if ((*rest = sdg_name_after(name, SDG_KEY_CLIP)) && strcmp(texts->l, SDG_KEY_CLIP) != 0)
        return texts->l;
    if (j->files[SDG_JOIN_UNET].path && (*rest = sdg_name_after(name, SDG_KEY_CLIP_0)) && words &&
        words->tensor.rank == 2 && words->tensor.shape[1] == BIGG_WIDTH)
        return texts->g;
    *rest = name;
    return "";
}

static bool is_dropped(const struct sdg_joined *j, const struct sdg_join_options *o,
                       const struct texts *texts, const char *prefix, const char *name)
{
    if (sdg_name_after(name, SDG_KEY_EMA)) return o->prune || o->ema || o->unet_path || o->no_ema;
    if (sdg_name_after(name, SDG_KEY_UNET)) return o->ema || o->unet_path;
    if (o->vae_path && sdg_name_after(name, SDG_KEY_VAE)) return true;
    const char *in = prefix[0] ? prefix : name; /* where it goes */
    if (j->files[SDG_JOIN_CLIP_L].path && sdg_name_after(in, texts->l)) return true;
    if (j->files[SDG_JOIN_CLIP_G].path && sdg_name_after(in, texts->g)) return true;
    if (!o->prune || sdg_is_flag(name)) return false;
    return sdg_is_leftover(name) || !sdg_is_network(name) ||
           sdg_name_after(name, SDG_KEY_VAE "loss.");
}

static sdgen_status add_all(struct sdg_joined *j, const struct sdg_join_options *o,
                            sdgen_error *err)
{
    sdgen_status status = SDGEN_OK;
    const struct sdg_weights *main = &j->files[SDG_JOIN_MAIN], *f = j->files;
    const struct texts texts = wanted_texts(j);
    for (size_t i = 0; i < main->count; i++) {
        const char *rest, *name = main->entries[i].name;
        const char *prefix = place_of(&rest, j, &texts, name);
        if (is_dropped(j, o, &texts, prefix, name))
            j->dropped++;
        else
            SDG_TRY(add(j, prefix, rest, &main->entries[i], err));
    }
    if (o->ema)
        SDG_TRY(add_averages(j, sdg_joined_file(j, SDG_JOIN_UNET), err));
    else if (o->unet_path)
        SDG_TRY(add_network(j, SDG_KEY_UNET, &f[SDG_JOIN_UNET], SDG_KEY_UNET, "UNet", err));
    if (o->vae_path)
        SDG_TRY(add_network(j, SDG_KEY_VAE, &f[SDG_JOIN_VAE], SDG_KEY_VAE, "VAE", err));
    if (o->clip_l_path)
        SDG_TRY(add_network(j, texts.l, &f[SDG_JOIN_CLIP_L], text_in(&f[SDG_JOIN_CLIP_L], false),
                            "text encoder", err));
    if (o->clip_g_path)
        SDG_TRY(add_network(j, texts.g, &f[SDG_JOIN_CLIP_G], text_in(&f[SDG_JOIN_CLIP_G], true),
                            "text encoder", err));
fail:
    return status;
}

/* ---- life ---- */

/* The lists that are borrowed from the files: copies of the lists, not of what they list. */
static sdgen_status borrow(struct sdg_joined *j, sdgen_error *err)
{
    struct sdg_weights *all = &j->all;
    const struct sdg_weights *main = &j->files[SDG_JOIN_MAIN];
    size_t maps = 0;
    for (int i = 0; i < SDG_JOIN_FILES; i++) maps += j->files[i].map_count;
    all->form = main->form;
    all->path = strdup(main->path);
    all->maps = calloc(maps + 1, sizeof *all->maps);
    all->metadata = calloc(main->metadata_count + 1, sizeof *all->metadata);
    all->texts = calloc(main->text_count + 1, sizeof *all->texts);
    if (!all->path || !all->maps || !all->metadata || !all->texts)
        return sdg_weights_no_memory(main, err);
    for (int i = 0; i < SDG_JOIN_FILES; i++)
        for (size_t m = 0; m < j->files[i].map_count; m++)
            all->maps[all->map_count++] = j->files[i].maps[m];
    for (size_t i = 0; i < main->metadata_count; i++) all->metadata[i] = main->metadata[i];
    for (size_t i = 0; i < main->text_count; i++) all->texts[i] = main->texts[i];
    all->metadata_count = main->metadata_count;
    all->text_count = main->text_count;
    return SDGEN_OK;
}

sdgen_status sdg_joined_open(struct sdg_joined *j, const struct sdg_join_options *o,
                             sdgen_error *err)
{
    sdgen_status status;
    const char *const paths[SDG_JOIN_FILES] = {o->path, o->unet_path, o->vae_path, o->clip_l_path,
                                               o->clip_g_path};
    *j = (struct sdg_joined) {0};
    for (int i = 0; i < SDG_JOIN_FILES; i++) {
        if (!paths[i]) continue;
        SDG_TRY(sdg_weights_open(&j->files[i], paths[i], err));
        SDG_TRY(sdg_keys_canonical(&j->files[i], err));
        sdg_weights_let_go_all(&j->files[i]);
    }
    SDG_TRY(borrow(j, err));
    SDG_TRY(add_all(j, o, err));
    SDG_TRY(sdg_weights_sort(&j->all, err));
    SDG_TRY(sdg_joined_flags(j, err));
    return SDGEN_OK;
fail:
    sdg_joined_close(j);
    return status;
}

void sdg_joined_close(struct sdg_joined *j)
{
    j->all.map_count = 0; /* the files' own */
    sdg_weights_close(&j->all);
    for (int i = 0; i < SDG_JOIN_FILES; i++) sdg_weights_close(&j->files[i]);
    *j = (struct sdg_joined) {0};
}
