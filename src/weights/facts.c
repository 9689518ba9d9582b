/* facts.c - see facts.h. Each fact has an order of witnesses: flag tensors that some tools write
 * into the file, metadata, configurations of a diffusers folder, a statistic of the weights, the
 * family.
 *
 * Flags: ComfyUI comfy/supported_models.py, SDXL.model_type (edm_mean, edm_std,
 * edm_vpred.sigma_max, v_pred, ztsnr). Metadata: ModelSpec 1.0.0 of Stability AI; kohya-ss
 * sd-scripts (ss_...). Numbers of the families: Stability AI's configs, diffusers' configurations.
 */
#include "weights/facts.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <cjson/cJSON.h>

#include "weights/family.h"
#include "weights/keys.h"

enum { SMALL_SIZE = 512, SD2_V_SIZE = 768, SDXL_SIZE = 1024, MIN_SIZE = 64, MAX_SIZE = 4096 };

static const float sd_scale = 0.18215f, sdxl_scale = 0.13025f; /* scale_factor in their configs */
static const float edm_v_sigmas[] = {0.002f, 120.0f}, edm_sigmas[] = {0.002f, 80.0f};
static const float playground_scale = 0.5f;

const char *sdg_family_name(enum sdg_family family)
{
    static const char *const names[] = {[SDG_FAMILY_SD1] = "SD1",
                                        [SDG_FAMILY_SD2] = "SD2",
                                        [SDG_FAMILY_SDXL] = "SDXL",
                                        [SDG_FAMILY_SDXL_REFINER] = "SDXL refiner"};
    return names[family];
}

const char *sdg_target_name(enum sdg_target target)
{
    static const char *const names[] = {[SDG_TARGET_EPS] = "epsilon",
                                        [SDG_TARGET_V] = "v",
                                        [SDG_TARGET_X0] = "x0",
                                        [SDG_TARGET_EDM_V] = "EDM v",
                                        [SDG_TARGET_EDM] = "EDM"};
    return names[target];
}

__attribute__((format(printf, 2, 3))) static void because(struct sdg_facts *f, const char *format,
                                                          ...)
{
    if (f->evidence_count == SDG_FACT_EVIDENCE_MAX) return;
    va_list args;
    va_start(args, format);
    vsnprintf(f->evidence[f->evidence_count++], SDG_FACT_EVIDENCE_SIZE, format, args);
    va_end(args);
}

/* y[count] from the tensor `name` of exactly so many elements, all finite. */
static bool read_floats(float *y, const struct sdg_weights *w, const char *name, size_t count)
{
    const struct sdg_entry *e = sdg_weights_find(w, name);
    if (!e || sdg_tensor_count(&e->tensor) != count) return false;
    sdg_tensor_widen(y, &e->tensor, 0, count);
    for (size_t i = 0; i < count; i++)
        if (!isfinite(y[i])) return false;
    return true;
}

static bool is_true(const char *text)
{
    return text && strcasecmp(text, "true") == 0;
}

/* ---- what the UNet predicts ---- */

static bool target_by_flags(struct sdg_facts *f, const struct sdg_weights *w)
{
    if (sdg_weights_find(w, "edm_mean") && sdg_weights_find(w, "edm_std")) {
        f->target = SDG_TARGET_EDM;
        because(f, "tensors edm_mean, edm_std: EDM, as in Playground 2.5");
    } else if (sdg_weights_find(w, "edm_vpred.sigma_max")) {
        f->target = SDG_TARGET_EDM_V;
        because(f, "tensor edm_vpred.sigma_max: EDM with v-prediction");
    } else if (sdg_weights_find(w, "v_pred")) {
        f->target = SDG_TARGET_V;
        because(f, "tensor v_pred: v-prediction");
    } else {
        return false;
    }
    return true;
}

/* "v", "v_prediction", "epsilon", ...; false for other words. */
static bool target_by_word(struct sdg_facts *f, const char *word, const char *where)
{
    if (!word || !word[0]) return false;
    if (strcmp(word, "v") == 0 || strcmp(word, "v_prediction") == 0 || strcmp(word, "v-pred") == 0)
        f->target = SDG_TARGET_V;
    else if (strcmp(word, "epsilon") == 0 || strcmp(word, "eps") == 0)
        f->target = SDG_TARGET_EPS;
    else if (strcmp(word, "sample") == 0)
        f->target = SDG_TARGET_X0;
    else
        return false;
    because(f, "%s is %s", where, word);
    return true;
}

