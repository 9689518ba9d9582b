/* txt2img.h - the story of a picture, from tokens to pixels. */
#ifndef SDG_PIPELINE_TXT2IMG_H
#define SDG_PIPELINE_TXT2IMG_H

#include "pipeline/plan.h"

/* Draws all images of the plan. Errors: SDGEN_ERR_MEMORY, SDGEN_ERR_IO (trace),
 * SDGEN_ERR_CANCELLED. */
SDGEN_MUST_CHECK sdgen_status sdg_txt2img(const struct sdgen_engine *e, const struct sdg_plan *plan,
                                          sdgen_image_fn on_image, void *user, sdgen_error *err);

/* Runs the same passes dry, as plan->memory says: peak bytes of the work arena and cost of each
 * stage into the plan. With `packed` as operations work on the packed weights that are chosen, else
 * as if there were none. Errors: SDGEN_ERR_MEMORY. */
SDGEN_MUST_CHECK sdgen_status sdg_txt2img_measure(const struct sdgen_engine *e,
                                                  struct sdg_plan *plan, bool packed,
                                                  sdgen_error *err);

#endif
