/* schedule_diffusers.c - the lists of diffusers' scheduler classes, for Stable Diffusion's
 * configurations (steps_offset 1, set_alpha_to_one false). Sources: diffusers, schedulers/
 * scheduling_*.py (set_timesteps); numpy's arange, linspace and interp where their rounding
 * decides. The spacings are compared in Lin et al. 2023, "Common diffusion noise schedules and
 * sample steps are flawed", table 2.
 *
 * Every class has its own list, so the sampler decides: which spacings round, which leave out an
 * end, where a step leads, which flags exist. A sampler without a class of its own follows
 * EulerDiscreteScheduler's lists in sigma space and DDIMScheduler's otherwise. */
#include "sampling/schedule_families.h"

#include <math.h>
#include <string.h>
#include "sampling/beta_quantile.h"
#include "sampling/samplers_all.h"

enum { OFFSET = 1, LAST = SDG_TRAIN_STEPS - 1, DISTILLED_STEPS = 50, AYS_STEPS = 10 };
#define RHO 7.0        /* Karras et al. 2022, section 3.2 */
#define BETA_SHAPE 0.6 /* Lee et al. 2024, "Beta sampling is all you need" */

enum family {
    FRACTIONAL, /* sigma space, timesteps between the trained ones */
    MIDPOINT,   /*   the same, rounded under Karras */
    MULTISTEP,  /* whole timesteps; n + 1 of them with the clean end left out */
    DEIS,       /*   the same, ending on the lowest level above 0 */
    CHAIN,      /* variance preserving: a step leads 1000/n timesteps down */
    INVERSE,    /*   the same upwards */
    REPEATED,   /*   the same, with the second entry twice */
    NEXT,       /*   a step leads to the next entry */
    DISTILLED   /*   the same, on the 50 timesteps of consistency training */
};
enum { FLAGS = 1, ZERO_SNR = 2, TIMESTEPS = 4, SIGMAS = 8, CLEAN = 16 };

static const struct class
{
    const char *name;
    enum family family;
    unsigned has; /* use_*_sigmas, rescale_betas_zero_snr, timesteps=, sigmas=, "sample" models */
    const struct sdg_sampler *samplers[4];
} classes[] = {
    {"EulerDiscreteScheduler",
     FRACTIONAL,
     FLAGS | ZERO_SNR | TIMESTEPS | SIGMAS | CLEAN,
     {&sdg_sampler_euler}},
    {"DDIMScheduler", CHAIN, ZERO_SNR | CLEAN, {&sdg_sampler_ddim}},
    {"EulerAncestralDiscreteScheduler", FRACTIONAL, ZERO_SNR, {&sdg_sampler_euler_a}},
    {"HeunDiscreteScheduler", FRACTIONAL, FLAGS | TIMESTEPS | CLEAN, {&sdg_sampler_heun}},
    {"LMSDiscreteScheduler", FRACTIONAL, FLAGS | CLEAN, {&sdg_sampler_lms}},
    {"DPMSolverSDEScheduler", FRACTIONAL, FLAGS, {&sdg_sampler_dpmpp_sde}},
    {"KDPM2DiscreteScheduler", MIDPOINT, FLAGS, {&sdg_sampler_dpm2}},
    {"KDPM2AncestralDiscreteScheduler", MIDPOINT, FLAGS, {&sdg_sampler_dpm2_a}},
    {"DPMSolverMultistepScheduler",
     MULTISTEP,
     FLAGS | ZERO_SNR | TIMESTEPS | CLEAN,
     {&sdg_sampler_dpmpp_2m, &sdg_sampler_dpmpp_2m_sde, &sdg_sampler_dpmpp_2m_sde_heun,
      &sdg_sampler_dpmpp_3m_sde}},
    {"UniPCMultistepScheduler",
     MULTISTEP,
     FLAGS | ZERO_SNR | CLEAN,
     {&sdg_sampler_unipc, &sdg_sampler_unipc_bh2}},
    {"DEISMultistepScheduler", DEIS, FLAGS | CLEAN, {&sdg_sampler_deis}},
    {"DDIMInverseScheduler", INVERSE, ZERO_SNR | CLEAN, {&sdg_sampler_ddim_inverse}},
    {"PNDMScheduler", REPEATED, 0, {&sdg_sampler_pndm, &sdg_sampler_plms}},
    {"DDPMScheduler", NEXT, ZERO_SNR | TIMESTEPS | CLEAN, {&sdg_sampler_ddpm}},
    {"LCMScheduler", DISTILLED, ZERO_SNR | TIMESTEPS | CLEAN, {&sdg_sampler_lcm}},
    {"TCDScheduler", DISTILLED, ZERO_SNR | TIMESTEPS | CLEAN, {&sdg_sampler_tcd}},
};
enum { CLASSES = sizeof classes / sizeof classes[0] };

