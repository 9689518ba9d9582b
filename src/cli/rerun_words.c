/* rerun_words.c - from what a picture says to options of `generate`.
 *
 * Most fields are one option each: a table. The rest are habits of the programs: what they leave
 * unsaid, what they count differently, what they write though it plays no part. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cli/message.h"
#include "cli/rerun.h"
#include "pipeline/convention.h"
#include "sampling/sampler.h"

enum { SHOWN = 100 };

/* ---- words ---- */

void sdg_words_add(struct sdg_words *w, const char *word)
{
    if (w->count + 1 >= w->capacity) {
        const size_t capacity = w->capacity ? 2 * w->capacity : 64;
        char **at = realloc(w->at, capacity * sizeof *at);
        if (!at) {
            w->failed = true;
            return;
        }
        w->at = at;
        w->capacity = capacity;
    }
    w->at[w->count] = strdup(word);
    if (!w->at[w->count]) w->failed = true;
    if (!w->failed) w->count++;
    w->at[w->count] = NULL;
}

void sdg_words_option(struct sdg_words *w, const char *name, const char *value)
{
    char *word = NULL;
    if (asprintf(&word, "--%s=%s", name, value) < 0)
        w->failed = true;
    else
        sdg_words_add(w, word);
    free(word);
}

void sdg_words_free(struct sdg_words *w)
{
    for (size_t i = 0; i < w->count; i++) free(w->at[i]);
    free(w->at);
    *w = (struct sdg_words) {0};
}

bool sdg_rerun_given(const struct sdg_rerun *r, const char *name)
{
    const struct sdg_arg *row = sdg_args_find(r->generate, name);
    for (size_t i = 0; i < r->given_count; i++)
        if (r->given[i] == row) return true;
    return false;
}

/* ---- settings ---- */

static const char *value_of(const struct sdg_rerun *r, enum sdg_field field)
{
    return sdg_settings_value(r->settings, field);
}

static void mark(struct sdg_rerun *r, enum sdg_field field)
{
    if (r->settings->at[field]) r->used[r->settings->at[field] - 1] = true;
}

/* An option without regard to a field; the user's own goes before. */
static void add(struct sdg_rerun *r, const char *option, const char *value)
{
    if (!sdg_rerun_given(r, option)) sdg_words_option(&r->words, option, value);
}

static void add_field(struct sdg_rerun *r, enum sdg_field field, const char *option)
{
    const char *value = value_of(r, field);
    if (!value) return;
    add(r, option, value);
    mark(r, field);
}

/* A flag for "True"; "False" needs none. */
static void add_flag(struct sdg_rerun *r, enum sdg_field field, const char *option, const char *yes)
{
    const char *value = value_of(r, field);
    if (!value) return;
    if (strcasecmp(value, yes) == 0) {
        char word[64];
        snprintf(word, sizeof word, "--%s", option);
        if (!sdg_rerun_given(r, option)) sdg_words_add(&r->words, word);
    } else if (strcasecmp(value, "False") != 0 && strcasecmp(value, "Default") != 0) {
        return;
    }
    mark(r, field);
}

static bool is_program(const struct sdg_rerun *r, enum sdg_program p)
{
    return r->settings->program == p;
}

/* ---- one option a field ---- */

