/* convert_folder.c - a checkpoint as a folder of diffusers (see convert.h).
 *
 * The folder is made beside its place under a name of its own and gets its name when all is
 * written. Configurations that the source came with are kept as they are; the others are made from
 * the plans of the networks and the facts. */
#define _GNU_SOURCE
#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "weights/arch.h"
#include "weights/arch_names.h"
#include "convert/convert.h"
#include "weights/family.h"
#include "convert/folder_configs.h"
#include "convert/folder_tree.h"

struct building {
    struct sdg_out_stream *stream;
    const struct sdg_outputs *outputs;
    const struct sdg_joined *j;
    const struct sdg_convert_options *o;
    struct sdg_speller *speller;
    const char *alone; /* the only network: the folder itself is its folder */
    char *root;        /* where it is made */
    struct sdg_finding finding;
    struct sdg_facts facts;
    struct sdg_vae_config vae;
    bool has_vae, has_facts;
};

static bool has_folder(const struct building *b, const char *folder)
{
    for (size_t i = 0; i < b->outputs->count; i++)
        if (strcmp(b->outputs->list[i].folder, folder) == 0) return true;
    return false;
}

/* ---- texts ---- */

static sdgen_status put_text(const struct building *b, const char *folder, const char *name,
                             const char *text, sdgen_error *err)
{
    sdgen_status status = SDGEN_OK;
    struct sdg_atomicfile f = {0};
    char *path = sdg_tree_path(b->root, b->alone ? "" : folder, name, err);
    if (!path) return err ? err->status : SDGEN_ERR_IO;
    SDG_TRY(sdg_atomic_begin(&f, path, err));
    fputs(text, f.stream);
    SDG_TRY(sdg_atomic_commit(&f, 0, err));
fail:
    free(path);
    return status;
}

/* The source's own text of that name, or else what was made; takes `made`. */
static sdgen_status put_config(const struct building *b, const char *folder, const char *name,
                               const char *own, cJSON *made, sdgen_error *err)
{
    char *text = own ? NULL : cJSON_Print(made);
    cJSON_Delete(made);
    if (!own && !text) return sdg_fail(err, SDGEN_ERR_MEMORY, "%s: out of memory", b->o->out);
    const sdgen_status status = put_text(b, folder, name, own ? own : text, err);
    free(text);
    return status;
}

/* NULL where the network came from another file than the texts, or there is none. */
static const char *own_config(const struct building *b, enum sdg_join_file network,
                              const char *folder)
{
    char name[64];
    if (b->j->files[network].path && network != SDG_JOIN_MAIN) return NULL;
    snprintf(name, sizeof name, "%s/config.json", folder);
    return sdg_weights_text(&b->j->all, name);
}

/* ---- networks ---- */

static sdgen_status put_unet(const struct building *b, sdgen_error *err)
{
    struct sdg_unet_config c;
    const sdgen_status status = sdg_arch_unet(&c, &b->j->all, SDG_KEY_UNET, err);
    if (status != SDGEN_OK) return status;
    return put_config(b, "unet", "config.json", own_config(b, SDG_JOIN_UNET, "unet"),
                      sdg_config_unet(&c, &b->facts, b->has_vae ? sdg_vae_factor(&b->vae) : 8),
                      err);
}

static sdgen_status put_vae(const struct building *b, sdgen_error *err)
{
    cJSON *made =
        b->has_vae ? sdg_config_vae(&b->vae, b->has_facts ? &b->facts : NULL) : sdg_config_taesd();
    return put_config(b, "vae", "config.json", own_config(b, SDG_JOIN_VAE, "vae"), made, err);
}

/* SD2 is conditioned on the layer before the last: its folders leave the last one out of the model.
 * The weights of it are kept, which loaders pass over, so that nothing is lost on the way back. A
 * source that is itself such a folder has 23. */
static int layers_run(const struct building *b, const struct sdg_clip_config *c, const char *prefix)
{
    enum { OPENCLIP_H_LAYERS = 24 };
    const bool sd2 = b->has_facts && b->facts.family == SDG_FAMILY_SD2;
    const bool openclip = sdg_text_is_openclip(&b->j->all, prefix);
    const bool whole =
        c->layers == OPENCLIP_H_LAYERS || (openclip && c->layers != OPENCLIP_H_LAYERS - 1);
    return sd2 && whole ? c->layers - 1 : c->layers;
}

static sdgen_status put_text_encoder(const struct building *b, const char *prefix, sdgen_error *err)
{
    struct sdg_spelt spelt;
    struct sdg_clip_config c;
    char name[SDG_KEY_SIZE];
    snprintf(name, sizeof name, "%stext_model.final_layer_norm.bias", prefix);
    sdg_speller_spell(&spelt, b->speller, name, SDG_SPELL_FOLDER);
    const bool second = strcmp(spelt.folder, "text_encoder_2") == 0;
    const sdgen_status status =
        sdg_arch_clip(&c, &b->j->all, prefix, sdg_family_openclip(b->finding.family, second), err);
    if (status != SDGEN_OK) return status;
    return put_config(b, spelt.folder, "config.json",
                      own_config(b, second ? SDG_JOIN_CLIP_G : SDG_JOIN_CLIP_L, spelt.folder),
                      sdg_config_text(&c, second, layers_run(b, &c, prefix)), err);
}

