/* infotext_of.c - see infotext_of.h. Which fields appear, and when, follows A1111 1.10
 * (modules/processing.py create_infotext, modules/sd_samplers_common.py). */
#include "pipeline/infotext_of.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "image/infotext.h"
#include "pipeline/autoencoder.h"

/* The file's name without directory and extension, cut at size. */
static void stem_of(char *stem, size_t size, const char *path)
{
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/') end--; /* "folder/" */
    size_t start = end;
    while (start > 0 && path[start - 1] != '/') start--;
    snprintf(stem, size, "%.*s", (int)(end - start < size ? end - start : size - 1), path + start);
    char *dot = strrchr(stem, '.');
    if (dot && dot != stem) *dot = 0;
}

/* Names and hashes of the files, for the time of a call. */
struct files {
    char model[256], vae[256], refiner[256], unet[256], clip_l[256], clip_g[256], taesd[256];
    char model_hash[SDG_SHA256_HEX], vae_hash[SDG_SHA256_HEX], refiner_hash[SDG_SHA256_HEX];
};

static void put_files(struct sdg_infotext *info, struct files *f, const struct sdgen_engine *e)
{
    *f = (struct files) {0};
    const char *path = e->model.file.path ? e->model.file.path : e->model.unet_file.path;
    stem_of(f->model, sizeof f->model, path); /* the UNet, where only single networks were given */
    sdg_hashjob_wait(e->model_hash, f->model_hash);
    f->model_hash[SDG_MODEL_HASH_DIGITS] = 0;
    info->model = f->model;
    info->model_hash = f->model_hash[0] ? f->model_hash : NULL;
    if (!e->model.vae_file.path) return;
    stem_of(f->vae, sizeof f->vae, e->model.vae_file.path);
    sdg_hashjob_wait(e->vae_hash, f->vae_hash);
    f->vae_hash[SDG_MODEL_HASH_DIGITS] = 0;
    info->vae = f->vae;
    info->vae_hash = f->vae_hash[0] ? f->vae_hash : NULL;
}

/* The name of a network's own file, or NULL. */
static const char *own_name(char *stem, size_t size, const struct sdg_weights *file)
{
    if (!file->path) return NULL;
    stem_of(stem, size, file->path);
    return stem;
}

static void put_parts(struct sdg_infotext *info, struct files *f, const struct sdgen_engine *e)
{
    const struct sdg_model *m = &e->model;
    if (m->file.path) info->unet = own_name(f->unet, sizeof f->unet, &m->unet_file);
    info->clip_l = own_name(f->clip_l, sizeof f->clip_l, &m->clip_l_file);
    info->clip_g = own_name(f->clip_g, sizeof f->clip_g, &m->clip_g_file);
    info->taesd = own_name(f->taesd, sizeof f->taesd, &m->taesd_file);
    info->ema = m->ema;
}

/* Pictures have no names here, but that there was one can be told. */
static void put_pictures(struct sdg_infotext *info, const sdgen_image_params *a)
{
    info->pictures = a->mask ? "image mask" : a->init_image ? "image" : a->depth ? "depth" : NULL;
}

/* A1111 writes Emphasis where a prompt has brackets and the mode is not the usual one. */
static void put_prompt(struct sdg_infotext *info, const struct sdg_plan *plan)
{
    static const char *const modes[] = {[SDG_EMPHASIS_NO_NORM] = "No norm",
                                        [SDG_EMPHASIS_IGNORE] = "Ignore",
                                        [SDG_EMPHASIS_NONE] = "None"};
    static const char *const languages[] = {[SDG_PROMPT_PLAIN] = "plain",
                                            [SDG_PROMPT_A1111] = "a1111",
                                            [SDG_PROMPT_COMFYUI] = "comfyui",
                                            [SDG_PROMPT_COMPEL] = "compel",
                                            [SDG_PROMPT_SDCPP] = "sd.cpp"};
    const sdgen_image_params *params = plan->params;
    const bool brackets = strpbrk(info->prompt, "([") || strpbrk(info->negative, "([");
    const bool foreign = plan->language != plan->convention->language;
    if (foreign) info->language = languages[plan->language];
    if (params->emphasis && brackets && plan->emphasis <= SDG_EMPHASIS_NONE)
        info->emphasis = modes[plan->emphasis];
    else if (foreign && brackets && plan->language == SDG_PROMPT_PLAIN)
        info->emphasis = "None";
    info->old_editing = params->old_prompt_editing != 0;
}

static void put_schedule(struct sdg_infotext *info, const struct sdg_plan *plan)
{
    const sdgen_image_params *params = plan->params;
    const struct sdg_schedule_request *q = &plan->request;
    info->schedule = plan->schedule_chosen ? sdg_scheduler_label(q->scheduler) : "Automatic";
    info->discard_penultimate = params->discard_penultimate && !plan->way->discard_penultimate;
    info->schedule_min = q->sigma_min;
    info->schedule_max = q->sigma_max;
    info->schedule_rho = q->rho;
    info->gits_coefficient = q->gits_coefficient;
    if (q->spacing < SDG_SCHEDULER_COUNT && q->spacing != q->scheduler)
        info->spacing = sdg_scheduler_name(q->spacing);
    if (q->scheduler == SDG_SCHEDULER_SIGMAS) {
        info->sigmas = q->list;
        info->sigma_count = q->list_count;
    }
    if (q->scheduler == SDG_SCHEDULER_TIMESTEPS) {
        info->timesteps = q->list;
        info->timestep_count = q->list_count;
    }
    info->prediction = params->prediction;
    info->zero_terminal_snr = params->zero_terminal_snr != 0;
}

