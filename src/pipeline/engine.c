/* engine.c - the life of an engine: choose the tier, open the checkpoint, give it all back. */
#include "pipeline/engine.h"

#include <stdlib.h>
#include <string.h>

#include "base/parallel.h"
#include "ops/packs.h"
#include "pipeline/autoencoder.h"

sdgen_load_params sdgen_load_defaults(void)
{
    return (sdgen_load_params) {0};
}

const char *sdgen_isa_name(const sdgen_engine *engine)
{
    return sdg_isa_label(engine->isa);
}

struct sdg_ops sdg_engine_ops(const struct sdgen_engine *e, struct sdg_arena *work,
                              const volatile int *cancel)
{
    return (struct sdg_ops) {
        .k = &e->kernels,
        .work = work,
        .threads = e->threads,
        .bf16 = e->bf16,
        .exact_conv = e->exact_conv,
        .packs = e->packs,
        .cancel = cancel,
    };
}

/* ---- loading ---- */

static sdgen_status choose_isa(enum sdg_isa *isa, const char *name, sdgen_error *err)
{
    const enum sdg_isa best = sdg_isa_detect();
    *isa = best;
    if (!name || strcmp(name, "auto") == 0) return SDGEN_OK;
    for (int i = 0; i < SDG_ISA_COUNT; i++) {
        if (strcmp(name, sdg_isa_label((enum sdg_isa)i)) != 0) continue;
        if (!sdg_isa_is_here((enum sdg_isa)i))
            return sdg_fail(err, SDGEN_ERR_ARG, "--isa %s: this machine has no more than %s", name,
                            sdg_isa_label(best));
        *isa = (enum sdg_isa)i;
        return SDGEN_OK;
    }
    return sdg_fail(
        err, SDGEN_ERR_ARG,
        "--isa %s: no such tier; there are auto, c, neon, avx2, avx512, avx512bf16 and amx", name);
}

/* auto is a rule on the processor, never a measurement: bits must not depend on a clock. */
static sdgen_status choose_precision(struct sdgen_engine *e, const char *name, sdgen_error *err)
{
    if (!name || strcmp(name, "auto") == 0)
        e->bf16 = sdg_isa_prefers_bf16(e->isa);
    else if (strcmp(name, "bf16") == 0)
        e->bf16 = true;
    else if (strcmp(name, "int8") == 0)
        return sdg_fail(err, SDGEN_ERR_ARG,
                        "--precision int8 is not built yet; there are f32 and bf16");
    else if (strcmp(name, "f32") != 0)
        return sdg_fail(err, SDGEN_ERR_ARG,
                        "--precision %s: no such precision; there are auto, f32 and bf16", name);
    return SDGEN_OK;
}

static void report_load(const sdgen_load_params *params, int done, int total)
{
    const sdgen_progress p = {.stage = SDGEN_STAGE_LOAD, .done = done, .total = total};
    if (params->progress) params->progress(params->user, &p);
}

static void let_go(void *user, const struct sdg_tensor *weight)
{
    const struct sdgen_engine *e = user;
    sdg_model_let_go(&e->model, weight);
    if (e->refiner) sdg_model_let_go(e->refiner, weight);
    sdg_memory_done(e, sdg_tensor_bytes(weight));
}

static void ask_for(void *user, const struct sdg_tensor *weight)
{
    const struct sdgen_engine *e = user;
    sdg_model_ask_for(&e->model, weight);
    if (e->refiner) sdg_model_ask_for(e->refiner, weight);
}

static void note_text(struct sdg_ops *dry, const struct sdg_model *m)
{
    for (int i = 0; i < m->clip_count; i++) {
        struct sdg_clip_take take = m->takes[i];
        take.pooled = m->facts.label != SDG_LABEL_NONE && i + 1 == m->clip_count;
        sdg_clip_encode(dry, NULL, NULL, NULL, NULL, &m->clips[i], 1, 2, &take);
    }
}

static void note_unet(struct sdg_ops *dry, const struct sdg_model *m)
{
    const size_t side = (size_t)2 << m->unet.config.levels;
    const struct sdg_unet_context context = {NULL, 2};
    const struct sdg_unet_condition condition = {.context = &context};
    sdg_unet_forward(dry, NULL, NULL, NULL, &condition, &m->unet, 1, side, side,
                     SDG_UPSAMPLE_CROP_BEFORE);
}

static void note_vae(struct sdg_ops *dry, const struct sdg_model *m)
{
    const size_t side = 2 * (size_t)sdg_latent_factor(m);
    if (m->facts.extra == SDG_EXTRA_INPAINT || m->facts.extra == SDG_EXTRA_EDIT)
        sdg_encode_image(dry, NULL, NULL, m, side, side);
    sdg_decode_latent(dry, NULL, NULL, NULL, m, NULL, 2, 2);
}

