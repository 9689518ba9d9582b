/* infotext_of.h - the parameters text of one image of a plan. */
#ifndef SDG_PIPELINE_INFOTEXT_OF_H
#define SDG_PIPELINE_INFOTEXT_OF_H

#include "pipeline/plan.h"

/* Of image `index` of the run. Newly allocated (free()), NULL when out of memory. Waits for the
 * checkpoint's hash if need be. */
char *sdg_plan_infotext(const struct sdgen_engine *e, const struct sdg_plan *plan, int index);

#endif