/* A list on its way. */
struct list {
    struct sdg_schedule *s;
    const struct sdg_schedule_request *r;
    const struct sdg_levels *l;
    const struct class *class;
    bool variance_preserving; /* what the sampler holds */
    enum sdg_scheduler spacing;
    int count; /* of t and sigma */
    double t[SDG_MAX_STEPS + 1], sigma[SDG_MAX_STEPS + 1];
};

static const struct class *class_of(const struct sdg_sampler *sampler)
{
    for (int i = 0; i < CLASSES; i++)
        for (int k = 0; k < 4; k++)
            if (classes[i].samplers[k] == sampler) return &classes[i];
    return &classes[sampler->way[SDG_LIKE_DIFFUSERS].variance_preserving ? 1 : 0];
}

const struct sdg_sampler *sdg_sampler_of_class(const char *name, const char *algorithm)
{
    const bool sde = strncmp(algorithm, "sde-", 4) == 0;
    for (int i = 0; i < CLASSES; i++)
        if (strcmp(classes[i].name, name) == 0)
            return sde && classes[i].family == MULTISTEP && classes[i].samplers[1]
                       ? classes[i].samplers[1]
                       : classes[i].samplers[0];
    return NULL;
}

static bool is_spacing(enum sdg_scheduler s)
{
    return s == SDG_SCHEDULER_LEADING || s == SDG_SCHEDULER_LINSPACE || s == SDG_SCHEDULER_TRAILING;
}

static bool is_flag(enum sdg_scheduler s)
{
    return s == SDG_SCHEDULER_KARRAS || s == SDG_SCHEDULER_EXPONENTIAL || s == SDG_SCHEDULER_BETA;
}

static bool is_sigma_space(enum family f)
{
    return f <= DEIS;
}

/* numpy.linspace(a, b, n)[i] */
static double linspace(double a, double b, int i, int n)
{
    if (n == 1) return a;
    return i == n - 1 ? b : i * ((b - a) / (n - 1)) + a;
}

/* Whether the list holds numbers of the table only. */
static bool is_whole(enum family f)
{
    return f != FRACTIONAL && f != MIDPOINT;
}

/* One of the three spacings, from noisy to clean. The multistep classes make n + 1 and drop the
 * clean one. numpy.arange(1000, 0, -1000/n) has a quotient rounded up for its length, which for
 * some n (61, 103, ...) is n + 1; then diffusers runs one step more, at t = -1. */
