/* unet_time.c - numbers as waves, and the time embedding of the UNet made of them (see unet.h). */
#include <math.h>
#include <string.h>

#include "models/unet_blocks.h"

#define LONGEST_PERIOD 10000.0

/* In f32 step by step, because the models were trained with the rounding of timestep_embedding
 * (latent-diffusion, ldm/modules/diffusionmodules/util.py): near t = 1000 one last bit of a
 * frequency moves its phase by 6e-5, so exact arithmetic would be no closer to them. */
void sdg_unet_embed_timesteps(float *y, const float *t, size_t n, size_t c)
{
    const size_t half = c / 2;
    const float log_period = (float)-log(LONGEST_PERIOD);
    for (size_t i = 0; i < half; i++) {
        const float frequency = expf(log_period * (float)i / (float)half);
        for (size_t j = 0; j < n; j++) {
            y[j * c + i] = cosf(t[j] * frequency);
            y[j * c + half + i] = sinf(t[j] * frequency);
        }
    }
    for (size_t j = 0; j < n && c % 2; j++) y[j * c + c - 1] = 0;
}

/* In f32 in the order of the original: 1000 w comes near 14000, where the phase has steps of 1e-3.
 */
void sdg_unet_embed_guidance(float *y, const float *w, size_t n, size_t c)
{
    const size_t half = c / 2;
    const float step = (float)log(LONGEST_PERIOD) / (float)(half - 1);
    for (size_t i = 0; i < half; i++) {
        const float frequency = expf((float)i * -step);
        for (size_t j = 0; j < n; j++) {
            y[j * c + i] = sinf(w[j] * 1000.0F * frequency);
            y[j * c + half + i] = cosf(w[j] * 1000.0F * frequency);
        }
    }
    for (size_t j = 0; j < n && c % 2; j++) y[j * c + c - 1] = 0;
}

/* y [n][d] = second(SiLU(first(x))), or, with `add`, y += it. */
static void two_layers(struct sdg_ops *o, float *y, const float *x, const struct sdg_linear *first,
                       const struct sdg_linear *second, size_t n, size_t d, bool add)
{
    const size_t mark = sdg_arena_mark(o->work);
    float *hidden = sdg_arena_floats(o->work, n * d);
    sdg_op_linear(o, hidden, x, NULL, first, n, 1, false);
    sdg_op_activate(o, hidden, hidden, SDG_SILU, n * d);
    sdg_op_linear(o, y, hidden, NULL, second, n, 1, add);
    sdg_arena_release(o->work, mark);
}

static void embed(struct sdg_ops *o, float *emb, const float *t,
                  const struct sdg_unet_condition *condition, const struct sdg_unet *m, size_t n)
{
    const size_t c = (size_t)m->config.model_channels, d = (size_t)m->config.time_width;
    const size_t mark = sdg_arena_mark(o->work);
    float *waves = sdg_arena_floats(o->work, n * c);
    if (!o->dry) sdg_unet_embed_timesteps(waves, t, n, c);
    if (m->config.time_cond)
        sdg_op_linear(o, waves, condition->guidance, NULL, &m->time_cond, n, 1, true);
    two_layers(o, emb, waves, &m->time1, &m->time2, n, d, false);
    if (m->config.label) two_layers(o, emb, condition->label, &m->label1, &m->label2, n, d, true);
    sdg_op_activate(o, emb, emb, SDG_SILU, n * d);
    sdg_arena_release(o->work, mark);
}

/* Whether all n rows [n][c] are the first one, bit by bit. */
static bool same_rows(const float *x, size_t n, size_t c)
{
    for (size_t i = 1; i < n; i++)
        if (memcmp(x, x + i * c, c * sizeof *x) != 0) return false;
    return true;
}

static bool is_shared(const float *t, const struct sdg_unet_condition *condition,
                      const struct sdg_unet_config *c, size_t n)
{
    return same_rows(t, n, 1) && (!c->label || same_rows(condition->label, n, (size_t)c->label)) &&
           (!c->time_cond || same_rows(condition->guidance, n, (size_t)c->time_cond));
}

struct sdg_unet_time sdg_unet_embed(struct sdg_ops *o, const float *t,
                                    const struct sdg_unet_condition *condition,
                                    const struct sdg_unet *m, size_t n)
{
    float *emb = sdg_arena_floats(o->work, n * (size_t)m->config.time_width);
    const bool shared = !o->dry && is_shared(t, condition, &m->config, n);
    embed(o, emb, t, condition, m, shared ? 1 : n);
    return (struct sdg_unet_time) {emb, shared};
}
