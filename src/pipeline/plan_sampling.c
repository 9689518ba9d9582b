/* plan_sampling.c - which sampler walks over which levels, and how it is guided. */
#include "pipeline/plan_parts.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/names.h"

static const double max_cfg = 1000;

/* ---- the sampler and its knobs ---- */

/* A knob that the caller turned and its bit in sdg_sampler.takes. */
struct knob {
    const char *flag;
    unsigned bit;
    double asked, most; /* negative: not turned */
    double *value;      /* holds the default */
};

static sdgen_status turn(const struct sdg_plan *p, const struct knob *k, sdgen_error *err)
{
    if (k->asked < 0) return SDGEN_OK;
    if (!(k->asked <= k->most))
        return sdg_fail(err, SDGEN_ERR_ARG, "%s %g: must be between 0 and %g", k->flag, k->asked,
                        k->most);
    if (!(p->sampler->takes & k->bit) && k->asked != *k->value)
        return sdg_fail(err, SDGEN_ERR_ARG, "%s %g: %s has no such knob; leave it out", k->flag,
                        k->asked, p->sampler->label);
    *k->value = k->asked;
    return SDGEN_OK;
}

/* diffusers' own pipeline hands eta to its sigma-space classes in vain. */
static sdgen_status check_eta(const struct sdg_plan *p, sdgen_error *err)
{
    const struct sdg_sampler_way *way = p->way;
    if (p->convention->like != SDG_LIKE_DIFFUSERS || way->variance_preserving || way->borrowed ||
        p->options.eta == way->default_eta)
        return SDGEN_OK;
    return sdg_fail(err, SDGEN_ERR_ARG, "--eta %g: %s in diffusers has no such knob; leave it out",
                    p->options.eta, p->sampler->label);
}

static sdgen_status plan_order(struct sdg_plan *p, sdgen_error *err)
{
    const int order = p->params->solver_order, lower = p->params->lower_order_final;
    const unsigned takes = p->sampler->takes;
    if (order < 0 || order > 4)
        return sdg_fail(err, SDGEN_ERR_ARG, "--solver-order %d: must be between 1 and 4", order);
    if (order && !(takes & SDG_TAKES_ORDER))
        return sdg_fail(err, SDGEN_ERR_ARG,
                        "--solver-order %d: %s has one order only; leave it out", order,
                        p->sampler->label);
    if (lower >= 0 && !(takes & SDG_TAKES_LOWER_ORDER_FINAL))
        return sdg_fail(err, SDGEN_ERR_ARG,
                        "--lower-order-final: %s has no such knob; leave it out",
                        p->sampler->label);
    p->options.order = order                   ? order
                       : p->way->default_order ? p->way->default_order
                                               : p->sampler->order;
    p->options.lower_order_final = lower != 0;
    return SDGEN_OK;
}

static sdgen_status plan_options(struct sdg_plan *p, sdgen_error *err)
{
    const sdgen_image_params *a = p->params;
    struct sdg_sampler_options *o = &p->options;
    *o = (struct sdg_sampler_options) {
        .eta = p->way->default_eta, .s_tmax = INFINITY, .s_noise = 1, .r = 0.5};
    const struct knob knobs[] = {
        {"--eta", SDG_TAKES_ETA, a->eta, 1, &o->eta},
        {"--s-churn", SDG_TAKES_CHURN, a->s_churn, 1e6, &o->s_churn},
        {"--s-tmin", SDG_TAKES_CHURN, a->s_tmin, 1e6, &o->s_tmin},
        {"--s-tmax", SDG_TAKES_CHURN, a->s_tmax, INFINITY, &o->s_tmax},
        {"--s-noise", SDG_TAKES_S_NOISE, a->s_noise, 100, &o->s_noise},
        {"--r", SDG_TAKES_R, a->r, 1, &o->r},
    };
    sdgen_status status;
    for (size_t i = 0; i < sizeof knobs / sizeof knobs[0]; i++) SDG_TRY(turn(p, &knobs[i], err));
    if (o->r == 0)
        return sdg_fail(err, SDGEN_ERR_ARG, "--r 0: the midpoint must lie inside the step");
    SDG_TRY(check_eta(p, err));
    SDG_TRY(plan_order(p, err));
fail:
    return status;
}

