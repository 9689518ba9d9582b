/* keys_spell.c - canonical names as files spell them (see keys.h). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "weights/arch_names.h"
#include "weights/keys_parts.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

enum network { UNET, VAE, TINY, TEXT, FIRST, SECOND, NETWORKS };

static const struct {
    const char *canonical;
    const char *openclip; /* in a single file, where the encoder is OpenCLIP's */
} networks[NETWORKS] = {
    [UNET] = {SDG_KEY_UNET, NULL},
    [VAE] = {SDG_KEY_VAE, NULL},
    [TINY] = {SDG_KEY_TAESD, NULL},
    [TEXT] = {SDG_KEY_CLIP, "cond_stage_model.model."},
    [FIRST] = {SDG_KEY_CLIP_0, "conditioner.embedders.0.model."},
    [SECOND] = {SDG_KEY_CLIP_1, "conditioner.embedders.1.model."},
};

struct sdg_speller {
    struct sdg_unet_walk walk;
    int levels;
    bool there[NETWORKS];
    bool openclip[NETWORKS]; /* SD2's and SDXL's second come from OpenCLIP */
    /* How a tensor of the network is stored: an example, and what stands before its name there. */
    const struct sdg_weights *file;
    const struct sdg_entry *example[NETWORKS];
    int manner[NETWORKS];
    size_t before[NETWORKS];
};

static enum network network_of(const char **rest, const char *canonical)
{
    int n = 0;
    while (n < NETWORKS && !(*rest = sdg_name_after(canonical, networks[n].canonical))) n++;
    return (enum network)n;
}

/* ---- reading a checkpoint ---- */

enum { SD2_WIDTH = 1024 };

static void survey(struct sdg_speller *s, const struct sdg_weights *w)
{
    for (size_t i = 0; i < w->count; i++) {
        const struct sdg_entry *e = &w->entries[i];
        const char *rest, *inside;
        const enum network n = network_of(&rest, e->name);
        if (n == NETWORKS) continue;
        s->there[n] = true;
        if (n == UNET) sdg_unet_walk_note(&s->walk, rest);
        if (n == VAE) s->levels = sdg_keys_vae_levels(s->levels, rest);
        if (n != TEXT) continue;
        (void)sdg_key_placed(&inside, e, true);
        if (sdg_key_is_openclip(inside) || (strstr(rest, "token_embedding.weight") &&
                                            e->tensor.rank == 2 && e->tensor.shape[1] == SD2_WIDTH))
            s->openclip[TEXT] = true;
    }
    s->openclip[FIRST] = !s->there[SECOND]; /* the refiner's */
    s->openclip[SECOND] = true;
    sdg_unet_walk_end(&s->walk);
}

/* ---- spelling ---- */

static bool spell_single(struct sdg_spelt *to, const struct sdg_speller *s, enum network n,
                         const char *canonical, const char *rest)
{
    struct sdg_key_text text;
    if (n >= TEXT && s->openclip[n] && sdg_keys_text(&text, rest, SDG_KEY_TO_SINGLE)) {
        to->third = text.third;
        to->transposed = text.transposed;
        return sdg_key_join(to->name, networks[n].openclip, text.name);
    }
    return sdg_key_join(to->name, "", canonical);
}

static bool spell_folder(struct sdg_spelt *to, const struct sdg_speller *s, enum network n,
                         const char *rest)
{
    switch (n) {
    case UNET:
        to->folder = "unet";
        return sdg_keys_unet(to->name, &s->walk, rest, SDG_KEY_TO_FOLDER) ||
               sdg_key_join(to->name, "", rest);
    case VAE:
        to->folder = "vae";
        return sdg_keys_vae(to->name, s->levels, rest, SDG_KEY_TO_FOLDER) ||
               sdg_key_join(to->name, "", rest);
    case TINY: to->folder = "vae"; return sdg_keys_taesd(to->name, rest, SDG_KEY_TO_FOLDER);
    case TEXT:
    case FIRST:
    case SECOND:
        to->folder =
            n == SECOND || (n == FIRST && !s->there[SECOND]) ? "text_encoder_2" : "text_encoder";
        return sdg_key_join(to->name, "", rest);
    case NETWORKS: break;
    }
    return false;
}

