/* txt2img.c - the story of a picture, readable from top to bottom at the end of this file:
 *
 *   tokens --CLIP--> what the prompt means             encode_prompts
 *   seed   --rng---> a latent of pure noise            draw_noise
 *   latent --UNet, guidance, sampler--> clean latent   guided_model, called by the sampler
 *   latent --VAE---> an image in [-1,1] --> 8 bits     decode
 *
 * (Rombach et al. 2022, "High-Resolution Image Synthesis with Latent Diffusion Models".) All memory
 * comes from one arena whose size a dry run of the same passes has found (sdg_txt2img_measure). */
#include "pipeline/txt2img.h"

#include <stdlib.h>
#include <string.h>

#include "pipeline/infotext_of.h"
#include "pipeline/trace.h"
#include "sampling/guidance.h"

struct run {
    const struct sdgen_engine *e;
    const struct sdg_plan *plan;
    struct sdg_arena work;
    struct sdg_ops ops;
    sdgen_image_fn on_image;
    void *user;
    sdgen_error *err;
    sdgen_status status; /* of what callbacks of the sampler could not return */

    size_t latent;                        /* values of one latent: 4*h*w */
    float *cond, *uncond;                 /* [chunks*77][width of the text encoder] */
    float *x, *eps, *noise, *model_input; /* [batch][latent]: the sampler's */
    float *both_input, *both_eps;         /* [2*batch][latent]: uncond images, then cond images */
    float *timesteps;                     /* [2*batch] */
    struct sdg_rng *rngs;                 /* [batch] */
    float *image;                         /* [3][height][width] */
    uint8_t *rgb;                         /* [height][width][3] */

    int first, n; /* the images at work: first .. first+n-1 */
    double cost_done, cost_all;
    struct sdg_unet_context contexts[2 * SDG_MAX_BATCH]; /* read in dry runs too */
    bool traced; /* the batch at work is the one that --trace writes down */
};

/* Takes from the arena what lives for the whole run. */
static void reserve(struct run *r)
{
    const struct sdg_plan *p = r->plan;
    struct sdg_arena *a = &r->work;
    const size_t width = (size_t)r->e->model.clip.config.width, batch = (size_t)p->batch;
    r->latent = (size_t)r->e->model.vae.config.z_channels * p->h * p->w;
    r->cond = sdg_arena_floats(a, p->cond.count * SDG_CHUNK_LENGTH * width);
    r->uncond = sdg_arena_floats(a, p->uncond.count * SDG_CHUNK_LENGTH * width);
    r->x = sdg_arena_floats(a, batch * r->latent);
    r->eps = sdg_arena_floats(a, batch * r->latent);
    r->noise = sdg_arena_floats(a, batch * r->latent);
    r->model_input = sdg_arena_floats(a, batch * r->latent);
    r->both_input = sdg_arena_floats(a, 2 * batch * r->latent);
    r->both_eps = sdg_arena_floats(a, 2 * batch * r->latent);
    r->timesteps = sdg_arena_floats(a, 2 * batch);
    r->rngs = sdg_arena_alloc(a, batch, sizeof *r->rngs);
    r->image = sdg_arena_floats(a, 3 * p->width * p->height);
    r->rgb = sdg_arena_alloc(a, 3 * p->width * p->height, 1);
}

static void report(struct run *r, sdgen_stage stage, int done, int total, double cost)
{
    const sdgen_image_params *params = r->plan->params;
    r->cost_done += cost;
    if (!params->progress) return;
    const sdgen_progress progress = {
        .stage = stage,
        .done = done,
        .total = total,
        .image = r->first,
        .images = r->plan->images,
        .batch = r->n,
        .share = r->cost_all > 0 ? r->cost_done / r->cost_all : 0,
    };
    params->progress(params->user, &progress);
}

static sdgen_status cancelled(struct run *r)
{
    return sdg_fail(r->err, SDGEN_ERR_CANCELLED, "cancelled");
}

/* ---- text ---- */

