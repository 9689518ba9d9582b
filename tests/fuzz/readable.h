/* readable.h - what must hold after any bytes went through a weight reader. */
#ifndef SDG_TESTS_FUZZ_READABLE_H
#define SDG_TESTS_FUZZ_READABLE_H

#include <stdlib.h>
#include <string.h>
#include "weights/arch.h"
#include "weights/facts.h"
#include "weights/family.h"
#include "weights/keys.h"
#include "files/read.h"

static inline unsigned read_all(const struct sdg_weights *w)
{
    unsigned sum = 0;
    for (size_t i = 0; i < w->count; i++) {
        const struct sdg_tensor *t = &w->entries[i].tensor;
        const size_t bytes = sdg_tensor_bytes(t);
        if (sdg_weights_find(w, w->entries[i].name) != &w->entries[i] || !t->data) abort();
        for (size_t k = 0; k < bytes; k++) sum += ((const uint8_t *)t->data)[k];
    }
    return sum;
}

/* Canonical names, what it is, the plans of its networks: refused in words, or readable again. */
static inline unsigned understand_anything(struct sdg_weights *w)
{
    struct sdg_finding f;
    struct sdg_facts facts;
    struct sdg_unet_config unet;
    struct sdg_clip_config clip;
    struct sdg_vae_config vae;
    struct sdg_taesd_config taesd;
    sdgen_error err = {0};
    char stored[SDG_KEY_SIZE];
    struct sdg_speller *speller;
    unsigned refused = 0;
    if (sdg_keys_canonical(w, &err) != SDGEN_OK) return 0;
    sdg_family_find(&f, w);
    sdg_facts_find(&facts, &f, w, w, w, 8);
    if (f.unet) refused += sdg_arch_unet(&unet, w, SDG_KEY_UNET, &err) != SDGEN_OK;
    if (f.vae) refused += sdg_arch_vae(&vae, w, SDG_KEY_VAE, &err) != SDGEN_OK;
    if (f.taesd_decoder) refused += sdg_arch_taesd(&taesd, w, SDG_KEY_TAESD, &err) != SDGEN_OK;
    for (int i = 0; i < f.text_count; i++)
        refused += sdg_arch_clip(&clip, w, f.texts[i], i == 1, &err) != SDGEN_OK;
    if (sdg_speller_create(&speller, w, &err) != SDGEN_OK) abort();
    sdg_speller_stored(stored, speller, SDG_KEY_UNET "time_embed.0.bias");
    sdg_speller_destroy(speller);
    return read_all(w) + refused;
}

/* Refused with one line, or every name is found and every number can be read, before and after
 * names became canonical. */
static inline void read_anything(const uint8_t *data, size_t size)
{
    struct sdg_weights w = {.path = malloc(sizeof "input")};
    sdgen_error err = {0};
    unsigned sum = 0;
    if (!w.path) abort();
    memcpy(w.path, "input", sizeof "input");
    if (sdg_weights_parse(&w, data, size, &err) != SDGEN_OK) {
        if (strncmp(err.text, "input: ", 7) != 0 || strchr(err.text, '\n')) abort();
        w.count = 0;
    }
    sum += read_all(&w);
    if (w.count) sum += understand_anything(&w);
    volatile unsigned sink = sum; /* so that the reading is not left out */
    (void)sink;
    sdg_weights_close(&w);
}

#endif