static void put_sampler(struct sdg_infotext *info, const struct sdg_plan *plan)
{
    const sdgen_image_params *params = plan->params;
    const struct sdg_sampler_options *o = &plan->options;
    info->sampler = plan->sampler->label;
    info->eta = o->eta;
    info->has_eta = o->eta != plan->way->default_eta;
    info->eta_name = plan->way->variance_preserving ? "Eta DDIM" : "Eta";
    info->s_churn = o->s_churn;
    if (o->s_churn > 0) {
        info->s_tmin = o->s_tmin;
        info->s_tmax = isfinite(o->s_tmax) ? o->s_tmax : 0;
    }
    info->s_noise = o->s_noise;
    info->has_s_noise = o->s_noise != 1;
    info->r = o->r;
    info->has_r = params->r >= 0 && plan->sampler->takes & SDG_TAKES_R;
    info->order = params->solver_order;
    info->no_lower_order_final = params->lower_order_final == 0;
    info->unipc = strncmp(plan->sampler->name, "unipc", 5) == 0;
}

static void put_guidance(struct sdg_infotext *info, const struct sdg_plan *plan)
{
    const struct sdg_guidance *g = &plan->guidance;
    info->cfg_scale = g->scale;
    info->skip_early = g->skip_early;
    info->ngms = g->min_sigma;
    info->ngms_all_steps = g->min_sigma > 0 && g->min_sigma_all_steps;
    info->cfg_rescale = g->rescale;
    info->guidance_start = g->start;
    info->guidance_end = g->end;
    info->has_interval = g->start > 0 || g->end < 1;
}

/* ENSD only where something is drawn after the first noise. */
static void put_noise(struct sdg_infotext *info, const struct sdg_plan *plan, int index)
{
    const struct sdg_noise_request *q = &plan->noise;
    const struct sdg_sampler_options *o = &plan->options;
    info->seed = sdg_plan_seed(plan, index);
    info->subseed = sdg_plan_subseed(plan, index);
    info->subseed_strength = q->strength;
    info->resize_width = plan->params->seed_resize_width;
    info->resize_height = plan->params->seed_resize_height;
    if (plan->sampler->stochastic || o->eta > 0 || o->s_churn > 0) info->ensd = q->ensd;
    info->rng = q->rng == SDG_RNG_CUDA ? "NV" : "CPU";
    info->joint = q->joint && plan->batch > 1;
    info->batch_size = plan->batch;
    info->batch_pos = index % plan->batch;
}

/* Counted from 1 as A1111 does, and only where the user chose something else than the model's own:
 * SD2 and SDXL leave out a layer unasked. */
static int clip_skip_of(const struct sdgen_engine *e, const struct sdg_plan *plan)
{
    const int asked = plan->params->clip_skip;
    if (!asked || plan->encoders.of[0].take.skip == e->model.takes[0].skip) return 0;
    return asked - plan->convention->clip_skip_first + 1;
}

static void put_tiles(struct sdg_infotext *info, const struct sdgen_engine *e,
                      const struct sdg_plan *plan)
{
    const size_t factor = (size_t)sdg_latent_factor(&e->model);
    info->tile_width = (int)(plan->tiling.w * factor);
    info->tile_height = (int)(plan->tiling.h * factor);
    info->tile_overlap = plan->tiling.overlap;
}

/* What only some families are told. */
static void put_family(struct sdg_infotext *info, struct files *f, const struct sdgen_engine *e,
                       const struct sdg_plan *plan)
{
    const sdgen_image_params *a = plan->params;
    const char *negative = a->negative_prompt;
    info->has_image_cfg = plan->guides_picture;
    info->image_cfg = a->image_cfg_scale;
    info->empty_negative = negative && !*negative && e->model.facts.zero_empty_prompt &&
                           plan->convention->like == SDG_LIKE_DIFFUSERS;
    if (e->refiner) {
        stem_of(f->refiner, sizeof f->refiner, e->refiner->file.path);
        sdg_hashjob_wait(e->refiner_hash, f->refiner_hash);
        f->refiner_hash[SDG_MODEL_HASH_DIGITS] = 0;
        info->refiner = f->refiner;
        info->refiner_hash = f->refiner_hash[0] ? f->refiner_hash : NULL;
        info->refiner_switch = a->refiner_switch;
    }
    if (e->model.facts.label == SDG_LABEL_NONE) return;
    info->original_width = a->original_width;
    info->original_height = a->original_height;
    info->crop_left = a->crop_left;
    info->crop_top = a->crop_top;
    info->target_width = a->target_width;
    info->target_height = a->target_height;
    info->has_scores = (e->refiner || e->model.facts.label == SDG_LABEL_REFINER) &&
                       (a->aesthetic_score != 6 || a->negative_aesthetic_score != 2.5);
    info->aesthetic_score = a->aesthetic_score;
    info->negative_aesthetic_score = a->negative_aesthetic_score;
}

char *sdg_plan_infotext(const struct sdgen_engine *e, const struct sdg_plan *plan, int index)
{
    const sdgen_image_params *params = plan->params;
    struct files files;
    struct sdg_infotext info = {
        .prompt = params->prompt,
        .negative = params->negative_prompt ? params->negative_prompt : "",
        .steps = plan->steps,
        .width = (int)plan->width,
        .height = (int)plan->height,
        .clip_skip = clip_skip_of(e, plan),
        .like = plan->convention->like == SDG_LIKE_A1111 ? NULL : plan->convention->name,
    };
    put_files(&info, &files, e);
    put_parts(&info, &files, e);
    put_pictures(&info, params);
    put_prompt(&info, plan);
    put_schedule(&info, plan);
    put_sampler(&info, plan);
    put_guidance(&info, plan);
    put_noise(&info, plan, index);
    put_tiles(&info, e, plan);
    put_family(&info, &files, e, plan);
    return sdg_infotext_make(&info);
}
