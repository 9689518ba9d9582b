/* plan.c - see plan.h. Every refusal of a run is here and in plan_*.c, in the order a user would
 * fix things. */
#define _GNU_SOURCE
#include "pipeline/plan.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pipeline/autoencoder.h"
#include "pipeline/plan_parts.h"

enum { MAX_SIDE = 16384, MAX_IMAGES = 1000000 };

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
    const int factor = sdg_latent_factor(m);
    sdgen_status status;
    const sdgen_pixels *picture = p->params->init_image;
    const int width = picture ? picture->width : m->facts.native_width;
    const int height = picture ? picture->height : m->facts.native_height;
    const char *w = picture && !p->params->width ? "the picture's width" : "-W";
    const char *h = picture && !p->params->height ? "the picture's height" : "-H";
    SDG_TRY(plan_side(&p->width, w, p->params->width, width, factor, err));
    SDG_TRY(plan_side(&p->height, h, p->params->height, height, factor, err));
    p->w = p->width / (size_t)factor;
    p->h = p->height / (size_t)factor;
fail:
    return status;
}

/* ---- numbers ---- */

static sdgen_status plan_numbers(struct sdg_plan *p, sdgen_error *err)
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
    return SDGEN_OK;
}

/* ---- trace directory ---- */

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

/* ---- tiles ---- */

enum { LEAST_TILE = 64, USUAL_TILE = 512 }; /* pixels; diffusers' size for SD1's VAE */

static sdgen_status plan_tile(size_t *latent, int asked, int factor, sdgen_error *err)
{
    const int side = asked ? asked : USUAL_TILE;
    if (side < LEAST_TILE || side > MAX_SIDE || side % factor)
        return sdg_fail(err, SDGEN_ERR_ARG,
                        "--vae-tile-size %d: is counted in pixels, a multiple of %d from %d to %d",
                        side, factor, LEAST_TILE, MAX_SIDE);
    *latent = (size_t)(side / factor);
    return SDGEN_OK;
}

static sdgen_status plan_tiling(struct sdg_plan *p, const struct sdg_model *m, sdgen_error *err)
{
    const int factor = sdg_latent_factor(m);
    const sdgen_image_params *a = p->params;
    const double overlap = a->vae_tile_overlap < 0 ? 0.25 : a->vae_tile_overlap;
    sdgen_status status;
    if (!a->vae_tiling && (a->vae_tile_width || a->vae_tile_height || a->vae_tile_overlap >= 0))
        return sdg_fail(err, SDGEN_ERR_ARG, "%s has no effect without --vae-tiling",
                        a->vae_tile_overlap >= 0 ? "--vae-tile-overlap" : "--vae-tile-size");
    if (!a->vae_tiling) return SDGEN_OK;
    if (!(overlap <= 0.9))
        return sdg_fail(err, SDGEN_ERR_ARG,
                        "--vae-tile-overlap %g: a share of a tile, from 0 to 0.9", overlap);
    SDG_TRY(plan_tile(&p->tiling.w, a->vae_tile_width, factor, err));
    SDG_TRY(plan_tile(&p->tiling.h, a->vae_tile_height, factor, err));
    p->tiling.overlap = overlap;
fail:
    return status;
}

/* ---- telling ---- */

static void announce_prompt(const struct sdgen_engine *e, const char *flag,
                            const struct sdg_prompt *prompt)
{
    for (size_t i = 0; i < prompt->network_count; i++)
        sdg_log(&e->log, SDGEN_LOG_WARN,
                "%s: <%s:%s> is left out: extra networks are not supported", flag,
                prompt->networks[i].name, prompt->networks[i].arguments);
    if (prompt->dropped)
        sdg_log(
            &e->log, SDGEN_LOG_WARN,
            "%s: %zu tokens; the last %zu do not fit into 75 and are left out, as diffusers does",
            flag, prompt->tokens, prompt->dropped);
    else
        sdg_log(&e->log, SDGEN_LOG_VERBOSE, "%s: %zu tokens in %zu text%s", flag, prompt->tokens,
                prompt->text_count, prompt->text_count == 1 ? "" : "s");
}

void sdg_plan_announce(const struct sdg_plan *p, const struct sdgen_engine *e)
{
    announce_prompt(e, "prompt", &p->cond);
    announce_prompt(e, "negative prompt", &p->uncond);
    if (p->way->borrowed)
        sdg_log(&e->log, SDGEN_LOG_WARN,
                "%s has no sampler %s; it is drawn as the program that has it would",
                p->convention->name, p->sampler->label);
    sdg_log(&e->log, SDGEN_LOG_VERBOSE, "%zux%zu, %s, %s, %d steps, %d levels, %d threads, %s",
            p->width, p->height, p->sampler->label, sdg_scheduler_name(p->request.scheduler),
            p->steps, p->schedule.steps, e->threads, sdg_isa_label(e->isa));
    if (p->params->init_image && !p->params->mask && e->model.facts.extra == SDG_EXTRA_INPAINT)
        sdg_log(&e->log, SDGEN_LOG_WARN,
                "-i: without --mask all of the picture is painted anew, and nothing of it is seen");
    sdg_memory_announce(p, e);
}

/* ---- all of it ---- */

sdgen_status sdg_plan_make(struct sdg_plan *p, const struct sdgen_engine *e,
                           const struct sdgen_image_params *params, sdgen_error *err)
{
    sdgen_status status;
    *p = (struct sdg_plan) {.params = params};
    SDG_TRY(sdg_convention_find(&p->convention, params->like, err));
    SDG_TRY(plan_size(p, &e->model, err));
    SDG_TRY(sdg_plan_model(p, e, err));
    SDG_TRY(plan_numbers(p, err));
    SDG_TRY(sdg_plan_sampling(p, &e->model, err));
    if (p->sampler->evaluations == 0) p->batch = 1; /* steps as wide as the whole batch allows */
    SDG_TRY(sdg_plan_noise(p, &e->model, err));
    SDG_TRY(sdg_plan_prompts(p, e, err));
    SDG_TRY(check_trace(p, err));
    SDG_TRY(plan_tiling(p, &e->model, err));
    SDG_TRY(sdg_plan_memory(p, e, err));
    return SDGEN_OK;
fail:
    sdg_plan_free(p);
    return status;
}

void sdg_plan_free(struct sdg_plan *p)
{
    free((void *)p->request.list);
    sdg_prompt_free(&p->cond);
    sdg_prompt_free(&p->uncond);
    *p = (struct sdg_plan) {0};
}
