/* keys.c - see keys.h. */
#include "weights/keys.h"

#include <stdio.h>
#include <string.h>

#include "weights/arch_names.h"
#include "weights/pool.h"
#include "weights/read.h"

/* Early CompVis files have CLIP's modules without "text_model." in front. */
static sdgen_status rename_clip(struct sdg_weights *w, struct sdg_entry *e, sdgen_error *err)
{
    const char *rest = sdg_name_after(e->name, SDG_KEY_CLIP);
    if (!rest || !(sdg_name_after(rest, "embeddings.") || sdg_name_after(rest, "encoder.") ||
                   sdg_name_after(rest, "final_layer_norm.")))
        return SDGEN_OK;
    const size_t size = strlen(e->name) + sizeof "text_model.";
    char *name = sdg_pool_alloc(&w->owned, size);
    if (!name) return sdg_weights_no_memory(w, err);
    snprintf(name, size, "%stext_model.%s", SDG_KEY_CLIP, rest);
    e->name = name;
    return SDGEN_OK;
}

sdgen_status sdg_keys_canonical(struct sdg_weights *w, sdgen_error *err)
{
    sdgen_status status = SDGEN_OK;
    for (size_t i = 0; i < w->count; i++) SDG_TRY(rename_clip(w, &w->entries[i], err));
    SDG_TRY(sdg_weights_sort(w, err));
fail:
    return status;
}
