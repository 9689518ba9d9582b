/* plan_parts.h - the parts of sdg_plan_make, one file each (plan.h). They fill their share of the
 * plan in this order; errors are SDGEN_ERR_ARG naming the option. */
#ifndef SDG_PIPELINE_PLAN_PARTS_H
#define SDG_PIPELINE_PLAN_PARTS_H

#include "pipeline/plan.h"

/* Encoders, pictures beside the prompt; before the size, which a picture may say. */
SDGEN_MUST_CHECK sdgen_status sdg_plan_model(struct sdg_plan *p, const struct sdgen_engine *e,
                                             sdgen_error *err);

/* Sampler, options, levels, schedule, guidance. */
SDGEN_MUST_CHECK sdgen_status sdg_plan_sampling(struct sdg_plan *p, const struct sdg_model *m,
                                                sdgen_error *err);

/* Languages and texts, once the sampler is known. */
SDGEN_MUST_CHECK sdgen_status sdg_plan_prompts(struct sdg_plan *p, const struct sdgen_engine *e,
                                               sdgen_error *err);

/* Seeds and generators, once size and batch are known. */
SDGEN_MUST_CHECK sdgen_status sdg_plan_noise(struct sdg_plan *p, const struct sdg_model *m,
                                             sdgen_error *err);

#endif
