/* folder_index.c - see folder_configs.h: the pipeline, its scheduler, its tokenizers. */
#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "convert/folder_configs.h"
#include "convert/folder_json.h"

/* ---- growing ---- */

cJSON *sdg_config_begin(const char *class_name)
{
    cJSON *o = cJSON_CreateObject();
    if (class_name) cJSON_AddStringToObject(o, "_class_name", class_name);
    cJSON_AddStringToObject(o, "_diffusers_version", "0.30.0"); /* nobody reads it */
    return o;
}

void sdg_config_number(cJSON *o, const char *key, double value)
{
    cJSON_AddNumberToObject(o, key, value);
}

void sdg_config_float(cJSON *o, const char *key, float value)
{
    char text[32];
    for (int digits = 1; digits < 10; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)value);
        if (strtof(text, NULL) == value) break;
    }
    cJSON_AddNumberToObject(o, key, strtod(text, NULL));
}

const char *sdg_config_activation_name(const struct sdg_clip_config *c)
{
    return c->activation == SDG_QUICK_GELU ? "quick_gelu" : "gelu";
}

/* ---- scheduler ---- */

static bool is_xl(const struct sdg_facts *f)
{
    return f->family == SDG_FAMILY_SDXL || f->family == SDG_FAMILY_SDXL_REFINER;
}

static const char *scheduler_class(const struct sdg_facts *f)
{
    if (f->target == SDG_TARGET_EDM_V || f->target == SDG_TARGET_EDM) return "EDMEulerScheduler";
    if (f->distilled == SDG_DISTILLED_LCM) return "LCMScheduler";
    if (is_xl(f) || f->distilled == SDG_DISTILLED_TURBO) return "EulerDiscreteScheduler";
    return f->family == SDG_FAMILY_SD2 || f->target == SDG_TARGET_V ? "DDIMScheduler"
                                                                    : "PNDMScheduler";
}

static void add_sigmas(cJSON *o, const struct sdg_facts *f)
{
    sdg_config_float(o, "sigma_min", f->sigma_min);
    sdg_config_float(o, "sigma_max", f->sigma_max);
    sdg_config_float(o, "sigma_data", f->sigma_data);
    if (f->target == SDG_TARGET_EDM_V) cJSON_AddStringToObject(o, "sigma_schedule", "exponential");
}

static void add_betas(cJSON *o, const struct sdg_facts *f)
{
    sdg_config_number(o, "beta_start", 0.00085);
    sdg_config_number(o, "beta_end", 0.012);
    cJSON_AddStringToObject(o, "beta_schedule", "scaled_linear");
    sdg_config_number(o, "steps_offset", 1);
    if (f->zero_terminal_snr) cJSON_AddBoolToObject(o, "rescale_betas_zero_snr", true);
}

cJSON *sdg_config_scheduler(const struct sdg_facts *f)
{
    const char *name = scheduler_class(f);
    const bool few = f->distilled == SDG_DISTILLED_TURBO || f->distilled == SDG_DISTILLED_LIGHTNING;
    cJSON *o = sdg_config_begin(name);
    sdg_config_number(o, "num_train_timesteps", 1000);
    cJSON_AddStringToObject(o, "prediction_type",
                            f->target == SDG_TARGET_V || f->target == SDG_TARGET_EDM_V
                                ? "v_prediction"
                            : f->target == SDG_TARGET_X0 ? "sample"
                                                         : "epsilon");
    if (strcmp(name, "EDMEulerScheduler") == 0) {
        add_sigmas(o, f);
        return o;
    }
    add_betas(o, f);
    if (strcmp(name, "EulerDiscreteScheduler") == 0) {
        cJSON_AddStringToObject(o, "timestep_spacing",
                                few || f->zero_terminal_snr ? "trailing" : "leading");
        cJSON_AddStringToObject(o, "interpolation_type", "linear");
        cJSON_AddBoolToObject(o, "use_karras_sigmas", false);
        return o;
    }
    cJSON_AddBoolToObject(o, "clip_sample", false);
    cJSON_AddBoolToObject(o, "set_alpha_to_one", strcmp(name, "LCMScheduler") == 0);
    if (strcmp(name, "PNDMScheduler") == 0) cJSON_AddBoolToObject(o, "skip_prk_steps", true);
    if (strcmp(name, "DDIMScheduler") == 0 && f->zero_terminal_snr)
        cJSON_AddStringToObject(o, "timestep_spacing", "trailing");
    if (strcmp(name, "LCMScheduler") == 0) sdg_config_number(o, "original_inference_steps", 50);
    return o;
}