/* The EDM classes of diffusers precondition with continuous noise levels. */
static bool target_by_scheduler(struct sdg_facts *f)
{
    const struct sdg_scheduler_facts *s = &f->scheduler;
    if (!target_by_word(f, s->prediction_type, "scheduler_config.json: prediction_type"))
        return false;
    if (strncmp(s->class_name, "EDM", 3) == 0) {
        f->target = f->target == SDG_TARGET_V ? SDG_TARGET_EDM_V : SDG_TARGET_EDM;
        because(f, "scheduler %s", s->class_name);
    }
    return true;
}

/* Of SD2's two trainings one predicts v; training for it spread these biases (ComfyUI comfy/
 * supported_models.py, SD20.model_type: the threshold and the tensor). */
static bool target_by_statistic(struct sdg_facts *f, const struct sdg_weights *w)
{
    static const char name[] = SDG_KEY_UNET "output_blocks.11.1.transformer_blocks.0.norm1.bias";
    static const double threshold = 0.09;
    const struct sdg_entry *e = sdg_weights_find(w, name);
    if (f->family != SDG_FAMILY_SD2 || f->extra != SDG_EXTRA_NONE || !e) return false;
    const size_t n = sdg_tensor_count(&e->tensor);
    double sum = 0, squares = 0;
    for (size_t i = 0; i < n; i++) {
        float x;
        sdg_tensor_widen(&x, &e->tensor, i, 1);
        sum += (double)x;
        squares += (double)x * (double)x;
    }
    if (n == 0) return false;
    const double mean = sum / (double)n, variance = squares / (double)n - mean * mean;
    const double deviation = sqrt(variance > 0 ? variance : 0);
    f->target = deviation > threshold ? SDG_TARGET_V : SDG_TARGET_EPS;
    because(f, "output_blocks.11's norm1.bias spreads by %.4f: %s (v from %.2f on)", deviation,
            f->target == SDG_TARGET_V ? "v-prediction" : "epsilon-prediction", threshold);
    return true;
}

static void find_target(struct sdg_facts *f, const struct sdg_weights *unet)
{
    const char *kohya = sdg_weights_metadata(unet, "ss_v_parameterization");
    if (target_by_flags(f, unet)) return;
    if (target_by_word(f, sdg_weights_metadata(unet, "modelspec.prediction_type"),
                       "metadata: modelspec.prediction_type"))
        return;
    if (is_true(kohya)) {
        f->target = SDG_TARGET_V;
        because(f, "metadata: ss_v_parameterization is %s", kohya);
        return;
    }
    if (target_by_scheduler(f) || target_by_statistic(f, unet)) return;
    f->target = SDG_TARGET_EPS;
    because(f, "nothing says otherwise: epsilon-prediction");
}

static void find_zero_snr(struct sdg_facts *f, const struct sdg_weights *unet)
{
    if (sdg_weights_find(unet, "ztsnr")) {
        f->zero_terminal_snr = true;
        because(f, "tensor ztsnr: zero terminal SNR");
    } else if (is_true(sdg_weights_metadata(unet, "ss_zero_terminal_snr"))) {
        f->zero_terminal_snr = true;
        because(f, "metadata: ss_zero_terminal_snr");
    } else if (f->scheduler.rescale_betas_zero_snr == 1) {
        f->zero_terminal_snr = true;
        because(f, "scheduler_config.json: rescale_betas_zero_snr");
    }
}

static void find_sigmas(struct sdg_facts *f, const struct sdg_weights *unet)
{
    if (f->target != SDG_TARGET_EDM && f->target != SDG_TARGET_EDM_V) return;
    const bool v = f->target == SDG_TARGET_EDM_V;
    const struct sdg_scheduler_facts *s = &f->scheduler;
    f->sigma_min =
        isfinite(s->sigma_min) ? (float)s->sigma_min : (v ? edm_v_sigmas : edm_sigmas)[0];
    f->sigma_max =
        isfinite(s->sigma_max) ? (float)s->sigma_max : (v ? edm_v_sigmas : edm_sigmas)[1];
    f->sigma_data = isfinite(s->sigma_data) ? (float)s->sigma_data : v ? 1.0f : 0.5f;
    float low, high;
    if (v && read_floats(&high, unet, "edm_vpred.sigma_max", 1) && high > 0) f->sigma_max = high;
    if (v && read_floats(&low, unet, "edm_vpred.sigma_min", 1) && low > 0 && low < f->sigma_max)
        f->sigma_min = low;
    because(f, "noise from %g to %g", (double)f->sigma_min, (double)f->sigma_max);
}