static void plain_fields(struct sdg_rerun *r, unsigned takes)
{
    static const struct {
        enum sdg_field field;
        const char *option;
        unsigned needs; /* what the sampler must take, else the value had no effect either */
    } rows[] = {
        {SDG_FIELD_CFG_SCALE, "cfg-scale", 0},
        {SDG_FIELD_WIDTH, "width", 0},
        {SDG_FIELD_HEIGHT, "height", 0},
        {SDG_FIELD_SCHEDULE_MIN, "sigma-min", 0},
        {SDG_FIELD_SCHEDULE_MAX, "sigma-max", 0},
        {SDG_FIELD_SCHEDULE_RHO, "rho", 0},
        {SDG_FIELD_ENSD, "ensd", 0},
        {SDG_FIELD_ETA, "eta", SDG_TAKES_ETA},
        {SDG_FIELD_ETA_DDIM, "eta", SDG_TAKES_ETA},
        {SDG_FIELD_S_CHURN, "s-churn", SDG_TAKES_CHURN},
        {SDG_FIELD_S_TMIN, "s-tmin", SDG_TAKES_CHURN},
        {SDG_FIELD_S_TMAX, "s-tmax", SDG_TAKES_CHURN},
        {SDG_FIELD_S_NOISE, "s-noise", SDG_TAKES_S_NOISE},
        {SDG_FIELD_MIDPOINT, "r", SDG_TAKES_R},
        {SDG_FIELD_ORDER, "solver-order", SDG_TAKES_ORDER},
        {SDG_FIELD_UNIPC_ORDER, "solver-order", SDG_TAKES_ORDER},
        {SDG_FIELD_SKIP_EARLY, "skip-early-cfg", 0},
        {SDG_FIELD_NGMS, "s-min-uncond", 0},
        {SDG_FIELD_CFG_RESCALE, "cfg-rescale", 0},
        {SDG_FIELD_GUIDANCE_START, "guidance-start", 0},
        {SDG_FIELD_GUIDANCE_END, "guidance-end", 0},
        {SDG_FIELD_PREDICTION, "prediction", 0},
        {SDG_FIELD_SPACING, "timestep-spacing", 0},
        {SDG_FIELD_GITS_COEFFICIENT, "gits-coefficient", 0},
        {SDG_FIELD_LANGUAGE, "prompt-language", 0},
        {SDG_FIELD_IMAGE_CFG, "image-cfg-scale", 0},
        {SDG_FIELD_REFINER_SWITCH, "refiner-switch", 0},
        {SDG_FIELD_CROP_LEFT, "crop-left", 0},
        {SDG_FIELD_CROP_TOP, "crop-top", 0},
        {SDG_FIELD_AESTHETIC, "aesthetic-score", 0},
        {SDG_FIELD_NEGATIVE_AESTHETIC, "negative-aesthetic-score", 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *value = value_of(r, rows[i].field);
        const bool number = value && strspn(value, "0123456789.eE+-") == strlen(value);
        if (!value || (sdg_field_is_number(rows[i].field) && !number)) continue; /* reported */
        if ((takes & rows[i].needs) == rows[i].needs)
            add_field(r, rows[i].field, rows[i].option);
        else
            mark(r, rows[i].field);
    }
    add_flag(r, SDG_FIELD_OLD_EDITING, "old-prompt-editing", "True");
    add_flag(r, SDG_FIELD_DISCARD_PENULTIMATE, "discard-penultimate", "True");
    add_flag(r, SDG_FIELD_NGMS_ALL_STEPS, "s-min-uncond-all", "True");
    add_flag(r, SDG_FIELD_NOISE_SCHEDULE, "zero-terminal-snr", "Zero Terminal SNR");
}

/* ---- prompts, program, text encoder ---- */

static void prompts(struct sdg_rerun *r)
{
    const char *negative = value_of(r, SDG_FIELD_NEGATIVE);
    if (!sdg_rerun_given(r, "prompt-file"))
        add_field(r, SDG_FIELD_PROMPT, "prompt");
    else
        mark(r, SDG_FIELD_PROMPT);
    const char *empty = value_of(r, SDG_FIELD_EMPTY_NEGATIVE);
    if (empty && strcmp(empty, "True") == 0) {
        add(r, "negative-prompt", "");
        mark(r, SDG_FIELD_EMPTY_NEGATIVE);
    }
    if (negative && negative[0])
        add_field(r, SDG_FIELD_NEGATIVE, "negative-prompt");
    else
        mark(r, SDG_FIELD_NEGATIVE);
}

/* Whose habits: the program's own, or those of the one it is built on. */
static const char *program_like(const struct sdg_rerun *r)
{
    switch (r->settings->program) {
    case SDG_PROGRAM_COMFYUI:
    case SDG_PROGRAM_SWARMUI:
    case SDG_PROGRAM_FOOOCUS: return "comfyui";
    case SDG_PROGRAM_INVOKEAI: return "diffusers";
    case SDG_PROGRAM_SDCPP: return "sd.cpp";
    default: return value_of(r, SDG_FIELD_LIKE);
    }
}

/* A1111's count of layers, from 1, as the followed program counts. */
static void clip_skip(struct sdg_rerun *r, const char *like)
{
    const struct sdg_convention *c;
    sdgen_error error;
    char text[32], *end;
    const char *value = value_of(r, SDG_FIELD_CLIP_SKIP);
    if (!value) return;
    const long layers = strtol(value, &end, 10);
    if (*end || layers > 100 || sdg_convention_find(&c, like, &error) != SDGEN_OK) return;
    mark(r, SDG_FIELD_CLIP_SKIP);
    if (layers < 1) return; /* stable-diffusion.cpp's -1: nobody chose */
    snprintf(text, sizeof text, "%ld", layers - 1 + c->clip_skip_first);
    add(r, "clip-skip", text);
}

static void emphasis(struct sdg_rerun *r)
{
    static const char *const modes[][2] = {
        {"Original", "original"}, {"No norm", "no-norm"}, {"Ignore", "ignore"}, {"None", "none"}};
    const char *value = value_of(r, SDG_FIELD_EMPHASIS),
               *language = value_of(r, SDG_FIELD_LANGUAGE);
    const bool plain = language && strcmp(language, "plain") == 0; /* says it already */
    for (size_t i = 0; value && i < sizeof modes / sizeof modes[0]; i++) {
        if (strcmp(value, modes[i][0]) != 0) continue;
        if (!plain) add(r, "emphasis", modes[i][1]);
        mark(r, SDG_FIELD_EMPHASIS);
    }
}

static void rng(struct sdg_rerun *r)
{
    static const char *const names[][2] = {
        {"NV", "cuda"}, {"GPU", "cuda"}, {"cuda", "cuda"}, {"CPU", "cpu"}, {"cpu", "cpu"}};
    const char *value = value_of(r, SDG_FIELD_RNG);
    for (size_t i = 0; value && i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(value, names[i][0]) != 0) continue;
        add(r, "rng", names[i][1]);
        mark(r, SDG_FIELD_RNG);
    }
}

