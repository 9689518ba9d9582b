/* encoders.h - the text encoders of a model, read the way its family reads them.
 *
 *   SD1    CLIP-L: last layer, final norm
 *   SD2    OpenCLIP-H: last layer but one, final norm
 *   SDXL   CLIP-L and OpenCLIP-bigG side by side: last layer but one, no norm; bigG's pooled vector
 *   refiner  bigG alone, the same
 *
 * (CompVis and Stability AI, ldm/modules/encoders/modules.py; generative-models,
 * sgm/modules/encoders/modules.py and configs/inference/sd_xl_base.yaml.) */
#ifndef SDG_PIPELINE_ENCODERS_H
#define SDG_PIPELINE_ENCODERS_H

#include "models/clip_text.h"
#include "pipeline/convention.h"
#include "weights/model.h"

enum { SDG_MAX_ENCODERS = 2 };

struct sdg_encoder {
    const struct sdg_clip *clip;
    struct sdg_clip_take take; /* from which layer, with the final norm or not, pooled or not */
    int32_t pad;               /* the token behind a text that is shorter than its chunk */
};

struct sdg_encoders {
    struct sdg_encoder of[SDG_MAX_ENCODERS];
    int count;
    size_t width;  /* of all, side by side */
    size_t pooled; /* width of the last one's pooled vector; 0: none is read */
};

/* clip_skip as the program of `like` counts, 0: the family's own. Errors: SDGEN_ERR_ARG when there
 * are not so many layers. */
SDGEN_MUST_CHECK sdgen_status sdg_encoders_choose(struct sdg_encoders *e, const struct sdg_model *m,
                                                  const struct sdg_convention *like, int clip_skip,
                                                  sdgen_error *err);

#endif
