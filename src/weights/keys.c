/* keys.c - see keys.h.
 *
 * Two passes over the entries. The first finds to which network each belongs and counts what has to
 * be counted: the blocks of the UNet, the levels of the VAE, how many text encoders there are. The
 * second gives the names. */
#define _GNU_SOURCE
#include "weights/keys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "weights/arch_names.h"
#include "weights/keys_parts.h"
#include "files/pool.h"
#include "files/read.h"

struct survey {
    unsigned char *places; /* [count] */
    const char **before;   /* [count]: the names that entries came with */
    struct sdg_unet_walk walk;
    int levels;
    bool seen[SDG_PLACE_TWO + 1];
    bool label;                 /* the UNet is conditioned on more than a text */
    int64_t context;            /* width of what it attends to */
    int64_t two_width;          /* of the second text encoder's tokens */
    const char *first, *second; /* prefixes of the text encoders */
};

/* ---- files that are something else ---- */

/* Factors of a LoRA have the names of the weights they change, and more. */
static bool is_factor(const char *name)
{
    static const char *const marks[] = {".lora_",  "_lora.",  ".lora.",
                                        ".hada_w", ".lokr_w", ".oft_"};
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++)
        if (strstr(name, marks[i])) return true;
    return sdg_name_after(name, "lora_");
}

/* A network beside the UNet has the UNet's names in its encoder. */
static bool is_control(const char *name)
{
    return sdg_name_after(name, "input_hint_block.") || sdg_name_after(name, "zero_convs.") ||
           sdg_name_after(name, "controlnet_");
}

/* The tiny autoencoder's own files have the indices of its layers for names. Which half it is tells
 * the first: the decoder's is a clamp, without weights. */
static enum sdg_key_place tiny_half(const struct sdg_weights *w)
{
    if (!sdg_weights_find(w, "3.conv.0.weight")) return SDG_PLACE_NONE;
    return sdg_weights_find(w, "0.weight") ? SDG_PLACE_TAESD_ENCODER : SDG_PLACE_TAESD_DECODER;
}

/* ---- first pass ---- */

static void note(struct survey *s, const struct sdg_entry *e, enum sdg_key_place place,
                 const char *rest)
{
    const struct sdg_tensor *t = &e->tensor;
    s->seen[place] = true;
    if (place == SDG_PLACE_UNET) {
        const size_t length = strlen(rest), tail = strlen(".attn2.to_k.weight");
        sdg_unet_walk_note(&s->walk, rest);
        s->label |= sdg_name_after(rest, "label_emb.") || sdg_name_after(rest, "add_embedding.");
        if (s->context == 0 && t->rank == 2 && length > tail &&
            strcmp(rest + length - tail, ".attn2.to_k.weight") == 0)
            s->context = t->shape[1];
    } else if (place == SDG_PLACE_VAE) {
        s->levels = sdg_keys_vae_levels(s->levels, rest);
    } else if (place == SDG_PLACE_TWO && t->rank == 2 && strstr(rest, "token_embedding.weight")) {
        s->two_width = t->shape[1];
    }
}

/* Where the text encoders go. Two: as in SDXL. One: as in SD1 and SD2, unless it is the refiner's,
 * or what is left of SDXL's two. */
static void place_texts(struct survey *s)
{
    const bool *seen = s->seen, unet = seen[SDG_PLACE_UNET];
    const bool second = seen[SDG_PLACE_SECOND] || seen[SDG_PLACE_TWO];
    const bool first = seen[SDG_PLACE_FIRST] || seen[SDG_PLACE_ONE] || seen[SDG_PLACE_TEXT];
    s->first = SDG_KEY_CLIP;
    if (second || (seen[SDG_PLACE_FIRST] && (s->label || !unet)) ||
        (seen[SDG_PLACE_ONE] && s->label))
        s->first = SDG_KEY_CLIP_0;
    s->second = SDG_KEY_CLIP_1;
    if (!first && !seen[SDG_PLACE_SECOND] && (!unet || s->context == s->two_width))
        s->second = SDG_KEY_CLIP_0;
}

static sdgen_status look(struct survey *s, const struct sdg_weights *w, sdgen_error *err)
{
    const enum sdg_key_place half = tiny_half(w);
    bool factors = false, control = false;
    s->places = calloc(w->count + 1, 1);
    s->before = calloc(w->count + 1, sizeof *s->before);
    if (!s->places || !s->before) return sdg_weights_no_memory(w, err);
    for (size_t i = 0; i < w->count; i++) s->before[i] = w->entries[i].name;
    for (size_t i = 0; i < w->count; i++) {
        factors |= is_factor(w->entries[i].stored);
        control |= is_control(w->entries[i].stored);
    }
    for (size_t i = 0; i < w->count && !factors; i++) {
        const char *rest;
        enum sdg_key_place place = sdg_key_placed(&rest, &w->entries[i], !control);
        if (!place && w->entries[i].stored[0] >= '0' && w->entries[i].stored[0] <= '9')
            place = half;
        s->places[i] = (unsigned char)place;
        if (place) note(s, &w->entries[i], place, rest);
    }
    sdg_unet_walk_end(&s->walk);
    place_texts(s);
    return SDGEN_OK;
}