/* ---- the schedule ---- */

/* "14.6, 7.8 0" into request->list. */
static sdgen_status read_list(struct sdg_schedule_request *request, const char *flag,
                              const char *text, sdgen_error *err)
{
    double *list = calloc(SDG_MAX_STEPS + 1, sizeof *list);
    request->list = list;
    if (!list) return sdg_fail(err, SDGEN_ERR_MEMORY, "out of memory");
    for (const char *s = text; *s;) {
        char *end;
        if (*s == ',' || isspace((unsigned char)*s)) {
            s++;
            continue;
        }
        const double x = strtod(s, &end);
        if (end == s || !isfinite(x) || x < 0 || (*end && !strchr(", \t\n", *end)))
            return sdg_fail(err, SDGEN_ERR_ARG, "%s: \"%.20s\" is no number of a list", flag, s);
        if (request->list_count > SDG_MAX_STEPS)
            return sdg_fail(err, SDGEN_ERR_ARG, "%s: more than %d numbers", flag,
                            SDG_MAX_STEPS + 1);
        list[request->list_count++] = x;
        s = end;
    }
    if (request->list_count == 0) return sdg_fail(err, SDGEN_ERR_ARG, "%s: holds no number", flag);
    return SDGEN_OK;
}

/* A list stands in place of a named schedule, and its length in place of --steps. */
static sdgen_status plan_list(struct sdg_plan *p, sdgen_error *err)
{
    const sdgen_image_params *a = p->params;
    struct sdg_schedule_request *q = &p->request;
    const char *flag = a->sigmas ? "--sigmas" : "--timesteps";
    if (!a->sigmas && !a->timesteps) return SDGEN_OK;
    if ((a->sigmas && a->timesteps) || p->schedule_chosen || a->spacing)
        return sdg_fail(err, SDGEN_ERR_ARG, "%s: takes the place of a schedule; name only one",
                        flag);
    q->scheduler = a->sigmas ? SDG_SCHEDULER_SIGMAS : SDG_SCHEDULER_TIMESTEPS;
    p->schedule_chosen = true;
    const sdgen_status status = read_list(q, flag, a->sigmas ? a->sigmas : a->timesteps, err);
    if (status != SDGEN_OK) return status;
    const int entries = q->list_count - (a->sigmas != NULL); /* the last level is the end */
    if (a->steps && a->steps != entries)
        return sdg_fail(err, SDGEN_ERR_ARG, "--steps %d: %s has %d; leave out one of the two",
                        a->steps, flag, entries);
    p->steps = entries;
    return SDGEN_OK;
}

static bool is_spacing(enum sdg_scheduler s)
{
    return s == SDG_SCHEDULER_LEADING || s == SDG_SCHEDULER_LINSPACE || s == SDG_SCHEDULER_TRAILING;
}

/* What --timestep-spacing means: the schedule itself, or the ends of the one that was named. */
static sdgen_status plan_spacing(struct sdg_plan *p, sdgen_error *err)
{
    const char *name = p->params->spacing;
    enum sdg_scheduler spacing;
    sdgen_status status;
    p->request.spacing = SDG_SCHEDULER_COUNT;
    if (!name) return SDGEN_OK;
    SDG_TRY(sdg_scheduler_find(&spacing, name, err));
    if (!is_spacing(spacing))
        return sdg_fail(err, SDGEN_ERR_ARG,
                        "--timestep-spacing %s: must be leading, linspace or trailing", name);
    if (p->convention->like != SDG_LIKE_DIFFUSERS)
        return sdg_fail(err, SDGEN_ERR_ARG, "--timestep-spacing %s: only diffusers has it", name);
    p->request.spacing = spacing;
    if (!p->schedule_chosen) p->request.scheduler = spacing;
    p->schedule_chosen = true;
fail:
    return status;
}

