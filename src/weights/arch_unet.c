/* arch_unet.c - the plan of a denoising UNet, read from a checkpoint (see arch.h).
 *
 * Names are those of the CompVis single files (openaimodel.py): input_blocks.I.0 is a resblock or
 * the stride-2 convolution that ends a level, input_blocks.I.1 the transformer beside a resblock.
 * Widths come from the resblocks. Only the number of heads is in no shape. Two habits exist, 8
 * heads at every width and heads of 64 channels, and the head rule tells which: by the context
 * width where it is that of a known text encoder, since a file may store the projections into and
 * out of a transformer in either shape (1x1 convolution, rank 4, or linear, rank 2); otherwise by
 * that shape, because the two habits changed together.
 *
 *   context 768 (CLIP-L: SD1)                                                    8 heads
 *   context 1024 (OpenCLIP-H: SD2), 1280 (bigG: refiner), 2048 (both: SDXL)      64 channels each
 *   another, proj_in of rank 4 / of rank 2                                       8 / 64 channels */
#include <stdio.h>
#include <string.h>

#include "weights/arch.h"
#include "weights/arch_config.h"
#include "weights/arch_names.h"

enum {
    MAX_BLOCKS = SDG_UNET_MAX_BLOCKS,
    GROUPS = 32, /* every GroupNorm of the UNet */
    SD1_HEADS = 8,
    HEAD_WIDTH = 64,
    LEAST_WAVES = 4, /* sdg_unet_embed_guidance */
    NAME_SIZE = 96
};

/* What the names say about one entry of input_blocks or output_blocks. */
struct seen_block {
    bool res, down, up;
    int depth; /* transformer blocks */
};

struct seen {
    struct seen_block input[MAX_BLOCKS], output[MAX_BLOCKS], middle, middle_end;
    int inputs, outputs; /* highest number + 1 */
    bool label, time_cond;
};

static sdgen_status too_many(const struct sdg_weights *w, const char *name, sdgen_error *err)
{
    return sdg_fail(err, SDGEN_ERR_MODEL,
                    "%s: %s: more blocks than any model that sdgen knows (%d blocks, %d levels, "
                    "transformers %d deep)",
                    w->path, name, MAX_BLOCKS, SDG_UNET_MAX_LEVELS, SDG_UNET_MAX_DEPTH);
}

static bool is_res(const char *rest)
{
    return sdg_name_after(rest, "in_layers.") || sdg_name_after(rest, "out_layers.") ||
           sdg_name_after(rest, "emb_layers.");
}

/* `rest` is a name below one block. False when its transformer is deeper than we have room for. */
static bool note_block(struct seen_block *b, const char *rest)
{
    const char *part;
    int k;
    if ((part = sdg_name_after(rest, "0.")) && is_res(part))
        b->res = true;
    else if (sdg_name_after(rest, "0.op."))
        b->down = true;
    else if (sdg_name_after(rest, "1.conv.") || sdg_name_after(rest, "2.conv."))
        b->up = true;
    else if (sdg_name_number(&rest, &k, rest, "1.transformer_blocks.")) {
        if (k >= SDG_UNET_MAX_DEPTH) return false;
        if (k >= b->depth) b->depth = k + 1;
    }
    return true;
}

static bool note_middle(struct seen *s, const char *rest)
{
    const char *end = sdg_name_after(rest, "2.");
    if (end && is_res(end)) s->middle_end.res = true;
    return note_block(&s->middle, rest);
}

