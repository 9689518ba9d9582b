/* schedule.c - see schedule.h: checks the combination, then hands over to its family. */
#include "sampling/schedule.h"

#include <stdio.h>
#include "sampling/sampler.h"
#include "sampling/schedule_families.h"

static const char *const programs[SDG_LIKE_COUNT] = {"a1111", "diffusers"};

enum sdg_scheduler sdg_scheduler_default(const struct sdg_sampler *sampler, enum sdg_like like)
{
    return sampler->own_scheduler[like];
}

/* "discrete, karras, ddim" into text. */
static const char *list_schedulers(char *text, size_t size, unsigned set)
{
    size_t used = 0;
    text[0] = 0;
    for (int i = 0; i < SDG_SCHEDULER_COUNT; i++)
        if (set & SDG_SCHEDULER_BIT(i) && used < size)
            used += (size_t)snprintf(text + used, size - used, "%s%s", used ? ", " : "",
                                     sdg_scheduler_name((enum sdg_scheduler)i));
    return text;
}

static sdgen_status check(const struct sdg_sampler *sampler, enum sdg_scheduler scheduler,
                          enum sdg_like like, int steps, sdgen_error *err)
{
    const unsigned possible = sampler->schedulers[like];
    char list[128];
    if (steps < 1 || steps > SDG_MAX_STEPS)
        return sdg_fail(err, SDGEN_ERR_ARG, "--steps %d: must be between 1 and %d", steps,
                        SDG_MAX_STEPS);
    if (!possible)
        return sdg_fail(err, SDGEN_ERR_ARG, "--sampling-method %s: %s does not have it",
                        sampler->name, programs[like]);
    if (scheduler >= SDG_SCHEDULER_COUNT || !(possible & SDG_SCHEDULER_BIT(scheduler)))
        return sdg_fail(
            err, SDGEN_ERR_ARG, "--scheduler %s: %s under --like %s does not have it; possible: %s",
            scheduler < SDG_SCHEDULER_COUNT ? sdg_scheduler_name(scheduler) : "?", sampler->label,
            programs[like], list_schedulers(list, sizeof list, possible));
    return SDGEN_OK;
}

sdgen_status sdg_schedule_make(struct sdg_schedule *s, const struct sdg_sampler *sampler,
                               enum sdg_scheduler scheduler, enum sdg_like like, int steps,
                               sdgen_error *err)
{
    const sdgen_status status = check(sampler, scheduler, like, steps, err);
    *s = (struct sdg_schedule) {0};
    if (status != SDGEN_OK) return status;
    if (like == SDG_LIKE_DIFFUSERS)
        return sdg_schedule_diffusers(s, scheduler, steps, sampler->variance_preserving, err);
    if (sampler->variance_preserving) return sdg_schedule_ddim(s, steps, err);
    sdg_schedule_kdiffusion(s, scheduler, steps);
    return SDGEN_OK;
}
