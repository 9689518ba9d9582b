/* denoise.c - see denoise.h.
 *
 * A call counts: prompt editing and A1111's ways to go without guidance refer to the number of
 * model calls so far, not to the step of the schedule (AUTOMATIC1111 stable-diffusion-webui 1.10,
 * modules/sd_samplers_cfg_denoiser.py). */
#include "pipeline/denoise.h"

#include <math.h>
#include <string.h>

/* What keys and values of contexts may take: 33 contexts of 77 tokens under SD1, 5 under SDXL. */
enum { KEY_BYTES = 256 << 20 };

static size_t parts_of(const struct sdg_denoiser *d)
{
    return d->plan->cond.part_count;
}

/* Without prompt, its parts, and for edit models the picture alone. */
static size_t sides_of(const struct sdg_denoiser *d)
{
    return SDG_SIDE_PARTS + parts_of(d) + d->plan->guides_picture;
}

static void reserve_keys(struct sdg_expert *e, const struct sdg_plan *p, struct sdg_arena *arena)
{
    size_t contexts = sdg_conditioning_count(&e->cond), rows = e->cond.rows;
    if (p->guided) {
        contexts += sdg_conditioning_count(&e->uncond);
        if (e->uncond.rows > rows) rows = e->uncond.rows;
    }
    sdg_unet_keys_reserve(&e->keys, arena, e->unet, contexts, rows,
                          p->memory.forgets_keys ? 0 : KEY_BYTES);
}

void sdg_denoiser_reserve(struct sdg_denoiser *d, struct sdg_arena *arena)
{
    const size_t batch = (size_t)d->plan->batch;
    const size_t most = (sides_of(d) - !d->plan->guided) * batch;
    size_t label = 0, guidance = 0;
    for (int i = 0; i < d->expert_count; i++) {
        const struct sdg_unet_config *c = &d->experts[i].unet->config;
        if ((size_t)c->label > label) label = (size_t)c->label;
        if ((size_t)c->time_cond > guidance) guidance = (size_t)c->time_cond;
    }
    d->group = most < 2 * batch ? most : 2 * batch;
    if (d->plan->memory.group && d->plan->memory.group < d->group) d->group = d->plan->memory.group;
    d->extras = sdg_arena_floats(arena, batch * d->extra);
    d->input = sdg_arena_floats(arena, d->group * (d->latent + d->extra));
    d->timesteps = sdg_arena_floats(arena, d->group);
    d->labels = sdg_arena_floats(arena, d->group * label);
    d->guidance = sdg_arena_floats(arena, d->group * guidance);
    d->output = sdg_arena_floats(arena, sides_of(d) * batch * d->latent);
    d->weights = sdg_arena_floats(arena, parts_of(d));
    d->sides = sdg_arena_alloc(arena, parts_of(d), sizeof *d->sides);
    for (int i = 0; i < d->expert_count; i++) reserve_keys(&d->experts[i], d->plan, arena);
    if (d->plan->params->trace_dir) d->guided = sdg_arena_floats(arena, batch * d->latent);
}

void sdg_denoiser_begin(struct sdg_denoiser *d, size_t n)
{
    d->n = n;
    d->call = 0;
    d->expert = 0;
    for (size_t i = 0; i < parts_of(d); i++) d->weights[i] = (float)d->plan->cond.parts[i].weight;
}

/* ---- one pass ---- */

static bool has_prompt(const struct sdg_denoiser *d, size_t side)
{
    return side >= SDG_SIDE_PARTS && side < SDG_SIDE_PARTS + parts_of(d);
}

/* What image `i` of a pass, on `side` of the prompt, attends to. */
static void put_condition(struct sdg_denoiser *d, struct sdg_expert *e, size_t i, size_t side)
{
    const bool prompt = has_prompt(d, side);
    const struct sdg_conditioning *c = prompt ? &e->cond : &e->uncond;
    const size_t part = prompt ? side - SDG_SIDE_PARTS : 0;
    d->contexts[i] = (struct sdg_unet_context) {.data = c->all.z, .t = c->rows};
    if (!d->ops->dry) d->contexts[i].data = sdg_conditioning_at(c, part, d->call);
    d->context_keys[i] = sdg_unet_keys_of(&e->keys, d->ops, &d->contexts[i]);
    if (c->label && !d->ops->dry)
        memcpy(d->labels + i * c->label, sdg_conditioning_label(c, part, d->call),
               c->label * sizeof(float));
}

/* A guidance scale that the UNet itself takes, as diffusers counts it: w - 1. */
static void put_guidance(const struct sdg_denoiser *d, const struct sdg_unet *unet, size_t n)
{
    const float w = (float)(d->plan->guidance_input - 1);
    const size_t width = (size_t)unet->config.time_cond;
    for (size_t i = 0; i < n && width; i++)
        sdg_unet_embed_guidance(d->guidance + i * width, &w, 1, width);
}

/* The latent of image `from` and what is shown beside it: nothing, where the side goes without the
 * picture of an edit model. */
