/* label.c - see label.h. Order and defaults: generative-models, sgm/modules/encoders/modules.py
 * (ConcatTimestepEmbedderND) and configs/inference/sd_xl_{base,refiner}.yaml. */
#include "pipeline/label.h"

#include "models/unet_blocks.h"

void sdg_label_make(float *label, size_t pooled, const struct sdg_sizes *s, size_t width)
{
    const float base[] = {s->original_height, s->original_width, s->crop_top,
                          s->crop_left,       s->target_height,  s->target_width};
    const float refiner[] = {s->original_height, s->original_width, s->crop_top, s->crop_left,
                             s->aesthetic};
    const size_t values = s->refines ? 5 : 6;
    sdg_unet_embed_timesteps(label + pooled, s->refines ? refiner : base, values,
                             (width - pooled) / values);
}
