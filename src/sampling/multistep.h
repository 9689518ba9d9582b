/* multistep.h - what samplers share that remember what the model said at earlier levels. */
#ifndef SDG_SAMPLING_MULTISTEP_H
#define SDG_SAMPLING_MULTISTEP_H

#include "sampling/sampler.h"

/* history [length] of arrays [n][len], newest first: all move one place back, and the oldest comes
 * to the front, where it is returned to be overwritten. */
float *sdg_history_turn(float *history[], int length);

/* x += weight[0] history[0] + weight[1] history[1] + ..., count terms. */
void sdg_history_add(struct sdg_sampling *s, const float *weight, float *const history[],
                     int count);

/* The order of step i (0-based): no more than are known, wanted and possible. */
int sdg_step_order(const struct sdg_sampling *s, int i, int highest);

/* noise [n][len] for a step between two levels: from the Brownian path in the programs that have
 * one (A1111, ComfyUI), drawn anew in the others. */
void sdg_step_noise(struct sdg_sampling *s, float *noise, float from, float to);

#endif
