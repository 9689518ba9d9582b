/* arch_unet.c - the plan of a denoising UNet, read from a checkpoint (see arch.h).
 *
 * Names are those of the CompVis single files (openaimodel.py): input_blocks.I.0 is a resblock or
 * the stride-2 convolution that ends a level, input_blocks.I.1 the transformer beside a resblock.
 * Widths come from the resblocks. Only the number of heads is in no shape; SD's families differ in
 * how they project into the transformer, and that tells it (head rule): proj_in is a 1x1
 * convolution (rank 4): SD1, always 8 heads proj_in is linear (rank 2): SD2, SDXL, heads of 64
 * channels each */
#include <stdio.h>
#include <string.h>

#include "weights/arch.h"
#include "weights/arch_names.h"

enum {
    MAX_BLOCKS = SDG_UNET_MAX_BLOCKS,
    GROUPS = 32, /* every GroupNorm of the UNet */
    SD1_HEADS = 8,
    HEAD_WIDTH = 64
};

/* What the names say about one entry of input_blocks or output_blocks. */
struct seen_block {
    bool res, down;
    int depth; /* transformer blocks */
};

struct seen {
    struct seen_block input[MAX_BLOCKS], output[MAX_BLOCKS], middle;
    int inputs, outputs; /* highest number + 1 */
};

static sdgen_status too_many(const struct sdg_weights *w, const char *name, sdgen_error *err)
{
    return sdg_fail(err, SDGEN_ERR_MODEL,
                    "%s: %s: more blocks than any model that sdgen knows (%d blocks, %d levels, "
                    "transformers %d deep)",
                    w->path, name, MAX_BLOCKS, SDG_UNET_MAX_LEVELS, SDG_UNET_MAX_DEPTH);
}

/* `rest` is a name below one block. False when its transformer is deeper than we have room for. */
static bool note_block(struct seen_block *b, const char *rest)
{
    int k;
    if (sdg_name_after(rest, "0.in_layers.") || sdg_name_after(rest, "0.out_layers.") ||
        sdg_name_after(rest, "0.emb_layers."))
        b->res = true;
    else if (sdg_name_after(rest, "0.op."))
        b->down = true;
    else if (sdg_name_number(&rest, &k, rest, "1.transformer_blocks.")) {
        if (k >= SDG_UNET_MAX_DEPTH) return false;
        if (k >= b->depth) b->depth = k + 1;
    }
    return true;
}

static sdgen_status read_names(struct seen *s, const struct sdg_weights *w, const char *prefix,
                               sdgen_error *err)
{
    *s = (struct seen) {0};
    for (size_t e = 0; e < w->count; e++) {
        const char *name = sdg_name_after(w->entries[e].name, prefix), *rest;
        if (!name) continue;
        struct seen_block *block = NULL;
        int i = 0;
        if (sdg_name_number(&rest, &i, name, "input_blocks.")) {
            if (i < MAX_BLOCKS) block = &s->input[i];
            if (block && i >= s->inputs) s->inputs = i + 1;
        } else if (sdg_name_number(&rest, &i, name, "output_blocks.")) {
            if (i < MAX_BLOCKS) block = &s->output[i];
            if (block && i >= s->outputs) s->outputs = i + 1;
        } else if ((rest = sdg_name_after(name, "middle_block."))) {
            block = &s->middle;
        } else {
            continue;
        }
        if (!block || !note_block(block, rest)) return too_many(w, w->entries[e].name, err);
    }
    return SDGEN_OK;
}

/* Cuts input_blocks.1.. into levels: resblocks, then the stride-2 convolution, except at the end.
 * Fills levels, blocks, depth[], middle_depth; first[l] is the first input block of level l. */
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
        if (b->res) {
            if (here == 0) {
                if (c->levels == SDG_UNET_MAX_LEVELS) return too_many(w, prefix, err);
                first[c->levels] = i;
                c->depth[c->levels++] = b->depth;
            }
            if (b->depth != c->depth[c->levels - 1])
                return sdg_fail(err, SDGEN_ERR_MODEL,
                                "%s: %sinput_blocks.%d has %d transformer layers, its neighbour "
                                "of the same level %d: such a UNet is not supported",
                                w->path, prefix, i, b->depth, c->depth[c->levels - 1]);
            here++;
        }
        if (!b->down && i != s->inputs - 1) continue; /* the level goes on */
        if (c->levels == 1) c->blocks = here;
        if (here == 0 || here != c->blocks || here >= SDG_UNET_MAX_PER_LEVEL ||
            (b->down && i == s->inputs - 1))
            return sdg_fail(err, SDGEN_ERR_MODEL,
                            "%s: %sinput_blocks.%d ends a level of %d resblocks, where the first "
                            "level has %d: such a UNet is not supported",
                            w->path, prefix, i, here, c->blocks);
        here = 0;
    }
    if (c->levels == 0)
        return sdg_fail(err, SDGEN_ERR_MODEL, "%s: no resblocks below %sinput_blocks.1", w->path,
                        prefix);
    c->middle_depth = s->middle.depth;
    return SDGEN_OK;
}