static void space(struct list *a)
{
    const enum family f = a->class->family;
    const int n = a->r->steps, extra = f == MULTISTEP || f == DEIS;
    const double top = SDG_TRAIN_STEPS, ratio = top / n;
    a->count = n;
    if (a->spacing == SDG_SCHEDULER_TRAILING) {
        const double difference = (top - ratio) - top;
        a->count = (int)ceil(-top / -ratio);
        for (int i = 0; i < a->count; i++) a->t[i] = rint(top + i * difference) - 1;
        return;
    }
    for (int i = 0; i < n; i++) {
        const int k = n - 1 - i + extra;
        if (a->spacing == SDG_SCHEDULER_LEADING)
            a->t[i] = k * (SDG_TRAIN_STEPS / (n + extra)) + OFFSET;
        else
            a->t[i] = is_whole(f) ? rint(linspace(0, LAST, k, n + extra))
                                  : (double)(float)linspace(0, LAST, k, n);
    }
}

/* numpy.interp over the table of sigmas: linear in sigma, constant outside. */
static double sigma_at(const struct sdg_levels *l, double t)
{
    if (t <= 0) return (double)l->sigma[0];
    if (t >= LAST) return (double)l->sigma[LAST];
    const int low = (int)t;
    const double a = (double)l->sigma[low], b = (double)l->sigma[low + 1];
    return (b - a) * (t - low) + a;
}

/* _sigma_to_t: numpy 1 computes the share in f32, where the top level comes out at 999 exactly; in
 * f64 (numpy 2) it may stay below, and 998 be what is stored. */
static double sigma_to_t(const struct sdg_levels *l, double sigma)
{
    const float log_sigma = (float)log(fmax(sigma, 1e-10));
    const int low = sdg_levels_bracket(l, (double)log_sigma);
    const float a = l->log_sigma[low], b = l->log_sigma[low + 1];
    const float w = fminf(fmaxf((a - log_sigma) / (a - b), 0), 1);
    return (double)(1 - w) * low + (double)w * (low + 1);
}

/* use_karras_sigmas (Karras et al. 2022, eq. 5), use_exponential_sigmas, use_beta_sigmas, between
 * the ends of the spaced list; the classes of whole timesteps take the ends of the table. n is what
 * was asked for, however long the spaced list is. */
static void convert(struct list *a)
{
    const struct sdg_schedule_request *r = a->r;
    const bool whole = is_whole(a->class->family), karras = r->scheduler == SDG_SCHEDULER_KARRAS;
    const int n = r->steps;
    double first = whole ? (double)a->l->sigma[LAST] : a->sigma[0];
    double last = whole ? (double)a->l->sigma[0] : a->sigma[a->count - 1];
    if (r->sigma_max > 0) first = r->sigma_max;
    if (r->sigma_min > 0) last = r->sigma_min;
    const double rho = r->rho > 0 ? r->rho : RHO;
    const double from = pow(first, 1 / rho), to = pow(last, 1 / rho);
    a->count = n;
    for (int i = 0; i < n; i++) {
        if (karras)
            a->sigma[i] = pow(from + linspace(0, 1, i, n) * (to - from), rho);
        else if (r->scheduler == SDG_SCHEDULER_EXPONENTIAL)
            a->sigma[i] = exp(linspace(log(first), log(last), i, n));
        else
            a->sigma[i] =
                last + sdg_beta_quantile(1 - linspace(0, 1, i, n), BETA_SHAPE, BETA_SHAPE) *
                           (first - last);
        a->t[i] = sigma_to_t(a->l, a->sigma[i]);
        if (karras && a->class->family != FRACTIONAL)
            a->t[i] = rint(a->t[i]);
        else if (whole)
            a->t[i] = floor(a->t[i]); /* stored as int64 */
    }
}

/* One value of the user's timesteps, of which the classes of whole ones take whole ones only. */
static sdgen_status check_timestep(const struct list *a, int i, sdgen_error *err)
{
    const double *list = a->r->list;
    if (!(list[i] >= 0 && list[i] <= LAST))
        return sdg_fail(err, SDGEN_ERR_ARG, "--timesteps: %g is not between 0 and %d", list[i],
                        LAST);
    if (is_whole(a->class->family) && list[i] != rint(list[i]))
        return sdg_fail(err, SDGEN_ERR_ARG,
                        "--timesteps: diffusers' %s takes whole numbers, not %g", a->class->name,
                        list[i]);
    if (i > 0 && !((float)list[i] < (float)list[i - 1]))
        return sdg_fail(err, SDGEN_ERR_ARG, "--timesteps: %g comes after %g; they must fall",
                        list[i], list[i - 1]);
    return SDGEN_OK;
}