static void encode(struct run *r, float *y, const struct sdg_chunks *chunks)
{
    sdg_clip_forward(&r->ops, y, chunks->ids, &r->e->model.clip, chunks->count, SDG_CHUNK_LENGTH,
                     r->plan->layers_skipped);
}

static void encode_prompts(struct run *r)
{
    encode(r, r->cond, &r->plan->cond);
    if (r->plan->guided) encode(r, r->uncond, &r->plan->uncond);
}

static sdgen_status trace_text(struct run *r)
{
    const struct sdg_plan *p = r->plan;
    const char *dir = p->params->trace_dir;
    const size_t width = (size_t)r->e->model.clip.config.width;
    const size_t ids[] = {p->cond.count, SDG_CHUNK_LENGTH};
    const size_t cond[] = {1, p->cond.count * SDG_CHUNK_LENGTH, width};
    const size_t uncond[] = {1, p->uncond.count * SDG_CHUNK_LENGTH, width};
    sdgen_status status;
    SDG_TRY(sdg_trace(dir, "tokens", -1, SDG_NPY_I32, p->cond.ids, ids, 2, r->err));
    SDG_TRY(sdg_trace(dir, "text_cond", -1, SDG_NPY_F32, r->cond, cond, 3, r->err));
    if (p->guided)
        SDG_TRY(sdg_trace(dir, "text_uncond", -1, SDG_NPY_F32, r->uncond, uncond, 3, r->err));
fail:
    return status;
}

/* ---- sampling: what the sampler calls ---- */

/* Guided epsilon: one UNet pass over all images of the batch, with and without the prompt. */
static bool guided_model(void *user, float *eps, const float *model_input, float t, int step)
{
    (void)step;
    struct run *r = user;
    if (r->status != SDGEN_OK) return false; /* the trace could not be written */
    const struct sdg_plan *p = r->plan;
    const size_t n = (size_t)r->n, count = n * r->latent, passes = p->guided ? 2 : 1;
    const size_t width = (size_t)p->cond.count * SDG_CHUNK_LENGTH;
    const size_t uncond_width = (size_t)p->uncond.count * SDG_CHUNK_LENGTH;
    for (size_t i = 0; i < passes * n; i++) {
        const bool with_prompt = i >= (passes - 1) * n;
        r->contexts[i].data = with_prompt ? r->cond : r->uncond;
        r->contexts[i].t = with_prompt ? width : uncond_width;
        if (r->ops.dry) continue;
        r->timesteps[i] = t;
        memcpy(r->both_input + i * r->latent, model_input + i % n * r->latent,
               r->latent * sizeof(float));
    }
    sdg_unet_forward(&r->ops, r->both_eps, r->both_input, r->timesteps, r->contexts,
                     &r->e->model.unet, passes * n, p->h, p->w, p->convention->upsampling);
    if (r->ops.dry) return true;
    if (sdg_ops_cancelled(&r->ops)) return false;
    if (p->guided)
        sdg_guide(eps, r->both_eps + count, r->both_eps, (float)p->params->cfg_scale, count);
    else
        memcpy(eps, r->both_eps, count * sizeof(float));
    return true;
}

/* Image i of the run draws from its own generator, so its noise does not depend on the batch. */
static void draw_noise(void *user, float *noise)
{
    struct run *r = user;
    for (int i = 0; i < r->n; i++)
        sdg_rng_normal(&r->rngs[i], noise + (size_t)i * r->latent, r->latent);
}

static void trace_latent(struct run *r, const char *name, int number, const float *values)
{
    const size_t shape[] = {(size_t)r->n, (size_t)r->e->model.vae.config.z_channels, r->plan->h,
                            r->plan->w};
    if (r->traced && r->status == SDGEN_OK)
        r->status = sdg_trace(r->plan->params->trace_dir, name, number, SDG_NPY_F32, values, shape,
                              4, r->err);
}

static void after_step(void *user, int step)
{
    struct run *r = user;
    trace_latent(r, "latent", step + 1, r->x);
    trace_latent(r, "eps", step + 1, r->eps);
    report(r, SDGEN_STAGE_SAMPLE, step + 1, r->plan->schedule.steps,
           r->plan->step_cost * r->n / r->plan->batch);
}

