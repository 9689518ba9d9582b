/* stages.c - the networks of a checkpoint as a picture uses them, and a whole picture.
 *
 * The engine is the one that draws: same packed weights, same options. The shapes of its networks
 * become tables like those of the known ones, so that the sum of the parts can be held against the
 * whole pass; what is between the two is waiting, small operations and caches that a part alone
 * finds warm. */
#include "bench/bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline/autoencoder.h"
#include "pipeline/engine.h"

enum { TOKENS = 77, IMAGES = 2 };

struct stages {
    struct sdgen_engine *e;
    size_t side; /* of the latent */
    size_t tokens;
    int32_t ids[IMAGES * TOKENS];
    float *text, *latent, *label, *guidance, *eps, *z, *image;
    struct sdg_unet_context context[IMAGES];
    float *keys[IMAGES]; /* of the contexts: once for a picture */
};

typedef void stage_fn(struct sdg_ops *o, struct stages *s);

static void run_text(struct sdg_ops *o, struct stages *s)
{
    const struct sdg_model *m = &s->e->model;
    for (int i = 0; i < m->clip_count; i++) {
        struct sdg_clip_take take = m->takes[i];
        take.pooled = false;
        sdg_clip_encode(o, s->text, NULL, s->ids, NULL, &m->clips[i], IMAGES, s->tokens, &take);
    }
}

static void run_keys(struct sdg_ops *o, struct stages *s)
{
    for (int i = 0; i < IMAGES; i++)
        sdg_unet_remember(o, s->keys[i], &s->context[i], &s->e->model.unet);
}

static void run_unet(struct sdg_ops *o, struct stages *s)
{
    const float *const keys[IMAGES] = {s->keys[0], s->keys[1]};
    static const float t[IMAGES] = {500.0f, 500.0f};
    const struct sdg_unet_condition condition = {
        .context = s->context, .keys = keys, .label = s->label, .guidance = s->guidance};
    sdg_unet_forward(o, s->eps, s->latent, t, &condition, &s->e->model.unet, IMAGES, s->side,
                     s->side, SDG_UPSAMPLE_CROP_AFTER);
}

static void run_vae(struct sdg_ops *o, struct stages *s)
{
    sdg_decode_latent(o, s->image, s->z, s->latent, &s->e->model, NULL, s->side, s->side);
}

static float *waves(size_t count)
{
    float *p = malloc(count * sizeof *p);
    for (size_t i = 0; p && i < count; i++) p[i] = 0.001f * (float)(i * 7919 % 2003) - 1.0f;
    return p;
}

static bool open_stages(struct stages *s, int size)
{
    const struct sdg_model *m = &s->e->model;
    const size_t factor = (size_t)sdg_latent_factor(m);
    const size_t width = (size_t)m->unet.config.context; /* no encoder is wider */
    const size_t vocab = (size_t)m->clips[0].config.vocab;
    s->side = (size_t)size / factor;
    s->tokens = (size_t)m->clips[0].config.positions < TOKENS ? (size_t)m->clips[0].config.positions
                                                              : TOKENS;
    s->text = waves(IMAGES * s->tokens * width);
    s->latent = waves(IMAGES * (size_t)m->unet.config.in_channels * s->side * s->side);
    s->label = waves(IMAGES * (size_t)m->unet.config.label);
    s->guidance = waves(IMAGES * (size_t)m->unet.config.time_cond);
    s->eps = waves(IMAGES * (size_t)m->unet.config.out_channels * s->side * s->side);
    s->z = waves(sdg_latent_channels(m) * s->side * s->side);
    s->image = waves(3 * s->side * s->side * factor * factor);
    for (size_t i = 0; i < IMAGES * s->tokens; i++) s->ids[i] = (int32_t)(i % vocab);
    for (size_t i = 0; i < IMAGES && s->text; i++) {
        s->keys[i] = waves(sdg_unet_keys_floats(&m->unet, s->tokens));
        s->context[i] = (struct sdg_unet_context) {s->text + i * s->tokens * width, s->tokens};
    }
    return s->text && s->z && s->keys[0] && s->keys[1] && s->latent && s->label && s->guidance &&
           s->eps && s->image;
}

static void close_stages(struct stages *s)
{
    free(s->text);
    for (int i = 0; i < IMAGES; i++) free(s->keys[i]);
    free(s->latent);
    free(s->z);
    free(s->label);
    free(s->guidance);
    free(s->eps);
    free(s->image);
    sdgen_free(s->e);
}

/* ---- a stage --------------------------------------------------------------------------------- */

struct turn {
    struct sdg_ops o;
    stage_fn *fn;
    struct stages *s;
};

static void run_turn(void *arg)
{
    struct turn *t = arg;
    t->fn(&t->o, t->s);
}

