/* habits.h - sampler, schedule, steps and guidance when nobody chooses: those of the program,
 * unless the checkpoint says how it wants to be drawn with. */
#ifndef SDG_PIPELINE_HABITS_H
#define SDG_PIPELINE_HABITS_H

#include "pipeline/convention.h"
#include "weights/model.h"

struct sdg_habits {
    const char *sampler;
    enum sdg_scheduler scheduler; /* SDG_SCHEDULER_OWN: the sampler's */
    int steps;
    double cfg_scale;
};

/* Models distilled to few steps are drawn in few, without guidance. Under diffusers a folder's
 * scheduler_config.json names class and spacing, as its pipelines read it. */
void sdg_habits_of(struct sdg_habits *h, const struct sdg_model *m,
                   const struct sdg_convention *like);

#endif
