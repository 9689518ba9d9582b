/* norm_c.c - normalisations over rows and over channels in plain C; contracts in kernels.h. */
#include "kernels.h"

#include <math.h>

#include "tiers.h"

/* Shifted by the row's maximum m: exp(s x_i) / sum_j exp(s x_j) = exp(s (x_i - m)) / sum_j
 * exp(s (x_j - m)), where no term overflows and one is 1. */
void sdg_softmax_c(float *y, const float *x, size_t rows, size_t cols, size_t ld, float scale)
{
    for (size_t r = 0; r < rows; r++, x += ld, y += ld) {
        float top = x[0];
        for (size_t i = 1; i < cols; i++) top = x[i] > top ? x[i] : top;
        double sum = 0.0;
        for (size_t i = 0; i < cols; i++) {
            const float d = scale * (x[i] - top);
            y[i] = d < -75.0f ? 0.0f : expf(d); /* NaN goes to expf */
            sum += (double)y[i];
        }
        const float inverse = (float)(1.0 / sum);
        for (size_t i = 0; i < cols; i++) y[i] *= inverse;
    }
}

/* LayerNorm: mean, then the variance about it, then the affine map. */
void sdg_layernorm_c(float *y, const float *x, const float *gamma, const float *beta, size_t rows,
                     size_t c, float eps)
{
    for (size_t r = 0; r < rows; r++, x += c, y += c) {
        double mean = 0.0, variance = 0.0;
        for (size_t i = 0; i < c; i++) mean += (double)x[i];
        mean /= (double)c;
        for (size_t i = 0; i < c; i++) variance += ((double)x[i] - mean) * ((double)x[i] - mean);
        const double inverse = 1.0 / sqrt(variance / (double)c + (double)eps);
        for (size_t i = 0; i < c; i++)
            y[i] = (float)(((double)x[i] - mean) * inverse) * gamma[i] + beta[i];
    }
}

/* What GroupNorm needs of a map, by channel: the caller folds channels into groups, which may span
 * several source maps. Products of two f32 are exact in f64. */
void sdg_channel_sums_c(double *sum, double *square, const float *x, size_t rows, size_t c)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < c; i++) {
            const double v = (double)x[r * c + i];
            sum[i] += v;
            square[i] += v * v;
        }
}