static void whose(struct sdg_rerun *r)
{
    const char *like = program_like(r);
    if (like) add(r, "like", like);
    mark(r, SDG_FIELD_LIKE);
    if (is_program(r, SDG_PROGRAM_INVOKEAI)) add(r, "prompt-language", "compel");
    clip_skip(r, like);
    emphasis(r);
    rng(r);
}

/* ---- sampler and schedule ---- */

static unsigned sampler(struct sdg_rerun *r)
{
    const struct sdg_sampler *s = NULL;
    sdgen_error error;
    const char *value = value_of(r, SDG_FIELD_SAMPLER), *variant;
    variant = value_of(r, SDG_FIELD_UNIPC_VARIANT);
    if (variant && strcmp(variant, "bh2") == 0) value = "unipc_bh2";
    if (variant && (strcmp(variant, "bh1") == 0 || strcmp(variant, "bh2") == 0))
        mark(r, SDG_FIELD_UNIPC_VARIANT);
    if (!value) return ~0U;
    add(r, "sampling-method", value);
    mark(r, SDG_FIELD_SAMPLER);
    return sdg_sampler_find(&s, NULL, value, &error) == SDGEN_OK ? s->takes : ~0U;
}

/* The first list of numbers, commas between them. */
static void add_list(struct sdg_rerun *r, enum sdg_field field, const char *option)
{
    const char *value = value_of(r, field);
    char *copy = value ? strdup(value) : NULL;
    for (char *c = copy; c && *c; c++)
        if (*c == ' ') *c = ',';
    if (copy) {
        add(r, option, copy);
        mark(r, field);
    }
    free(copy);
}

static void schedule(struct sdg_rerun *r)
{
    const char *value = value_of(r, SDG_FIELD_SCHEDULE);
    const bool list = value_of(r, SDG_FIELD_SIGMAS) || value_of(r, SDG_FIELD_TIMESTEPS);
    const bool other = sdg_rerun_given(r, "sigmas") || sdg_rerun_given(r, "timesteps");
    const bool steps = sdg_rerun_given(r, "steps") || sdg_rerun_given(r, "scheduler");
    if (list && !other && !steps) {
        add_list(r, SDG_FIELD_SIGMAS, "sigmas");
        add_list(r, SDG_FIELD_TIMESTEPS, "timesteps");
    }
    if (!list && !other) {
        add_field(r, SDG_FIELD_STEPS, "steps");
        if (value && strcasecmp(value, "Automatic") != 0) add(r, "scheduler", value);
    }
    mark(r, SDG_FIELD_STEPS);
    mark(r, SDG_FIELD_SCHEDULE);
    mark(r, SDG_FIELD_SIGMAS); /* the user's own steps or schedule stand in for the list */
    mark(r, SDG_FIELD_TIMESTEPS);
}