/* One value of the user's sigmas, of which the last may be 0. */
static sdgen_status check_sigma(const struct list *a, int i, sdgen_error *err)
{
    const double *list = a->r->list;
    const float sigma = (float)list[i];
    if (!isfinite(sigma) || sigma < 0 || (sigma == 0 && i < a->count))
        return sdg_fail(err, SDGEN_ERR_ARG,
                        "--sigmas: value %d, %g: levels must be positive; only the last may be 0",
                        i + 1, list[i]);
    if (i > 0 && !(sigma < (float)list[i - 1]))
        return sdg_fail(err, SDGEN_ERR_ARG, "--sigmas: %g comes after %g; they must fall", list[i],
                        list[i - 1]);
    return SDGEN_OK;
}

/* The user's list: timesteps, or sigmas with their end. */
static sdgen_status take_list(struct list *a, sdgen_error *err)
{
    const struct sdg_schedule_request *r = a->r;
    const bool sigmas = r->scheduler == SDG_SCHEDULER_SIGMAS;
    a->count = r->list_count - sigmas;
    if (a->count < 1 || a->count > SDG_MAX_STEPS)
        return sdg_fail(err, SDGEN_ERR_ARG, "--%s: %d values; must be %d to %d",
                        sigmas ? "sigmas" : "timesteps", r->list_count, 1 + sigmas,
                        SDG_MAX_STEPS + sigmas);
    for (int i = 0; i < r->list_count; i++) {
        const sdgen_status status = sigmas ? check_sigma(a, i, err) : check_timestep(a, i, err);
        if (status != SDGEN_OK) return status;
        a->sigma[i] = (double)(float)r->list[i];
        a->t[i] = sigmas ? sigma_to_t(a->l, a->sigma[i]) : a->sigma[i];
        if (!sigmas) a->sigma[i] = sigma_at(a->l, a->t[i]);
    }
    return SDGEN_OK;
}

/* Stores a list in sigma space: sigma in f32 and the level after the last step, then what samplers
 * read that hold the model's own input. */
static void store_sigmas(struct list *a)
{
    struct sdg_schedule *s = a->s;
    const enum sdg_scheduler chosen = a->r->scheduler;
    const bool full = a->spacing == SDG_SCHEDULER_LINSPACE || a->spacing == SDG_SCHEDULER_TRAILING;
    double end = 0;
    if (chosen == SDG_SCHEDULER_SIGMAS) end = a->r->list[a->count];
    if (a->class->family == DEIS)
        end = is_flag(chosen) ? a->sigma[a->count - 1] : (double)a->l->sigma[0];
    s->steps = a->count;
    a->sigma[a->count] = end;
    for (int i = 0; i <= a->count; i++) s->sigmas[i] = (float)a->sigma[i];
    for (int i = 0; i < a->count; i++) {
        const float sigma = s->sigmas[i], next = s->sigmas[i + 1];
        s->timesteps[i] = (float)a->t[i];
        s->abar[i] = 1 / (sigma * sigma + 1);
        s->abar_next[i] = 1 / (next * next + 1);
    }
    const float top = s->sigmas[0];
    if (is_whole(a->class->family))
        s->init_sigma = a->variance_preserving ? 1 : sqrtf(top * top + 1);
    else
        s->init_sigma = full ? top : sqrtf(top * top + 1);
}

/* The classes that hold abar let it reach 0 under zero terminal SNR, the others stop at 2^-24. */
static float abar_at(const struct sdg_levels *l, int t)
{
    return t == LAST && l->zero_terminal_snr ? 0 : l->abar[t];
}

