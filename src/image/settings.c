/* settings.c - see settings.h. Names of fields: AUTOMATIC1111 stable-diffusion-webui 1.10
 * (modules/processing.py create_infotext, infotext_utils.py, sd_samplers_*.py); the last block is
 * our own (infotext.c). */
#define _GNU_SOURCE
#include "image/settings.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const program_names[SDG_PROGRAM_COUNT] = {
    [SDG_PROGRAM_UNKNOWN] = "unknown",   [SDG_PROGRAM_SDGEN] = "sdgen",
    [SDG_PROGRAM_A1111] = "A1111",       [SDG_PROGRAM_FORGE] = "Forge",
    [SDG_PROGRAM_SDNEXT] = "SD.Next",    [SDG_PROGRAM_COMFYUI] = "ComfyUI",
    [SDG_PROGRAM_INVOKEAI] = "InvokeAI", [SDG_PROGRAM_SDCPP] = "stable-diffusion.cpp",
    [SDG_PROGRAM_NOVELAI] = "NovelAI",   [SDG_PROGRAM_FOOOCUS] = "Fooocus",
    [SDG_PROGRAM_SWARMUI] = "SwarmUI",
};

const char *sdg_program_name(enum sdg_program p)
{
    return program_names[p];
}

static const struct {
    const char *name;
    bool number;
} fields[SDG_FIELD_COUNT] = {
    [SDG_FIELD_OTHER] = {"", false},
    [SDG_FIELD_PROMPT] = {"Prompt", false},
    [SDG_FIELD_NEGATIVE] = {"Negative prompt", false},
    [SDG_FIELD_STEPS] = {"Steps", true},
    [SDG_FIELD_SAMPLER] = {"Sampler", false},
    [SDG_FIELD_SCHEDULE] = {"Schedule type", false},
    [SDG_FIELD_CFG_SCALE] = {"CFG scale", true},
    [SDG_FIELD_SEED] = {"Seed", true},
    [SDG_FIELD_WIDTH] = {"Size-1", true},
    [SDG_FIELD_HEIGHT] = {"Size-2", true},
    [SDG_FIELD_MODEL_HASH] = {"Model hash", false},
    [SDG_FIELD_MODEL] = {"Model", false},
    [SDG_FIELD_VAE_HASH] = {"VAE hash", false},
    [SDG_FIELD_VAE] = {"VAE", false},
    [SDG_FIELD_SUBSEED] = {"Variation seed", true},
    [SDG_FIELD_SUBSEED_STRENGTH] = {"Variation seed strength", true},
    [SDG_FIELD_RESIZE_WIDTH] = {"Seed resize from-1", true},
    [SDG_FIELD_RESIZE_HEIGHT] = {"Seed resize from-2", true},
    [SDG_FIELD_CLIP_SKIP] = {"Clip skip", true},
    [SDG_FIELD_ENSD] = {"ENSD", true},
    [SDG_FIELD_RNG] = {"RNG", false},
    [SDG_FIELD_EMPHASIS] = {"Emphasis", false},
    [SDG_FIELD_OLD_EDITING] = {"Old prompt editing timelines", false},
    [SDG_FIELD_NOISE_SCHEDULE] = {"Noise Schedule", false},
    [SDG_FIELD_DISCARD_PENULTIMATE] = {"Discard penultimate sigma", false},
    [SDG_FIELD_SCHEDULE_MIN] = {"Schedule min sigma", true},
    [SDG_FIELD_SCHEDULE_MAX] = {"Schedule max sigma", true},
    [SDG_FIELD_SCHEDULE_RHO] = {"Schedule rho", true},
    [SDG_FIELD_ETA] = {"Eta", true},
    [SDG_FIELD_ETA_DDIM] = {"Eta DDIM", true},
    [SDG_FIELD_S_CHURN] = {"Sigma churn", true},
    [SDG_FIELD_S_TMIN] = {"Sigma tmin", true},
    [SDG_FIELD_S_TMAX] = {"Sigma tmax", true},
    [SDG_FIELD_S_NOISE] = {"Sigma noise", true},
    [SDG_FIELD_UNIPC_VARIANT] = {"UniPC variant", false},
    [SDG_FIELD_UNIPC_SKIP_TYPE] = {"UniPC skip type", false},
    [SDG_FIELD_UNIPC_ORDER] = {"UniPC order", true},
    [SDG_FIELD_UNIPC_LOWER_ORDER_FINAL] = {"UniPC lower order final", false},
    [SDG_FIELD_SKIP_EARLY] = {"Skip Early CFG", true},
    [SDG_FIELD_NGMS] = {"NGMS", true},
    [SDG_FIELD_NGMS_ALL_STEPS] = {"NGMS all steps", false},
    [SDG_FIELD_IMAGE_CFG] = {"Image CFG scale", true},
    [SDG_FIELD_REFINER] = {"Refiner", false},
    [SDG_FIELD_REFINER_SWITCH] = {"Refiner switch at", true},
    [SDG_FIELD_BATCH_SIZE] = {"Batch size", true},
    [SDG_FIELD_BATCH_POS] = {"Batch pos", true},
    [SDG_FIELD_VERSION] = {"Version", false},
    /* Our own. */
    [SDG_FIELD_SOLVER_VARIANT] = {"Solver variant", false},
    [SDG_FIELD_ORDER] = {"Solver order", true},
    [SDG_FIELD_LOWER_ORDER_FINAL] = {"Lower order final", false},
    [SDG_FIELD_MIDPOINT] = {"Midpoint", true},
    [SDG_FIELD_CFG_RESCALE] = {"CFG rescale", true},
    [SDG_FIELD_GUIDANCE_START] = {"Guidance start", true},
    [SDG_FIELD_GUIDANCE_END] = {"Guidance end", true},
    [SDG_FIELD_LIKE] = {"Like", false},
    [SDG_FIELD_LANGUAGE] = {"Prompt language", false},
    [SDG_FIELD_PREDICTION] = {"Prediction", false},
    [SDG_FIELD_SPACING] = {"Timestep spacing", false},
    [SDG_FIELD_GITS_COEFFICIENT] = {"GITS coefficient", true},
    [SDG_FIELD_SIGMAS] = {"Sigmas", false},
    [SDG_FIELD_TIMESTEPS] = {"Timesteps", false},
    [SDG_FIELD_ORIGINAL_WIDTH] = {"Original size-1", true},
    [SDG_FIELD_ORIGINAL_HEIGHT] = {"Original size-2", true},
    [SDG_FIELD_CROP_LEFT] = {"Crop left", true},
    [SDG_FIELD_CROP_TOP] = {"Crop top", true},
    [SDG_FIELD_TARGET_WIDTH] = {"Target size-1", true},
    [SDG_FIELD_TARGET_HEIGHT] = {"Target size-2", true},
    [SDG_FIELD_AESTHETIC] = {"Aesthetic score", true},
    [SDG_FIELD_NEGATIVE_AESTHETIC] = {"Negative aesthetic score", true},
    [SDG_FIELD_TILE_WIDTH] = {"VAE tile size-1", true},
    [SDG_FIELD_TILE_HEIGHT] = {"VAE tile size-2", true},
    [SDG_FIELD_TILE_OVERLAP] = {"VAE tile overlap", true},
    [SDG_FIELD_UNET] = {"UNet", false},
    [SDG_FIELD_CLIP_L] = {"CLIP-L", false},
    [SDG_FIELD_CLIP_G] = {"CLIP-G", false},
    [SDG_FIELD_TAESD] = {"TAESD", false},
    [SDG_FIELD_EMA] = {"EMA", false},
    [SDG_FIELD_EMPTY_NEGATIVE] = {"Empty negative prompt", false},
    [SDG_FIELD_PICTURES] = {"Pictures", false}, /* "image mask" */
    [SDG_FIELD_BATCH_NOISE] = {"Batch noise", false},
};

