/* foreign_sdcpp.c - stable-diffusion.cpp (examples/common/common.cpp get_image_params): A1111's
 * form with its own keys; newer versions put the whole story behind it once more as JSON, "SDCPP:
 * {...}", which then counts alone: its strings cannot be mistaken for keys. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "image/foreign_json.h"
#include "image/foreign_readers.h"
#include "image/infotext_parse.h"

static const char tail_mark[] = "Version: stable-diffusion.cpp, SDCPP: ";

/* It writes UTF-8 into tEXt, where PNG has Latin-1: what came out of there as characters up to U+FF
 * is bytes of UTF-8, if they are well-formed. Free it; NULL when out of memory. */
static char *undo_latin1(const char *text)
{
    char *bytes = strdup(text);
    size_t used = 0;
    if (!bytes) return NULL;
    for (const char *s = text; *s;) {
        const uint32_t c = sdg_utf8_next(&s);
        if (c > 0xFF) goto as_it_is;
        bytes[used++] = (char)c;
    }
    bytes[used] = 0;
    if (sdg_utf8_is_name((const uint8_t *)bytes, used)) return bytes;
as_it_is:
    strcpy(bytes, text);
    return bytes;
}

/* "euler_a karras": the schedule is the last word. */
static sdgen_status split_sampler(struct sdg_settings *s, sdgen_error *err)
{
    sdgen_status status = SDGEN_OK;
    const char *value = sdg_settings_value(s, SDG_FIELD_SAMPLER);
    char *copy = value ? strdup(value) : NULL, *blank = copy ? strrchr(copy, ' ') : NULL;
    if (blank && blank != copy && !sdg_settings_value(s, SDG_FIELD_SCHEDULE)) {
        SDG_TRY(
            sdg_settings_put(s, SDG_FIELD_SCHEDULE, "Sampler", blank + 1, strlen(blank + 1), err));
        SDG_TRY(
            sdg_settings_put(s, SDG_FIELD_SAMPLER, "Sampler", copy, (size_t)(blank - copy), err));
    }
fail:
    free(copy);
    return status;
}

/* "[14.6146, 7.8000]" -> "14.6146 7.8000", as the field is written elsewhere. */
static void take_sigmas(struct sdg_settings *s)
{
    for (size_t i = 0; i < s->count; i++) {
        struct sdg_setting *item = &s->items[i];
        size_t used = 0;
        if (strcmp(item->name, "Custom Sigmas") != 0 || s->at[SDG_FIELD_SIGMAS]) continue;
        for (const char *c = item->value; *c; c++)
            if (!strchr("[],", *c)) item->value[used++] = *c;
        item->value[used] = 0;
        item->field = SDG_FIELD_SIGMAS;
        s->at[SDG_FIELD_SIGMAS] = i + 1;
    }
}

static sdgen_status read_tail(struct sdg_settings *s, const char *json_text, sdgen_error *err)
{
    static const struct sdg_foreign_key keys[] = {
        {"prompt.positive", SDG_FIELD_PROMPT},
        {"prompt.negative", SDG_FIELD_NEGATIVE},
        {"seed", SDG_FIELD_SEED},
        {"width", SDG_FIELD_WIDTH},
        {"height", SDG_FIELD_HEIGHT},
        {"sampling.steps", SDG_FIELD_STEPS},
        {"sampling.method", SDG_FIELD_SAMPLER},
        {"sampling.scheduler", SDG_FIELD_SCHEDULE},
        {"sampling.eta", SDG_FIELD_ETA},
        {"sampling.custom_sigmas", SDG_FIELD_SIGMAS},
        {"sampling.guidance.txt_cfg", SDG_FIELD_CFG_SCALE},
        {"models.model", SDG_FIELD_MODEL},
        {"models.vae", SDG_FIELD_VAE},
        {"clip_skip", SDG_FIELD_CLIP_SKIP},
        {"rng", SDG_FIELD_RNG},
        {"generator.version", SDG_FIELD_VERSION},
    };
    sdgen_status status;
    cJSON *json = NULL;
    SDG_TRY(sdg_foreign_open(&json, json_text, "stable-diffusion.cpp's SDCPP", err));
    sdg_settings_free(s);
    SDG_TRY(sdg_foreign_take(s, json, keys, sizeof keys / sizeof keys[0], err));
fail:
    cJSON_Delete(json);
    return status;
}

sdgen_status sdg_read_sdcpp(struct sdg_settings *s, const char *text, sdgen_error *err)
{
    sdgen_status status;
    char *bytes = undo_latin1(text);
    if (!bytes) return sdg_fail(err, SDGEN_ERR_MEMORY, "out of memory for a picture's text");
    SDG_TRY(sdg_infotext_parse(s, bytes, err));
    const char *last = strrchr(bytes, '\n'), *tail = strstr(last ? last : bytes, tail_mark);
    if (tail) SDG_TRY(read_tail(s, tail + strlen(tail_mark), err));
    take_sigmas(s);
    SDG_TRY(split_sampler(s, err));
fail:
    s->program = SDG_PROGRAM_SDCPP;
    free(bytes);
    return status;
}
