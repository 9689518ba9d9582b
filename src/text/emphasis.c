/* emphasis.c - see emphasis.h. Weights act on what the text encoder gives, one factor w per token:
 *
 *     Original  z <- w z (mean(z) / mean(w z))     AUTOMATIC1111 modules/sd_emphasis.py, one chunk
 *                                                  at a time (sd_hijack_clip.py, process_tokens);
 *                                                  stable-diffusion.cpp, apply_token_weights
 *     No norm   z <- w z
 *     ComfyUI   z <- z0 + w (z - z0)               comfy/sd1_clip.py, encode_token_weights
 *     compel    the same (embeddings_provider.py, build_weighted_embedding_tensor)
 *
 * z0 is the encoding of the empty text at the same place. A batch of texts over which A1111 takes
 * one mean is the caller's business. */
#include "text/emphasis.h"

#include <math.h>
#include <stdbool.h>

/* Sum of z [77][width]. PyTorch adds floats pairwise; double precision is nearer to what it means.
 */
static double sum_of(const float *z, size_t width)
{
    double sum = 0;
    for (size_t i = 0; i < SDG_CHUNK_LENGTH * width; i++) sum += (double)z[i];
    return sum;
}

static void scale(float *z, size_t n, float factor)
{
    for (size_t i = 0; i < n; i++) z[i] *= factor;
}

static bool all_one(const float *w)
{
    for (size_t i = 0; i < SDG_CHUNK_LENGTH; i++)
        if (w[i] != 1) return false;
    return true;
}

static void multiply(float *z, const float *w, size_t width)
{
    for (size_t i = 0; i < SDG_CHUNK_LENGTH; i++) scale(z + i * width, width, w[i]);
}

/* The mean is divided by the number of elements in both places, so sums do. A mean that is no
 * number or 0 restores nothing, as in stable-diffusion.cpp. */
static void keep_mean(float *z, const float *w, size_t width)
{
    const double before = sum_of(z, width);
    multiply(z, w, width);
    const double ratio = before / sum_of(z, width);
    if (isfinite(ratio)) scale(z, SDG_CHUNK_LENGTH * width, (float)ratio);
}

/* Only tokens whose weight is not 1 are touched: z0 + (z - z0) would round. */
static void move_from(float *z, const float *z0, const float *w, size_t width)
{
    for (size_t i = 0; i < SDG_CHUNK_LENGTH; i++) {
        if (w[i] == 1) continue;
        for (size_t k = i * width; k < (i + 1) * width; k++) z[k] = (z[k] - z0[k]) * w[i] + z0[k];
    }
}

void sdg_emphasise(float *z, const struct sdg_chunks *c, const float *empty, size_t width,
                   enum sdg_emphasis how)
{
    for (size_t i = 0; i < c->count; i++) {
        float *chunk = z + i * SDG_CHUNK_LENGTH * width;
        const float *w = c->weights + i * SDG_CHUNK_LENGTH;
        if (all_one(w)) continue;
        switch (how) {
        case SDG_EMPHASIS_ORIGINAL: keep_mean(chunk, w, width); break;
        case SDG_EMPHASIS_NO_NORM: multiply(chunk, w, width); break;
        case SDG_EMPHASIS_COMFYUI:
        case SDG_EMPHASIS_COMPEL: move_from(chunk, empty, w, width); break;
        case SDG_EMPHASIS_IGNORE:
        case SDG_EMPHASIS_NONE: break;
        }
    }
}

void sdg_add_piece(float *y, const float *z, const struct sdg_prompt_piece *p, size_t width)
{
    const size_t n = SDG_CHUNK_LENGTH * width;
    const float factor = (float)p->factor;
    float *section = y + p->section * n;
    for (size_t i = 0; i < n; i++) section[i] += factor * z[i];
}
