/* infotext.c - see infotext.h. Format: AUTOMATIC1111 stable-diffusion-webui 1.10
 * (modules/processing.py create_infotext, modules/infotext_utils.py quote):
 *
 *   prompt
 *   Negative prompt: negative                  only when not empty
 *   Steps: 20, Sampler: Euler a, ...           pairs joined by ", "
 *
 * Its reader takes the last line apart at commas, so a value that holds ',' ':' or a newline is
 * written as a JSON string (RFC 8259). The whole text is stripped of surrounding white space. */
#define _GNU_SOURCE
#include "image/infotext.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

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
    char value[64];
    va_list args;
    va_start(args, format);
    vsnprintf(value, sizeof value, format, args);
    va_end(args);
    put(out, key, value);
}

/* The shortest digits that read back as x: 7, 7.5, 0.1. */
static void put_number(FILE *out, const char *key, double x)
{
    char value[64];
    int digits = 1;
    if (x == floor(x) && fabs(x) < 1e15) {
        put_format(out, key, "%.0f", x);
        return;
    }
    do {
        snprintf(value, sizeof value, "%.*g", digits, x);
    } while (strtod(value, NULL) != x && ++digits <= 17);
    put(out, key, value);
}

/* ---- the text ---- */

/* What Python's str.strip() takes away. */
static bool is_space(uint32_t c)
{
    return (c >= 9 && c <= 13) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 ||
           c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 ||
           c == 0x202F || c == 0x205F || c == 0x3000;
}

static void put_parameters(FILE *out, const struct sdg_infotext *info)
{
    put_format(out, "Steps", "%d", info->steps);
    put(out, "Sampler", info->sampler);
    put(out, "Schedule type", info->schedule);
    put_number(out, "CFG scale", info->cfg_scale);
    put_format(out, "Seed", "%" PRId64, info->seed);
    put_format(out, "Size", "%dx%d", info->width, info->height);
    put(out, "Model hash", info->model_hash);
    put(out, "Model", info->model);
    put(out, "VAE hash", info->vae_hash);
    put(out, "VAE", info->vae);
    if (info->clip_skip > 1) put_format(out, "Clip skip", "%d", info->clip_skip);
    put(out, "RNG", info->rng);
    put(out, "Emphasis", info->emphasis);
    if (info->has_eta) put_number(out, info->eta_name ? info->eta_name : "Eta", info->eta);
    put(out, "Version", "sdgen " SDGEN_VERSION);
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
    put_parameters(out, info); /* ends in no white space */
    const bool bad = ferror(out);
    if (fclose(out) != 0 || bad) {
        free(text);
        return NULL;
    }
    const char *start = text, *next = text;
    while (is_space(sdg_utf8_next(&next))) start = next;
    memmove(text, start, strlen(start) + 1);
    return text;
}
