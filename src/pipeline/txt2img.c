/* txt2img.c - the story of a picture, readable from top to bottom at the end of this file:
 *
 *   tokens --CLIP--> what the prompt means             conditioning.c
 *   pictures --VAE-> what some UNets read beside it    inputs.c
 *   seed   --noise-> a latent of pure noise            sampling/noise.h
 *   latent --UNet, guidance, sampler--> clean latent   denoise.c, called by the sampler
 *   latent --VAE---> an image in [-1,1] --> 8 bits     decode
 *
 * (Rombach et al. 2022, "High-Resolution Image Synthesis with Latent Diffusion Models".) All memory
 * comes from one arena whose size a dry run of the same passes has found (sdg_txt2img_measure). */
#include "pipeline/txt2img.h"

#include <stdlib.h>
#include <string.h>

#include "base/parallel.h"
#include "pipeline/autoencoder.h"
#include "pipeline/denoise.h"
#include "pipeline/infotext_of.h"
#include "pipeline/inputs.h"
#include "pipeline/trace.h"

struct run {
    const struct sdgen_engine *e;
    const struct sdg_plan *plan;
    struct sdg_arena work;
    struct sdg_ops ops;
    sdgen_image_fn on_image;
    void *user;
    sdgen_error *err;
    sdgen_status status; /* of what callbacks of the sampler could not return */

    size_t latent; /* values of one latent: 4*h*w */
    struct sdg_denoiser denoiser;
    struct sdg_inputs inputs;
    struct sdg_sampling sampling; /* x [batch][latent] and the sampler's scratch */
    struct sdg_noise *noise;      /* of the batch at work */
    float *z;                     /* [latent]: what the decoder reads */
    float *image;                 /* [3][height][width] */
    uint8_t *rgb;                 /* [height][width][3] */

    int first, n; /* the images at work: first .. first+n-1 */
    double cost_done, cost_all;
    bool traced; /* the batch at work is the one that --trace writes down */
};

/* Base model, or refiner: what of the prompts it reads. */
static sdgen_status reserve_expert(struct run *r, struct sdg_expert *x, const struct sdg_model *m,
                                   const struct sdg_encoders *encoders)
{
    const struct sdg_plan *p = r->plan;
    const size_t label = (size_t)m->unet.config.label;
    sdgen_status status;
    x->unet = &m->unet;
    x->encoders = encoders;
    SDG_TRY(sdg_conditioning_make(&x->cond, &p->cond, encoders, label, r->err));
    SDG_TRY(sdg_conditioning_make(&x->uncond, &p->uncond, encoders, label, r->err));
    sdg_conditioning_reserve(&x->cond, &r->work);
    if (p->guided) sdg_conditioning_reserve(&x->uncond, &r->work);
fail:
    return status;
}

/* Lays out what depends on the prompts and takes from the arena what lives for the whole run. */
static sdgen_status reserve(struct run *r)
{
    const struct sdg_plan *p = r->plan;
    struct sdg_denoiser *d = &r->denoiser;
    struct sdg_arena *a = &r->work;
    const size_t batch = (size_t)p->batch;
    sdgen_status status;
    r->latent = sdg_latent_channels(&r->e->model) * p->h * p->w;
    d->plan = p;
    d->ops = &r->ops;
    d->latent = r->latent;
    d->extra = sdg_inputs_count(p, &r->e->model);
    SDG_TRY(reserve_expert(r, &d->experts[d->expert_count++], &r->e->model, &p->encoders));
    if (r->e->refiner)
        SDG_TRY(
            reserve_expert(r, &d->experts[d->expert_count++], r->e->refiner, &p->refiner_encoders));
    sdg_denoiser_reserve(d, a);
    sdg_inputs_reserve(&r->inputs, p, &r->e->model, a);
    r->sampling.x = sdg_arena_floats(a, batch * r->latent);
    r->sampling.input = sdg_arena_floats(a, batch * r->latent);
    for (int i = 0; i < p->sampler->buffers; i++)
        r->sampling.buffer[i] = sdg_arena_floats(a, batch * r->latent);
    r->z = sdg_arena_floats(a, r->latent);
    r->image = sdg_arena_floats(a, 3 * p->width * p->height);
    r->rgb = sdg_arena_alloc(a, 3 * p->width * p->height, 1);
fail:
    return status;
}