static void lower_order(struct sdg_rerun *r, enum sdg_field field)
{
    const char *value = value_of(r, field);
    if (!value) return;
    if (strcmp(value, "False") == 0) add(r, "lower-order-final", "off");
    mark(r, field);
}

static void solver(struct sdg_rerun *r)
{
    const char *skip_type = value_of(r, SDG_FIELD_UNIPC_SKIP_TYPE);
    if (skip_type && strcmp(skip_type, "time_uniform") == 0) mark(r, SDG_FIELD_UNIPC_SKIP_TYPE);
    lower_order(r, SDG_FIELD_LOWER_ORDER_FINAL);
    lower_order(r, SDG_FIELD_UNIPC_LOWER_ORDER_FINAL);
}

/* ---- noise ---- */

/* Two fields, one option: "512x768". False where they are not there. */
static bool add_size(struct sdg_rerun *r, enum sdg_field width, enum sdg_field height,
                     const char *option)
{
    char size[64];
    const char *w = value_of(r, width), *h = value_of(r, height);
    if (!w || !h) return false;
    snprintf(size, sizeof size, "%.20sx%.20s", w, h);
    add(r, option, size);
    mark(r, width);
    mark(r, height);
    return true;
}

static void variation(struct sdg_rerun *r)
{
    const char *strength = value_of(r, SDG_FIELD_SUBSEED_STRENGTH);
    if (strength && strtod(strength, NULL) > 0) {
        add_field(r, SDG_FIELD_SUBSEED, "variation-seed");
        add_field(r, SDG_FIELD_SUBSEED_STRENGTH, "variation-strength");
    } else if (strength) {
        mark(r, SDG_FIELD_SUBSEED);
        mark(r, SDG_FIELD_SUBSEED_STRENGTH);
    }
    add_size(r, SDG_FIELD_RESIZE_WIDTH, SDG_FIELD_RESIZE_HEIGHT, "seed-resize");
}

/* The pictures that a model read are not in the picture: the user gives them again. */
static void pictures(struct sdg_rerun *r)
{
    const char *value = value_of(r, SDG_FIELD_PICTURES);
    if (!value) return;
    const bool image = !strstr(value, "image") || sdg_rerun_given(r, "init-img");
    const bool mask = !strstr(value, "mask") || sdg_rerun_given(r, "mask");
    const bool depth = !strstr(value, "depth") || sdg_rerun_given(r, "depth");
    if (image && mask && depth) mark(r, SDG_FIELD_PICTURES);
}

static void sizes(struct sdg_rerun *r)
{
    add_size(r, SDG_FIELD_ORIGINAL_WIDTH, SDG_FIELD_ORIGINAL_HEIGHT, "original-size");
    add_size(r, SDG_FIELD_TARGET_WIDTH, SDG_FIELD_TARGET_HEIGHT, "target-size");
    if (!add_size(r, SDG_FIELD_TILE_WIDTH, SDG_FIELD_TILE_HEIGHT, "vae-tile-size")) return;
    if (!sdg_rerun_given(r, "vae-tiling")) sdg_words_add(&r->words, "--vae-tiling");
    add_field(r, SDG_FIELD_TILE_OVERLAP, "vae-tile-overlap");
}

/* ComfyUI's seeds have 64 bits, those of `generate` 63. torch's CPU generator looks at the lowest
 * 32 alone (aten/src/ATen/core/MT19937RNGEngine.h), so the highest may go; but a Brownian tree uses
 * all of them. NULL when there is no seed. */
static const char *small_seed(char text[32], const struct sdg_rerun *r)
{
    const char *value = value_of(r, SDG_FIELD_SEED), *sampler_name = value_of(r, SDG_FIELD_SAMPLER);
    const struct sdg_sampler *s = NULL;
    sdgen_error error;
    char *end;
    errno = 0;
    const unsigned long long whole = value ? strtoull(value, &end, 10) : 0;
    if (!value || value[0] == '-' || *end || errno || whole <= INT64_MAX) return value;
    const bool found = sampler_name && sdg_sampler_find(&s, NULL, sampler_name, &error) == SDGEN_OK;
    if (!is_program(r, SDG_PROGRAM_COMFYUI) || (found && s->way[SDG_LIKE_COMFYUI].brownian))
        return value; /* refused by generate */
    snprintf(text, 32, "%llu", whole & INT64_MAX);
    return text;
}

