/* inspect_advice.c - what can be done with an inspected file, as commands to copy. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cli/inspect.h"
#include "weights/keys.h"

/* A word of a shell command: as it is, or in single quotes. */
static void put_word(char *command, const char *word)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "_-./,+=@:%";
    size_t used = strlen(command);
    const bool quote = !word[0] || word[strspn(word, plain)];
    if (used + 4 * strlen(word) + 4 >= SDG_ADVICE_SIZE) word = "FILE";
    if (quote) command[used++] = '\'';
    for (; *word; word++) {
        if (quote && *word == '\'') {
            memcpy(command + used, "'\\'", 3);
            used += 3;
        }
        command[used++] = *word;
    }
    if (quote) command[used++] = '\'';
    command[used] = 0;
}

/* "before FILE after", the file's path as a shell takes it. */
static void advise(struct sdg_inspection *r, const char *purpose, const char *before,
                   const char *after)
{
    if (r->advice_count == SDG_ADVICE_MAX) return;
    struct sdg_advice *a = &r->advice[r->advice_count++];
    a->purpose = purpose;
    snprintf(a->command, sizeof a->command, "%s ", before);
    put_word(a->command, r->file.path);
    const size_t used = strlen(a->command);
    snprintf(a->command + used, sizeof a->command - used, "%s", after);
}

static const char *input_flags(enum sdg_extra extra)
{
    switch (extra) {
    case SDG_EXTRA_INPAINT: return " -i PICTURE --mask MASK";
    case SDG_EXTRA_EDIT: return " -i PICTURE";
    case SDG_EXTRA_DEPTH: return " --depth DEPTH";
    default: return "";
    }
}

/* A checkpoint, whole or without some network. */
static void advise_checkpoint(struct sdg_inspection *r)
{
    char after[SDG_ADVICE_SIZE / 2];
    const struct sdg_finding *f = &r->finding;
    const bool vae = f->vae || f->taesd_decoder;
    snprintf(after, sizeof after, "%s%s -p \"a cat\"", vae ? "" : " --vae VAE",
             input_flags(f->extra));
    advise(r, "run", "sdgen -m", after);
    r->condition = vae ? SDG_CONDITION_OK : SDG_CONDITION_REPAIRABLE;
}

static void advise_unet(struct sdg_inspection *r)
{
    const struct sdg_finding *f = &r->finding;
    const bool xl = f->family == SDG_FAMILY_SDXL;
    advise(r, "run", "sdgen -m CHECKPOINT --unet", " -p \"a cat\"");
    if (xl)
        advise(r, "run", "sdgen --unet", " --clip-l CLIP_L --clip-g CLIP_G --vae VAE -p \"a cat\"");
    r->condition = SDG_CONDITION_REPAIRABLE;
}

/* A text encoder as wide as OpenCLIP's bigG, or in its place. */
static bool is_big(const struct sdg_inspection *r)
{
    enum { BIG_G_WIDTH = 1280 };
    char name[128];
    if (r->finding.text_count != 1) return false;
    const char *prefix = r->finding.texts[0];
    snprintf(name, sizeof name, "%stext_model.final_layer_norm.weight", prefix);
    const struct sdg_entry *norm = sdg_weights_find(&r->file, name);
    return strcmp(prefix, SDG_KEY_CLIP_1) == 0 || (norm && norm->tensor.shape[0] >= BIG_G_WIDTH);
}

/* Copies of weights that nobody reads: EMA beside the plain ones, twins, leftovers of training. */
static void advise_smaller(struct sdg_inspection *r)
{
    const bool ema = r->bound && sdg_has_ema(&r->file);
    if (r->condition == SDG_CONDITION_REFUSED) return;
    if (r->bad_tensors && !r->bad_used)
        advise(r, "repair", "sdgen convert --prune", " repaired.safetensors");
    else if (ema)
        advise(r, "make smaller", "sdgen convert --prune", " pruned.safetensors");
    if (r->pickles.pickle_count) advise(r, "make safe", "sdgen convert", " converted.safetensors");
}

static void advise_kind(struct sdg_inspection *r)
{
    const struct {
        enum sdg_kind kind;
        const char *flag;
    } parts[] = {{SDG_KIND_VAE, "--vae"},
                 {SDG_KIND_TAESD, "--taesd"},
                 {SDG_KIND_TEXT_ENCODER, is_big(r) ? "--clip-g" : "--clip-l"}};
    const enum sdg_kind kind = r->finding.kind;
    if (kind == SDG_KIND_CHECKPOINT) advise_checkpoint(r);
    if (kind == SDG_KIND_UNET) advise_unet(r);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        char before[64];
        if (parts[i].kind != kind) continue;
        snprintf(before, sizeof before, "sdgen -m CHECKPOINT %s", parts[i].flag);
        advise(r, "run", before, " -p \"a cat\"");
        r->condition = SDG_CONDITION_OK;
    }
}

void sdg_inspect_advise(struct sdg_inspection *r)
{
    /* A part of a model is no checkpoint, but of use. */
    const bool usable = r->status == SDGEN_OK || r->status == SDGEN_ERR_ARG;
    r->condition = SDG_CONDITION_REFUSED;
    if (usable) advise_kind(r);
    if (r->bad_used) r->condition = SDG_CONDITION_REFUSED;
    if (r->bad_tensors && !r->bad_used && r->condition == SDG_CONDITION_OK)
        r->condition = SDG_CONDITION_REPAIRABLE;
    if (r->condition == SDG_CONDITION_REFUSED) r->advice_count = 0;
    advise_smaller(r);
}