static void destroy(struct run *r)
{
    for (int i = 0; i < SDG_MAX_EXPERTS; i++) {
        sdg_conditioning_free(&r->denoiser.experts[i].cond);
        sdg_conditioning_free(&r->denoiser.experts[i].uncond);
    }
    sdg_arena_destroy(&r->work);
}

/* `share` of `cost` lies behind, counted from what was finished before. */
static void report(struct run *r, sdgen_stage stage, int done, int total, double cost)
{
    const sdgen_image_params *params = r->plan->params;
    const double behind = r->cost_done + cost;
    if (!params->progress) return;
    const sdgen_progress progress = {
        .stage = stage,
        .done = done,
        .total = total,
        .image = r->first,
        .images = r->plan->images,
        .batch = r->n,
        .share = r->cost_all > 0 ? behind / r->cost_all : 0,
    };
    params->progress(params->user, &progress);
}

/* The same, and what was at work is finished. */
static void report_end(struct run *r, sdgen_stage stage, int done, int total, double cost)
{
    r->cost_done += cost;
    report(r, stage, done, total, 0);
}

static sdgen_status cancelled(struct run *r)
{
    return sdg_fail(r->err, SDGEN_ERR_CANCELLED, "cancelled");
}

/* A stage begins, which reads the weights of one network. */
static sdgen_status enter(struct run *r, int stage)
{
    return sdg_memory_enter(r->e, &r->plan->memory, stage, &r->work, r->plan->params->cancel,
                            r->err);
}

/* ---- text ---- */

static int or_else(int asked, size_t otherwise)
{
    return asked ? asked : (int)otherwise;
}

/* What SDXL is told of the picture's size; A1111, diffusers and ComfyUI say the one that is drawn.
 */
static struct sdg_sizes sizes_of(const struct sdg_plan *p, const struct sdg_model *m, bool negative)
{
    const sdgen_image_params *a = p->params;
    return (struct sdg_sizes) {
        .original_height = (float)or_else(a->original_height, p->height),
        .original_width = (float)or_else(a->original_width, p->width),
        .crop_top = (float)a->crop_top,
        .crop_left = (float)a->crop_left,
        .target_height = (float)or_else(a->target_height, p->height),
        .target_width = (float)or_else(a->target_width, p->width),
        .aesthetic = (float)(negative ? a->negative_aesthetic_score : a->aesthetic_score),
        .refines = m->facts.label == SDG_LABEL_REFINER,
    };
}

/* SDXL was trained with some prompts zeroed, and programs draw without a negative prompt by that:
 * A1111 and stable-diffusion.cpp when it is empty (the latter keeps the pooled part), diffusers
 * when there is none and model_index.json says so, ComfyUI never (sd_models_xl.py;
 * stable-diffusion.cpp; pipeline_stable_diffusion_xl.py, force_zeros_for_empty_prompt). */
static struct sdg_conditioning_rules rules_of(const struct sdg_plan *p, const struct sdg_model *m,
                                              bool negative)
{
    const char *text = p->params->negative_prompt;
    const enum sdg_like like = p->convention->like;
    const bool empty = negative && m->facts.label != SDG_LABEL_NONE && (!text || !*text);
    const bool diffusers = like == SDG_LIKE_DIFFUSERS && !text && m->facts.zero_empty_prompt;
    const bool sdcpp = like == SDG_LIKE_SDCPP && m->facts.target != SDG_TARGET_EDM_V;
    return (struct sdg_conditioning_rules) {
        .emphasis = p->emphasis,
        .emphasis_of_all = like == SDG_LIKE_SDCPP,
        .zero_text = empty && (like == SDG_LIKE_A1111 || diffusers || sdcpp),
        .zero_pooled = empty && (like == SDG_LIKE_A1111 || diffusers),
        .sizes = sizes_of(p, m, negative),
    };
}

