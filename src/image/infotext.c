/* infotext.c - see infotext.h. Format: AUTOMATIC1111 stable-diffusion-webui 1.10
 * (modules/processing.py create_infotext, modules/infotext_utils.py quote):
 *
 *   prompt
 *   Negative prompt: negative                  only when not empty
 *   Steps: 20, Sampler: Euler a, ...           pairs joined by ", "
 *
 * Its reader takes the last line apart at commas, so a value that holds ',' ':' or a newline is
 * written as a JSON string (RFC 8259). The whole text is stripped of surrounding white space.
 * The order of the keys is A1111's; ours follow, before Version. */
#define _GNU_SOURCE
#include "image/infotext.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "image/settings.h"

/* ---- values ---- */

/* A JSON string; characters beyond ASCII stay as they are. */
static void put_json(FILE *out, const char *s)
{
    static const char plain[] = "\"\\\b\f\n\r\t", letter[] = "\"\\bfnrt";
    putc('"', out);
    for (; *s; s++) {
        const unsigned char c = (unsigned char)*s;
        const char *special = strchr(plain, c);
        if (special)
            fprintf(out, "\\%c", letter[special - plain]);
        else if (c < 0x20)
            fprintf(out, "\\u%04x", c);
        else
            putc(c, out);
    }
    putc('"', out);
}

/* "key: value", or the key alone where both are the same. A NULL value is left out. */
static void put(FILE *out, const char *key, const char *value)
{
    if (!value) return;
    if (strcmp(key, "Steps") != 0) fputs(", ", out);
    fputs(key, out);
    if (strcmp(key, value) == 0) return;
    fputs(": ", out);
    if (strpbrk(value, ",:\n"))
        put_json(out, value);
    else
        fputs(value, out);
}

__attribute__((format(printf, 3, 4))) static void put_format(FILE *out, const char *key,
                                                             const char *format, ...)
{
    char value[320];
    va_list args;
    va_start(args, format);
    vsnprintf(value, sizeof value, format, args);
    va_end(args);
    put(out, key, value);
}

static void put_number(FILE *out, const char *key, double x)
{
    char value[SDG_NUMBER_SIZE];
    sdg_number_text(value, x);
    put(out, key, value);
}

/* Left out at 0. */
static void put_positive(FILE *out, const char *key, double x)
{
    if (x > 0) put_number(out, key, x);
}

static void put_true(FILE *out, const char *key, bool is)
{
    put(out, key, is ? "True" : NULL);
}

/* Numbers with blanks between them: commas would end the value for readers that only look for
 * commas. */
static void put_list(FILE *out, const char *key, const double *x, int count)
{
    char value[SDG_NUMBER_SIZE];
    if (count <= 0) return;
    fprintf(out, ", %s: ", key);
    for (int i = 0; i < count; i++) {
        sdg_number_text(value, x[i]);
        fprintf(out, i ? " %s" : "%s", value);
    }
}

static void put_size(FILE *out, const char *key, int width, int height)
{
    if (width > 0 && height > 0) put_format(out, key, "%dx%d", width, height);
}

/* ---- the text ---- */

/* What A1111 keeps in one dictionary, in its order (modules/processing.py create_infotext). */
static void put_common(FILE *out, const struct sdg_infotext *info)
{
    put_format(out, "Steps", "%d", info->steps);
    put(out, "Sampler", info->sampler);
    put(out, "Schedule type", info->schedule);
    put_number(out, "CFG scale", info->cfg_scale);
    if (info->has_image_cfg) put_number(out, "Image CFG scale", info->image_cfg);
    put_format(out, "Seed", "%" PRId64, info->seed);
    put_size(out, "Size", info->width, info->height);
    put(out, "Model hash", info->model_hash);
    put(out, "Model", info->model);
    put(out, "VAE hash", info->vae_hash);
    put(out, "VAE", info->vae);
    if (info->subseed_strength > 0) {
        put_format(out, "Variation seed", "%" PRId64, info->subseed);
        put_number(out, "Variation seed strength", info->subseed_strength);
    }
    put_size(out, "Seed resize from", info->resize_width, info->resize_height);
    if (info->clip_skip > 0) put_format(out, "Clip skip", "%d", info->clip_skip);
    if (info->ensd) put_format(out, "ENSD", "%" PRId64, info->ensd);
    put(out, "RNG", info->rng);
}

/* What A1111 adds while it samples, in the order in which it comes to it: prompt, schedule
 * (sd_samplers_kdiffusion.py get_sigmas), sampler (sd_samplers_common.py initialize,
 * sd_samplers_timesteps.py), denoiser (sd_samplers_cfg_denoiser.py). */