/* The timesteps of LCM and TCD: n of 999, 979, ..., 19, evenly chosen. */
static void distilled(struct list *a)
{
    const int n = a->r->steps;
    a->count = n;
    for (int i = 0; i < n; i++) {
        const int index = (int)floor(i * ((double)DISTILLED_STEPS / n));
        a->t[i] = (DISTILLED_STEPS - index) * (SDG_TRAIN_STEPS / DISTILLED_STEPS) - 1;
    }
}

/* The second entry once more: the first visit starts, the second repeats the first step. */
static void repeat_second(struct list *a)
{
    for (int i = a->count; i > 1; i--) a->t[i] = a->t[i - 1];
    if (a->count > 1) a->count++;
}

static void reverse(struct list *a)
{
    for (int i = 0, k = a->count - 1; i < k; i++, k--) {
        const double t = a->t[i];
        a->t[i] = a->t[k];
        a->t[k] = t;
    }
}

/* Where entry i stands and where its step leads, as abar and as the sigma of the end. Below
 * timestep 0 lies abar_0 (set_alpha_to_one false), for DDPM and LCM a clean latent. */
static void store_entry(struct list *a, int i)
{
    struct sdg_schedule *s = a->s;
    const enum family f = a->class->family;
    const int t = (int)a->t[i], stride = a->r->steps > 0 ? SDG_TRAIN_STEPS / a->r->steps : 0;
    const int down = t > stride ? t - stride : 0, next = i + 1 < a->count ? (int)a->t[i + 1] : 0;
    const bool clean = f == NEXT || a->class->samplers[0] == &sdg_sampler_lcm;
    int from = t, to = f == NEXT || f == DISTILLED ? next : down;
    if (f == INVERSE) {
        from = down;
        to = t;
    } else if (f == REPEATED && i == 1) {
        from = t + stride;
        to = t;
    }
    s->timesteps[i] = (float)t;
    s->sigmas[i] = a->l->sigma[t];
    s->sigmas[i + 1] = a->l->sigma[to];
    s->abar[i] = abar_at(a->l, from);
    s->abar_next[i] = abar_at(a->l, to);
    if (i + 1 == a->count && clean) {
        s->abar_next[i] = 1;
        s->sigmas[i + 1] = 0;
    }
}

static sdgen_status store_entries(struct list *a, sdgen_error *err)
{
    const bool eps = a->l->prediction == SDG_PREDICT_EPS;
    if (a->count > SDG_MAX_STEPS)
        return sdg_fail(err, SDGEN_ERR_ARG, "--steps %d: %s takes one step more; at most %d",
                        a->r->steps, a->class->name, SDG_MAX_STEPS - 1);
    for (int i = 0; i < a->count; i++) {
        if (a->t[i] < 0 || a->t[i] > LAST)
            return sdg_fail(err, SDGEN_ERR_ARG,
                            "--steps %d: diffusers' %s leaves the trained steps 0..999 there "
                            "(it asks for %g); take another number",
                            a->r->steps, a->class->name, a->t[i]);
        if (a->t[i] == LAST && a->l->zero_terminal_snr && eps)
            return sdg_fail(err, SDGEN_ERR_ARG,
                            "--scheduler: diffusers' %s divides by 0 at timestep 999, which under "
                            "zero terminal SNR holds noise alone, for a model that predicts noise; "
                            "take the spacing leading or a model that predicts v",
                            a->class->name);
    }
    for (int i = 0; i < a->count; i++) store_entry(a, i);
    a->s->steps = a->count;
    a->s->init_sigma = 1;
    return SDGEN_OK;
}