/* In f32 whatever the precision: it is little work, and everything after it depends on it. */
static void encode_prompts(struct run *r)
{
    r->ops.bf16 = false;
    for (int i = 0; i < r->denoiser.expert_count; i++) {
        struct sdg_expert *x = &r->denoiser.experts[i];
        const struct sdg_model *m = i ? r->e->refiner : &r->e->model;
        const struct sdg_conditioning_rules cond = rules_of(r->plan, m, false);
        const struct sdg_conditioning_rules uncond = rules_of(r->plan, m, true);
        sdg_conditioning_encode(&x->cond, &r->ops, &cond);
        if (r->plan->guided) sdg_conditioning_encode(&x->uncond, &r->ops, &uncond);
    }
    r->ops.bf16 = r->e->bf16;
}

static sdgen_status trace_side(const struct run *r, const char *text, const char *label,
                               const struct sdg_conditioning *c)
{
    const char *dir = r->plan->params->trace_dir;
    const size_t shape[] = {1, c->rows, c->all.width}, labels[] = {1, c->label};
    sdgen_status status;
    SDG_TRY(sdg_trace(dir, text, -1, SDG_NPY_F32, sdg_conditioning_at(c, 0, 0), shape, 3, r->err));
    if (c->label)
        SDG_TRY(sdg_trace(dir, label, -1, SDG_NPY_F32, sdg_conditioning_label(c, 0, 0), labels, 2,
                          r->err));
fail:
    return status;
}

/* What the first model call attends to. */
static sdgen_status trace_text(struct run *r)
{
    const struct sdg_plan *p = r->plan;
    const struct sdg_expert *x = &r->denoiser.experts[0];
    const struct sdg_chunks *chunks =
        &p->cond.texts[sdg_prompt_text_at(&p->cond.parts[0], 0)].chunks;
    const size_t ids[] = {chunks->count, SDG_CHUNK_LENGTH};
    sdgen_status status;
    SDG_TRY(
        sdg_trace(p->params->trace_dir, "tokens", -1, SDG_NPY_I32, chunks->ids, ids, 2, r->err));
    SDG_TRY(trace_side(r, "text_cond", "label_cond", &x->cond));
    if (p->guided) SDG_TRY(trace_side(r, "text_uncond", "label_uncond", &x->uncond));
fail:
    return status;
}

/* ---- sampling: what the sampler calls ---- */

static bool model(void *user, float *out, float *uncond, const float *input, float t, float sigma,
                  int step)
{
    struct run *r = user;
    if (r->status != SDGEN_OK) return false; /* the trace could not be written */
    if (sdg_denoiser_advance(&r->denoiser, sigma, step)) r->status = enter(r, SDG_GROUP_REFINER);
    if (r->status != SDGEN_OK) return false;
    sdg_memory_tidy(r->e);
    return sdg_denoiser_call(&r->denoiser, out, uncond, input, t, sigma, step);
}

static void draw(void *user, float *noise)
{
    sdg_noise_next(((struct run *)user)->noise, noise);
}

static void brownian(void *user, float *noise, float from, float to)
{
    sdg_noise_brownian(((struct run *)user)->noise, noise, from, to);
}

static void trace_latent(struct run *r, const char *name, int number, const float *values)
{
    const size_t shape[] = {(size_t)r->n, sdg_latent_channels(&r->e->model), r->plan->h,
                            r->plan->w};
    if (r->traced && r->status == SDGEN_OK)
        r->status = sdg_trace(r->plan->params->trace_dir, name, number, SDG_NPY_F32, values, shape,
                              4, r->err);
}

/* Estimated multiply-adds of the walk of the batch at work. */
static double walk_cost(const struct run *r)
{
    const struct sdg_plan *p = r->plan;
    const int evaluations = p->sampler->evaluations > 1 ? p->sampler->evaluations : 1;
    return p->step_cost * p->schedule.steps * evaluations * r->n / p->batch;
}

