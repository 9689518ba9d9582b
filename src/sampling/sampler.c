/* sampler.c - see sampler.h: the table of samplers, and how a name finds its line. */
#include "sampling/sampler.h"

#include <string.h>
#include "base/names.h"
#include "sampling/samplers_all.h"

/* In the order of A1111's menu, then by family; the first one whose alias fits wins. */
static const struct sdg_sampler *const samplers[] = {
    &sdg_sampler_euler_a,
    &sdg_sampler_euler,
    &sdg_sampler_lms,
    &sdg_sampler_heun,
    &sdg_sampler_heunpp2,
    &sdg_sampler_dpm2,
    &sdg_sampler_dpm2_a,
    &sdg_sampler_dpmpp_2s_a,
    &sdg_sampler_dpmpp_2m,
    &sdg_sampler_dpmpp_2m_v2,
    &sdg_sampler_dpmpp_sde,
    &sdg_sampler_dpmpp_2m_sde,
    &sdg_sampler_dpmpp_2m_sde_heun,
    &sdg_sampler_dpmpp_3m_sde,
    &sdg_sampler_dpm_fast,
    &sdg_sampler_dpm_adaptive,
    &sdg_sampler_restart,
    &sdg_sampler_ddim,
    &sdg_sampler_ddim_cfg_pp,
    &sdg_sampler_ddim_inverse,
    &sdg_sampler_plms,
    &sdg_sampler_pndm,
    &sdg_sampler_unipc,
    &sdg_sampler_unipc_bh2,
    &sdg_sampler_deis,
    &sdg_sampler_ipndm,
    &sdg_sampler_ipndm_v,
    &sdg_sampler_lcm,
    &sdg_sampler_tcd,
    &sdg_sampler_ddpm,
    &sdg_sampler_res_multistep,
    &sdg_sampler_res_multistep_a,
    &sdg_sampler_res_2s,
    &sdg_sampler_er_sde,
    &sdg_sampler_gradient_estimation,
    &sdg_sampler_euler_cfg_pp,
    &sdg_sampler_euler_a_cfg_pp,
    &sdg_sampler_dpmpp_2s_a_cfg_pp,
    &sdg_sampler_dpmpp_2m_cfg_pp,
    &sdg_sampler_res_multistep_cfg_pp,
    &sdg_sampler_res_multistep_a_cfg_pp,
    &sdg_sampler_gradient_estimation_cfg_pp,
};
enum { COUNT = sizeof samplers / sizeof samplers[0] };

const struct sdg_sampler *sdg_sampler_at(int i)
{
    return i >= 0 && i < COUNT ? samplers[i] : NULL;
}

static const struct sdg_sampler *named(const char *name)
{
    for (int i = 0; i < COUNT; i++)
        if (sdg_name_matches(name, samplers[i]->aliases) ||
            sdg_name_matches(name, samplers[i]->label))
            return samplers[i];
    return NULL;
}

static bool is_gap(char c)
{
    return c == ' ' || c == '_' || c == '-';
}

/* The sampler that `name` means when [tail, tail + length), a schedule, is taken off its end. */
static const struct sdg_sampler *without_tail(const char *name, const char *tail, size_t length)
{
    char head[64], end[64];
    const size_t n = strlen(name);
    if (n < length + 2 || n - length >= sizeof head || length >= sizeof end) return NULL;
    if (!is_gap(name[n - length - 1])) return NULL;
    memcpy(end, tail, length);
    end[length] = 0;
    if (!sdg_name_matches(name + n - length, end)) return NULL;
    memcpy(head, name, n - length);
    head[n - length] = 0;
    return named(head);
}

/* A1111 had a sampler for each pair before schedules had a menu of their own: "DPM++ 2M Karras",
 * or "k_dpmpp_2m_ka" in its API. It still takes a schedule off the end of a label (modules/
 * sd_samplers.py, get_sampler_and_scheduler). */
static const struct sdg_sampler *compound(const char *name, enum sdg_scheduler *scheduler)
{
    const struct sdg_sampler *s = without_tail(name, "ka", 2);
    if (s) {
        *scheduler = SDG_SCHEDULER_KARRAS;
        return s;
    }
    for (int i = 0; i < SDG_SCHEDULER_COUNT; i++)
        for (const char *tail = sdg_scheduler_aliases((enum sdg_scheduler)i); tail;) {
            const char *bar = strchr(tail, '|');
            s = without_tail(name, tail, bar ? (size_t)(bar - tail) : strlen(tail));
            if (s) {
                *scheduler = (enum sdg_scheduler)i;
                return s;
            }
            tail = bar ? bar + 1 : NULL;
        }
    return NULL;
}

sdgen_status sdg_sampler_find(const struct sdg_sampler **s, enum sdg_scheduler *scheduler,
                              const char *name, sdgen_error *err)
{
    const struct sdg_sampler *found = named(name);
    if (!found && scheduler) found = compound(name, scheduler);
    if (found) {
        *s = found;
        return SDGEN_OK;
    }
    int nearest = 0, best = sdg_name_distance(name, samplers[0]->aliases);
    for (int i = 1; i < COUNT; i++) {
        const int d = sdg_name_distance(name, samplers[i]->aliases);
        if (d < best) {
            best = d;
            nearest = i;
        }
    }
    return sdg_fail(err, SDGEN_ERR_ARG, "--sampling-method %s: no such sampler; the nearest is %s",
                    name, samplers[nearest]->name);
}
