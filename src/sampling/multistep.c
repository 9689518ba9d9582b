/* multistep.c - see multistep.h. */
#include "sampling/multistep.h"

float *sdg_history_turn(float *history[], int length)
{
    float *const oldest = history[length - 1];
    for (int k = length - 1; k > 0; k--) history[k] = history[k - 1];
    history[0] = oldest;
    return oldest;
}

void sdg_history_add(struct sdg_sampling *s, const float *weight, float *const history[], int count)
{
    for (size_t j = 0; j < s->n * s->len; j++) {
        float sum = weight[0] * history[0][j];
        for (int k = 1; k < count; k++) sum += weight[k] * history[k][j];
        s->x[j] += sum;
    }
}

int sdg_step_order(const struct sdg_sampling *s, int i, int highest)
{
    int order = s->options.order < highest ? s->options.order : highest;
    if (order > i + 1) order = i + 1;
    return order > 1 ? order : 1;
}

void sdg_step_noise(struct sdg_sampling *s, float *noise, float from, float to)
{
    if (s->like == SDG_LIKE_A1111 || s->like == SDG_LIKE_COMFYUI)
        s->brownian(s->user, noise, from, to);
    else
        s->draw(s->user, noise);
}