static void after_step(void *user, int step, const float *denoised)
{
    struct run *r = user;
    const int steps = r->plan->schedule.steps, done = step < steps ? step + 1 : steps;
    trace_latent(r, "latent", step + 1, r->sampling.x);
    trace_latent(r, "eps", step + 1, r->denoiser.guided);
    if (denoised) trace_latent(r, "denoised", step + 1, denoised);
    report(r, SDGEN_STAGE_SAMPLE, done, steps, walk_cost(r) * done / steps);
}

/* The generators of images first .. first+n-1. */
static struct sdg_noise *open_noise(struct run *r)
{
    struct sdg_noise_request request = r->plan->noise;
    request.n = (size_t)r->n;
    request.seed = sdg_plan_seed(r->plan, r->first);
    request.subseed = sdg_plan_subseed(r->plan, r->first);
    return sdg_noise_open(&r->work, &request);
}

/* Brownian noise lives between the lowest level above 0 and the highest (k-diffusion, sampling.py:
 * sigmas[sigmas > 0].min(), sigmas.max()). */
static void open_brownian(struct run *r)
{
    const struct sdg_schedule *s = &r->plan->schedule;
    float low = 0, high = 0;
    for (int i = 0; i <= s->steps; i++) {
        const float sigma = s->sigmas[i];
        if (sigma > high) high = sigma;
        if (sigma > 0 && (low == 0 || sigma < low)) low = sigma;
    }
    sdg_noise_brownian_range(r->noise, low, high);
}

/* diffusers draws the masked picture's latent behind the first noise, from the same generator. */
static void fill_inputs(struct run *r)
{
    const struct sdg_plan *p = r->plan;
    const bool drawn = r->inputs.moments && p->convention->like == SDG_LIKE_DIFFUSERS &&
                       r->e->model.facts.extra == SDG_EXTRA_INPAINT;
    float *noise = r->sampling.input; /* [n][latent], free until the first step */
    if (drawn) sdg_noise_next(r->noise, noise);
    for (size_t i = 0; i < (size_t)r->n && r->inputs.count; i++)
        sdg_inputs_fill(r->denoiser.extras + i * r->inputs.count, &r->inputs,
                        drawn ? noise + i * r->latent : NULL, p, &r->e->model);
}

static sdgen_status walk(struct run *r)
{
    const struct sdg_plan *p = r->plan;
    struct sdg_sampling *s = &r->sampling;
    s->schedule = &p->schedule;
    s->levels = &p->levels;
    s->like = p->convention->like;
    s->options = p->options;
    s->n = (size_t)r->n;
    s->len = r->latent;
    s->scale = p->guidance.scale;
    s->model = model;
    s->draw = draw;
    s->brownian = brownian;
    s->after = after_step;
    s->user = r;
    sdg_denoiser_begin(&r->denoiser, s->n);
    if (p->way->brownian) open_brownian(r);
    sdg_noise_first(r->noise, s->x);
    fill_inputs(r);
    for (size_t i = 0; i < s->n * s->len; i++) s->x[i] *= p->schedule.init_sigma;
    trace_latent(r, "latent", 0, s->x);
    report(r, SDGEN_STAGE_SAMPLE, 0, p->schedule.steps, 0);
    const bool finished = p->way->run(s);
    if (!finished) return r->status != SDGEN_OK ? r->status : cancelled(r);
    r->cost_done += walk_cost(r);
    return r->status;
}

static sdgen_status sample(struct run *r)
{
    const size_t mark = sdg_arena_mark(&r->work);
    sdgen_status status;
    SDG_TRY(enter(r, SDG_GROUP_UNET));
    r->noise = open_noise(r);
    SDG_TRY(walk(r));
fail:
    sdg_arena_release(&r->work, mark);
    return status;
}

/* ---- pixels ---- */

/* r->image [3][height][width] = decoder(latent of image i). */
static void decode(struct run *r, int i)
{
    const struct sdg_plan *p = r->plan;
    sdg_decode_latent(&r->ops, r->image, r->z, r->sampling.x + (size_t)i * r->latent, &r->e->model,
                      p->tiling.h ? &p->tiling : NULL, p->h, p->w);
}

