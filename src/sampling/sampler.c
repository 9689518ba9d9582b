/* sampler.c - see sampler.h: the table of samplers. */
#include "sampling/sampler.h"

#include "base/names.h"

static const struct sdg_sampler *const samplers[] = {
    &sdg_sampler_euler_a,
    &sdg_sampler_euler,
    &sdg_sampler_ddim,
};
enum { COUNT = sizeof samplers / sizeof samplers[0] };

const struct sdg_sampler *sdg_sampler_at(int i)
{
    return i >= 0 && i < COUNT ? samplers[i] : NULL;
}

sdgen_status sdg_sampler_find(const struct sdg_sampler **s, const char *name, sdgen_error *err)
{
    int nearest = 0, best = sdg_name_distance(name, samplers[0]->aliases);
    for (int i = 0; i < COUNT; i++) {
        if (sdg_name_matches(name, samplers[i]->aliases)) {
            *s = samplers[i];
            return SDGEN_OK;
        }
        const int d = sdg_name_distance(name, samplers[i]->aliases);
        if (d < best) {
            best = d;
            nearest = i;
        }
    }
    return sdg_fail(err, SDGEN_ERR_ARG, "--sampling-method %s: no such sampler; the nearest is %s",
                    name, samplers[nearest]->name);
}