static void put_input(struct sdg_denoiser *d, size_t i, const float *input, size_t from,
                      size_t side)
{
    float *to = d->input + i * (d->latent + d->extra);
    memcpy(to, input + from * d->latent, d->latent * sizeof *to);
    if (d->plan->guides_picture && side == SDG_SIDE_UNCOND)
        memset(to + d->latent, 0, d->extra * sizeof *to);
    else if (d->extra)
        memcpy(to + d->latent, d->extras + from * d->extra, d->extra * sizeof *to);
}

/* output[side] for side from..last, all images, in groups. Images do not feel their neighbours, so
 * how they are grouped changes no bit. */
static void run_unet(struct sdg_denoiser *d, size_t from, size_t last, const float *input, float t)
{
    struct sdg_expert *e = &d->experts[d->expert];
    const size_t all = (last + 1 - from) * d->n;
    sdg_unet_keys_begin(&e->keys);
    for (size_t first = 0; first < all; first += d->group) {
        const size_t n = all - first < d->group ? all - first : d->group;
        for (size_t i = 0; i < n; i++) {
            const size_t side = from + (first + i) / d->n;
            put_condition(d, e, i, side);
            if (d->ops->dry) continue;
            d->timesteps[i] = t;
            put_input(d, i, input, (first + i) % d->n, side);
        }
        if (!d->ops->dry) put_guidance(d, e->unet, n);
        const struct sdg_unet_condition condition = {.context = d->contexts,
                                                     .keys = d->context_keys,
                                                     .label = d->labels,
                                                     .guidance = d->guidance};
        sdg_unet_forward(d->ops, d->output + (from * d->n + first) * d->latent, d->input,
                         d->timesteps, &condition, e->unet, n, d->plan->h, d->plan->w,
                         d->plan->convention->upsampling);
    }
}

/* ---- guidance ---- */

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

/* Edit models: with u without prompt and picture, i with the picture, c with both,
 *
 *   out = u + scale (c - i) + picture_scale (i - u)      (Brooks et al. 2023, eq. 3)
 *
 * of which sdg_guide has done i + scale (c - i). */
static void guide_picture(float *out, const float *u, const float *i, double picture_scale,
                          size_t count)
{
    const float more = (float)(picture_scale - 1);
    for (size_t k = 0; k < count; k++) out[k] += more * (i[k] - u[k]);
}

/* out [n][latent] = the sides of each image made one. */
static void guide(struct sdg_denoiser *d, float *out, bool with_uncond, const float *input,
                  float sigma)
{
    const struct sdg_plan *p = d->plan;
    const size_t parts = parts_of(d), picture = SDG_SIDE_PARTS + parts;
    for (size_t i = 0; i < d->n; i++) {
        const float *u = d->output + i * d->latent;
        const float *base = p->guides_picture ? u + picture * d->n * d->latent : u;
        for (size_t k = 0; k < parts; k++)
            d->sides[k] = u + (k + SDG_SIDE_PARTS) * d->n * d->latent;
        sdg_guide(out + i * d->latent, d->sides, d->weights, (int)parts, with_uncond ? base : NULL,
                  &p->guidance, p->convention->like, input + i * d->latent, sigma,
                  p->levels.prediction, d->latent);
        if (p->guides_picture && with_uncond)
            guide_picture(out + i * d->latent, u, base, p->params->image_cfg_scale, d->latent);
    }
}

/* ---- experts ---- */

/* The refiner takes over at the first call at or below its noise level, and keeps on: ComfyUI by
 * the steps (its two samplers share a schedule), the others by the timestep (A1111,
 * modules/sd_samplers_common.py apply_refiner; diffusers, denoising_end). */
bool sdg_denoiser_advance(struct sdg_denoiser *d, float sigma, int step)
{
    const struct sdg_plan *p = d->plan;
    const double share = p->params->refiner_switch;
    if (d->expert + 1 >= d->expert_count) return false;
    bool now;
    if (p->convention->like == SDG_LIKE_COMFYUI) {
        now = step >= (int)(share * p->schedule.steps + 0.5);
    } else {
        const double t = rint((double)sdg_levels_timestep(&p->levels, (double)sigma));
        now = t < rint(SDG_TRAIN_STEPS * (1 - share));
    }
    d->expert += now;
    return now;
}

static void call_dry(struct sdg_denoiser *d, const float *input, float t)
{
    for (d->expert = 0; d->expert < d->expert_count; d->expert++)
        run_unet(d, d->plan->guided ? SDG_SIDE_UNCOND : SDG_SIDE_PARTS, sides_of(d) - 1, input, t);
    d->expert = 0;
}

bool sdg_denoiser_call(struct sdg_denoiser *d, float *out, float *uncond, const float *input,
                       float t, float sigma, int step)
{
    if (d->ops->dry) {
        call_dry(d, input, t);
        return true;
    }
    const size_t count = d->n * d->latent;
    const bool with_uncond = wants_uncond(d, sigma, step);
    if (with_uncond || uncond)
        run_unet(d, SDG_SIDE_UNCOND, sides_of(d) - 1, input, t);
    else
        run_unet(d, SDG_SIDE_PARTS, parts_of(d), input, t);
    d->call++;
    if (sdg_ops_cancelled(d->ops)) return false;
    guide(d, out, with_uncond, input, sigma);
    if (uncond) memcpy(uncond, d->output, count * sizeof(float));
    if (d->guided) memcpy(d->guided, out, count * sizeof(float));
    return true;
}