/* ---- latents ---- */

static cJSON *read_object(const struct sdg_weights *w, const char *name)
{
    const char *text = w ? sdg_weights_text(w, name) : NULL;
    return text ? cJSON_Parse(text) : NULL;
}

static bool four_numbers(float y[SDG_LATENT_CHANNELS], const cJSON *list)
{
    if (!cJSON_IsArray(list) || cJSON_GetArraySize(list) != SDG_LATENT_CHANNELS) return false;
    for (int i = 0; i < SDG_LATENT_CHANNELS; i++) {
        const cJSON *v = cJSON_GetArrayItem(list, i);
        if (!cJSON_IsNumber(v)) return false;
        y[i] = (float)v->valuedouble;
    }
    return true;
}

static bool all_positive(const float *x, int count)
{
    for (int i = 0; i < count; i++)
        if (!(x[i] > 0 && isfinite(x[i]))) return false;
    return true;
}

static void find_latents(struct sdg_facts *f, const struct sdg_weights *unet,
                         const struct sdg_weights *vae)
{
    float mean[SDG_LATENT_CHANNELS], std[SDG_LATENT_CHANNELS];
    const bool xl = f->family == SDG_FAMILY_SDXL || f->family == SDG_FAMILY_SDXL_REFINER;
    f->latent_scale = xl ? sdxl_scale : sd_scale;
    for (int i = 0; i < SDG_LATENT_CHANNELS; i++) f->latent_std[i] = 1;
    if (f->target == SDG_TARGET_EDM && read_floats(mean, unet, "edm_mean", SDG_LATENT_CHANNELS) &&
        read_floats(std, unet, "edm_std", SDG_LATENT_CHANNELS) &&
        all_positive(std, SDG_LATENT_CHANNELS)) {
        memcpy(f->latent_mean, mean, sizeof mean);
        memcpy(f->latent_std, std, sizeof std);
        f->latent_scale = playground_scale;
    }
    cJSON *config = read_object(vae, "vae/config.json");
    if (!config) config = read_object(vae, "config.json");
    const cJSON *scale = cJSON_GetObjectItemCaseSensitive(config, "scaling_factor");
    if (cJSON_IsNumber(scale) && scale->valuedouble > 0 && scale->valuedouble < 1000) {
        f->latent_scale = (float)scale->valuedouble;
        because(f, "the VAE's config.json: scaling_factor %g", scale->valuedouble);
    }
    if (four_numbers(mean, cJSON_GetObjectItemCaseSensitive(config, "latents_mean")) &&
        four_numbers(std, cJSON_GetObjectItemCaseSensitive(config, "latents_std")) &&
        all_positive(std, SDG_LATENT_CHANNELS)) {
        memcpy(f->latent_mean, mean, sizeof mean);
        memcpy(f->latent_std, std, sizeof std);
        because(f, "the VAE's config.json: latents_mean, latents_std");
    }
    cJSON_Delete(config);
}

/* ---- size ---- */

static bool size_fits(int size, int factor)
{
    return size >= MIN_SIZE && size <= MAX_SIZE && size % factor == 0;
}

/* modelspec.resolution is "WxH". What does not parse, or no VAE could make, is as if not there; so
 * is diffusers' sample_size, in latent values. */
static void find_size(struct sdg_facts *f, const struct sdg_weights *unet,
                      const struct sdg_weights *folder, int factor)
{
    const char *text = sdg_weights_metadata(unet, "modelspec.resolution");
    int w = 0, h = 0, end = 0;
    if (text && sscanf(text, "%4dx%4d%n", &w, &h, &end) == 2 && text[end] == 0 &&
        size_fits(w, factor) && size_fits(h, factor)) {
        f->native_width = w;
        f->native_height = h;
        return;
    }
    cJSON *config = read_object(unet, "unet/config.json");
    if (!config) config = read_object(folder, "unet/config.json");
    const cJSON *sample = cJSON_GetObjectItemCaseSensitive(config, "sample_size");
    const bool said = cJSON_IsNumber(sample) && sample->valueint > 0 &&
                      sample->valueint <= MAX_SIZE && size_fits(sample->valueint * factor, factor);
    const bool xl = f->family == SDG_FAMILY_SDXL || f->family == SDG_FAMILY_SDXL_REFINER;
    f->native_width = f->native_height = said ? sample->valueint * factor
                                         : xl ? SDXL_SIZE
                                         : f->family == SDG_FAMILY_SD2 && f->target == SDG_TARGET_V
                                             ? SD2_V_SIZE
                                             : SMALL_SIZE;
    cJSON_Delete(config);
}