static sdgen_status sample(struct run *r)
{
    const struct sdg_plan *p = r->plan;
    struct sdg_sampling sampling = {
        .schedule = &p->schedule,
        .like = p->convention->like,
        .x = r->x,
        .eps = r->eps,
        .noise = r->noise,
        .model_input = r->model_input,
        .n = (size_t)r->n,
        .len = r->latent,
        .eta = p->eta,
        .model = guided_model,
        .draw = draw_noise,
        .after = after_step,
        .user = r,
    };
    for (int i = 0; i < r->n; i++)
        sdg_rng_seed(&r->rngs[i], p->rng, (uint64_t)(p->seed + r->first + i));
    draw_noise(r, r->x);
    for (size_t i = 0; i < (size_t)r->n * r->latent; i++) r->x[i] *= p->schedule.init_sigma;
    trace_latent(r, "latent", 0, r->x);
    report(r, SDGEN_STAGE_SAMPLE, 0, p->schedule.steps, 0);
    const bool finished = p->sampler->run(&sampling);
    return finished || r->status != SDGEN_OK ? r->status : cancelled(r);
}

/* ---- pixels ---- */

/* r->image [3][height][width] = decoder(x / latent scale) of image i of the batch. */
static void decode(struct run *r, int i)
{
    const float scale = r->e->model.latent_scale;
    const float *x = r->x + (size_t)i * r->latent;
    float *z = r->both_input;
    for (size_t j = 0; !r->ops.dry && j < r->latent; j++) z[j] = x[j] / scale;
    sdg_vae_decode(&r->ops, r->image, z, &r->e->model.vae, 1, r->plan->h, r->plan->w);
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
    const int64_t seed = p->seed + r->first + i;
    char *parameters = sdg_plan_infotext(r->e, p, seed);
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
    if (r->traced) SDG_TRY(begin_image_trace(r, &file));
    report(r, SDGEN_STAGE_DECODE, 0, r->n, 0);
    for (int i = 0; i < r->n; i++) {
        decode(r, i);
        if (sdg_ops_cancelled(&r->ops)) SDG_TRY(cancelled(r));
        warn_of_nan(r);
        if (r->traced) trace_image(r, &file);
        report(r, SDGEN_STAGE_DECODE, i + 1, r->n, r->plan->decode_cost);
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

sdgen_status sdg_txt2img(const struct sdgen_engine *e, const struct sdg_plan *plan,
                         sdgen_image_fn on_image, void *user, sdgen_error *err)
{
    struct run r = {
        .e = e, .plan = plan, .on_image = on_image, .user = user, .err = err, .n = plan->batch};
    sdgen_status status;
    SDG_TRY(sdg_arena_create(&r.work, plan->work_bytes, err));
    reserve(&r);
    r.ops = sdg_engine_ops(e, &r.work, plan->params->cancel);
    r.cost_all = plan->text_cost +
                 plan->step_cost * plan->schedule.steps * plan->images / plan->batch +
                 plan->decode_cost * plan->images;

    report(&r, SDGEN_STAGE_TEXT, 0, 1, 0);
    encode_prompts(&r);
    if (sdg_ops_cancelled(&r.ops)) SDG_TRY(cancelled(&r));
    report(&r, SDGEN_STAGE_TEXT, 1, 1, plan->text_cost);
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
    sdg_arena_destroy(&r.work);
    return status;
}

void sdg_txt2img_measure(const struct sdgen_engine *e, struct sdg_plan *plan)
{
    struct run r = {.e = e, .plan = plan, .n = plan->batch};
    sdg_arena_measure(&r.work);
    reserve(&r);
    r.ops = sdg_engine_ops(e, &r.work, NULL);
    r.ops.dry = true;
    encode_prompts(&r);
    plan->text_cost = r.ops.macs;
    guided_model(&r, r.eps, r.model_input, 0, 0);
    plan->step_cost = r.ops.macs - plan->text_cost;
    decode(&r, 0);
    plan->decode_cost = r.ops.macs - plan->text_cost - plan->step_cost;
    plan->work_bytes = r.work.peak;
}