/* The decoder must mirror the encoder: one resblock more per level, transformers alike. */
static sdgen_status check_mirror(const struct sdg_unet_config *c, const struct seen *s,
                                 const struct sdg_weights *w, const char *prefix, sdgen_error *err)
{
    const int per_level = c->blocks + 1, want = c->levels * per_level;
    if (s->outputs != want)
        return sdg_fail(err, SDGEN_ERR_MODEL,
                        "%s: %soutput_blocks has %d entries; with %d levels of %d resblocks it "
                        "must have %d",
                        w->path, prefix, s->outputs, c->levels, c->blocks, want);
    for (int i = 0; i < want; i++) {
        const int depth = c->depth[c->levels - 1 - i / per_level];
        if (s->output[i].depth != depth)
            return sdg_fail(err, SDGEN_ERR_MODEL,
                            "%s: %soutput_blocks.%d has %d transformer layers, the input side of "
                            "its level %d: such a UNet is not supported",
                            w->path, prefix, i, s->output[i].depth, depth);
    }
    return SDGEN_OK;
}

static sdgen_status read_widths(struct sdg_unet_config *c, const int *first,
                                const struct sdg_weights *w, const char *prefix, sdgen_error *err)
{
    static const struct sdg_width_rule model = {{{"input_blocks.0.0.weight", 0},
                                                 {"input_blocks.0.0.bias", 0},
                                                 {"out.0.weight", 0}},
                                                GROUPS},
                                       in = {{{"input_blocks.0.0.weight", 1}}, 0},
                                       out = {{{"out.2.weight", 0}, {"out.2.bias", 0}}, 0},
                                       time = {{{"time_embed.0.weight", 0},
                                                {"time_embed.2.weight", 0},
                                                {"time_embed.2.bias", 0}},
                                               0},
                                       level = {{{"in_layers.2.weight", 0},
                                                 {"out_layers.0.weight", 0},
                                                 {"out_layers.3.weight", 0}},
                                                GROUPS};
    sdgen_status status;
    SDG_TRY(sdg_arch_width(&c->model_channels, w, prefix, "", &model, err));
    SDG_TRY(sdg_arch_width(&c->in_channels, w, prefix, "", &in, err));
    SDG_TRY(sdg_arch_width(&c->out_channels, w, prefix, "", &out, err));
    SDG_TRY(sdg_arch_width(&c->time_width, w, prefix, "", &time, err));
    for (int l = 0; l < c->levels; l++) {
        char block[64];
        snprintf(block, sizeof block, "input_blocks.%d.0.", first[l]);
        SDG_TRY(sdg_arch_width(&c->channels[l], w, prefix, block, &level, err));
    }
fail:
    return status;
}

/* Context width and kind of projection, from the first transformer there is. */
static sdgen_status read_transformer(struct sdg_unet_config *c, const int *first,
                                     const struct sdg_weights *w, const char *prefix,
                                     sdgen_error *err)
{
    static const struct sdg_width_rule context = {{{"transformer_blocks.0.attn2.to_k.weight", 1},
                                                   {"transformer_blocks.0.attn2.to_v.weight", 1}},
                                                  0};
    char block[64] = "middle_block.1.";
    for (int l = c->levels - 1; l >= 0; l--)
        if (c->depth[l]) snprintf(block, sizeof block, "input_blocks.%d.1.", first[l]);
    const struct sdg_tensor *in = sdg_arch_tensor(w, prefix, block, "proj_in.weight");
    const struct sdg_tensor *out = sdg_arch_tensor(w, prefix, block, "proj_out.weight");
    if (!in) in = out;
    c->linear_projection = in && in->rank == 2;
    return sdg_arch_width(&c->context, w, prefix, block, &context, err);
}

/* The head rule, and whether heads divide the width they are cut from. */
static sdgen_status choose_heads(int *heads, const struct sdg_unet_config *c, int channels,
                                 int depth, const struct sdg_weights *w, const char *prefix,
                                 sdgen_error *err)
{
    *heads = c->linear_projection ? channels / HEAD_WIDTH : SD1_HEADS;
    if (depth == 0 || (*heads > 0 && channels % *heads == 0 &&
                       (!c->linear_projection || channels % HEAD_WIDTH == 0)))
        return SDGEN_OK;
    return sdg_fail(err, SDGEN_ERR_MODEL,
                    "%s: %s: a transformer of %d channels cannot be cut into heads (%s proj_in "
                    "means %s)",
                    w->path, prefix, channels, c->linear_projection ? "linear" : "1x1 convolution",
                    c->linear_projection ? "64 channels a head" : "8 heads");
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
    SDG_TRY(check_mirror(c, &s, w, prefix, err));
    SDG_TRY(read_widths(c, first, w, prefix, err));
    SDG_TRY(read_transformer(c, first, w, prefix, err));
    for (int l = 0; l < c->levels; l++)
        SDG_TRY(choose_heads(&c->heads[l], c, c->channels[l], c->depth[l], w, prefix, err));
    SDG_TRY(choose_heads(&c->middle_heads, c, c->channels[c->levels - 1], c->middle_depth, w,
                         prefix, err));
fail:
    return status;
}
