/* arch_config.h - what the configuration beside the weights says and no shape does (see arch.h).
 *
 * A folder of diffusers holds a config.json for every network. Only what shapes cannot tell is
 * read. */
#ifndef SDG_WEIGHTS_ARCH_CONFIG_H
#define SDG_WEIGHTS_ARCH_CONFIG_H

#include "models/clip_text.h"
#include "models/unet.h"
#include "files/weights.h"

/* True with the activation when the text encoder at this prefix has a configuration that names one
 * of CLIP's two. */
bool sdg_config_activation(enum sdg_activation *activation, const struct sdg_weights *w,
                           const char *prefix);

/* Sets heads and middle_heads of a UNet whose levels and widths are known; false, with nothing set,
 * when there is no configuration or its numbers divide no widths. diffusers calls the number of
 * heads attention_head_dim (UNet2DConditionModel: a name kept for the files that have it). */
bool sdg_config_heads(struct sdg_unet_config *c, const struct sdg_weights *w, const char *prefix);

#endif
