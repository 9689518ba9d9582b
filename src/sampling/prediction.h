/* prediction.h - between what a network says and what samplers ask for. */
#ifndef SDG_SAMPLING_PREDICTION_H
#define SDG_SAMPLING_PREDICTION_H

#include <stddef.h>
#include "sampling/levels.h"

/* Factor on x = x0 + sigma*noise that gives the network's input: 1/sqrt(sigma^2 + 1). */
float sdg_input_scale(float sigma);

/* denoised = clean latent, from the network's output at x = x0 + sigma*noise (not scaled). All
 * [count]; denoised may be output. */
void sdg_denoised_of(float *denoised, const float *x, const float *output, float sigma,
                     enum sdg_prediction prediction, size_t count);

/* eps and x0 from the network's output at the network's own input x = sqrt(abar) x0 +
 * sqrt(1-abar) eps. Either may be NULL; both may be output. [count] */
void sdg_split_output(float *eps, float *x0, const float *x, const float *output, float abar,
                      enum sdg_prediction prediction, size_t count);

#endif
