/* unet_keys.c - see unet_keys.h. */
#include "pipeline/unet_keys.h"

void sdg_unet_keys_reserve(struct sdg_unet_keys *k, struct sdg_arena *arena,
                           const struct sdg_unet *unet, size_t contexts, size_t rows, size_t bytes)
{
    *k = (struct sdg_unet_keys) {.unet = unet, .contexts = contexts};
    k->place_floats = sdg_unet_keys_floats(unet, rows);
    if (k->place_floats == 0) return; /* a UNet without cross-attention */
    const size_t fit = bytes / sizeof(float) / k->place_floats;
    k->places = contexts < fit ? contexts : fit;
    k->floats = sdg_arena_floats(arena, k->places * k->place_floats);
    k->owners = sdg_arena_alloc(arena, k->places, sizeof *k->owners);
    k->last = sdg_arena_alloc(arena, k->places, sizeof *k->last);
}

void sdg_unet_keys_begin(struct sdg_unet_keys *k)
{
    k->call++;
}

/* The place of a context, or the one that it may have; k->places: none. */
static size_t place_of(const struct sdg_unet_keys *k, const struct sdg_unet_context *context)
{
    size_t oldest = 0;
    for (size_t i = 0; i < k->used; i++) {
        if (k->owners[i].data == context->data && k->owners[i].t == context->t) return i;
        if (k->last[i] < k->last[oldest]) oldest = i;
    }
    if (k->used < k->places) return k->used;
    return k->places && k->last[oldest] < k->call ? oldest : k->places;
}

const float *sdg_unet_keys_of(struct sdg_unet_keys *k, struct sdg_ops *o,
                              const struct sdg_unet_context *context)
{
    if (k->places == 0) return NULL;
    if (o->dry) {
        const double macs = o->macs;
        sdg_unet_remember(o, k->floats, context, k->unet);
        o->macs = macs;
        return k->places < k->contexts ? NULL : k->floats;
    }
    const size_t i = place_of(k, context);
    if (i == k->places) return NULL;
    float *keys = k->floats + i * k->place_floats;
    if (i == k->used || k->owners[i].data != context->data || k->owners[i].t != context->t) {
        sdg_unet_remember(o, keys, context, k->unet);
        k->owners[i] = *context;
        if (i == k->used) k->used++;
    }
    k->last[i] = k->call;
    return keys;
}
