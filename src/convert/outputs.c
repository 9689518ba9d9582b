/* outputs.c - see outputs.h: names, shapes and types. */
#define _GNU_SOURCE
#include "convert/outputs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "weights/arch.h"
#include "weights/arch_names.h"
#include "weights/family.h"
#include "files/pool.h"

struct plan {
    struct sdg_outputs *to;
    const struct sdg_joined *from;
    const struct sdg_typing *typing;
    struct sdg_speller *speller;
    const char *alone; /* folder of the only network, or NULL */
    enum sdg_out_keys keys;
    bool gguf;
};

static sdgen_status no_memory(const struct sdg_joined *j, sdgen_error *err)
{
    return sdg_fail(err, SDGEN_ERR_MEMORY, "%s: out of memory", j->all.path);
}

/* ---- names ---- */

const char *sdg_outputs_alone(const struct sdg_joined *j, const struct sdg_speller *speller)
{
    const char *found = NULL;
    for (size_t i = 0; i < j->all.count; i++) {
        struct sdg_spelt spelt;
        if (!sdg_speller_spell(&spelt, speller, j->all.entries[i].name, SDG_SPELL_FOLDER)) continue;
        if (found && strcmp(found, spelt.folder) != 0) return NULL;
        found = spelt.folder;
    }
    return found;
}

/* Whole checkpoints hold their networks under prefixes; a text encoder or a VAE in a file of its
 * own has none, so that other programs take it, too. A UNet has: they know it by that. */
static bool spell(struct sdg_spelt *spelt, const struct plan *p, const char *canonical)
{
    const char *rest;
    const bool text = p->alone && strncmp(p->alone, "text", 4) == 0;
    const enum sdg_spelling spelling =
        p->keys == SDG_OUT_LDM && !text ? SDG_SPELL_SINGLE : SDG_SPELL_FOLDER;
    char name[SDG_KEY_SIZE];
    const bool known = sdg_speller_spell(spelt, p->speller, canonical, spelling);
    if (p->keys == SDG_OUT_FOLDER || !known) return known;
    if (p->keys == SDG_OUT_LDM) {
        rest = sdg_name_after(spelt->name, SDG_KEY_VAE);
        if (!rest) rest = sdg_name_after(spelt->name, SDG_KEY_TAESD);
        if (p->alone && !text && rest) {
            snprintf(name, sizeof name, "%s", rest);
            memcpy(spelt->name, name, sizeof name);
        }
    } else if (!p->alone && snprintf(name, sizeof name, "%s.%s", spelt->folder, spelt->name) <
                                (int)sizeof name) {
        memcpy(spelt->name, name, sizeof name);
    }
    spelt->folder = "";
    return true;
}

/* ---- shapes ---- */

/* The projections of the VAE's attention: 1x1 convolutions in single files, matrices in folders. */
static bool is_vae_projection(const char *canonical)
{
    const char *rest = sdg_name_after(canonical, SDG_KEY_VAE);
    rest = rest ? strstr(rest, ".mid.attn_1.") : NULL;
    return rest && !strstr(rest, ".norm.") && strcmp(rest + strlen(rest) - 7, ".weight") == 0;
}

static void shape_of(struct sdg_out *t, const struct sdg_spelt *spelt, const struct plan *p)
{
    const struct sdg_tensor *x = &t->parts[0]->tensor;
    struct sdg_tensor *as = &t->as;
    *as = *x;
    as->data = NULL;
    if (spelt->transposed && x->rank == 2) {
        t->transposed = true;
        as->shape[0] = x->shape[1];
        as->shape[1] = x->shape[0];
    }
    if (!is_vae_projection(t->canonical)) return;
    if (p->keys == SDG_OUT_LDM && as->rank == 2) {
        as->rank = 4;
        as->shape[2] = as->shape[3] = 1;
    } else if (p->keys != SDG_OUT_LDM && as->rank == 4 && as->shape[2] == 1 && as->shape[3] == 1) {
        as->rank = 2;
    }
}

/* ---- planning ---- */

/* What a folder says of the activation tells where SD2's text encoder came from. */
static void know_openclip(struct sdg_speller *speller, const struct sdg_weights *w)
{
    struct sdg_clip_config c;
    struct sdg_finding f;
    sdgen_error ignored;
    sdg_family_find(&f, w);
    if (sdg_weights_find(w, SDG_KEY_CLIP "text_model.final_layer_norm.bias") &&
        sdg_arch_clip(&c, w, SDG_KEY_CLIP, sdg_family_openclip(f.family, 0), &ignored) ==
            SDGEN_OK &&
        c.activation == SDG_GELU)
        sdg_speller_openclip(speller);
}

