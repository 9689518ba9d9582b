/* scheduler_names.c - what schedules are called. Labels are those of AUTOMATIC1111
 * stable-diffusion-webui 1.10 (modules/sd_schedulers.py) where it has the schedule. */
#include "base/names.h"
#include "sampling/schedule.h"

static const struct {
    const char *name, *label, *spellings;
} names[SDG_SCHEDULER_COUNT] = {
    [SDG_SCHEDULER_DISCRETE] = {"discrete", "Automatic",
                                "discrete|automatic|auto|default|normal|uniform"},
    [SDG_SCHEDULER_KARRAS] = {"karras", "Karras", "karras|use_karras_sigmas"},
    [SDG_SCHEDULER_LEADING] = {"leading", "Leading", "leading"},
    [SDG_SCHEDULER_LINSPACE] = {"linspace", "Linspace", "linspace"},
    [SDG_SCHEDULER_TRAILING] = {"trailing", "Trailing", "trailing"},
    [SDG_SCHEDULER_DDIM] = {"ddim", "DDIM", "ddim|ddim_uniform"},
};

const char *sdg_scheduler_name(enum sdg_scheduler s)
{
    return s < SDG_SCHEDULER_COUNT ? names[s].name : NULL;
}

const char *sdg_scheduler_label(enum sdg_scheduler s)
{
    return s < SDG_SCHEDULER_COUNT ? names[s].label : NULL;
}

sdgen_status sdg_scheduler_find(enum sdg_scheduler *s, const char *name, sdgen_error *err)
{
    int nearest = 0, best = sdg_name_distance(name, names[0].spellings);
    for (int i = 0; i < SDG_SCHEDULER_COUNT; i++) {
        if (sdg_name_matches(name, names[i].spellings)) {
            *s = (enum sdg_scheduler)i;
            return SDGEN_OK;
        }
        const int d = sdg_name_distance(name, names[i].spellings);
        if (d < best) {
            best = d;
            nearest = i;
        }
    }
    return sdg_fail(err, SDGEN_ERR_ARG, "--scheduler %s: no such schedule; the nearest is %s", name,
                    names[nearest].name);
}
