/* join_flags.c - what a folder's configurations say and a single file says by tensors (see join.h):
 * v_pred and ztsnr, which hold no numbers, the range of noise of CosXL, and Playground's statistics
 * of latents. Names and shapes as in the published files; ComfyUI's supported_models.py reads them
 * so. */
#include <string.h>

#include "weights/family.h"
#include "convert/join.h"
#include "files/pool.h"
#include "files/read.h"

static sdgen_status add_flag(struct sdg_joined *j, const char *name, const float *numbers,
                             size_t count, sdgen_error *err)
{
    sdgen_status status;
    struct sdg_entry *e;
    char *room;
    if (sdg_weights_find(&j->all, name)) return SDGEN_OK;
    float *copy = sdg_pool_alloc(&j->all.owned, (count + 1) * sizeof *copy);
    if (!copy) return sdg_weights_no_memory(&j->all, err);
    if (count) memcpy(copy, numbers, count * sizeof *copy);
    SDG_TRY(sdg_weights_add(&e, &room, &j->all, strlen(name), err));
    memcpy(room, name, strlen(name));
    e->tensor = (struct sdg_tensor) {.data = copy, .dtype = SDG_F32};
    if (count == 0) e->tensor.rank = 1; /* [0] */
    if (count == SDG_LATENT_CHANNELS) {
        e->tensor.rank = 4;
        for (int d = 0; d < 4; d++) e->tensor.shape[d] = d == 1 ? SDG_LATENT_CHANNELS : 1;
    }
fail:
    return status;
}

sdgen_status sdg_joined_flags(struct sdg_joined *j, sdgen_error *err)
{
    enum { FACTOR = 8 };
    sdgen_status status = SDGEN_OK;
    struct sdg_finding found;
    struct sdg_facts f;
    const struct sdg_weights *w = &j->all;
    if (!sdg_weights_text(w, "scheduler/scheduler_config.json")) return SDGEN_OK;
    sdg_family_find(&found, w);
    if (!found.unet) return SDGEN_OK;
    sdg_facts_find(&f, &found, w, w, sdg_joined_file(j, SDG_JOIN_VAE), FACTOR);
    if (f.target == SDG_TARGET_EDM_V) {
        SDG_TRY(add_flag(j, "edm_vpred.sigma_max", &f.sigma_max, 1, err));
        SDG_TRY(add_flag(j, "edm_vpred.sigma_min", &f.sigma_min, 1, err));
    } else if (f.target == SDG_TARGET_EDM) {
        SDG_TRY(add_flag(j, "edm_mean", f.latent_mean, SDG_LATENT_CHANNELS, err));
        SDG_TRY(add_flag(j, "edm_std", f.latent_std, SDG_LATENT_CHANNELS, err));
    } else if (f.target == SDG_TARGET_V && f.family != SDG_FAMILY_SD2) { /* SD2: in its metadata */
        SDG_TRY(add_flag(j, "v_pred", NULL, 0, err));
        if (f.zero_terminal_snr) SDG_TRY(add_flag(j, "ztsnr", NULL, 0, err));
    }
    SDG_TRY(sdg_weights_sort(&j->all, err));
fail:
    return status;
}