const char *sdg_field_name(enum sdg_field field)
{
    return fields[field].name;
}

enum sdg_field sdg_field_find(const char *name)
{
    for (int i = SDG_FIELD_OTHER + 1; i < SDG_FIELD_COUNT; i++)
        if (strcmp(fields[i].name, name) == 0) return (enum sdg_field)i;
    return SDG_FIELD_OTHER;
}

bool sdg_field_is_number(enum sdg_field field)
{
    return fields[field].number;
}

void sdg_settings_free(struct sdg_settings *s)
{
    for (size_t i = 0; i < s->count; i++) {
        free(s->items[i].name);
        free(s->items[i].value);
    }
    free(s->items);
    *s = (struct sdg_settings) {0};
}

/* Room for one more item; its memory is zero. */
static sdgen_status grow(struct sdg_settings *s, sdgen_error *err)
{
    if (s->count == SDG_SETTINGS_MAX)
        return sdg_fail(err, SDGEN_ERR_FORMAT, "the picture's text has more than %d values",
                        SDG_SETTINGS_MAX);
    if (s->count == s->capacity) {
        const size_t capacity = s->capacity ? 2 * s->capacity : 32;
        struct sdg_setting *items = realloc(s->items, capacity * sizeof *items);
        if (!items) return sdg_fail(err, SDGEN_ERR_MEMORY, "out of memory for a picture's text");
        s->items = items;
        s->capacity = capacity;
    }
    s->items[s->count] = (struct sdg_setting) {0};
    return SDGEN_OK;
}

sdgen_status sdg_settings_put(struct sdg_settings *s, enum sdg_field field, const char *name,
                              const char *value, size_t length, sdgen_error *err)
{
    sdgen_status status = SDGEN_OK;
    char *own_name = strdup(name ? name : fields[field].name), *own_value = strndup(value, length);
    if (!own_name || !own_value) {
        status = sdg_fail(err, SDGEN_ERR_MEMORY, "out of memory for a picture's text");
        goto fail;
    }
    struct sdg_setting *item;
    if (field != SDG_FIELD_OTHER && s->at[field]) {
        item = &s->items[s->at[field] - 1];
        free(item->name);
        free(item->value);
    } else {
        SDG_TRY(grow(s, err));
        item = &s->items[s->count++];
        s->at[field] = s->count;
    }
    *item = (struct sdg_setting) {.field = field, .name = own_name, .value = own_value};
    return SDGEN_OK;
fail:
    free(own_name);
    free(own_value);
    return status;
}

const char *sdg_settings_value(const struct sdg_settings *s, enum sdg_field field)
{
    return s->at[field] ? s->items[s->at[field] - 1].value : NULL;
}

void sdg_number_text(char text[SDG_NUMBER_SIZE], double x)
{
    int digits = 1;
    if (x == floor(x) && fabs(x) < 1e15) {
        snprintf(text, SDG_NUMBER_SIZE, "%.0f", x);
        return;
    }
    do {
        snprintf(text, SDG_NUMBER_SIZE, "%.*g", digits, x);
    } while (strtod(text, NULL) != x && ++digits <= 17);
}

bool sdg_is_space(uint32_t c)
{
    return (c >= 9 && c <= 13) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 ||
           c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 ||
           c == 0x202F || c == 0x205F || c == 0x3000;
}
