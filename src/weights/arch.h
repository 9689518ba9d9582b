/* arch.h - what kind of network a checkpoint holds, read from tensor names and shapes. */
#ifndef SDG_WEIGHTS_ARCH_H
#define SDG_WEIGHTS_ARCH_H

#include "models/clip_text.h"
#include "models/taesd.h"
#include "models/unet.h"
#include "models/vae.h"
#include "files/weights.h"

/* Each reads the config of the network whose names begin with `prefix`. Errors: SDGEN_ERR_MODEL
 * with the tensor that is missing or has an impossible shape (hostile values included: every extent
 * is checked against the MAX constants of the models and against sane widths). */
SDGEN_MUST_CHECK sdgen_status sdg_arch_unet(struct sdg_unet_config *c, const struct sdg_weights *w,
                                            const char *prefix, sdgen_error *err);
SDGEN_MUST_CHECK sdgen_status sdg_arch_vae(struct sdg_vae_config *c, const struct sdg_weights *w,
                                           const char *prefix, sdgen_error *err);
/* *c says which halves there are; at least one. */
SDGEN_MUST_CHECK sdgen_status sdg_arch_taesd(struct sdg_taesd_config *c,
                                             const struct sdg_weights *w, const char *prefix,
                                             sdgen_error *err);
/* openclip: the encoder is one that OpenCLIP trained (sdg_family_openclip), which tells the
 * activation where nothing else does. */
SDGEN_MUST_CHECK sdgen_status sdg_arch_clip(struct sdg_clip_config *c, const struct sdg_weights *w,
                                            const char *prefix, bool openclip, sdgen_error *err);

#endif