/* ---- few steps ---- */

/* Case aside, as a word of its own: "SDXL-Turbo", not "Turbografx". */
static bool has_word(const char *text, const char *word)
{
    const size_t n = strlen(word);
    for (const char *p = text; p && *p; p++) {
        const bool begins = p == text || !strchr("abcdefghijklmnopqrstuvwxyz"
                                                 "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
                                                 p[-1]);
        if (begins && strncasecmp(p, word, n) == 0 &&
            !strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", p[n] ? p[n] : ' '))
            return true;
    }
    return false;
}

static bool distilled_by_words(struct sdg_facts *f, const char *text, const char *where)
{
    static const struct {
        const char *word;
        enum sdg_distilled distilled;
    } words[] = {{"turbo", SDG_DISTILLED_TURBO},
                 {"lightning", SDG_DISTILLED_LIGHTNING},
                 {"hyper", SDG_DISTILLED_HYPER},
                 {"lcm", SDG_DISTILLED_LCM},
                 {"sdxs", SDG_DISTILLED_ONE_STEP}};
    for (size_t i = 0; i < sizeof words / sizeof words[0] && text; i++)
        if (has_word(text, words[i].word)) {
            f->distilled = words[i].distilled;
            because(f, "%s speaks of %s: few steps, little guidance", where, words[i].word);
            return true;
        }
    return false;
}

static void find_distilled(struct sdg_facts *f, const struct sdg_finding *found,
                           const struct sdg_weights *unet, const struct sdg_weights *folder)
{
    if (found->one_step) {
        f->distilled = SDG_DISTILLED_ONE_STEP;
        because(f, "SDXS by its shape: one step");
        return;
    }
    if (sdg_weights_find(unet, SDG_KEY_UNET "time_embed.cond_proj.weight")) {
        f->distilled = SDG_DISTILLED_LCM;
        because(f, "the UNet takes a guidance scale (time_cond_proj): LCM");
        return;
    }
    if (distilled_by_words(f, sdg_weights_metadata(unet, "modelspec.title"), "modelspec.title") ||
        distilled_by_words(f, sdg_weights_metadata(unet, "modelspec.architecture"),
                           "modelspec.architecture"))
        return;
    if (strcmp(f->scheduler.class_name, "LCMScheduler") == 0) {
        f->distilled = SDG_DISTILLED_LCM;
        because(f, "scheduler LCMScheduler");
        return;
    }
    cJSON *index = read_object(folder, "model_index.json");
    const cJSON *name = cJSON_GetObjectItemCaseSensitive(index, "_name_or_path");
    if (cJSON_IsString(name))
        distilled_by_words(f, name->valuestring, "model_index.json: _name_or_path");
    cJSON_Delete(index);
}

/* ---- all ---- */

static void read_index(struct sdg_facts *f, const struct sdg_weights *folder)
{
    cJSON *index = read_object(folder, "model_index.json");
    const cJSON *zeros = cJSON_GetObjectItemCaseSensitive(index, "force_zeros_for_empty_prompt");
    f->zero_empty_prompt = f->family == SDG_FAMILY_SDXL;
    if (cJSON_IsBool(zeros)) f->zero_empty_prompt = cJSON_IsTrue(zeros);
    cJSON_Delete(index);
}

void sdg_facts_find(struct sdg_facts *facts, const struct sdg_finding *found,
                    const struct sdg_weights *unet, const struct sdg_weights *folder,
                    const struct sdg_weights *vae, int factor)
{
    *facts = (struct sdg_facts) {
        .family = found->family,
        .extra = found->extra,
        .label = found->label,
    };
    const char *scheduler = sdg_weights_text(unet, "scheduler/scheduler_config.json");
    if (!scheduler) scheduler = sdg_weights_text(folder, "scheduler/scheduler_config.json");
    sdg_scheduler_read(&facts->scheduler, scheduler);
    find_target(facts, unet);
    find_zero_snr(facts, unet);
    find_sigmas(facts, unet);
    find_latents(facts, unet, vae);
    find_size(facts, unet, folder, factor);
    find_distilled(facts, found, unet, folder);
    read_index(facts, folder);
}
