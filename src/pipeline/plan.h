/* plan.h - everything about a run that can be decided, and refused, before the first
 * multiplication. */
#ifndef SDG_PIPELINE_PLAN_H
#define SDG_PIPELINE_PLAN_H

#include "pipeline/convention.h"
#include "pipeline/engine.h"
#include "sampling/sampler.h"

enum { SDG_MAX_BATCH = 64 }; /* images that go through the UNet together */

struct sdg_plan {
    const struct sdgen_image_params *params;
    const struct sdg_convention *convention;
    const struct sdg_sampler *sampler;
    enum sdg_scheduler scheduler;
    struct sdg_schedule schedule;
    enum sdg_rng_kind rng;
    double eta;
    int steps;            /* as asked for; the schedule may need other calls (DDIM) */
    size_t width, height; /* pixels */
    size_t w, h;          /* latent */
    int images, batch;    /* in all; at once */
    bool guided;          /* the negative prompt takes part */
    int layers_skipped;   /* of the text encoder */
    int64_t seed;
    struct sdg_chunks cond, uncond;
    size_t work_bytes;                        /* peak of the work arena */
    double text_cost, step_cost, decode_cost; /* multiply-adds: of the prompts, of a step of a whole
                                                 batch, of one image's decoding */
};

/* Checks params against the engine's model and fills the plan. Errors: SDGEN_ERR_ARG naming the
 * option, SDGEN_ERR_MEMORY when the plan cannot fit the machine. On failure the plan is empty. */
SDGEN_MUST_CHECK sdgen_status sdg_plan_make(struct sdg_plan *plan, const struct sdgen_engine *e,
                                            const struct sdgen_image_params *params,
                                            sdgen_error *err);
void sdg_plan_free(struct sdg_plan *plan);

/* Logs what was decided, the planned memory, and a warning for what truncation drops. */
void sdg_plan_announce(const struct sdg_plan *plan, const struct sdgen_engine *e);

#endif
