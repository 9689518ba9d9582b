/* denoise.c - see denoise.h.
 *
 * A call counts: prompt editing and A1111's ways to go without guidance refer to the number of
 * model calls so far, not to the step of the schedule (AUTOMATIC1111 stable-diffusion-webui 1.10,
 * modules/sd_samplers_cfg_denoiser.py). */
#include "pipeline/denoise.h"

#include <string.h>

/* What keys and values of contexts may take: 33 contexts of 77 tokens under SD1, 5 under SDXL. */
enum { KEY_BYTES = 256 << 20 };

static void reserve_keys(struct sdg_denoiser *d, struct sdg_arena *arena)
{
    size_t contexts = sdg_conditioning_count(d->cond), rows = d->cond->rows;
    if (d->plan->guided) {
        contexts += sdg_conditioning_count(d->uncond);
        if (d->uncond->rows > rows) rows = d->uncond->rows;
    }
    sdg_unet_keys_reserve(&d->keys, arena, d->unet, contexts, rows, KEY_BYTES);
}

void sdg_denoiser_reserve(struct sdg_denoiser *d, struct sdg_arena *arena)
{
    const size_t batch = (size_t)d->plan->batch, parts = d->plan->cond.part_count;
    const size_t most = (parts + d->plan->guided) * batch;
    d->group = most < 2 * batch ? most : 2 * batch;
    d->input = sdg_arena_floats(arena, d->group * d->latent);
    d->timesteps = sdg_arena_floats(arena, d->group);
    d->output = sdg_arena_floats(arena, (1 + parts) * batch * d->latent);
    d->weights = sdg_arena_floats(arena, parts);
    d->sides = sdg_arena_alloc(arena, parts, sizeof *d->sides);
    reserve_keys(d, arena);
    if (d->plan->params->trace_dir) d->guided = sdg_arena_floats(arena, batch * d->latent);
}

void sdg_denoiser_begin(struct sdg_denoiser *d, size_t n)
{
    d->n = n;
    d->call = 0;
    for (size_t i = 0; i < d->plan->cond.part_count; i++)
        d->weights[i] = (float)d->plan->cond.parts[i].weight;
}

/* Without prompt (side 0) or with part side - 1 of it: what image `entry` of a pass attends to. */
static struct sdg_unet_context context_of(const struct sdg_denoiser *d, size_t side)
{
    const struct sdg_conditioning *c = side ? d->cond : d->uncond;
    const float *z = d->ops->dry ? c->z : sdg_conditioning_at(c, side ? side - 1 : 0, d->call);
    return (struct sdg_unet_context) {.data = z, .t = c->rows};
}

/* output[side] for side from..parts, all images, in groups. Images do not feel their neighbours, so
 * how they are grouped changes no bit. */
static void run_unet(struct sdg_denoiser *d, size_t from, const float *input, float t)
{
    const size_t sides = d->plan->cond.part_count + 1, all = (sides - from) * d->n;
    sdg_unet_keys_begin(&d->keys);
    for (size_t first = 0; first < all; first += d->group) {
        const size_t n = all - first < d->group ? all - first : d->group;
        for (size_t i = 0; i < n; i++) {
            d->contexts[i] = context_of(d, from + (first + i) / d->n);
            d->context_keys[i] = sdg_unet_keys_of(&d->keys, d->ops, &d->contexts[i]);
            if (d->ops->dry) continue;
            d->timesteps[i] = t;
            memcpy(d->input + i * d->latent, input + (first + i) % d->n * d->latent,
                   d->latent * sizeof(float));
        }
        const struct sdg_unet_condition condition = {.context = d->contexts,
                                                     .keys = d->context_keys};
        sdg_unet_forward(d->ops, d->output + (from * d->n + first) * d->latent, d->input,
                         d->timesteps, &condition, d->unet, n, d->plan->h, d->plan->w,
                         d->plan->convention->upsampling);
    }
}

/* Whether the pass without prompt takes part in guidance. */
static bool wants_uncond(const struct sdg_denoiser *d, float sigma, int step)
{
    const struct sdg_plan *p = d->plan;
    const bool counts_calls = p->convention->like == SDG_LIKE_A1111;
    struct sdg_guidance g = p->guidance;
    if (p->composed && g.scale == 1) g.scale = 2; /* the negative prompt keeps a share (plan.h) */
    return sdg_guidance_wants_uncond(&g, counts_calls ? d->call : step,
                                     counts_calls ? p->calls : p->schedule.steps, sigma);
}

/* out [n][latent] = the sides of each image made one. */
static void guide(struct sdg_denoiser *d, float *out, bool with_uncond, const float *input,
                  float sigma)
{
    const struct sdg_plan *p = d->plan;
    const size_t parts = p->cond.part_count;
    for (size_t i = 0; i < d->n; i++) {
        for (size_t k = 0; k < parts; k++)
            d->sides[k] = d->output + ((k + 1) * d->n + i) * d->latent;
        sdg_guide(out + i * d->latent, d->sides, d->weights, (int)parts,
                  with_uncond ? d->output + i * d->latent : NULL, &p->guidance, p->convention->like,
                  input + i * d->latent, sigma, p->levels.prediction, d->latent);
    }
}

bool sdg_denoiser_call(struct sdg_denoiser *d, float *out, float *uncond, const float *input,
                       float t, float sigma, int step)
{
    if (d->ops->dry) {
        run_unet(d, d->plan->guided ? 0 : 1, input, t);
        return true;
    }
    const size_t count = d->n * d->latent;
    const bool with_uncond = wants_uncond(d, sigma, step);
    run_unet(d, with_uncond || uncond ? 0 : 1, input, t);
    d->call++;
    if (sdg_ops_cancelled(d->ops)) return false;
    guide(d, out, with_uncond, input, sigma);
    if (uncond) memcpy(uncond, d->output, count * sizeof(float));
    if (d->guided) memcpy(d->guided, out, count * sizeof(float));
    return true;
}
