/* habits.c - see habits.h. Sources: the model cards of SD-Turbo, SDXL-Turbo, SDXL-Lightning,
 * Hyper-SD, LCM and SDXS (steps, guidance, timestep spacing); diffusers,
 * pipelines/stable_diffusion_xl/pipeline_stable_diffusion_xl.py (guidance_scale 5) and
 * pipelines/latent_consistency_models (4 steps, 8.5). */
#include "pipeline/habits.h"

#include "sampling/sampler.h"

/* What a distilled model wants; steps 0: nothing of its own. */
static const struct sdg_habits distilled[] = {
    [SDG_DISTILLED_TURBO] = {"euler_a", SDG_SCHEDULER_OWN, 4, 1},
    [SDG_DISTILLED_LIGHTNING] = {"euler", SDG_SCHEDULER_SGM_UNIFORM, 4, 1},
    [SDG_DISTILLED_HYPER] = {"tcd", SDG_SCHEDULER_OWN, 8, 1},
    [SDG_DISTILLED_LCM] = {"lcm", SDG_SCHEDULER_OWN, 4, 1},
    [SDG_DISTILLED_ONE_STEP] = {"euler", SDG_SCHEDULER_OWN, 1, 1},
};

static void follow_config(struct sdg_habits *h, const struct sdg_scheduler_facts *f)
{
    const struct sdg_sampler *sampler = sdg_sampler_of_class(f->class_name, f->algorithm_type);
    enum sdg_scheduler spacing;
    sdgen_error ignored;
    if (!sampler) return;
    h->sampler = sampler->name;
    if (f->use_karras_sigmas == 1)
        h->scheduler = SDG_SCHEDULER_KARRAS;
    else if (f->use_exponential_sigmas == 1)
        h->scheduler = SDG_SCHEDULER_EXPONENTIAL;
    else if (f->use_beta_sigmas == 1)
        h->scheduler = SDG_SCHEDULER_BETA;
    else if (f->timestep_spacing[0] &&
             sdg_scheduler_find(&spacing, f->timestep_spacing, &ignored) == SDGEN_OK)
        h->scheduler = spacing;
}

void sdg_habits_of(struct sdg_habits *h, const struct sdg_model *m,
                   const struct sdg_convention *like)
{
    const struct sdg_facts *f = &m->facts;
    const bool diffusers = like->like == SDG_LIKE_DIFFUSERS;
    *h = (struct sdg_habits) {like->sampler, SDG_SCHEDULER_OWN, like->steps, like->cfg_scale};
    if (diffusers && f->label != SDG_LABEL_NONE) {
        h->sampler = "euler";
        h->cfg_scale = 5;
    }
    if (f->distilled != SDG_DISTILLED_NO) *h = distilled[f->distilled];
    if (m->unet.config.time_cond) h->cfg_scale = 8.5; /* an input, not guidance */
    if (diffusers && f->scheduler.there) follow_config(h, &f->scheduler);
}