static sdgen_status read_names(struct seen *s, const struct sdg_weights *w, const char *prefix,
                               sdgen_error *err)
{
    *s = (struct seen) {0};
    for (size_t e = 0; e < w->count; e++) {
        const char *name = sdg_name_after(w->entries[e].name, prefix), *rest;
        bool fine = true;
        int i = 0;
        if (!name) continue;
        if (sdg_name_number(&rest, &i, name, "input_blocks.")) {
            fine = i < MAX_BLOCKS && note_block(&s->input[i], rest);
            if (i >= s->inputs) s->inputs = i + 1;
        } else if (sdg_name_number(&rest, &i, name, "output_blocks.")) {
            fine = i < MAX_BLOCKS && note_block(&s->output[i], rest);
            if (i >= s->outputs) s->outputs = i + 1;
        } else if ((rest = sdg_name_after(name, "middle_block."))) {
            fine = note_middle(s, rest);
        } else if (sdg_name_after(name, "label_emb.")) {
            s->label = true;
        } else if (sdg_name_after(name, "time_embed.cond_proj.")) {
            s->time_cond = true;
        }
        if (!fine) return too_many(w, w->entries[e].name, err);
    }
    return SDGEN_OK;
}

/* Cuts input_blocks.1.. into levels: resblocks, then the stride-2 convolution, except at the end.
 * Fills levels, blocks, depth_in; first[l] is the first input block of level l. */
static sdgen_status read_levels(struct sdg_unet_config *c, int *first, const struct seen *s,
                                const struct sdg_weights *w, const char *prefix, sdgen_error *err)
{
    int here = 0; /* resblocks of the present level so far */
    for (int i = 1; i < s->inputs; i++) {
        const struct seen_block *b = &s->input[i];
        if (!b->res && !b->down)
            return sdg_fail(err, SDGEN_ERR_MODEL,
                            "%s: %sinput_blocks.%d is missing, or is no block of a Stable "
                            "Diffusion UNet",
                            w->path, prefix, i);
        if (b->res) { /* the decoder has one more, and that must fit too */
            if (c->levels == SDG_UNET_MAX_LEVELS || here + 1 == SDG_UNET_MAX_PER_LEVEL)
                return too_many(w, prefix, err);
            if (here == 0) first[c->levels] = i;
            c->depth_in[c->levels][here++] = b->depth;
        }
        if (!b->down && i != s->inputs - 1) continue; /* the level goes on */
        if (here == 0 || (b->down && i == s->inputs - 1))
            return sdg_fail(err, SDGEN_ERR_MODEL,
                            "%s: %sinput_blocks.%d ends a level of %d resblocks%s: such a UNet is "
                            "not supported",
                            w->path, prefix, i, here, here ? " and nothing follows" : "");
        c->blocks[c->levels++] = here;
        here = 0;
    }
    if (c->levels == 0)
        return sdg_fail(err, SDGEN_ERR_MODEL, "%s: no resblocks below %sinput_blocks.1", w->path,
                        prefix);
    return SDGEN_OK;
}

/* The decoder takes back what the encoder left: a level of n resblocks left n + 1 maps. How deep
 * its transformers are is its own affair. */
static sdgen_status read_decoder(struct sdg_unet_config *c, const struct seen *s,
                                 const struct sdg_weights *w, const char *prefix, sdgen_error *err)
{
    int k = 0;
    if (s->outputs != s->inputs)
        return sdg_fail(err, SDGEN_ERR_MODEL,
                        "%s: %soutput_blocks has %d entries; with the %d of input_blocks it must "
                        "have as many",
                        w->path, prefix, s->outputs, s->inputs);
    for (int level = c->levels - 1; level >= 0; level--) {
        for (int i = 0; i <= c->blocks[level]; i++, k++) {
            const bool ends = i == c->blocks[level] && level > 0;
            if (s->output[k].up && !ends)
                return sdg_fail(err, SDGEN_ERR_MODEL,
                                "%s: %soutput_blocks.%d ends a level by upsampling, where "
                                "input_blocks has no such level: such a UNet is not supported",
                                w->path, prefix, k);
            c->depth_out[level][i] = s->output[k].depth;
        }
    }
    return SDGEN_OK;
}

/* Two resblocks around a transformer, one alone, or nothing. */
static void read_middle(struct sdg_unet_config *c, const struct seen *s)
{
    c->middle_depth = s->middle.depth;
    c->middle = s->middle_end.res || s->middle.depth ? 2 : s->middle.res ? 1 : 0;
}

