/* activation_c.c - the point-wise nonlinearities in plain C; contracts in kernels.h. */
#include "kernels.h"

#include <math.h>

#include "tiers.h"

/* y[i] = x[i] * sigmoid(x[i]) (Ramachandran et al. 2017, "swish" with beta = 1). */
void sdg_silu_c(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] = x[i] / (1.0f + expf(-x[i]));
}

/* x * Phi(x) = x/2 (1 + erf(x / sqrt 2)). Written with erfc(-z) = 1 + erf(z), because the sum
 * cancels in the left tail. */
static float gelu(float x)
{
    const float root_half = 0.707106781f;
    return 0.5f * x * erfcf(-x * root_half);
}

void sdg_gelu_c(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] = gelu(x[i]);
}

void sdg_quick_gelu_c(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] = x[i] / (1.0f + expf(-1.702f * x[i]));
}

/* The first half of each row, gated by the GELU of the second. */
void sdg_geglu_c(float *y, const float *x, size_t rows, size_t c)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < c; i++) y[r * c + i] = x[r * 2 * c + i] * gelu(x[r * 2 * c + c + i]);
}

void sdg_affine_c(float *y, const float *x, const float *scale, const float *shift, size_t rows,
                  size_t c)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < c; i++) y[r * c + i] = scale[i] * x[r * c + i] + shift[i];
}

void sdg_affine_silu_c(float *y, const float *x, const float *scale, const float *shift,
                       size_t rows, size_t c)
{
    sdg_affine_c(y, x, scale, shift, rows, c);
    sdg_silu_c(y, y, rows * c);
}

void sdg_add_c(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] += x[i];
}
