/* torch_normal.c - see torch_normal.h. Normal numbers by the transform of Box & Muller 1958: for
 * uniform u, v the pair sqrt(-2 ln u) (cos 2 pi v, sin 2 pi v) is normal and independent.
 *
 * Which uniforms meet in a pair is what must agree with PyTorch (ATen/native/cpu/
 * DistributionTemplates.h, ATen/core/DistributionsHelper.h); its two paths are both here, because
 * a draw of fewer than 16 numbers takes another one than a longer draw. Logarithm, sine and cosine
 * are evaluated in double and rounded, so that they do not depend on the C library; torch's own
 * last bits depend on the processor (its vector builds use polynomials), so long draws agree to
 * 4e-7 and cannot agree better everywhere. Short draws are the same bits. */
#include "sampling/torch_normal.h"

#include <math.h>

enum { BLOCK = 16, HALF = BLOCK / 2 };
#define TWO_PI 6.283185307179586476925286766559

/* Uniform in [0,1) with 24 bits: one word of the generator. */
static float uniform_float(struct sdg_mt19937 *m)
{
    return (float)(sdg_mt19937_next(m) & 0xffffff) * 0x1p-24f;
}

/* Uniform in [0,1) with 53 bits: two words, the first one is the upper. */
static double uniform_double(struct sdg_mt19937 *m)
{
    const uint64_t high = sdg_mt19937_next(m);
    const uint64_t both = high << 32 | sdg_mt19937_next(m);
    return (double)(both & ((UINT64_C(1) << 53) - 1)) * 0x1p-53;
}

/* Sixteen uniforms become sixteen normals in place: element j pairs with element j + 8. The radius
 * takes 1 - u, which is never 0. Every result is rounded to f32 where torch's is: the angle alone,
 * kept in double, would move values by 1e-6. */
static void transform_block(float *y)
{
    for (int j = 0; j < HALF; j++) {
        const float u = 1.0f - y[j], angle = (float)TWO_PI * y[j + HALF];
        const float radius = sqrtf(-2.0f * (float)log((double)u));
        y[j] = radius * (float)cos((double)angle);
        y[j + HALF] = radius * (float)sin((double)angle);
    }
}

/* Long draws: all uniforms first, then whole blocks. A ragged tail is not transformed as it is: the
 * last sixteen places get new uniforms, over values that are already finished. */
static void fill(struct sdg_rng *r, float *y, size_t count)
{
    for (size_t i = 0; i < count; i++) y[i] = uniform_float(&r->engine);
    for (size_t i = 0; i + BLOCK <= count; i += BLOCK) transform_block(y + i);
    if (count % BLOCK == 0) return;
    float *tail = y + count - BLOCK;
    for (int j = 0; j < BLOCK; j++) tail[j] = uniform_float(&r->engine);
    transform_block(tail);
}

/* Short draws: one number at a time; the second half of a pair waits in the generator, even across
 * a long draw in between. */
static float next(struct sdg_rng *r)
{
    if (r->has_spare) {
        r->has_spare = 0;
        return (float)r->spare;
    }
    const double u = uniform_double(&r->engine);
    const double v = uniform_double(&r->engine);
    const double radius = sqrt(-2.0 * log1p(-v));
    r->spare = radius * sin(TWO_PI * u);
    r->has_spare = 1;
    return (float)(radius * cos(TWO_PI * u));
}

void sdg_torch_normal(struct sdg_rng *r, float *y, size_t count)
{
    if (count >= BLOCK)
        fill(r, y, count);
    else
        for (size_t i = 0; i < count; i++) y[i] = next(r);
}
