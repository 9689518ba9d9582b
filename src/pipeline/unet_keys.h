/* unet_keys.h - keys and values of the UNet's cross-attentions, computed when a context is first
 * used and kept for the rest of a run.
 *
 * A store of so many places, as many as there are contexts if a bound allows that. Where it does
 * not, the context that has not been used for the longest time makes room, but never for another
 * context of the same model call: what finds no place is computed anew at every call, as if there
 * were no store. The order of calls decides, never a clock; and no bit depends on it. */
#ifndef SDG_PIPELINE_UNET_KEYS_H
#define SDG_PIPELINE_UNET_KEYS_H

#include "models/unet.h"

struct sdg_unet_keys {
    const struct sdg_unet *unet;
    size_t contexts, places, used; /* used: of the first ones */
    size_t place_floats;
    float *floats;                   /* [places][place_floats] */
    struct sdg_unet_context *owners; /* [places] */
    size_t *last;                    /* [places] the call that used it last */
    size_t call;
};

/* Takes places for `contexts` contexts of at most `rows` rows from the arena, as many as `bytes`
 * allow. What contexts point at must not change while the store lives. */
void sdg_unet_keys_reserve(struct sdg_unet_keys *k, struct sdg_arena *arena,
                           const struct sdg_unet *unet, size_t contexts, size_t rows, size_t bytes);

/* A model call begins. */
void sdg_unet_keys_begin(struct sdg_unet_keys *k);

/* Keys of a context, for sdg_unet_condition; NULL where there is no place for them. In a dry run
 * only the scratch is taken that computing them takes; their multiply-adds are not counted, since
 * many calls share them. */
const float *sdg_unet_keys_of(struct sdg_unet_keys *k, struct sdg_ops *o,
                              const struct sdg_unet_context *context);

#endif