static sdgen_status time_stage(struct bench_run *run, const char *name, stage_fn *fn,
                               struct stages *s, const struct bench_table *parts, sdgen_error *err)
{
    struct bench_stage *stage = &run->stages[run->stage_count];
    struct sdg_arena work;
    sdgen_status status;
    *stage = (struct bench_stage) {.name = name};
    sdg_arena_measure(&work);
    struct turn t = {sdg_engine_ops(s->e, &work, NULL), fn, s};
    t.o.dry = true;
    fn(&t.o, s);
    stage->macs = t.o.macs;
    SDG_TRY(sdg_arena_create(&work, work.peak, err));
    t.o.dry = false;
    run_turn(&t); /* warm */
    for (int i = 0; i < run->o.rounds; i++) bench_time(run, &stage->times, 0, run_turn, &t);
    for (size_t i = 0; parts && i < parts->count; i++) {
        stage->parts += parts->rows[i].shape.count * bench_cost(&parts->rows[i].times);
        stage->listed +=
            0.5 * parts->rows[i].shape.count * bench_shape_flops(&parts->rows[i].shape);
    }
    run->stage_count++;
fail:
    sdg_arena_destroy(&work);
    return status;
}

/* ---- a picture ------------------------------------------------------------------------------- */

/* When each stage ended. */
struct clock {
    double start, text, first, last, decoded;
    int steps;
};

static void note_time(void *user, const sdgen_progress *p)
{
    struct clock *c = user;
    const double now = bench_now(0);
    if (p->stage == SDGEN_STAGE_TEXT) c->text = now;
    if (p->stage == SDGEN_STAGE_SAMPLE && p->done >= 1) {
        if (p->done == 1) c->first = now;
        c->last = now;
        c->steps = p->done;
    }
    if (p->stage == SDGEN_STAGE_DECODE) c->decoded = now;
}

static int drop_image(void *user, const sdgen_image *image)
{
    (void)user, (void)image;
    return 0;
}

static sdgen_status draw(struct bench_run *run, struct sdgen_engine *e, sdgen_error *err)
{
    struct clock c = {.start = bench_now(0)};
    sdgen_image_params p = sdgen_image_defaults();
    p.prompt = "a fox on a blue background";
    p.width = p.height = run->o.size;
    p.steps = run->o.steps;
    p.seed = 42;
    p.sampler = "euler";
    p.progress = note_time;
    p.user = &c;
    const sdgen_status status = sdgen_generate(e, &p, drop_image, NULL, err);
    if (status != SDGEN_OK) return status;
    run->picture.size = run->o.size;
    run->picture.steps = run->o.steps;
    run->picture.text = c.text > 0 ? c.text - c.start : 0;
    run->picture.step = c.steps > 1 ? (c.last - c.first) / (c.steps - 1) : 0;
    run->picture.decode = c.decoded > 0 ? c.decoded - c.last : 0;
    run->picture.whole = bench_now(0) - c.start;
    return SDGEN_OK;
}

/* ---- all ------------------------------------------------------------------------------------- */

/* Tables of the checkpoint's own networks, measured; NULL for one of which lines were left out. */
static sdgen_status measure_parts(struct bench_run *run, const struct stages *s,
                                  const struct bench_table *parts[2], sdgen_error *err)
{
    sdgen_status status = SDGEN_OK;
    struct bench_list *lists = calloc(2, sizeof *lists);
    if (!lists) return sdg_fail(err, SDGEN_ERR_MEMORY, "out of memory");
    snprintf(lists[0].name, BENCH_NAME, "UNet, %d x %d x %d", IMAGES, run->o.size, run->o.size);
    snprintf(lists[1].name, BENCH_NAME, "VAE decoder, %d x %d", run->o.size, run->o.size);
    bench_list_unet(&lists[0], &s->e->model.unet.config, IMAGES, s->side, s->tokens);
    if (s->e->model.has_vae) bench_list_vae(&lists[1], &s->e->model.vae.config, s->side);
    for (int i = 0; i < (s->e->model.has_vae ? 2 : 1); i++) {
        const int before = run->table_count;
        SDG_TRY(bench_table_open(run, &lists[i], err));
        if (run->table_count == before) continue;
        struct bench_table *t = &run->tables[before];
        bench_measure_table(run, t);
        if (t->whole) parts[i] = t;
    }
fail:
    free(lists);
    return status;
}

sdgen_status bench_stages(struct bench_run *run, sdgen_error *err)
{
    sdgen_status status;
    struct stages s = {0};
    const struct bench_table *parts[2] = {NULL, NULL};
    sdgen_load_params load = sdgen_load_defaults();
    load.model_path = run->o.model;
    load.threads = run->way.threads;
    load.isa = run->o.isa;
    load.precision = run->o.precision;
    const double start = bench_now(0);
    SDG_TRY(sdgen_load(&s.e, &load, err));
    run->picture.load = bench_now(0) - start;
    if (!open_stages(&s, run->o.size)) SDG_TRY(sdg_fail(err, SDGEN_ERR_MEMORY, "out of memory"));
    run->way.bf16 = s.e->bf16;
    run->unit = bench_unit_for(run->isa, run->way.bf16);
    SDG_TRY(measure_parts(run, &s, parts, err));
    SDG_TRY(time_stage(run, "text encoder, 2 prompts", run_text, &s, NULL, err));
    SDG_TRY(time_stage(run, "keys and values of 2 prompts", run_keys, &s, NULL, err));
    SDG_TRY(time_stage(run, "UNet", run_unet, &s, parts[0], err));
    SDG_TRY(time_stage(run, "VAE decoder", run_vae, &s, parts[1], err));
    SDG_TRY(draw(run, s.e, err));
fail:
    close_stages(&s);
    return status;
}