static sdgen_status check_ranges(const struct sdg_plan *p, sdgen_error *err)
{
    const sdgen_image_params *a = p->params;
    const double gits = a->gits_coefficient;
    if (a->rho < 0 || !isfinite(a->rho) || a->sigma_min < 0 || !isfinite(a->sigma_min) ||
        a->sigma_max < 0 || !isfinite(a->sigma_max))
        return sdg_fail(err, SDGEN_ERR_ARG,
                        "--rho, --sigma-min, --sigma-max: must be positive numbers");
    if (a->sigma_max > 0 && a->sigma_min >= a->sigma_max)
        return sdg_fail(err, SDGEN_ERR_ARG, "--sigma-min %g: must be below --sigma-max %g",
                        a->sigma_min, a->sigma_max);
    if (gits != 0 && !(gits >= 0.8 && gits <= 1.5))
        return sdg_fail(err, SDGEN_ERR_ARG, "--gits-coefficient %g: must be between 0.8 and 1.5",
                        gits);
    return SDGEN_OK;
}

static sdgen_status plan_schedule(struct sdg_plan *p, sdgen_error *err)
{
    const sdgen_image_params *a = p->params;
    struct sdg_schedule_request *q = &p->request;
    sdgen_status status;
    enum sdg_scheduler named = SDG_SCHEDULER_OWN;
    if (a->scheduler) SDG_TRY(sdg_scheduler_find(&named, a->scheduler, err));
    if (!a->scheduler && !a->sampler && p->own.scheduler != SDG_SCHEDULER_OWN)
        named = p->own.scheduler;
    if (named != SDG_SCHEDULER_OWN) {
        q->scheduler = named;
        p->schedule_chosen = true;
    }
    p->steps = a->steps ? a->steps : p->own.steps;
    SDG_TRY(plan_list(p, err));
    SDG_TRY(plan_spacing(p, err));
    SDG_TRY(check_ranges(p, err));
    q->steps = p->steps;
    q->sdxl = p->sdxl;
    q->rho = a->rho;
    q->sigma_min = a->sigma_min;
    q->sigma_max = a->sigma_max;
    q->gits_coefficient = a->gits_coefficient;
    q->discard_penultimate = p->way->discard_penultimate || a->discard_penultimate;
    SDG_TRY(sdg_schedule_make(&p->schedule, q, p->sampler, &p->levels, err));
fail:
    return status;
}

/* ---- prediction and guidance ---- */

/* What the checkpoint says its UNet predicts; false for what no sampler here knows. */
static bool trained_prediction(int *prediction, enum sdg_target target)
{
    static const enum sdg_prediction of[] = {[SDG_TARGET_EPS] = SDG_PREDICT_EPS,
                                             [SDG_TARGET_V] = SDG_PREDICT_V,
                                             [SDG_TARGET_X0] = SDG_PREDICT_X0,
                                             [SDG_TARGET_EDM_V] = SDG_PREDICT_EDM_V};
    if (target == SDG_TARGET_EDM) return false;
    *prediction = (int)of[target];
    return true;
}

static sdgen_status plan_levels(struct sdg_plan *p, const struct sdg_model *m, sdgen_error *err)
{
    const char *name = p->params->prediction;
    int prediction = SDG_PREDICT_EPS;
    bool zero_snr = m->facts.zero_terminal_snr || p->params->zero_terminal_snr;
    if (!name && !trained_prediction(&prediction, m->facts.target))
        return sdg_fail(
            err, SDGEN_ERR_ARG,
            "%s: predicts in the way of EDM (Playground 2.5), which is not supported yet",
            m->file.path);
    if (name) {
        prediction = sdg_name_choice(
            name, "eps=epsilon|v=vprediction=vpred=velocity|x0=sample|edm-v=edmv=vpredictionedm");
        if (prediction < 0)
            return sdg_fail(err, SDGEN_ERR_ARG,
                            "--prediction %s: no such prediction; there are eps, v, x0 and edm-v",
                            name);
    }
    if (prediction == SDG_PREDICT_EDM_V && p->params->zero_terminal_snr)
        return sdg_fail(err, SDGEN_ERR_ARG,
                        "--zero-terminal-snr: edm-v has no trained levels to rescale");
    sdg_levels_init(&p->levels, p->convention->like, (enum sdg_prediction)prediction,
                    zero_snr && prediction != SDG_PREDICT_EDM_V);
    return SDGEN_OK;
}