/* One network's weights. Only the first file carries what the source said about itself. */
static sdgen_status put_weights(struct building *b, const char *folder, bool first,
                                sdgen_error *err)
{
    sdgen_status status;
    static const struct sdg_write_pair format = {"format", "pt", 0};
    struct sdg_out_pairs pairs = {0};
    char *path =
        sdg_tree_path(b->root, b->alone ? "" : folder,
                      strncmp(folder, "text", 4) == 0 ? "model.safetensors"
                                                      : "diffusion_pytorch_model.safetensors",
                      err);
    if (!path) return err ? err->status : SDGEN_ERR_IO;
    SDG_TRY(sdg_out_pairs_make(&pairs, b->j, SDG_TO_FOLDER, err));
    const struct sdg_out_file file = {.path = path,
                                      .folder = folder,
                                      .pairs = first ? pairs.list : &format,
                                      .pair_count = first ? pairs.count : 1};
    SDG_TRY(sdg_out_file_write(b->stream, b->outputs, &file, err));
fail:
    free(pairs.list);
    free(path);
    return status;
}

static sdgen_status put_networks(struct building *b, sdgen_error *err)
{
    static const char *const folders[] = {"unet", "vae", "text_encoder", "text_encoder_2"};
    sdgen_status status = SDGEN_OK;
    bool first = true;
    for (int i = 0; i < 4; i++) {
        if (!has_folder(b, folders[i])) continue;
        SDG_TRY(put_weights(b, folders[i], first, err));
        first = false;
    }
    if (b->finding.unet) SDG_TRY(put_unet(b, err));
    if (has_folder(b, "vae")) SDG_TRY(put_vae(b, err));
    for (int i = 0; i < b->finding.text_count; i++)
        SDG_TRY(put_text_encoder(b, b->finding.texts[i], err));
fail:
    return status;
}

/* ---- the pipeline ---- */

static sdgen_status put_tokenizer(const struct building *b, const char *folder, bool bang,
                                  sdgen_error *err)
{
    sdgen_status status;
    SDG_TRY(put_config(b, folder, "tokenizer_config.json", NULL, sdg_config_tokenizer(bang), err));
    SDG_TRY(put_config(b, folder, "special_tokens_map.json", NULL, sdg_config_special_tokens(bang),
                       err));
    for (size_t i = 0; i < b->o->text_count; i++)
        SDG_TRY(put_text(b, folder, b->o->texts[i].name, b->o->texts[i].text, err));
fail:
    return status;
}

static sdgen_status put_pipeline(const struct building *b, sdgen_error *err)
{
    sdgen_status status;
    const struct sdg_config_texts texts = {.first = has_folder(b, "text_encoder"),
                                           .second = has_folder(b, "text_encoder_2"),
                                           .tiny = !b->has_vae};
    const char *own = sdg_weights_text(&b->j->all, "scheduler/scheduler_config.json");
    const char *name =
        own && b->facts.scheduler.class_name[0] ? b->facts.scheduler.class_name : NULL;
    SDG_TRY(put_config(b, "scheduler", "scheduler_config.json", own,
                       sdg_config_scheduler(&b->facts), err));
    SDG_TRY(put_config(b, "", "model_index.json", NULL, sdg_config_index(&b->facts, &texts, name),
                       err));
    /* SD2's encoder and SDXL's second came from OpenCLIP, which pads with zeros: "!". */
    if (texts.first) SDG_TRY(put_tokenizer(b, "tokenizer", b->facts.family == SDG_FAMILY_SD2, err));
    if (texts.second) SDG_TRY(put_tokenizer(b, "tokenizer_2", true, err));
fail:
    return status;
}

static sdgen_status survey(struct building *b, sdgen_error *err)
{
    sdgen_status status;
    const struct sdg_weights *vae = sdg_joined_file(b->j, SDG_JOIN_VAE);
    SDG_TRY(sdg_speller_create(&b->speller, &b->j->all, err));
    b->alone = sdg_outputs_alone(b->j, b->speller);
    sdg_family_find(&b->finding, &b->j->all);
    if (b->finding.vae) {
        SDG_TRY(sdg_arch_vae(&b->vae, &b->j->all, SDG_KEY_VAE, err));
        b->has_vae = true;
    }
    if (!b->finding.unet) return SDGEN_OK;
    sdg_facts_find(&b->facts, &b->finding, &b->j->all, &b->j->all, vae,
                   b->has_vae ? sdg_vae_factor(&b->vae) : 8);
    b->has_facts = true;
fail:
    return status;
}

sdgen_status sdg_convert_folder(struct sdg_out_stream *s, const struct sdg_outputs *outputs,
                                const struct sdg_joined *j, const struct sdg_convert_options *o,
                                sdgen_error *err)
{
    sdgen_status status;
    struct building b = {.stream = s, .outputs = outputs, .j = j, .o = o};
    SDG_TRY(survey(&b, err));
    SDG_TRY(sdg_tree_begin(&b.root, o->out, err));
    SDG_TRY(put_networks(&b, err));
    if (!b.alone && b.has_facts) SDG_TRY(put_pipeline(&b, err));
    SDG_TRY(sdg_tree_commit(b.root, o->out, o->overwrite, err));
fail:
    if (status != SDGEN_OK && b.root) sdg_tree_remove(b.root);
    free(b.root);
    sdg_speller_destroy(b.speller);
    return status;
}
