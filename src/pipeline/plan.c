/* plan.c - see plan.h. Every refusal of a run is here, in the order a user would fix things. */
#define _GNU_SOURCE
#include "pipeline/plan.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pipeline/txt2img.h"

enum { DEFAULT_STEPS = 20, MAX_SIDE = 16384, MAX_IMAGES = 1000000 };
static const double max_cfg = 1000, gib = 0x1p-30;

/* ---- size ---- */

static sdgen_status plan_side(size_t *pixels, const char *flag, int asked, int native, int factor,
                              sdgen_error *err)
{
    const int side = asked ? asked : native;
    if (side < factor || side > MAX_SIDE)
        return sdg_fail(err, SDGEN_ERR_ARG, "%s %d: must be between %d and %d", flag, side, factor,
                        MAX_SIDE);
    if (side % factor) {
        const int below = side / factor * factor;
        return sdg_fail(err, SDGEN_ERR_ARG,
                        "%s %d: not a multiple of %d; the nearest are %d and %d", flag, side,
                        factor, below, below + factor);
    }
    *pixels = (size_t)side;
    return SDGEN_OK;
}

static sdgen_status plan_size(struct sdg_plan *p, const struct sdg_model *m, sdgen_error *err)
{
    const int factor = sdg_vae_factor(&m->vae.config);
    sdgen_status status;
    SDG_TRY(plan_side(&p->width, "-W", p->params->width, m->native_width, factor, err));
    SDG_TRY(plan_side(&p->height, "-H", p->params->height, m->native_height, factor, err));
    p->w = p->width / (size_t)factor;
    p->h = p->height / (size_t)factor;
fail:
    return status;
}

/* ---- numbers ---- */

/* As A1111 draws it: uniform below 2^32 - 2. */
static int64_t random_seed(void)
{
    uint32_t seed;
    do {
        if (getrandom(&seed, sizeof seed, 0) != sizeof seed) seed = (uint32_t)getpid();
    } while (seed >= UINT32_MAX - 1);
    return seed;
}

static sdgen_status plan_numbers(struct sdg_plan *p, const struct sdg_model *m, sdgen_error *err)
{
    const sdgen_image_params *params = p->params;
    p->images = params->batch_count;
    p->batch = params->batch_size;
    if (p->images < 1 || p->images > MAX_IMAGES)
        return sdg_fail(err, SDGEN_ERR_ARG, "-b %d: must be between 1 and %d", p->images,
                        MAX_IMAGES);
    if (p->batch < 1 || p->batch > SDG_MAX_BATCH)
        return sdg_fail(err, SDGEN_ERR_ARG, "--batch-size %d: must be between 1 and %d", p->batch,
                        SDG_MAX_BATCH);
    if (p->batch > p->images) p->batch = p->images;
    if (!isfinite(params->cfg_scale) || params->cfg_scale < 0 || params->cfg_scale > max_cfg)
        return sdg_fail(err, SDGEN_ERR_ARG, "--cfg-scale %g: must be between 0 and %g",
                        params->cfg_scale, max_cfg);
    p->guided = p->convention->guide_above_one ? params->cfg_scale > 1 : params->cfg_scale != 1;
    p->seed = params->seed < 0 ? random_seed() : params->seed;
    if (p->seed > INT64_MAX - p->images)
        return sdg_fail(err, SDGEN_ERR_ARG,
                        "-s %lld: too large for %d images with seeds of their own",
                        (long long)p->seed, p->images);
    const int first = p->convention->clip_skip_first, layers = m->clip.config.layers;
    const int asked = params->clip_skip ? params->clip_skip : first;
    p->layers_skipped = asked - first;
    if (p->layers_skipped < 0 || p->layers_skipped >= layers)
        return sdg_fail(err, SDGEN_ERR_ARG, "--clip-skip %d: must be between %d and %d here", asked,
                        first, first + layers - 1);
    return SDGEN_OK;
}

