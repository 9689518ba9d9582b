/* foreign_flat.c - programs that write one JSON object of plain values: NovelAI, Fooocus, SwarmUI.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "image/foreign_json.h"
#include "image/foreign_readers.h"

static sdgen_status put_implied(struct sdg_settings *s, enum sdg_field field, const char *value,
                                sdgen_error *err)
{
    if (s->at[field]) return SDGEN_OK;
    const sdgen_status status = sdg_settings_put(s, field, NULL, value, strlen(value), err);
    if (status == SDGEN_OK) s->items[s->count - 1].implied = true;
    return status;
}

/* ---- NovelAI ---- */

/* Text "Comment", with the prompt in "Description" too. Clip skip 2 and ENSD 31337 are what A1111
 * takes such a picture to mean (modules/images.py read_info_from_image). */
sdgen_status sdg_read_novelai(struct sdg_settings *s, const struct sdg_imagetext *t,
                              sdgen_error *err)
{
    static const struct sdg_foreign_key keys[] = {
        {"prompt", SDG_FIELD_PROMPT},   {"uc", SDG_FIELD_NEGATIVE},
        {"steps", SDG_FIELD_STEPS},     {"sampler", SDG_FIELD_SAMPLER},
        {"scale", SDG_FIELD_CFG_SCALE}, {"cfg_rescale", SDG_FIELD_CFG_RESCALE},
        {"seed", SDG_FIELD_SEED},       {"width", SDG_FIELD_WIDTH},
        {"height", SDG_FIELD_HEIGHT},   {"noise_schedule", SDG_FIELD_SCHEDULE},
    };
    sdgen_status status;
    cJSON *json = NULL;
    char number[SDG_NUMBER_SIZE];
    const char *description = sdg_imagetext_find(t, "Description");
    const char *source = sdg_imagetext_find(t, "Source");
    s->program = SDG_PROGRAM_NOVELAI;
    if (description)
        SDG_TRY(sdg_settings_put(s, SDG_FIELD_PROMPT, "Description", description,
                                 strlen(description), err));
    SDG_TRY(sdg_foreign_open(&json, sdg_imagetext_find(t, "Comment"), "NovelAI's Comment", err));
    SDG_TRY(sdg_foreign_take(s, json, keys, sizeof keys / sizeof keys[0], err));
    const char *schedule = sdg_settings_value(s, SDG_FIELD_SCHEDULE);
    if (schedule && strcmp(schedule, "native") == 0)
        SDG_TRY(sdg_settings_put(s, SDG_FIELD_SCHEDULE, "noise_schedule", "Automatic", 9, err));
    if (source)
        SDG_TRY(sdg_settings_put(s, SDG_FIELD_VERSION, "Source", source, strlen(source), err));
    snprintf(number, sizeof number, "%u", (unsigned)t->width);
    if (t->width) SDG_TRY(put_implied(s, SDG_FIELD_WIDTH, number, err));
    snprintf(number, sizeof number, "%u", (unsigned)t->height);
    if (t->height) SDG_TRY(put_implied(s, SDG_FIELD_HEIGHT, number, err));
    SDG_TRY(put_implied(s, SDG_FIELD_CLIP_SKIP, "2", err));
    SDG_TRY(put_implied(s, SDG_FIELD_ENSD, "31337", err));
fail:
    cJSON_Delete(json);
    return status;
}

/* ---- Fooocus ---- */

/* "(1152, 896)" */
static sdgen_status split_resolution(struct sdg_settings *s, cJSON *json, sdgen_error *err)
{
    sdgen_status status = SDGEN_OK;
    cJSON *item = sdg_foreign_detach(json, "resolution");
    unsigned width, height;
    char text[SDG_NUMBER_SIZE];
    if (!cJSON_IsString(item) || sscanf(item->valuestring, "(%6u, %6u)", &width, &height) != 2) {
        if (item) SDG_TRY(sdg_foreign_put(s, SDG_FIELD_OTHER, "resolution", item, err));
        goto fail;
    }
    snprintf(text, sizeof text, "%u", width);
    SDG_TRY(sdg_settings_put(s, SDG_FIELD_WIDTH, "resolution", text, strlen(text), err));
    snprintf(text, sizeof text, "%u", height);
    SDG_TRY(sdg_settings_put(s, SDG_FIELD_HEIGHT, "resolution", text, strlen(text), err));
fail:
    cJSON_Delete(item);
    return status;
}

