/* foreign_invokeai.c - InvokeAI, in the three ways it has written pictures:
 *   "invokeai_metadata"  version 3 and later (invokeai/app/invocations/metadata.py)
 *   "sd-metadata"        version 2: the values under "image", negative prompts in [brackets]
 *   "Dream"              version 1: the command line, "prompt [negative]" -s 50 -S 42 -W 512 ... */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "image/foreign_json.h"
#include "image/foreign_readers.h"

/* ---- what all share ---- */

/* "dpmpp_2m_k" is dpmpp_2m on Karras levels. */
static sdgen_status split_scheduler(struct sdg_settings *s, sdgen_error *err)
{
    const char *value = sdg_settings_value(s, SDG_FIELD_SAMPLER);
    const size_t length = value ? strlen(value) : 0;
    char name[64];
    if (length < 3 || length >= sizeof name || strcmp(value + length - 2, "_k") != 0)
        return SDGEN_OK;
    snprintf(name, sizeof name, "%s", value);
    const sdgen_status status =
        sdg_settings_put(s, SDG_FIELD_SAMPLER, "scheduler", name, length - 2, err);
    return status == SDGEN_OK
               ? sdg_settings_put(s, SDG_FIELD_SCHEDULE, "scheduler", "karras", 6, err)
               : status;
}

/* Counted from the last layer: InvokeAI's 1 is A1111's 2. */
static sdgen_status count_clip_skip(struct sdg_settings *s, sdgen_error *err)
{
    const char *value = sdg_settings_value(s, SDG_FIELD_CLIP_SKIP);
    char *end, text[SDG_NUMBER_SIZE];
    const double skipped = value ? strtod(value, &end) : 0;
    if (!value || end == value || *end) return SDGEN_OK;
    sdg_number_text(text, skipped + 1);
    return sdg_settings_put(s, SDG_FIELD_CLIP_SKIP, "clip_skip", text, strlen(text), err);
}

/* The parts of text[length] outside of [brackets], or inside, joined by ", "; brackets within
 * brackets end the outer one. Free it. */
static char *bracketed(const char *text, size_t length, bool inside)
{
    char *out = malloc(2 * length + 1);
    size_t used = 0;
    bool in = false, fresh = true; /* fresh: nothing of this part has been copied */
    for (size_t i = 0; out && i < length; i++) {
        const bool close_now = text[i] == ']' && in;
        if (text[i] == '[' || close_now) {
            in = !close_now;
            fresh = true;
            continue;
        }
        if (in != inside || (fresh && strchr(" ,\n", text[i]))) continue;
        if (fresh && used) {
            out[used++] = ',';
            out[used++] = ' ';
        }
        fresh = false;
        out[used++] = text[i];
    }
    while (out && used && strchr(" ,\n", out[used - 1])) used--;
    if (out) out[used] = 0;
    return out;
}

static sdgen_status put_prompts(struct sdg_settings *s, const char *text, size_t length,
                                sdgen_error *err)
{
    sdgen_status status = SDGEN_OK;
    char *positive = bracketed(text, length, false), *negative = bracketed(text, length, true);
    if (!positive || !negative) {
        status = sdg_fail(err, SDGEN_ERR_MEMORY, "out of memory for a picture's text");
        goto fail;
    }
    SDG_TRY(sdg_settings_put(s, SDG_FIELD_PROMPT, NULL, positive, strlen(positive), err));
    SDG_TRY(sdg_settings_put(s, SDG_FIELD_NEGATIVE, NULL, negative, strlen(negative), err));
fail:
    free(positive);
    free(negative);
    return status;
}

/* ---- version 3 ---- */

sdgen_status sdg_read_invokeai(struct sdg_settings *s, const char *text, sdgen_error *err)
{
    static const struct sdg_foreign_key keys[] = {
        {"positive_prompt", SDG_FIELD_PROMPT},
        {"negative_prompt", SDG_FIELD_NEGATIVE},
        {"width", SDG_FIELD_WIDTH},
        {"height", SDG_FIELD_HEIGHT},
        {"seed", SDG_FIELD_SEED},
        {"rand_device", SDG_FIELD_RNG},
        {"cfg_scale", SDG_FIELD_CFG_SCALE},
        {"cfg_rescale_multiplier", SDG_FIELD_CFG_RESCALE},
        {"steps", SDG_FIELD_STEPS},
        {"scheduler", SDG_FIELD_SAMPLER},
        {"clip_skip", SDG_FIELD_CLIP_SKIP},
        {"model.model_name", SDG_FIELD_MODEL},
        {"model.name", SDG_FIELD_MODEL},
        {"model.hash", SDG_FIELD_MODEL_HASH},
        {"vae.model_name", SDG_FIELD_VAE},
        {"vae.name", SDG_FIELD_VAE},
        {"vae.hash", SDG_FIELD_VAE_HASH},
        {"app_version", SDG_FIELD_VERSION},
    };
    sdgen_status status;
    cJSON *json = NULL;
    s->program = SDG_PROGRAM_INVOKEAI;
    SDG_TRY(sdg_foreign_open(&json, text, "invokeai_metadata", err));
    SDG_TRY(sdg_foreign_take(s, json, keys, sizeof keys / sizeof keys[0], err));
    SDG_TRY(split_scheduler(s, err));
    SDG_TRY(count_clip_skip(s, err));
fail:
    cJSON_Delete(json);
    return status;
}