/* ---- second pass ---- */

static sdgen_status give(struct sdg_weights *w, size_t entry, const char *prefix, const char *name,
                         sdgen_error *err)
{
    const size_t size = strlen(prefix) + strlen(name) + 1;
    char *full = sdg_pool_alloc(&w->owned, size);
    if (!full) return sdg_weights_no_memory(w, err);
    snprintf(full, size, "%s%s", prefix, name);
    w->entries[entry].name = full;
    return SDGEN_OK;
}

/* The third of the rows that belongs to queries (0), keys (1) or values (2). */
static struct sdg_tensor third_of(const struct sdg_tensor *t, int third)
{
    struct sdg_tensor part = *t;
    part.shape[0] /= 3;
    part.data = (const char *)t->data + (size_t)third * sdg_tensor_bytes(&part);
    return part;
}

/* In whole rows and whole blocks of a quantised type. */
static bool has_thirds(const struct sdg_tensor *t)
{
    return t->rank >= 1 && t->shape[0] % 3 == 0 &&
           sdg_tensor_count(t) / 3 % sdg_dtype_block(t->dtype) == 0;
}

/* q takes the entry's place; k and v come at the end. */
static sdgen_status split(struct sdg_weights *w, size_t entry, const char *prefix,
                          struct sdg_key_text *text, sdgen_error *err)
{
    sdgen_status status;
    const struct sdg_entry whole = w->entries[entry];
    if (!has_thirds(&whole.tensor)) return SDGEN_OK;
    SDG_TRY(give(w, entry, prefix, text->name, err));
    w->entries[entry].tensor = third_of(&whole.tensor, 0);
    for (int third = 1; third < 3; third++) {
        struct sdg_entry *added;
        char *name;
        sdg_keys_third(text->name, third);
        SDG_TRY(sdg_weights_add(&added, &name, w, strlen(prefix) + strlen(text->name), err));
        memcpy(name, prefix, strlen(prefix));
        memcpy(name + strlen(prefix), text->name, strlen(text->name));
        added->stored = whole.stored;
        added->part = whole.part;
        added->tensor = third_of(&whole.tensor, third);
    }
fail:
    return status;
}

/* A matrix as its transpose, in memory of our own; in f32 where it was quantised. */
static sdgen_status transpose(struct sdg_weights *w, struct sdg_tensor *t, sdgen_error *err)
{
    const size_t rows = (size_t)t->shape[0], columns = (size_t)t->shape[1];
    const bool wide = sdg_dtype_is_quantised(t->dtype);
    const size_t item = wide ? sizeof(float) : sdg_dtype_size(t->dtype);
    const char *x = t->data;
    if (wide) {
        float *widened = sdg_pool_alloc(&w->owned, rows * columns * item + 1);
        if (!widened) return sdg_weights_no_memory(w, err);
        sdg_tensor_widen(widened, t, 0, rows * columns);
        x = (const char *)widened;
        t->dtype = SDG_F32;
    }
    char *y = sdg_pool_alloc(&w->owned, rows * columns * item + 1);
    if (!y) return sdg_weights_no_memory(w, err);
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < columns; c++)
            memcpy(y + (c * rows + r) * item, x + (r * columns + c) * item, item);
    t->data = y;
    t->shape[0] = (int64_t)columns;
    t->shape[1] = (int64_t)rows;
    return SDGEN_OK;
}

static sdgen_status name_text(struct sdg_weights *w, size_t entry, const char *prefix,
                              const char *rest, sdgen_error *err)
{
    struct sdg_key_text text;
    if (!sdg_keys_text(&text, rest, SDG_KEY_TO_FOLDER)) return SDGEN_OK;
    if (text.third != SDG_KEY_WHOLE) return split(w, entry, prefix, &text, err);
    struct sdg_tensor *t = &w->entries[entry].tensor;
    if (text.transposed && t->rank == 2) {
        const sdgen_status status = transpose(w, t, err);
        if (status != SDGEN_OK) return status;
    }
    return give(w, entry, prefix, text.name, err);
}