/* Appends r->image to the trace as [height][width][3]. */
static void trace_image(struct run *r, struct sdg_npy *file)
{
    const size_t pixels = r->plan->width * r->plan->height;
    for (size_t i = 0; i < pixels; i++) {
        const float rgb[3] = {r->image[i], r->image[pixels + i], r->image[2 * pixels + i]};
        sdg_npy_append(file, rgb, 3);
    }
}

static sdgen_status begin_image_trace(struct run *r, struct sdg_npy *file)
{
    const size_t shape[] = {(size_t)r->n, r->plan->height, r->plan->width, 3};
    return sdg_trace_begin(file, r->plan->params->trace_dir, "image", -1, SDG_NPY_F32, shape, 4,
                           r->err);
}

/* Rounds r->image to 8 bits and hands it to the caller with its parameters text. */
static sdgen_status deliver(struct run *r, int i)
{
    const struct sdg_plan *p = r->plan;
    sdg_image_to_rgb8(r->rgb, r->image, (int)p->width, (int)p->height, p->convention->rounding);
    const int64_t seed = sdg_plan_seed(p, r->first + i);
    char *parameters = sdg_plan_infotext(r->e, p, r->first + i);
    if (!parameters)
        return sdg_fail(r->err, SDGEN_ERR_MEMORY, "out of memory for the parameters text");
    const sdgen_image image = {
        .width = (int)p->width,
        .height = (int)p->height,
        .rgb = r->rgb,
        .index = r->first + i,
        .count = p->images,
        .seed = seed,
        .parameters = parameters,
    };
    const int stop = r->on_image(r->user, &image);
    free(parameters);
    return stop ? cancelled(r) : SDGEN_OK;
}

static void warn_of_nan(const struct run *r)
{
    const size_t values = 3 * r->plan->width * r->plan->height;
    size_t bad = 0;
    for (size_t i = 0; i < values; i++) bad += r->image[i] != r->image[i];
    if (bad)
        sdg_log(&r->e->log, SDGEN_LOG_WARN,
                "%zu of %zu values of the picture are not numbers and became black: the checkpoint "
                "holds broken weights (sdgen inspect --scan shows which)",
                bad, values);
}

static sdgen_status decode_batch(struct run *r)
{
    struct sdg_npy file = {0};
    sdgen_status status = SDGEN_OK;
    SDG_TRY(enter(r, SDG_GROUP_VAE));
    if (r->traced) SDG_TRY(begin_image_trace(r, &file));
    report(r, SDGEN_STAGE_DECODE, 0, r->n, 0);
    for (int i = 0; i < r->n; i++) {
        decode(r, i);
        if (sdg_ops_cancelled(&r->ops)) SDG_TRY(cancelled(r));
        warn_of_nan(r);
        if (r->traced) trace_image(r, &file);
        report_end(r, SDGEN_STAGE_DECODE, i + 1, r->n, r->plan->decode_cost);
        SDG_TRY(deliver(r, i));
    }
    if (r->traced) SDG_TRY(sdg_npy_end(&file, r->err));
fail:
    sdg_atomic_abort(&file.file); /* nothing once it has ended */
    return status;
}

static sdgen_status trace_schedule(struct run *r)
{
    const struct sdg_schedule *s = &r->plan->schedule;
    const char *dir = r->plan->params->trace_dir;
    const size_t steps = (size_t)s->steps, levels = steps + 1;
    sdgen_status status;
    SDG_TRY(sdg_trace(dir, "timesteps", -1, SDG_NPY_F32, s->timesteps, &steps, 1, r->err));
    SDG_TRY(sdg_trace(dir, "sigmas", -1, SDG_NPY_F32, s->sigmas, &levels, 1, r->err));
fail:
    return status;
}

static double cost_of_run(const struct run *r)
{
    const struct sdg_plan *p = r->plan;
    return p->text_cost + walk_cost(r) * p->images / r->n + p->decode_cost * p->images;
}