static sdgen_status check_share(const char *flag, double x, sdgen_error *err)
{
    if (x >= 0 && x <= 1) return SDGEN_OK;
    return sdg_fail(err, SDGEN_ERR_ARG, "%s %g: must be between 0 and 1", flag, x);
}

static sdgen_status plan_guidance(struct sdg_plan *p, const struct sdg_model *m, sdgen_error *err)
{
    const sdgen_image_params *a = p->params;
    const bool takes_scale = m->unet.config.time_cond > 0; /* as an input, in place of guidance */
    double scale = a->cfg_scale == -1 ? p->own.cfg_scale : a->cfg_scale;
    sdgen_status status;
    if (!isfinite(scale) || scale < 0 || scale > max_cfg)
        return sdg_fail(err, SDGEN_ERR_ARG, "--cfg-scale %g: must be between 0 and %g", scale,
                        max_cfg);
    SDG_TRY(check_share("--cfg-rescale", a->cfg_rescale, err));
    SDG_TRY(check_share("--guidance-start", a->guidance_start, err));
    SDG_TRY(check_share("--guidance-end", a->guidance_end, err));
    SDG_TRY(check_share("--skip-early-cfg", a->skip_early_cfg, err));
    if (a->guidance_end < a->guidance_start)
        return sdg_fail(err, SDGEN_ERR_ARG, "--guidance-end %g: lies before --guidance-start %g",
                        a->guidance_end, a->guidance_start);
    if (!(a->s_min_uncond >= 0 && a->s_min_uncond <= 1e6))
        return sdg_fail(err, SDGEN_ERR_ARG, "--s-min-uncond %g: must be a level above 0",
                        a->s_min_uncond);
    if (!(a->image_cfg_scale >= 0 && a->image_cfg_scale <= max_cfg))
        return sdg_fail(err, SDGEN_ERR_ARG, "--image-cfg-scale %g: must be between 0 and %g",
                        a->image_cfg_scale, max_cfg);
    p->guidance_input = scale;
    if (takes_scale) scale = 1;
    p->guidance = (struct sdg_guidance) {
        .scale = scale,
        .rescale = a->cfg_rescale,
        .start = a->guidance_start,
        .end = a->guidance_end,
        .skip_early = a->skip_early_cfg,
        .min_sigma = a->s_min_uncond,
        .min_sigma_all_steps = a->s_min_uncond_all != 0,
        .above_one = p->convention->guide_above_one,
    };
    p->guided = p->way->needs_uncond || (p->guidance.above_one ? scale > 1 : scale != 1);
    p->guides_picture = m->facts.extra == SDG_EXTRA_EDIT;
fail:
    return status;
}

sdgen_status sdg_plan_sampling(struct sdg_plan *p, const struct sdg_model *m, sdgen_error *err)
{
    const char *name = p->params->sampler;
    enum sdg_scheduler *scheduler = &p->request.scheduler;
    sdgen_status status;
    *scheduler = SDG_SCHEDULER_OWN;
    sdg_habits_of(&p->own, m, p->convention);
    if (!name) name = p->own.sampler;
    SDG_TRY(sdg_sampler_find(&p->sampler, scheduler, name, err));
    p->way = &p->sampler->way[p->convention->like];
    p->schedule_chosen = *scheduler != SDG_SCHEDULER_OWN;
    if (!p->schedule_chosen) *scheduler = sdg_scheduler_default(p->sampler, p->convention->like);
    SDG_TRY(plan_levels(p, m, err));
    SDG_TRY(plan_schedule(p, err));
    SDG_TRY(plan_options(p, err));
    SDG_TRY(plan_guidance(p, m, err));
    p->calls = p->steps * (p->way->calls > 1 ? p->way->calls : 1);
fail:
    return status;
}
