/* schedule.c - see schedule.h: checks the combination, hands over to its family, leaves out the
 * penultimate level and notes what the levels mean to the model. Sources: AUTOMATIC1111
 * stable-diffusion-webui 1.10, modules/sd_samplers_kdiffusion.py (get_sigmas); ComfyUI,
 * comfy/samplers.py (KSampler.calculate_sigmas, max_denoise); stable-diffusion.cpp,
 * src/runtime/denoiser.hpp (get_sigmas, noise_scaling). */
#include "sampling/schedule.h"

#include <math.h>
#include <stdio.h>
#include "sampling/samplers_all.h"
#include "sampling/schedule_families.h"

enum { LCM_LOWEST = 19 }; /* training step of the lowest level that LCM was distilled on */

static const char *const programs[SDG_LIKE_COUNT] = {"a1111", "diffusers", "comfyui", "sd.cpp"};

/* In ComfyUI these come from nodes of their own, which know nothing of the sampler. */
#define NODES                                                                                    \
    (SDG_SCHEDULERS_AYS | SDG_SCHEDULER_BIT(SDG_SCHEDULER_GITS) |                                \
     SDG_SCHEDULER_BIT(SDG_SCHEDULER_TURBO) | SDG_SCHEDULER_BIT(SDG_SCHEDULER_POLYEXPONENTIAL) | \
     SDG_SCHEDULER_BIT(SDG_SCHEDULER_VP))

enum sdg_scheduler sdg_scheduler_default(const struct sdg_sampler *sampler, enum sdg_like like)
{
    return sampler->way[like].own_scheduler;
}

/* "discrete, karras, ddim" into text. */
static const char *list_schedulers(char *text, size_t size, sdg_scheduler_set set)
{
    size_t used = 0;
    text[0] = 0;
    for (int i = 0; i < SDG_SCHEDULER_COUNT; i++)
        if (set & SDG_SCHEDULER_BIT(i) && used < size)
            used += (size_t)snprintf(text + used, size - used, "%s%s", used ? ", " : "",
                                     sdg_scheduler_name((enum sdg_scheduler)i));
    return text;
}

static bool is_list(enum sdg_scheduler s)
{
    return s < SDG_SCHEDULER_COUNT && SDG_SCHEDULERS_LISTS & SDG_SCHEDULER_BIT(s);
}

static sdgen_status check(const struct sdg_schedule_request *r, const struct sdg_sampler *sampler,
                          enum sdg_like like, sdgen_error *err)
{
    const struct sdg_sampler_way *way = &sampler->way[like];
    char list[400];
    if (!is_list(r->scheduler) && (r->steps < 1 || r->steps > SDG_MAX_STEPS))
        return sdg_fail(err, SDGEN_ERR_ARG, "--steps %d: must be between 1 and %d", r->steps,
                        SDG_MAX_STEPS);
    if (!way->run || !way->schedulers)
        return sdg_fail(err, SDGEN_ERR_ARG, "--sampling-method %s: %s does not have it",
                        sampler->name, programs[like]);
    if (r->scheduler >= SDG_SCHEDULER_COUNT || !(way->schedulers & SDG_SCHEDULER_BIT(r->scheduler)))
        return sdg_fail(
            err, SDGEN_ERR_ARG, "--scheduler %s: %s under --like %s does not have it; possible: %s",
            r->scheduler < SDG_SCHEDULER_COUNT ? sdg_scheduler_name(r->scheduler) : "?",
            sampler->label, programs[like], list_schedulers(list, sizeof list, way->schedulers));
    if (like == SDG_LIKE_DIFFUSERS && r->discard_penultimate)
        return sdg_fail(err, SDGEN_ERR_ARG,
                        "--discard-penultimate: diffusers does not do this; leave it out");
    return SDGEN_OK;
}

/* ---- sigma space ---- */

/* Levels as the user wrote them, the final one included. */
static sdgen_status given_sigmas(struct sdg_sigma_list *a, sdgen_error *err)
{
    const int n = a->r->list_count;
    if (n < 2 || n > SDG_MAX_STEPS + 1)
        return sdg_fail(err, SDGEN_ERR_ARG, "--sigmas: %d values; must be 2 to %d", n,
                        SDG_MAX_STEPS + 1);
    for (int i = 0; i < n; i++) {
        const double x = a->r->list[i];
        if (!isfinite(x) || !isfinite((float)x) || x < 0 || (i + 1 < n && (float)x == 0) ||
            (i > 0 && !((float)x < a->sigma[i - 1])))
            return sdg_fail(err, SDGEN_ERR_ARG,
                            "--sigmas: value %d, %g: levels must be positive and fall; only the "
                            "last may be 0",
                            i + 1, x);
        a->sigma[i] = (float)x;
    }
    a->count = n;
    return SDGEN_OK;
}

static sdgen_status make_list(struct sdg_sigma_list *a, sdgen_error *err)
{
    switch (a->r->scheduler) {
    case SDG_SCHEDULER_SIGMAS: return given_sigmas(a, err);
    case SDG_SCHEDULER_SIMPLE:
    case SDG_SCHEDULER_DDIM:
    case SDG_SCHEDULER_TURBO:
    case SDG_SCHEDULER_SMOOTHSTEP:
    case SDG_SCHEDULER_LCM:
    case SDG_SCHEDULER_TIMESTEPS: return sdg_list_timesteps(a, err);
    case SDG_SCHEDULER_BETA:
        if (a->l->like != SDG_LIKE_A1111) return sdg_list_timesteps(a, err);
        break;
    case SDG_SCHEDULER_AYS:
    case SDG_SCHEDULER_AYS_SD1:
    case SDG_SCHEDULER_AYS_SDXL:
    case SDG_SCHEDULER_GITS: return sdg_list_table(a, err);
    default: break;
    }
    sdg_list_formula(a);
    return SDGEN_OK;
}