static sdgen_status name_tiny(struct sdg_weights *w, size_t entry, const char *half,
                              const char *rest, sdgen_error *err)
{
    char name[SDG_KEY_SIZE], layers[SDG_KEY_SIZE];
    if (sdg_name_after(rest, half)
            ? sdg_keys_taesd(name, rest, SDG_KEY_TO_SINGLE) || sdg_key_join(name, "", rest)
        : sdg_name_after(rest, "layers.") && sdg_key_join(layers, half, rest)
            ? sdg_keys_taesd(name, layers, SDG_KEY_TO_SINGLE)
            : sdg_key_join(name, half, rest))
        return give(w, entry, SDG_KEY_TAESD, name, err);
    return SDGEN_OK;
}

static sdgen_status name_entry(struct sdg_weights *w, size_t entry, const struct survey *s,
                               sdgen_error *err)
{
    char name[SDG_KEY_SIZE];
    const char *rest;
    const struct sdg_entry *e = &w->entries[entry];
    const enum sdg_key_place place = (enum sdg_key_place)s->places[entry];
    sdg_key_placed(&rest, e, true);
    switch (place) {
    case SDG_PLACE_NONE: break;
    case SDG_PLACE_UNET:
        if (sdg_keys_unet(name, &s->walk, rest, SDG_KEY_TO_SINGLE)) rest = name;
        return give(w, entry, SDG_KEY_UNET, rest, err);
    case SDG_PLACE_VAE:
        if (sdg_keys_vae(name, s->levels, rest, SDG_KEY_TO_SINGLE)) rest = name;
        return give(w, entry, SDG_KEY_VAE, rest, err);
    case SDG_PLACE_TAESD_ENCODER: return name_tiny(w, entry, "encoder.", rest, err);
    case SDG_PLACE_TAESD_DECODER: return name_tiny(w, entry, "decoder.", rest, err);
    case SDG_PLACE_TEXT:
    case SDG_PLACE_FIRST:
    case SDG_PLACE_ONE: return name_text(w, entry, s->first, rest, err);
    case SDG_PLACE_SECOND:
    case SDG_PLACE_TWO: return name_text(w, entry, s->second, rest, err);
    }
    return SDGEN_OK;
}

/* ---- duplicates ---- */

static bool same_values(const struct sdg_tensor *a, const struct sdg_tensor *b)
{
    if (a->dtype != b->dtype || a->rank != b->rank) return false;
    for (int d = 0; d < a->rank; d++)
        if (a->shape[d] != b->shape[d]) return false;
    return memcmp(a->data, b->data, sdg_tensor_bytes(a)) == 0;
}

static int by_name(const void *a, const void *b, void *entries)
{
    const struct sdg_entry *e = entries;
    const uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;
    const int order = strcmp(e[i].name, e[j].name);
    return order ? order : i < j ? -1 : i > j;
}

/* Two spellings of one tensor side by side: harmless when they hold the same numbers, else nobody
 * can know which is meant. One keeps the name it came with: the second, or the first where the
 * second came with the canonical one. */
static sdgen_status part_twins(struct sdg_weights *w, const struct survey *s, size_t count,
                               sdgen_error *err)
{
    sdgen_status status = SDGEN_OK;
    uint32_t *order = malloc((w->count + 1) * sizeof *order);
    if (!order) return sdg_weights_no_memory(w, err);
    for (size_t i = 0; i < w->count; i++) order[i] = (uint32_t)i;
    qsort_r(order, w->count, sizeof *order, by_name, w->entries);
    for (size_t i = 1, first = 0; i < w->count; i++) {
        struct sdg_entry *a = &w->entries[order[first]], *b = &w->entries[order[i]];
        if (strcmp(a->name, b->name) != 0) {
            first = i;
            continue;
        }
        const bool named = order[i] < count && strcmp(s->before[order[i]], b->name) == 0;
        const uint32_t loser = order[named ? first : i];
        if (loser >= count || !same_values(&a->tensor, &b->tensor)) {
            status = sdg_fail(err, SDGEN_ERR_FORMAT,
                              "%s: %.150s and %.150s are the same tensor (%.150s) under two names, "
                              "with different numbers; remove the one that is not meant",
                              w->path, a->stored, b->stored, a->name);
            break;
        }
        w->entries[loser].name = s->before[loser];
        if (named) first = i;
    }
    free(order);
    return status;
}

sdgen_status sdg_keys_canonical(struct sdg_weights *w, sdgen_error *err)
{
    sdgen_status status;
    struct survey s = {0};
    const size_t count = w->count; /* more are added on the way */
    SDG_TRY(look(&s, w, err));
    for (size_t i = 0; i < count; i++) SDG_TRY(name_entry(w, i, &s, err));
    SDG_TRY(part_twins(w, &s, count, err));
    SDG_TRY(sdg_weights_sort(w, err));
fail:
    free(s.places);
    free(s.before);
    return status;
}