/* ---- pipeline ---- */

static const char *pipeline_class(const struct sdg_facts *f)
{
    const bool xl = is_xl(f);
    if (f->family == SDG_FAMILY_SDXL_REFINER) return "StableDiffusionXLImg2ImgPipeline";
    switch (f->extra) {
    case SDG_EXTRA_INPAINT:
        return xl ? "StableDiffusionXLInpaintPipeline" : "StableDiffusionInpaintPipeline";
    case SDG_EXTRA_EDIT:
        return xl ? "StableDiffusionXLInstructPix2PixPipeline"
                  : "StableDiffusionInstructPix2PixPipeline";
    case SDG_EXTRA_DEPTH: return "StableDiffusionDepth2ImgPipeline";
    case SDG_EXTRA_NONE: break;
    }
    if (f->distilled == SDG_DISTILLED_LCM && !xl) return "LatentConsistencyModelPipeline";
    return xl ? "StableDiffusionXLPipeline" : "StableDiffusionPipeline";
}

/* A component: its library and its class; null and null where there is none. */
static void add_component(cJSON *o, const char *name, const char *library, const char *class_name)
{
    cJSON *pair = cJSON_AddArrayToObject(o, name);
    cJSON_AddItemToArray(pair, library ? cJSON_CreateString(library) : cJSON_CreateNull());
    cJSON_AddItemToArray(pair, library ? cJSON_CreateString(class_name) : cJSON_CreateNull());
}

static void add_text(cJSON *o, const char *number, bool there, bool projecting)
{
    char name[32];
    snprintf(name, sizeof name, "text_encoder%s", number);
    add_component(o, name, there ? "transformers" : NULL,
                  projecting ? "CLIPTextModelWithProjection" : "CLIPTextModel");
    snprintf(name, sizeof name, "tokenizer%s", number);
    add_component(o, name, there ? "transformers" : NULL, "CLIPTokenizer");
}

cJSON *sdg_config_index(const struct sdg_facts *f, const struct sdg_config_texts *texts,
                        const char *scheduler)
{
    cJSON *o = sdg_config_begin(pipeline_class(f));
    add_component(o, "scheduler", "diffusers", scheduler ? scheduler : scheduler_class(f));
    add_component(o, "unet", "diffusers", "UNet2DConditionModel");
    add_component(o, "vae", "diffusers", texts->tiny ? "AutoencoderTiny" : "AutoencoderKL");
    add_text(o, "", texts->first, false);
    if (is_xl(f)) {
        add_text(o, "_2", texts->second, true);
        cJSON_AddBoolToObject(o, "force_zeros_for_empty_prompt", f->zero_empty_prompt);
        if (f->family == SDG_FAMILY_SDXL_REFINER)
            cJSON_AddBoolToObject(o, "requires_aesthetics_score", true);
        return o;
    }
    add_component(o, "safety_checker", NULL, NULL);
    add_component(o, "feature_extractor", NULL, NULL);
    if (f->extra == SDG_EXTRA_DEPTH) add_component(o, "depth_estimator", NULL, NULL);
    cJSON_AddBoolToObject(o, "requires_safety_checker", false);
    return o;
}

/* ---- tokenizers ---- */

cJSON *sdg_config_special_tokens(bool second)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "bos_token", "<|startoftext|>");
    cJSON_AddStringToObject(o, "eos_token", "<|endoftext|>");
    cJSON_AddStringToObject(o, "unk_token", "<|endoftext|>");
    cJSON_AddStringToObject(o, "pad_token", second ? "!" : "<|endoftext|>");
    return o;
}

cJSON *sdg_config_tokenizer(bool second)
{
    cJSON *o = sdg_config_special_tokens(second);
    cJSON_AddStringToObject(o, "tokenizer_class", "CLIPTokenizer");
    cJSON_AddBoolToObject(o, "do_lower_case", true);
    cJSON_AddBoolToObject(o, "add_prefix_space", false);
    cJSON_AddStringToObject(o, "errors", "replace");
    sdg_config_number(o, "model_max_length", 77);
    return o;
}