/* Noise that a whole batch drew from one stream can only be drawn by a whole batch, whose pictures
 * have one seed. A1111's batches leave no trace in a picture. */
static void seed(struct sdg_rerun *r)
{
    char small[32];
    const char *value = small_seed(small, r), *size = value_of(r, SDG_FIELD_BATCH_SIZE);
    const char *pos = value_of(r, SDG_FIELD_BATCH_POS);
    const bool joint = value_of(r, SDG_FIELD_BATCH_NOISE) || is_program(r, SDG_PROGRAM_COMFYUI);
    if (value) add(r, "seed", value);
    mark(r, SDG_FIELD_SEED);
    if (joint && size) {
        add(r, "batch-noise", "joint");
        add(r, "batch-size", size);
        add(r, "batch-count", size);
        if (pos) /* counted from 0, and a stranger's number */
            sdg_say("draws the whole batch of %s: this picture is number %.0f of it", size,
                    strtod(pos, NULL) + 1);
        else
            sdg_say("draws the whole batch of %s: this picture is one of it", size);
    }
    mark(r, SDG_FIELD_BATCH_NOISE);
    mark(r, SDG_FIELD_BATCH_SIZE);
    mark(r, SDG_FIELD_BATCH_POS);
}

void sdg_rerun_words(struct sdg_rerun *r)
{
    prompts(r);
    whose(r);
    const unsigned takes = sampler(r);
    schedule(r);
    solver(r);
    plain_fields(r, takes);
    seed(r);
    variation(r);
    sizes(r);
    pictures(r);
    add_flag(r, SDG_FIELD_EMA, "ema", "True");
}

/* ---- what is left ---- */

/* Names that say nothing about the pixels, or nothing for a picture drawn from text alone. value
 * NULL: whatever it is. */
static bool says_nothing(const struct sdg_setting *item)
{
    static const struct {
        const char *name, *value;
    } rows[] = {
        {"User", NULL},
        {"App", NULL},
        {"Hashes", NULL},
        {"schema", NULL},
        {"mode", "img_gen"},
        {"generator.name", NULL},
        {"generator.commit", NULL},
        {"strength", NULL},
        {"Guidance", NULL},
        {"sampling.guidance.distilled_guidance", NULL},
        {"sampling.guidance.img_cfg", NULL},
        {"sampling.guidance.slg.scale", "0"},
        {"sampling.guidance.slg.start", NULL},
        {"sampling.guidance.slg.end", NULL},
        {"app_id", NULL},
        {"generation_mode", "txt2img"},
        {"model.key", NULL},
        {"model.base", NULL},
        {"model.type", NULL},
        {"model.base_model", NULL},
        {"model.model_type", NULL},
        {"vae.key", NULL},
        {"vae.base", NULL},
        {"vae.type", NULL},
        {"model", "stable diffusion"},
        {"image.type", "txt2img"},
        {"image.prompt[0].weight", "1"},
        {"image.threshold", "0"},
        {"image.perlin", "0"},
        {"image.seamless", "False"},
        {"image.hires_fix", "False"},
        {"n_samples", "1"},
        {"signed_hash", NULL},
        {"request_type", NULL},
        {"seamless_x", "False"},
        {"seamless_y", "False"},
        {"metadata_scheme", NULL},
        {"sui_image_params.aspectratio", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (strcmp(item->name, rows[i].name) == 0 &&
            (!rows[i].value || strcmp(item->value, rows[i].value) == 0))
            return true;
    return item->field == SDG_FIELD_VERSION;
}

void sdg_rerun_report(const struct sdg_rerun *r)
{
    for (size_t i = 0; i < r->settings->count; i++) {
        const struct sdg_setting *item = &r->settings->items[i];
        const char *rest = strlen(item->value) > SHOWN ? "..." : "";
        if (r->used[i] || says_nothing(item)) continue;
        sdg_say("not honoured: %s: %.*s%s%s", item->name, SHOWN, item->value, rest,
                item->implied ? " (meant by the program's version)" : "");
    }
}