sdgen_status sdg_txt2img(const struct sdgen_engine *e, const struct sdg_plan *plan,
                         sdgen_image_fn on_image, void *user, sdgen_error *err)
{
    struct run r = {
        .e = e, .plan = plan, .on_image = on_image, .user = user, .err = err, .n = plan->batch};
    sdgen_status status;
    SDG_TRY(sdg_arena_create(&r.work, plan->work_bytes, err));
    if (!e->max_ram) sdg_parallel_spread(e->threads, r.work.base, r.work.size);
    SDG_TRY(reserve(&r));
    r.ops = sdg_engine_ops(e, &r.work, plan->params->cancel);
    r.ops.strip_bytes = plan->memory.strip_bytes;
    r.cost_all = cost_of_run(&r);

    report(&r, SDGEN_STAGE_TEXT, 0, 1, 0);
    SDG_TRY(enter(&r, SDG_GROUP_TEXT));
    encode_prompts(&r);
    if (r.inputs.moments) SDG_TRY(enter(&r, SDG_GROUP_VAE));
    sdg_inputs_encode(&r.inputs, &r.ops, plan, &e->model);
    if (sdg_ops_cancelled(&r.ops)) SDG_TRY(cancelled(&r));
    report_end(&r, SDGEN_STAGE_TEXT, 1, 1, plan->text_cost);
    if (plan->params->trace_dir) {
        SDG_TRY(trace_text(&r));
        SDG_TRY(trace_schedule(&r));
    }
    for (r.first = 0; r.first < plan->images; r.first += r.n) {
        r.n = plan->images - r.first < plan->batch ? plan->images - r.first : plan->batch;
        r.traced = plan->params->trace_dir && r.first == 0;
        SDG_TRY(sample(&r));
        SDG_TRY(decode_batch(&r));
    }
fail:
    destroy(&r);
    return status;
}

/* The arena's peak since the last stage. */
static void end_stage(struct run *r, struct sdg_plan *plan, int stage)
{
    if (r->work.peak > plan->memory.work[stage]) plan->memory.work[stage] = r->work.peak;
    if (r->work.peak > plan->work_bytes) plan->work_bytes = r->work.peak;
    r->work.peak = r->work.used;
}

sdgen_status sdg_txt2img_measure(const struct sdgen_engine *e, struct sdg_plan *plan, bool packed,
                                 sdgen_error *err)
{
    struct run r = {.e = e, .plan = plan, .err = err, .n = plan->batch};
    sdgen_status status;
    sdg_arena_measure(&r.work);
    SDG_TRY(reserve(&r));
    r.ops = sdg_engine_ops(e, &r.work, NULL);
    r.ops.dry = true;
    r.ops.strip_bytes = plan->memory.strip_bytes;
    if (!packed) r.ops.packs = NULL;
    plan->work_bytes = 0;
    memset(plan->memory.work, 0, sizeof plan->memory.work);
    plan->memory.held = r.work.used;
    encode_prompts(&r);
    end_stage(&r, plan, SDG_GROUP_TEXT);
    sdg_inputs_encode(&r.inputs, &r.ops, plan, &e->model);
    end_stage(&r, plan, SDG_GROUP_VAE);
    plan->text_cost = r.ops.macs;
    const size_t mark = sdg_arena_mark(&r.work);
    open_noise(&r);
    r.denoiser.n = (size_t)r.n;
    sdg_denoiser_call(&r.denoiser, NULL, NULL, r.sampling.input, 0, 0, 0);
    sdg_arena_release(&r.work, mark);
    plan->memory.work[SDG_GROUP_REFINER] = r.work.peak;
    end_stage(&r, plan, SDG_GROUP_UNET);
    plan->step_cost = r.ops.macs - plan->text_cost;
    decode(&r, 0);
    end_stage(&r, plan, SDG_GROUP_VAE);
    plan->decode_cost = r.ops.macs - plan->text_cost - plan->step_cost;
fail:
    destroy(&r);
    return status;
}