/* The input is as wide as the output but for inpainting and its like, so it may bear witness. */
static sdgen_status read_widths(struct sdg_unet_config *c, const int *first, const struct seen *s,
                                const struct sdg_weights *w, const char *prefix, sdgen_error *err)
{
    static const struct sdg_width_rule
        model = {{{"input_blocks.0.0.weight", 0},
                  {"input_blocks.0.0.bias", 0},
                  {"out.0.weight", 0}},
                 GROUPS},
        in = {{{"input_blocks.0.0.weight", 1}}, 0},
        out = {{{"out.2.weight", 0}, {"out.2.bias", 0}, {"input_blocks.0.0.weight", 1}}, 0},
        time = {{{"time_embed.0.weight", 0}, {"time_embed.2.weight", 0}, {"time_embed.2.bias", 0}},
                0},
        level = {{{"in_layers.2.weight", 0},
                  {"out_layers.0.weight", 0},
                  {"out_layers.3.weight", 0}},
                 GROUPS},
        label = {{{"label_emb.0.0.weight", 1}}, 0},
        guidance = {{{"time_embed.cond_proj.weight", 1}}, 0};
    sdgen_status status;
    SDG_TRY(sdg_arch_width(&c->model_channels, w, prefix, "", &model, err));
    SDG_TRY(sdg_arch_width(&c->in_channels, w, prefix, "", &in, err));
    SDG_TRY(sdg_arch_width(&c->out_channels, w, prefix, "", &out, err));
    SDG_TRY(sdg_arch_width(&c->time_width, w, prefix, "", &time, err));
    if (s->label) SDG_TRY(sdg_arch_width(&c->label, w, prefix, "", &label, err));
    if (s->time_cond) SDG_TRY(sdg_arch_width(&c->time_cond, w, prefix, "", &guidance, err));
    if (s->time_cond && c->time_cond < LEAST_WAVES) {
        status = sdg_fail(err, SDGEN_ERR_MODEL,
                          "%s: %stime_embed.cond_proj.weight: a guidance scale embedded in %d "
                          "values; it takes %d at least",
                          w->path, prefix, c->time_cond, LEAST_WAVES);
        goto fail;
    }
    for (int l = 0; l < c->levels; l++) {
        char block[64];
        snprintf(block, sizeof block, "input_blocks.%d.0.", first[l]);
        SDG_TRY(sdg_arch_width(&c->channels[l], w, prefix, block, &level, err));
    }
fail:
    return status;
}

/* Context width and kind of projection, from the first transformer there is; the last one bears
 * witness too, lest one bent tensor say how wide the text is. */
static sdgen_status read_transformers(struct sdg_unet_config *c, const struct seen *s,
                                      const struct sdg_weights *w, const char *prefix,
                                      sdgen_error *err)
{
    char first[NAME_SIZE] = "middle_block.1.", last[NAME_SIZE] = "middle_block.1.";
    char key[NAME_SIZE], value[NAME_SIZE], other[NAME_SIZE];
    for (int i = s->inputs - 1; i > 0; i--)
        if (s->input[i].depth) snprintf(first, sizeof first, "input_blocks.%d.1.", i);
    for (int i = 0; i < s->outputs; i++)
        if (s->output[i].depth) snprintf(last, sizeof last, "output_blocks.%d.1.", i);
    snprintf(key, sizeof key, "%.40stransformer_blocks.0.attn2.to_k.weight", first);
    snprintf(value, sizeof value, "%.40stransformer_blocks.0.attn2.to_v.weight", first);
    snprintf(other, sizeof other, "%.40stransformer_blocks.0.attn2.to_k.weight", last);
    const struct sdg_width_rule context = {{{key, 1}, {value, 1}, {other, 1}}, 0};
    const struct sdg_tensor *in = sdg_arch_tensor(w, prefix, first, "proj_in.weight");
    if (!in) in = sdg_arch_tensor(w, prefix, first, "proj_out.weight");
    c->linear_projection = in && in->rank == 2;
    return sdg_arch_width(&c->context, w, prefix, "", &context, err);
}