/* What the class refuses too, or would not see. */
static sdgen_status check(const struct list *a, sdgen_error *err)
{
    const struct class *c = a->class;
    const enum sdg_scheduler chosen = a->r->scheduler;
    const bool has = is_spacing(chosen)                  ? c->family != DISTILLED
                     : is_flag(chosen)                   ? (c->has & FLAGS) != 0
                     : chosen == SDG_SCHEDULER_TIMESTEPS ? (c->has & TIMESTEPS) != 0
                     : chosen == SDG_SCHEDULER_SIGMAS    ? (c->has & SIGMAS) != 0
                                                         : c->family == DISTILLED;
    if (!has || (c->family == INVERSE && chosen == SDG_SCHEDULER_LINSPACE))
        return sdg_fail(err, SDGEN_ERR_ARG, "--scheduler %s: diffusers' %s does not have it",
                        sdg_scheduler_name(chosen), c->name);
    if (a->l->zero_terminal_snr && !(c->has & ZERO_SNR))
        return sdg_fail(err, SDGEN_ERR_ARG,
                        "zero terminal SNR: diffusers' %s has no rescale_betas_zero_snr", c->name);
    if (a->l->prediction == SDG_PREDICT_X0 && !(c->has & CLEAN))
        return sdg_fail(err, SDGEN_ERR_ARG,
                        "--prediction: diffusers' %s does not take what this model predicts",
                        c->name);
    if (c->family == DISTILLED && chosen == SDG_SCHEDULER_LCM && a->r->steps > DISTILLED_STEPS)
        return sdg_fail(err, SDGEN_ERR_ARG, "--steps %d: diffusers' %s has %d timesteps",
                        a->r->steps, c->name, DISTILLED_STEPS);
    if (a->spacing == SDG_SCHEDULER_LEADING && is_whole(c->family) && is_sigma_space(c->family) &&
        chosen == a->spacing && a->r->steps >= SDG_TRAIN_STEPS)
        return sdg_fail(err, SDGEN_ERR_ARG,
                        "--steps %d: diffusers' %s with leading spacing has room for %d",
                        a->r->steps, c->name, SDG_TRAIN_STEPS - 1);
    return SDGEN_OK;
}

/* The spacing: chosen, or the one under a flag or a list, by wish or as the sampler has it. */
static enum sdg_scheduler spacing_of(const struct sdg_schedule_request *r,
                                     const struct sdg_sampler *sampler)
{
    const enum sdg_scheduler own = sampler->way[SDG_LIKE_DIFFUSERS].own_scheduler;
    if (is_spacing(r->scheduler)) return r->scheduler;
    if (is_spacing(r->spacing)) return r->spacing;
    return is_spacing(own) ? own : SDG_SCHEDULER_LEADING;
}

sdgen_status sdg_schedule_diffusers(struct sdg_schedule *s, const struct sdg_schedule_request *r,
                                    const struct sdg_sampler *sampler, const struct sdg_levels *l,
                                    sdgen_error *err)
{
    struct list a = {.s = s, .r = r, .l = l, .class = class_of(sampler)};
    const bool given =
        r->scheduler == SDG_SCHEDULER_SIGMAS || r->scheduler == SDG_SCHEDULER_TIMESTEPS;
    a.variance_preserving = sampler->way[SDG_LIKE_DIFFUSERS].variance_preserving;
    a.spacing = spacing_of(r, sampler);
    sdgen_status status = check(&a, err);
    if (status == SDGEN_OK && given) status = take_list(&a, err);
    if (status != SDGEN_OK) return status;
    if (!given && a.class->family == DISTILLED)
        distilled(&a);
    else if (!given)
        space(&a);
    if (!is_sigma_space(a.class->family)) {
        if (a.class->family == REPEATED) repeat_second(&a);
        if (a.class->family == INVERSE) reverse(&a);
        return store_entries(&a, err);
    }
    if (!given)
        for (int i = 0; i < a.count; i++) a.sigma[i] = sigma_at(l, a.t[i]);
    if (is_flag(r->scheduler)) convert(&a);
    store_sigmas(&a);
    return SDGEN_OK;
}