/* ---- sampling ---- */

static sdgen_status plan_rng(struct sdg_plan *p, sdgen_error *err)
{
    const char *name = p->params->rng;
    if (!name)
        p->rng = p->convention->rng;
    else if (strcmp(name, "cpu") == 0)
        p->rng = SDG_RNG_CPU;
    else if (strcmp(name, "cuda") == 0)
        p->rng = SDG_RNG_CUDA;
    else
        return sdg_fail(err, SDGEN_ERR_ARG,
                        "--rng %s: no such noise source; there are cpu and cuda", name);
    return SDGEN_OK;
}

/* The share of fresh noise per step, where the sampler has such a knob in the program followed. */
static sdgen_status plan_eta(struct sdg_plan *p, sdgen_error *err)
{
    const double asked = p->params->eta;
    p->eta = asked < 0 ? p->sampler->default_eta : asked;
    if (!isfinite(p->eta) || p->eta > 1)
        return sdg_fail(err, SDGEN_ERR_ARG, "--eta %g: must be between 0 and 1", p->eta);
    const bool fixed = !p->sampler->takes_eta || (p->convention->like == SDG_LIKE_DIFFUSERS &&
                                                  !p->sampler->variance_preserving);
    if (fixed && p->eta != p->sampler->default_eta)
        return sdg_fail(err, SDGEN_ERR_ARG, "--eta %g: %s in %s has no such knob; leave it out",
                        p->eta, p->sampler->label, p->convention->name);
    return SDGEN_OK;
}

static sdgen_status plan_sampling(struct sdg_plan *p, sdgen_error *err)
{
    const sdgen_image_params *params = p->params;
    sdgen_status status;
    SDG_TRY(sdg_sampler_find(&p->sampler, params->sampler ? params->sampler : "euler_a", err));
    p->scheduler = sdg_scheduler_default(p->sampler, p->convention->like);
    if (params->scheduler) SDG_TRY(sdg_scheduler_find(&p->scheduler, params->scheduler, err));
    p->steps = params->steps ? params->steps : DEFAULT_STEPS;
    SDG_TRY(sdg_schedule_make(&p->schedule, p->sampler, p->scheduler, p->convention->like, p->steps,
                              err));
    SDG_TRY(plan_eta(p, err));
    SDG_TRY(plan_rng(p, err));
fail:
    return status;
}

/* ---- text ---- */

static sdgen_status plan_prompt(struct sdg_chunks *chunks, const struct sdg_plan *p,
                                const struct sdgen_engine *e, const char *text, sdgen_error *err)
{
    sdgen_status status;
    if (p->convention->prompt_language && !p->params->literal_prompt)
        SDG_TRY(sdg_prompt_is_plain(text, err));
    SDG_TRY(sdg_chunk_prompt(chunks, text, e->tokenizer, p->convention->chunking, err));
fail:
    return status;
}

static sdgen_status plan_text(struct sdg_plan *p, const struct sdgen_engine *e, sdgen_error *err)
{
    const sdgen_image_params *params = p->params;
    const char *negative = params->negative_prompt ? params->negative_prompt : "";
    sdgen_status status;
    if (!params->prompt) return sdg_fail(err, SDGEN_ERR_ARG, "no prompt: say what to draw with -p");
    SDG_TRY(plan_prompt(&p->cond, p, e, params->prompt, err));
    SDG_TRY(plan_prompt(&p->uncond, p, e, negative, err));
fail:
    return status;
}

/* ---- trace directory and memory ---- */