static void put_extras(FILE *out, const struct sdg_infotext *info)
{
    put_true(out, "Old prompt editing timelines", info->old_editing);
    put(out, "Emphasis", info->emphasis);
    put(out, "Noise Schedule", info->zero_terminal_snr ? "Zero Terminal SNR" : NULL);
    put_true(out, "Discard penultimate sigma", info->discard_penultimate);
    put_positive(out, "Schedule min sigma", info->schedule_min);
    put_positive(out, "Schedule max sigma", info->schedule_max);
    put_positive(out, "Schedule rho", info->schedule_rho);
    if (info->has_eta) put_number(out, info->eta_name ? info->eta_name : "Eta", info->eta);
    put_positive(out, "Sigma churn", info->s_churn);
    put_positive(out, "Sigma tmin", info->s_tmin);
    put_positive(out, "Sigma tmax", info->s_tmax);
    if (info->has_s_noise) put_number(out, "Sigma noise", info->s_noise);
    put(out, info->unipc ? "UniPC variant" : "Solver variant", info->variant);
    if (info->order > 0)
        put_format(out, info->unipc ? "UniPC order" : "Solver order", "%d", info->order);
    put(out, info->unipc ? "UniPC lower order final" : "Lower order final",
        info->no_lower_order_final ? "False" : NULL);
    put_positive(out, "Skip Early CFG", info->skip_early);
    put_positive(out, "NGMS", info->ngms);
    put_true(out, "NGMS all steps", info->ngms_all_steps);
    if (info->refiner && info->refiner_hash)
        put_format(out, "Refiner", "%.200s [%s]", info->refiner, info->refiner_hash);
    else
        put(out, "Refiner", info->refiner);
    if (info->refiner) put_number(out, "Refiner switch at", info->refiner_switch);
}

/* Keys of our own: what stood in for a part of the checkpoint, what was read beside the prompt. */
static void put_parts(FILE *out, const struct sdg_infotext *info)
{
    put(out, "UNet", info->unet);
    put(out, "CLIP-L", info->clip_l);
    put(out, "CLIP-G", info->clip_g);
    put(out, "TAESD", info->taesd);
    put_true(out, "EMA", info->ema);
    put_true(out, "Empty negative prompt", info->empty_negative);
    put(out, "Pictures", info->pictures);
}

/* The others. */
static void put_own(FILE *out, const struct sdg_infotext *info)
{
    put(out, "Like", info->like);
    put(out, "Prompt language", info->language);
    put(out, "Prediction", info->prediction);
    put(out, "Timestep spacing", info->spacing);
    put_positive(out, "GITS coefficient", info->gits_coefficient);
    put_list(out, "Sigmas", info->sigmas, info->sigma_count);
    put_list(out, "Timesteps", info->timesteps, info->timestep_count);
    if (info->has_r) put_number(out, "Midpoint", info->r);
    put_positive(out, "CFG rescale", info->cfg_rescale);
    if (info->has_interval) {
        put_number(out, "Guidance start", info->guidance_start);
        put_number(out, "Guidance end", info->guidance_end);
    }
    put_size(out, "Original size", info->original_width, info->original_height);
    put_positive(out, "Crop left", info->crop_left);
    put_positive(out, "Crop top", info->crop_top);
    put_size(out, "Target size", info->target_width, info->target_height);
    if (info->has_scores) {
        put_number(out, "Aesthetic score", info->aesthetic_score);
        put_number(out, "Negative aesthetic score", info->negative_aesthetic_score);
    }
    put_size(out, "VAE tile size", info->tile_width, info->tile_height);
    if (info->tile_width > 0) put_number(out, "VAE tile overlap", info->tile_overlap);
    if (info->joint) {
        put(out, "Batch noise", "joint");
        put_format(out, "Batch size", "%d", info->batch_size);
        put_format(out, "Batch pos", "%d", info->batch_pos);
    }
}

char *sdg_infotext_make(const struct sdg_infotext *info)
{
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    if (!out) return NULL;
    fputs(info->prompt, out);
    if (info->negative[0]) fprintf(out, "\nNegative prompt: %s", info->negative);
    putc('\n', out);
    put_common(out, info);
    put_extras(out, info);
    put_parts(out, info);
    put_own(out, info);
    put(out, "Version", "sdgen " SDGEN_VERSION); /* the text ends in no white space */
    const bool bad = ferror(out);
    if (fclose(out) != 0 || bad) {
        free(text);
        return NULL;
    }
    const char *start = text, *next = text;
    while (sdg_is_space(sdg_utf8_next(&next))) start = next;
    memmove(text, start, strlen(start) + 1);
    return text;
}