/* Which levels attend to the context only, from the width that keys and values are made of. Where
 * the context is as wide as the map the two cannot be told apart; no such model exists. */
static void read_sources(struct sdg_unet_config *c, const int *first, const struct seen *s,
                         const struct sdg_weights *w, const char *prefix)
{
    static const char *const leaves[] = {"to_k.weight", "to_v.weight"};
    for (int l = 0; l < c->levels; l++) {
        char block[NAME_SIZE];
        int context = 0, map = 0; /* tensors that say so */
        if (s->input[first[l]].depth == 0) continue;
        snprintf(block, sizeof block, "input_blocks.%d.1.transformer_blocks.0.attn1.", first[l]);
        for (int i = 0; i < 2; i++) {
            const struct sdg_tensor *t = sdg_arch_tensor(w, prefix, block, leaves[i]);
            if (!t || t->rank != 2) continue;
            map += t->shape[1] == c->channels[l];
            context += t->shape[1] == c->context;
        }
        c->only_cross[l] = context > map;
    }
}

enum manner { EIGHT_HEADS, WIDE_HEADS };

static enum manner head_manner(const struct sdg_unet_config *c)
{
    switch (c->context) {
    case 768: return EIGHT_HEADS;
    case 1024:
    case 1280:
    case 2048: return WIDE_HEADS;
    default: return c->linear_projection ? WIDE_HEADS : EIGHT_HEADS;
    }
}

/* The head rule, and whether heads divide the width they are cut from. */
static sdgen_status choose_heads(int *heads, const struct sdg_unet_config *c, int channels,
                                 const int *depth, int blocks, const struct sdg_weights *w,
                                 const char *prefix, sdgen_error *err)
{
    const bool wide = head_manner(c) == WIDE_HEADS;
    bool attends = false;
    for (int i = 0; i < blocks; i++) attends |= depth[i] > 0;
    *heads = wide ? channels / HEAD_WIDTH : SD1_HEADS;
    if (!attends || channels % (wide ? HEAD_WIDTH : SD1_HEADS) == 0) return SDGEN_OK;
    return sdg_fail(err, SDGEN_ERR_MODEL,
                    "%s: %s: a transformer of %d channels cannot be cut into heads (context %d "
                    "and %s proj_in mean %s)",
                    w->path, prefix, channels, c->context,
                    c->linear_projection ? "linear" : "1x1 convolution",
                    wide ? "64 channels a head" : "8 heads");
}

sdgen_status sdg_arch_unet(struct sdg_unet_config *c, const struct sdg_weights *w,
                           const char *prefix, sdgen_error *err)
{
    sdgen_status status;
    struct seen s;
    int first[SDG_UNET_MAX_LEVELS] = {0};
    *c = (struct sdg_unet_config) {0};
    SDG_TRY(read_names(&s, w, prefix, err));
    SDG_TRY(read_levels(c, first, &s, w, prefix, err));
    SDG_TRY(read_decoder(c, &s, w, prefix, err));
    read_middle(c, &s);
    SDG_TRY(read_widths(c, first, &s, w, prefix, err));
    SDG_TRY(read_transformers(c, &s, w, prefix, err));
    read_sources(c, first, &s, w, prefix);
    if (sdg_config_heads(c, w, prefix)) return SDGEN_OK;
    for (int l = 0; l < c->levels; l++) {
        const int blocks = c->blocks[l];
        SDG_TRY(
            choose_heads(&c->heads[l], c, c->channels[l], c->depth_in[l], blocks, w, prefix, err));
        SDG_TRY(choose_heads(&c->heads[l], c, c->channels[l], c->depth_out[l], blocks + 1, w,
                             prefix, err));
    }
    SDG_TRY(choose_heads(&c->middle_heads, c, c->channels[c->levels - 1], &c->middle_depth, 1, w,
                         prefix, err));
fail:
    return status;
}