/* Some formulas divide by steps - 1; a range that was turned round rises. */
static sdgen_status check_list(const struct sdg_sigma_list *a, sdgen_error *err)
{
    for (int i = 0; i < a->count; i++)
        if (!isfinite(a->sigma[i]) || (i > 0 && a->sigma[i] > a->sigma[i - 1]) ||
            (i + 1 < a->count && a->sigma[i] <= 0))
            return sdg_fail(err, SDGEN_ERR_ARG,
                            "--scheduler %s, --steps %d: level %d of %s's list is %g, which cannot "
                            "be sampled; take other steps or another range",
                            sdg_scheduler_name(a->r->scheduler), a->r->steps, i + 1,
                            programs[a->l->like], (double)a->sigma[i]);
    return SDGEN_OK;
}

/* ComfyUI starts at full noise with the variance that training has there, 1 + sigma^2, not with
 * sigma^2 alone. */
static float start_scale(const struct sdg_levels *l, float sigma)
{
    if (l->like != SDG_LIKE_COMFYUI) return sigma;
    const double top = (double)l->sigma_max, first = (double)sigma;
    const bool full = fabs(top - first) <= 1e-5 * fmax(top, first) || first > top;
    return full ? sqrtf(1 + sigma * sigma) : sigma;
}

static void store(struct sdg_schedule *s, const struct sdg_sigma_list *a)
{
    const bool timesteps = a->r->scheduler == SDG_SCHEDULER_TIMESTEPS;
    s->steps = a->count - 1;
    for (int i = 0; i < s->steps; i++) {
        const float sigma = a->sigma[i], next = a->sigma[i + 1];
        s->sigmas[i] = sigma;
        s->sigmas[i + 1] = next;
        s->abar[i] = 1 / (sigma * sigma + 1);
        s->abar_next[i] = 1 / (next * next + 1);
        s->timesteps[i] =
            timesteps ? (float)a->r->list[i] : sdg_levels_timestep(a->l, (double)sigma);
    }
    s->init_sigma = start_scale(a->l, s->sigmas[0]);
}

/* A1111's LCM knows the 50 distilled levels only (modules/sd_samplers_lcm.py): they are its uniform
 * list, and the lowest of them is where other lists end. */
static bool is_distilled(const struct sdg_sampler *sampler, const struct sdg_levels *l)
{
    return l->like == SDG_LIKE_A1111 && sampler == &sdg_sampler_lcm &&
           l->prediction != SDG_PREDICT_EDM_V;
}

static sdgen_status sigma_space(struct sdg_schedule *s, const struct sdg_schedule_request *r,
                                const struct sdg_sampler *sampler, const struct sdg_levels *l,
                                sdgen_error *err)
{
    struct sdg_sigma_list a = {.r = r, .l = l, .rho = r->rho};
    const sdg_scheduler_set one = SDG_SCHEDULER_BIT(r->scheduler);
    const bool node = l->like == SDG_LIKE_COMFYUI && one & NODES;
    const bool discard =
        !is_list(r->scheduler) &&
        (r->discard_penultimate || (sampler->way[l->like].discard_penultimate && !node));
    sdgen_status status;
    a.n = r->steps + discard;
    const float lowest = is_distilled(sampler, l) ? l->sigma[LCM_LOWEST] : l->sigma_min;
    a.min = r->sigma_min > 0 ? r->sigma_min : (double)lowest;
    a.max = r->sigma_max > 0 ? r->sigma_max : (double)l->sigma_max;
    SDG_TRY(make_list(&a, err));
    if (discard && a.count > 2) {
        a.sigma[a.count - 2] = a.sigma[a.count - 1];
        a.count--;
    }
    SDG_TRY(check_list(&a, err));
    store(s, &a);
fail:
    return status;
}

sdgen_status sdg_schedule_make(struct sdg_schedule *s, const struct sdg_schedule_request *request,
                               const struct sdg_sampler *sampler, const struct sdg_levels *l,
                               sdgen_error *err)
{
    struct sdg_schedule_request r = *request;
    if (r.scheduler == SDG_SCHEDULER_OWN) r.scheduler = sdg_scheduler_default(sampler, l->like);
    if (is_distilled(sampler, l) && r.scheduler == SDG_SCHEDULER_DISCRETE)
        r.scheduler = SDG_SCHEDULER_LCM;
    const sdgen_status status = check(&r, sampler, l->like, err);
    *s = (struct sdg_schedule) {0};
    if (status != SDGEN_OK) return status;
    if (l->like == SDG_LIKE_DIFFUSERS && l->prediction == SDG_PREDICT_EDM_V)
        return sdg_schedule_edm(s, &r, sampler, l, err);
    if (l->like == SDG_LIKE_DIFFUSERS) return sdg_schedule_diffusers(s, &r, sampler, l, err);
    if (sampler->way[l->like].variance_preserving)
        return sdg_schedule_timesteps(s, &r, sampler, l, err);
    return sigma_space(s, &r, sampler, l, err);
}