static sdgen_status add(struct plan *p, const struct sdg_entry *e, sdgen_error *err)
{
    struct sdg_spelt spelt;
    struct sdg_outputs *o = p->to;
    const bool known = spell(&spelt, p, e->name);
    const bool tiny_beside = sdg_name_after(e->name, SDG_KEY_TAESD) &&
                             sdg_weights_find(&p->from->all, SDG_KEY_VAE "decoder.conv_in.weight");
    if (p->keys != SDG_OUT_LDM && (tiny_beside || (!known && p->keys == SDG_OUT_FOLDER))) {
        o->left += !sdg_is_flag(e->name); /* those are said in the configurations */
        return SDGEN_OK;
    }
    struct sdg_out *t = &o->list[o->count];
    char *name = sdg_pool_alloc(&o->pool, strlen(spelt.name) + strlen(e->name) + 1);
    if (!name) return no_memory(p->from, err);
    /* A name of no network may be longer than any of one: as it came. */
    strcpy(name, known ? spelt.name : e->name);
    *t = (struct sdg_out) {.name = name,
                           .folder = spelt.folder,
                           .canonical = e->name,
                           .parts = {e},
                           .part_count = spelt.third < 0 ? 1 : -1 - spelt.third};
    shape_of(t, &spelt, p);
    o->count++;
    return SDGEN_OK;
}

/* By file and name; of a fused tensor queries, keys, values. */
static int by_name(const void *a, const void *b)
{
    const struct sdg_out *x = a, *y = b;
    const int folder = strcmp(x->folder, y->folder);
    const int name = folder ? folder : strcmp(x->name, y->name);
    return name ? name : y->part_count - x->part_count;
}

/* Thirds, which `add` gave part counts of -1, -2, -3, become one tensor. A vector or matrix of one
 * type; where the thirds differ, of f32. */
static sdgen_status fuse(struct sdg_outputs *o, const struct sdg_joined *j, sdgen_error *err)
{
    size_t kept = 0;
    for (size_t i = 0; i < o->count; kept++) {
        struct sdg_out *t = &o->list[kept];
        *t = o->list[i++];
        if (t->part_count > 0) continue;
        for (int part = 1; part < 3; part++, i++) {
            const struct sdg_out *next = &o->list[i];
            if (t->part_count != -1 || i == o->count || next->part_count != -1 - part ||
                strcmp(next->name, t->name) != 0 || next->as.rank != t->as.rank ||
                memcmp(next->as.shape, t->as.shape, sizeof t->as.shape) != 0)
                return sdg_fail(err, SDGEN_ERR_MODEL,
                                "%s: %.200s: queries, keys and values make one tensor of the file "
                                "to be written; one of them is missing or has another shape",
                                j->all.path, t->canonical);
            t->parts[part] = next->parts[0];
            if (next->as.dtype != t->as.dtype) t->as.dtype = SDG_F32;
        }
        t->part_count = 3;
        t->as.shape[0] *= 3;
    }
    o->count = kept;
    return SDGEN_OK;
}

static void choose_types(struct sdg_outputs *o, const struct plan *p)
{
    for (size_t i = 0; i < o->count; i++) {
        struct sdg_out *t = &o->list[i];
        const bool network =
            sdg_is_network(t->canonical) || sdg_name_after(t->canonical, SDG_KEY_EMA);
        struct sdg_spelt single;
        sdg_speller_spell(&single, p->speller, t->canonical, SDG_SPELL_SINGLE);
        const enum sdg_dtype had = t->as.dtype;
        t->as.dtype = sdg_typing_choose(p->typing, single.name, &t->as, network, p->gguf);
        if (sdg_dtype_size(t->as.dtype) * sdg_dtype_block(had) >
                sdg_dtype_size(had) * sdg_dtype_block(t->as.dtype) &&
            sdg_dtype_is_float(had) && had != SDG_F16 && had != SDG_BF16)
            o->retyped[had]++;
    }
}

sdgen_status sdg_outputs_plan(struct sdg_outputs *o, const struct sdg_joined *j,
                              enum sdg_out_keys keys, bool gguf, const struct sdg_typing *typing,
                              sdgen_error *err)
{
    sdgen_status status;
    struct plan p = {.to = o, .from = j, .typing = typing, .keys = keys, .gguf = gguf};
    *o = (struct sdg_outputs) {0};
    SDG_TRY(sdg_speller_create(&p.speller, &j->all, err));
    know_openclip(p.speller, &j->all);
    o->list = calloc(j->all.count + 1, sizeof *o->list);
    if (!o->list) {
        status = no_memory(j, err);
        goto fail;
    }
    p.alone = sdg_outputs_alone(j, p.speller);
    for (size_t i = 0; i < j->all.count; i++) SDG_TRY(add(&p, &j->all.entries[i], err));
    if (o->count) qsort(o->list, o->count, sizeof *o->list, by_name);
    SDG_TRY(fuse(o, j, err));
    choose_types(o, &p);
fail:
    sdg_speller_destroy(p.speller);
    if (status != SDGEN_OK) sdg_outputs_destroy(o);
    return status;
}

void sdg_outputs_destroy(struct sdg_outputs *o)
{
    free(o->list);
    sdg_pool_free(&o->pool);
    *o = (struct sdg_outputs) {0};
}