/* modules/meta_parser.py FooocusMetadataParser */
sdgen_status sdg_read_fooocus(struct sdg_settings *s, const char *text, sdgen_error *err)
{
    static const struct sdg_foreign_key keys[] = {
        {"prompt", SDG_FIELD_PROMPT},
        {"negative_prompt", SDG_FIELD_NEGATIVE},
        {"steps", SDG_FIELD_STEPS},
        {"guidance_scale", SDG_FIELD_CFG_SCALE},
        {"seed", SDG_FIELD_SEED},
        {"sampler", SDG_FIELD_SAMPLER},
        {"scheduler", SDG_FIELD_SCHEDULE},
        {"base_model", SDG_FIELD_MODEL},
        {"base_model_hash", SDG_FIELD_MODEL_HASH},
        {"vae", SDG_FIELD_VAE},
        {"clip_skip", SDG_FIELD_CLIP_SKIP},
        {"version", SDG_FIELD_VERSION},
        {"width", SDG_FIELD_WIDTH},
        {"height", SDG_FIELD_HEIGHT},
    };
    sdgen_status status;
    cJSON *json = NULL;
    s->program = SDG_PROGRAM_FOOOCUS;
    SDG_TRY(sdg_foreign_open(&json, text, "Fooocus' parameters", err));
    SDG_TRY(split_resolution(s, json, err));
    SDG_TRY(sdg_foreign_take(s, json, keys, sizeof keys / sizeof keys[0], err));
fail:
    cJSON_Delete(json);
    return status;
}

/* ---- SwarmUI ---- */

/* src/Text2Image/T2IParamInput.cs; its backend is ComfyUI, which counts layers from the end. */
sdgen_status sdg_read_swarmui(struct sdg_settings *s, const char *text, sdgen_error *err)
{
#define P "sui_image_params."
    static const struct sdg_foreign_key keys[] = {
        {P "prompt", SDG_FIELD_PROMPT},
        {P "negativeprompt", SDG_FIELD_NEGATIVE},
        {P "steps", SDG_FIELD_STEPS},
        {P "cfgscale", SDG_FIELD_CFG_SCALE},
        {P "seed", SDG_FIELD_SEED},
        {P "width", SDG_FIELD_WIDTH},
        {P "height", SDG_FIELD_HEIGHT},
        {P "sampler", SDG_FIELD_SAMPLER},
        {P "comfyuisampler", SDG_FIELD_SAMPLER},
        {P "scheduler", SDG_FIELD_SCHEDULE},
        {P "comfyuischeduler", SDG_FIELD_SCHEDULE},
        {P "model", SDG_FIELD_MODEL},
        {P "vae", SDG_FIELD_VAE},
        {P "clipstopatlayer", SDG_FIELD_CLIP_SKIP},
        {P "swarm_version", SDG_FIELD_VERSION},
    };
#undef P
    sdgen_status status;
    cJSON *json = NULL;
    char count[SDG_NUMBER_SIZE];
    s->program = SDG_PROGRAM_SWARMUI;
    SDG_TRY(sdg_foreign_open(&json, text, "SwarmUI's parameters", err));
    SDG_TRY(sdg_foreign_take(s, json, keys, sizeof keys / sizeof keys[0], err));
    const char *skip = sdg_settings_value(s, SDG_FIELD_CLIP_SKIP);
    snprintf(count, sizeof count, "%s", skip && skip[0] == '-' ? skip + 1 : "");
    if (count[0])
        SDG_TRY(sdg_settings_put(s, SDG_FIELD_CLIP_SKIP, "sui_image_params.clipstopatlayer", count,
                                 strlen(count), err));
fail:
    cJSON_Delete(json);
    return status;
}