bool sdg_speller_spell(struct sdg_spelt *spelt, const struct sdg_speller *speller,
                       const char *canonical, enum sdg_spelling spelling)
{
    const char *rest;
    const enum network n = network_of(&rest, canonical);
    *spelt = (struct sdg_spelt) {.folder = "", .third = SDG_KEY_WHOLE};
    if (n < NETWORKS &&
        (spelling == SDG_SPELL_SINGLE ? spell_single(spelt, speller, n, canonical, rest)
                                      : spell_folder(spelt, speller, n, rest)))
        return true;
    *spelt = (struct sdg_spelt) {.folder = "", .third = SDG_KEY_WHOLE};
    sdg_key_join(spelt->name, "", canonical);
    return false;
}

/* ---- what a name is in the files that are there ---- */

enum { AS_IS, AS_FOLDER, AS_OPENCLIP, AS_SHORT, MANNERS };

/* rest, below the network's prefix, in one of the manners; false where it has no such form. */
static bool in_manner(char *to, const struct sdg_speller *s, enum network n, const char *rest,
                      int manner)
{
    struct sdg_spelt spelt;
    struct sdg_key_text text;
    const char *cut;
    switch (manner) {
    case AS_FOLDER:
        return n < TEXT && spell_folder(&spelt, s, n, rest) && sdg_key_join(to, "", spelt.name);
    case AS_OPENCLIP:
        return n >= TEXT && sdg_keys_text(&text, rest, SDG_KEY_TO_SINGLE) &&
               sdg_key_join(to, "", text.name);
    case AS_SHORT:
        return n >= TEXT && (cut = sdg_name_after(rest, "text_model.")) &&
               sdg_key_join(to, "", cut);
    default: return sdg_key_join(to, "", rest);
    }
}

/* The manner in which a neighbour is stored, and the length of what stands before its name. A name
 * that is the same in two manners tells nothing. */
static int manner_of(size_t *before, const struct sdg_speller *s, enum network n,
                     const struct sdg_entry *e, const char *rest)
{
    char name[SDG_KEY_SIZE];
    const size_t length = strlen(e->stored);
    int found = MANNERS;
    for (int manner = 0; manner < MANNERS; manner++) {
        if (!in_manner(name, s, n, rest, manner)) continue;
        const size_t size = strlen(name);
        if (size > length || strcmp(e->stored + length - size, name) != 0) continue;
        if (found < MANNERS && manner == AS_SHORT) break; /* "text_model.x" ends in "x" */
        if (found < MANNERS) return MANNERS;
        found = manner;
        *before = length - size;
    }
    return found;
}

/* Finds the examples. A name that is the same in all manners tells nothing; a thousand of those are
 * enough. */
static void learn(struct sdg_speller *s)
{
    enum { TRIES = 1000 };
    int tries[NETWORKS] = {0};
    for (size_t i = 0; i < s->file->count; i++) {
        const struct sdg_entry *e = &s->file->entries[i];
        const char *rest;
        const enum network n = network_of(&rest, e->name);
        if (n == NETWORKS || s->example[n] || tries[n]++ == TRIES) continue;
        s->manner[n] = manner_of(&s->before[n], s, n, e, rest);
        if (s->manner[n] < MANNERS) s->example[n] = e;
    }
}

sdgen_status sdg_speller_create(struct sdg_speller **speller, const struct sdg_weights *w,
                                sdgen_error *err)
{
    *speller = calloc(1, sizeof **speller);
    if (!*speller)
        return sdg_fail(err, SDGEN_ERR_MEMORY, "%s: not enough memory to name its tensors",
                        w->path);
    (*speller)->file = w;
    survey(*speller, w);
    learn(*speller);
    return SDGEN_OK;
}

void sdg_speller_openclip(struct sdg_speller *speller)
{
    speller->openclip[TEXT] = true;
}

void sdg_speller_destroy(struct sdg_speller *speller)
{
    free(speller);
}

void sdg_speller_stored(char stored[SDG_KEY_SIZE], const struct sdg_speller *s,
                        const char *canonical)
{
    const struct sdg_entry *e = sdg_weights_find(s->file, canonical);
    const char *rest;
    char name[SDG_KEY_SIZE];
    const enum network n = network_of(&rest, canonical);
    if (e) {
        snprintf(stored, SDG_KEY_SIZE, "%s%s%s", e->part, e->part[0] ? "/" : "", e->stored);
        return;
    }
    e = n < NETWORKS ? s->example[n] : NULL;
    if (e && in_manner(name, s, n, rest, s->manner[n]) &&
        snprintf(stored, SDG_KEY_SIZE, "%s%s%.*s%s", e->part, e->part[0] ? "/" : "",
                 (int)s->before[n], e->stored, name) < SDG_KEY_SIZE)
        return;
    snprintf(stored, SDG_KEY_SIZE, "%s", canonical);
}
