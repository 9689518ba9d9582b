/* schedule_families.h - the parts of sdg_schedule_make. Steps and combination were checked. */
#ifndef SDG_SAMPLING_SCHEDULE_FAMILIES_H
#define SDG_SAMPLING_SCHEDULE_FAMILIES_H

#include "sampling/schedule.h"

/* Sigma space, A1111: discrete, Karras, DDIM list. */
void sdg_schedule_kdiffusion(struct sdg_schedule *s, enum sdg_scheduler scheduler, int steps);

/* Variance preserving, A1111's DDIM. Errors: SDGEN_ERR_ARG when the list leaves nothing to do. */
SDGEN_MUST_CHECK sdgen_status sdg_schedule_ddim(struct sdg_schedule *s, int steps,
                                                sdgen_error *err);

/* diffusers, both spaces. Errors: SDGEN_ERR_ARG where diffusers leaves the training levels. */
SDGEN_MUST_CHECK sdgen_status sdg_schedule_diffusers(struct sdg_schedule *s,
                                                     enum sdg_scheduler scheduler, int steps,
                                                     bool variance_preserving, sdgen_error *err);

#endif