/* ---- version 2 ---- */

sdgen_status sdg_read_invokeai2(struct sdg_settings *s, const char *text, sdgen_error *err)
{
    static const struct sdg_foreign_key keys[] = {
        {"image.steps", SDG_FIELD_STEPS},   {"image.cfg_scale", SDG_FIELD_CFG_SCALE},
        {"image.width", SDG_FIELD_WIDTH},   {"image.height", SDG_FIELD_HEIGHT},
        {"image.seed", SDG_FIELD_SEED},     {"image.sampler", SDG_FIELD_SAMPLER},
        {"image.prompt", SDG_FIELD_PROMPT}, {"image.prompt[0].prompt", SDG_FIELD_PROMPT},
        {"model_weights", SDG_FIELD_MODEL}, {"model_hash", SDG_FIELD_MODEL_HASH},
        {"app_version", SDG_FIELD_VERSION},
    };
    sdgen_status status;
    cJSON *json = NULL;
    s->program = SDG_PROGRAM_INVOKEAI;
    SDG_TRY(sdg_foreign_open(&json, text, "sd-metadata", err));
    SDG_TRY(sdg_foreign_take(s, json, keys, sizeof keys / sizeof keys[0], err));
    const char *prompt = sdg_settings_value(s, SDG_FIELD_PROMPT);
    char *copy = prompt ? strdup(prompt) : NULL;
    if (copy) status = put_prompts(s, copy, strlen(copy), err);
    free(copy);
fail:
    cJSON_Delete(json);
    return status;
}

/* ---- version 1 ---- */

static enum sdg_field dream_field(const char *letter)
{
    static const char letters[] = "ACHsSW";
    static const enum sdg_field fields[] = {SDG_FIELD_SAMPLER, SDG_FIELD_CFG_SCALE,
                                            SDG_FIELD_HEIGHT,  SDG_FIELD_STEPS,
                                            SDG_FIELD_SEED,    SDG_FIELD_WIDTH};
    const char *at = letter[0] && !letter[1] ? strchr(letters, letter[0]) : NULL;
    return at ? fields[at - letters] : SDG_FIELD_OTHER;
}

/* One option, "-S 42" or "-S42" or a flag alone. *rest moves behind it. */
static sdgen_status dream_option(struct sdg_settings *s, const char **rest, sdgen_error *err)
{
    char name[32];
    const char *at = *rest;
    const size_t word = strcspn(at, " ");
    const bool dashed = at[0] == '-' && word > 1 && !(at[1] >= '0' && at[1] <= '9');
    const bool single = dashed && at[1] != '-', glued = single && word > 2;
    const size_t name_length = !dashed ? word : single ? 1 : word - 2;
    snprintf(name, sizeof name, "%.*s", (int)(name_length < 31 ? name_length : 31),
             at + (dashed ? (single ? 1 : 2) : 0));
    const char *value = at + (glued ? 2 : word);
    if (!glued) value += strspn(value, " ");
    const bool has =
        dashed && value[0] && (value[0] != '-' || (value[1] >= '0' && value[1] <= '9'));
    const size_t length = has ? strcspn(value, " ") : 0;
    *rest = has ? value + length : at + word;
    return sdg_settings_put(s, dream_field(dashed ? name : ""), name, value, length, err);
}

sdgen_status sdg_read_dream(struct sdg_settings *s, const char *text, sdgen_error *err)
{
    sdgen_status status;
    const char *end = text[0] == '"' ? strstr(text + 1, "\" -") : NULL;
    s->program = SDG_PROGRAM_INVOKEAI;
    if (!end && text[0] == '"') end = strrchr(text + 1, '"');
    if (!end) return sdg_fail(err, SDGEN_ERR_FORMAT, "InvokeAI's Dream text: no prompt in quotes");
    SDG_TRY(put_prompts(s, text + 1, (size_t)(end - text) - 1, err));
    for (const char *rest = end + 1;;) {
        rest += strspn(rest, " \n");
        if (!*rest) break;
        SDG_TRY(dream_option(s, &rest, err));
    }
fail:
    return status;
}
