/* variation.c - see variation.h. Source of both rules: AUTOMATIC1111 stable-diffusion-webui 1.10,
 * modules/rng.py (slerp, ImageRNG.first). */
#include "sampling/variation.h"

#include <math.h>

/* Cosine of the angle between two columns of h values, `stride` apart. */
static float cosine(const float *a, const float *b, size_t h, size_t stride)
{
    double aa = 0, bb = 0, ab = 0;
    for (size_t i = 0; i < h * stride; i += stride) {
        aa += (double)a[i] * (double)a[i];
        bb += (double)b[i] * (double)b[i];
        ab += (double)a[i] * (double)b[i];
    }
    return aa > 0 && bb > 0 ? (float)(ab / sqrt(aa * bb)) : 1.0f;
}

/* Nearly the same noise: a straight blend. The original has its operands the wrong way round, so
 * that strength 0 gives `high`; pictures were made with it. */
static void blend(float *low, const float *high, size_t count, double strength)
{
    const float a = (float)strength, b = (float)(1.0 - strength);
    for (size_t i = 0; i < count; i++) low[i] = low[i] * a + high[i] * b;
}

/* sin((1-v) angle)/sin(angle) a + sin(v angle)/sin(angle) b keeps the length of a vector when a and
 * b are as long (Shoemake 1985). The vectors here are the columns of a channel, h values each, not
 * whole images: the original meant dimension 1 of a batch and has no batch there. */
void sdg_slerp(float *low, const float *high, size_t c, size_t h, size_t w, double strength)
{
    double sum = 0;
    for (size_t i = 0; i < c * w; i++) {
        const size_t at = i / w * h * w + i % w;
        sum += (double)cosine(low + at, high + at, h, w);
    }
    if (sum / (double)(c * w) > 0.9995) {
        blend(low, high, c * h * w, strength);
        return;
    }
    const float v = (float)strength, rest = (float)(1.0 - strength);
    for (size_t i = 0; i < c * w; i++) {
        const size_t at = i / w * h * w + i % w;
        const double angle = acos((double)cosine(low + at, high + at, h, w));
        const double sine = sin(angle);
        float a = rest, b = v;
        if (sine > 1e-6) { /* columns of one value have no angle: blended straight */
            a = (float)(sin((double)rest * angle) / sine);
            b = (float)(sin((double)v * angle) / sine);
        }
        for (size_t j = at; j < at + h * w; j += w) low[j] = a * low[j] + b * high[j];
    }
}

/* One axis of the paste: from place `from` of the old extent to place `to` of the new one. */
struct overlap {
    size_t from, to, length;
};

/* The margin is half the difference, rounded down, towards the top left. */
static struct overlap centre(size_t extent, size_t old)
{
    if (extent >= old) return (struct overlap) {0, (extent - old) / 2, old};
    const size_t margin = (old - extent + 1) / 2;
    return (struct overlap) {margin, 0, old - 2 * margin};
}

void sdg_paste_centre(float *y, size_t h, size_t w, const float *x, size_t xh, size_t xw, size_t c)
{
    const struct overlap rows = centre(h, xh), columns = centre(w, xw);
    for (size_t i = 0; i < c; i++)
        for (size_t r = 0; r < rows.length; r++) {
            const float *from = x + (i * xh + rows.from + r) * xw + columns.from;
            float *to = y + (i * h + rows.to + r) * w + columns.to;
            for (size_t k = 0; k < columns.length; k++) to[k] = from[k];
        }
}