/* Walks the networks dry, at the least size at which every layer has more than one token, to learn
 * which weights are read by which product, and how often beside each other. */
static sdgen_status note_weights(struct sdgen_engine *e, sdgen_error *err)
{
    const struct sdg_pages pages = {ask_for, let_go, e};
    struct sdg_arena nowhere;
    const sdgen_status status = sdg_packs_create(&e->packs, err);
    if (status != SDGEN_OK) return status;
    sdg_packs_pages(e->packs, &pages);
    sdg_arena_measure(&nowhere);
    struct sdg_ops dry = sdg_engine_ops(e, &nowhere, NULL);
    dry.dry = true;
    dry.bf16 = false; /* the text encoders: a few hundredths of a picture's work */
    sdg_packs_group(e->packs, SDG_GROUP_TEXT);
    note_text(&dry, &e->model);
    if (e->refiner) note_text(&dry, e->refiner);
    dry.bf16 = e->bf16;
    sdg_packs_group(e->packs, SDG_GROUP_UNET);
    note_unet(&dry, &e->model);
    sdg_packs_group(e->packs, SDG_GROUP_REFINER);
    if (e->refiner) note_unet(&dry, e->refiner);
    sdg_packs_group(e->packs, SDG_GROUP_VAE);
    note_vae(&dry, &e->model);
    return SDGEN_OK;
}

/* Appends the files of a model to `files`. */
static size_t add_files(const struct sdg_weights **files, size_t count, const struct sdg_model *m)
{
    const struct sdg_weights *all[SDG_MODEL_FILES] = {
        &m->file, &m->unet_file, &m->vae_file, &m->clip_l_file, &m->clip_g_file, &m->taesd_file};
    for (size_t i = 0; i < SDG_MODEL_FILES; i++)
        if (all[i]->path) files[count++] = all[i];
    return count;
}

size_t sdg_engine_files(const struct sdg_weights *files[SDG_ENGINE_FILES],
                        const struct sdgen_engine *e)
{
    const size_t count = add_files(files, 0, &e->model);
    return e->refiner ? add_files(files, count, e->refiner) : count;
}

static bool attach_cache(struct sdgen_engine *e, const char *folder)
{
    const struct sdg_weights *sources[SDG_ENGINE_FILES];
    const size_t count = sdg_engine_files(sources, e);
    const struct sdg_packcache_way way = {
        .folder = folder,
        .tier = sdg_isa_label(e->isa),
        .precision = e->bf16 ? "bf16" : "f32",
        .exact_conv = e->exact_conv,
        .sources = sources,
        .source_count = count,
        .log = &e->log,
    };
    return sdg_packcache_attach(&e->cache, e->packs, &way, &e->kernels, e->threads);
}

/* Weights that the machine cannot hold beside the rest are better streamed than swapped. */
static void limit_to_machine(struct sdgen_engine *e)
{
    const double machine = sdg_memory_machine(), use = 0.9 * machine;
    if ((double)(e->base_bytes + sdg_packs_bytes(e->packs, -1)) <= use) return;
    e->max_ram = (size_t)use;
    sdg_log(&e->log, SDGEN_LOG_WARN,
            "the model takes up %zu MiB and there are %.0f here; going on with --max-ram %zuM",
            sdg_packs_bytes(e->packs, -1) >> 20, machine * 0x1p-20, e->max_ram >> 20);
}

static sdgen_status pack_weights(struct sdgen_engine *e, const char *cache,
                                 const volatile int *cancel, sdgen_error *err)
{
    sdgen_status status;
    SDG_TRY(note_weights(e, err));
    sdg_packs_cancel(e->packs, cancel);
    sdg_memory_tidy(e);
    e->base_bytes = sdg_memory_base(e);
    if (!e->max_ram) limit_to_machine(e);
    const bool kept = cache && attach_cache(e, cache);
    for (int group = 0; group < SDG_GROUPS && !e->max_ram; group++)
        SDG_TRY(sdg_packs_build(e->packs, group, &e->kernels, e->threads, err));
    if (!kept && !e->max_ram)
        sdg_log(&e->log, SDGEN_LOG_VERBOSE, "packed weights: %zu MiB",
                sdg_packs_bytes(e->packs, -1) >> 20);
fail:
    if (e->packs) sdg_packs_cancel(e->packs, NULL); /* the flag is the caller's, for this call */
    return status;
}

/* ---- models ---- */