static sdgen_status check_trace(const struct sdg_plan *p, sdgen_error *err)
{
    const char *dir = p->params->trace_dir;
    struct stat st;
    if (!dir) return SDGEN_OK;
    if (stat(dir, &st) != 0)
        return sdg_fail(err, SDGEN_ERR_IO, "--trace %s: %s", dir, strerror(errno));
    if (!S_ISDIR(st.st_mode))
        return sdg_fail(err, SDGEN_ERR_IO, "--trace %s: not a directory", dir);
    if (access(dir, W_OK | X_OK) != 0)
        return sdg_fail(err, SDGEN_ERR_IO, "--trace %s: cannot write there: %s", dir,
                        strerror(errno));
    return SDGEN_OK;
}

/* Memory this process may use: physical, or less under a cgroup limit. */
static double memory_limit(void)
{
    double limit = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);
    static const char *const files[] = {"/sys/fs/cgroup/memory.max",
                                        "/sys/fs/cgroup/memory/memory.limit_in_bytes"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        FILE *f = fopen(files[i], "re");
        double value;
        if (f && fscanf(f, "%lf", &value) == 1 && value < limit) limit = value; /* not "max" */
        if (f) fclose(f);
    }
    return limit;
}

static sdgen_status plan_memory(struct sdg_plan *p, const struct sdgen_engine *e, sdgen_error *err)
{
    sdg_txt2img_measure(e, p);
    const double limit = memory_limit();
    if ((double)p->work_bytes > limit)
        return sdg_fail(err, SDGEN_ERR_MEMORY,
                        "%zux%zu pixels, %d at once, need %.1f GiB to work in and there are %.1f; "
                        "choose a smaller picture or --batch-size",
                        p->width, p->height, p->batch, (double)p->work_bytes * gib, limit * gib);
    return SDGEN_OK;
}

static void announce_chunks(const struct sdgen_engine *e, const char *flag,
                            const struct sdg_chunks *c)
{
    if (c->dropped)
        sdg_log(
            &e->log, SDGEN_LOG_WARN,
            "%s: %zu tokens; the last %zu do not fit into 75 and are left out, as diffusers does",
            flag, c->tokens, c->dropped);
    else
        sdg_log(&e->log, SDGEN_LOG_VERBOSE, "%s: %zu tokens in %zu chunks", flag, c->tokens,
                c->count);
}

void sdg_plan_announce(const struct sdg_plan *p, const struct sdgen_engine *e)
{
    const double work = (double)p->work_bytes;
    const double file = (double)e->model.file.map.size + (double)e->model.vae_file.map.size;
    announce_chunks(e, "prompt", &p->cond);
    announce_chunks(e, "negative prompt", &p->uncond);
    sdg_log(&e->log, SDGEN_LOG_VERBOSE, "%zux%zu, %s, %s, %d steps, %d model calls, %d threads, %s",
            p->width, p->height, p->sampler->label, sdg_scheduler_name(p->scheduler), p->steps,
            p->schedule.steps, e->threads, sdg_isa_label(e->isa));
    sdg_log(&e->log, SDGEN_LOG_VERBOSE,
            "memory: %.2f GiB to work in + %.2f GiB checkpoint (mapped) = %.2f GiB at most",
            work * gib, file * gib, (work + file) * gib);
}

sdgen_status sdg_plan_make(struct sdg_plan *p, const struct sdgen_engine *e,
                           const struct sdgen_image_params *params, sdgen_error *err)
{
    sdgen_status status;
    *p = (struct sdg_plan) {.params = params};
    SDG_TRY(sdg_convention_find(&p->convention, params->like, err));
    SDG_TRY(plan_size(p, &e->model, err));
    SDG_TRY(plan_numbers(p, &e->model, err));
    SDG_TRY(plan_sampling(p, err));
    SDG_TRY(plan_text(p, e, err));
    SDG_TRY(check_trace(p, err));
    SDG_TRY(plan_memory(p, e, err));
    return SDGEN_OK;
fail:
    sdg_plan_free(p);
    return status;
}

void sdg_plan_free(struct sdg_plan *p)
{
    sdg_chunks_free(&p->cond);
    sdg_chunks_free(&p->uncond);
    *p = (struct sdg_plan) {0};
}