static sdgen_status open_model(struct sdgen_engine *e, const sdgen_load_params *params,
                               sdgen_error *err)
{
    const struct sdg_model_options options = {
        .path = params->model_path,
        .unet_path = params->unet_path,
        .vae_path = params->vae_path,
        .clip_l_path = params->clip_l_path,
        .clip_g_path = params->clip_g_path,
        .taesd_path = params->taesd_path,
        .variant = params->variant,
        .ema = params->use_ema != 0,
        .log = &e->log,
    };
    const sdgen_status status = sdg_model_open(&e->model, &options, err);
    for (int i = 0; status == SDGEN_OK && i < e->model.facts.evidence_count; i++)
        sdg_log(&e->log, SDGEN_LOG_VERBOSE, "%s", e->model.facts.evidence[i]);
    return status;
}

/* The refiner works on the latents of the base model, which so has to be an SDXL. */
static sdgen_status open_refiner(struct sdgen_engine *e, const sdgen_load_params *params,
                                 sdgen_error *err)
{
    sdgen_status status;
    const struct sdg_model_options options = {
        .path = params->refiner_path, .without_vae = true, .log = &e->log};
    e->refiner = calloc(1, sizeof *e->refiner);
    if (!e->refiner) return sdg_fail(err, SDGEN_ERR_MEMORY, "out of memory");
    SDG_TRY(sdg_model_open(e->refiner, &options, err));
    if (e->model.facts.label == SDG_LABEL_NONE || e->refiner->facts.label == SDG_LABEL_NONE)
        SDG_TRY(sdg_fail(err, SDGEN_ERR_ARG,
                         "--refiner %s: finishes what an SDXL model begins; both must be SDXL",
                         params->refiner_path));
    if (e->model.facts.extra != e->refiner->facts.extra)
        SDG_TRY(
            sdg_fail(err, SDGEN_ERR_ARG,
                     "--refiner %s: one of the two models reads a picture beside the prompt and "
                     "the other does not: they cannot share a run",
                     params->refiner_path));
fail:
    return status;
}

sdgen_status sdgen_load(sdgen_engine **engine, const sdgen_load_params *params, sdgen_error *error)
{
    sdgen_status status;
    *engine = NULL;
    if (!params->model_path && !params->unet_path)
        return sdg_fail(error, SDGEN_ERR_ARG, "no checkpoint: name one with -m");
    struct sdgen_engine *e = calloc(1, sizeof *e);
    if (!e) return sdg_fail(error, SDGEN_ERR_MEMORY, "out of memory");
    e->log = (struct sdg_log) {.fn = params->log, .user = params->user};
    e->threads = params->threads > 0 ? params->threads : sdg_physical_cores();
    SDG_TRY(choose_isa(&e->isa, params->isa, error));
    SDG_TRY(choose_precision(e, params->precision, error));
    e->exact_conv = params->exact_conv != 0;
    e->pin = params->pin != 0;
    if (params->max_ram) SDG_TRY(sdg_memory_parse(&e->max_ram, params->max_ram, error));
    e->memory = calloc(1, sizeof *e->memory);
    if (!e->memory) SDG_TRY(sdg_fail(error, SDGEN_ERR_MEMORY, "out of memory"));
    sdg_kernels_init(&e->kernels, e->isa);

    report_load(params, 0, 3);
    SDG_TRY(open_model(e, params, error));
    if (params->refiner_path) SDG_TRY(open_refiner(e, params, error));
    e->model_hash = sdg_hashjob_start(params->model_path ? params->model_path : params->unet_path);
    if (params->vae_path) e->vae_hash = sdg_hashjob_start(params->vae_path);
    if (params->refiner_path) e->refiner_hash = sdg_hashjob_start(params->refiner_path);
    report_load(params, 1, 3);
    SDG_TRY(sdg_tokenizer_create(&e->tokenizer, error));
    report_load(params, 2, 3);
    struct sdg_pinning *pinning = e->pin ? sdg_parallel_pin(e->threads) : NULL;
    status = pack_weights(e, params->cache, params->cancel, error);
    sdg_parallel_release(pinning);
    if (status != SDGEN_OK) goto fail;
    report_load(params, 3, 3);
    if (params->cancel && *params->cancel)
        SDG_TRY(sdg_fail(error, SDGEN_ERR_CANCELLED, "cancelled"));
    *engine = e;
    return SDGEN_OK;
fail:
    sdgen_free(e);
    return status;
}

void sdgen_free(sdgen_engine *engine)
{
    if (!engine) return;
    sdg_hashjob_free(engine->model_hash);
    sdg_hashjob_free(engine->vae_hash);
    sdg_hashjob_free(engine->refiner_hash);
    sdg_tokenizer_destroy(engine->tokenizer);
    sdg_packs_destroy(engine->packs);
    sdg_packcache_close(&engine->cache);
    if (engine->refiner) sdg_model_close(engine->refiner);
    free(engine->refiner);
    free(engine->memory);
    sdg_model_close(&engine->model);
    free(engine);
}
