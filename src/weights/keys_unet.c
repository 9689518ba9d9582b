/* keys_unet.c - names of the UNet in single files and in diffusers folders (see keys_parts.h).
 *
 * Inner names differ by a few words (diffusers loaders/single_file_utils.py; ComfyUI
 * comfy/utils.py, unet_to_diffusers). Blocks differ by how they are counted:
 *
 *   single   input_blocks.I: 0 is conv_in, then per level its resnets, then the convolution that
 * halves output_blocks.I: per level, deepest first, its resnets; doubling is a part of the last one
 *   folder   down_blocks.B.resnets.L, down_blocks.B.downsamplers.0; up_blocks.B...
 *
 * diffusers converts by I = 1 + B (L + 1) + l, which holds where all levels are alike. Counting
 * through what is there holds for the distilled UNets too. */
#include <stdio.h>
#include <string.h>

#include "weights/arch_names.h"
#include "weights/keys_parts.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static const struct sdg_key_pair ends[] = {
    {"time_embed.0.", "time_embedding.linear_1."},
    {"time_embed.2.", "time_embedding.linear_2."},
    {"time_embed.cond_proj.", "time_embedding.cond_proj."},
    {"label_emb.0.0.", "add_embedding.linear_1."},
    {"label_emb.0.2.", "add_embedding.linear_2."},
    {"label_emb.0.0.", "class_embedding.linear_1."},
    {"label_emb.0.2.", "class_embedding.linear_2."},
    {"input_blocks.0.0.", "conv_in."},
    {"out.0.", "conv_norm_out."},
    {"out.2.", "conv_out."},
};

static const struct sdg_key_pair middle_attention = {"middle_block.1.", "mid_block.attentions.0."};
static const struct sdg_key_pair middle_resnets[] = {
    {"middle_block.0.", "mid_block.resnets.0."},
    {"middle_block.2.", "mid_block.resnets.1."},
};

static const struct sdg_key_pair resnet[] = {
    {"in_layers.0.", "norm1."},          {"in_layers.2.", "conv1."},
    {"emb_layers.1.", "time_emb_proj."}, {"out_layers.0.", "norm2."},
    {"out_layers.3.", "conv2."},         {"skip_connection.", "conv_shortcut."},
};

bool sdg_key_join(char *to, const char *before, const char *name)
{
    const int length = snprintf(to, SDG_KEY_SIZE, "%s%s", before, name);
    return length >= 0 && length < SDG_KEY_SIZE;
}

bool sdg_key_swap(char *to, const char *before, const char *name, const struct sdg_key_pair *pairs,
                  size_t count, enum sdg_key_way way)
{
    for (size_t i = 0; i < count; i++) {
        const bool single = way == SDG_KEY_TO_SINGLE;
        const char *rest = sdg_name_after(name, single ? pairs[i].folder : pairs[i].single);
        if (!rest) continue;
        const int length = snprintf(to, SDG_KEY_SIZE, "%s%s%s", before,
                                    single ? pairs[i].single : pairs[i].folder, rest);
        return length >= 0 && length < SDG_KEY_SIZE;
    }
    return false;
}

/* ---- counting ---- */

/* "resnets.1." behind `name`: true with the number, which is small, and the rest. */
static bool small_number(const char **rest, int *number, const char *name, const char *stem,
                         int below)
{
    return sdg_name_number(rest, number, name, stem) && *number < below;
}

static void note_folder(int *resnets, bool *resamples, bool *attends, const char *name)
{
    int l;
    const char *rest;
    if (small_number(&rest, &l, name, "resnets.", SDG_WALK_LAYERS)) {
        if (l >= *resnets) *resnets = l + 1;
    } else if (small_number(&rest, &l, name, "attentions.", SDG_WALK_LAYERS)) {
        attends[l] = true;
    } else if (sdg_name_after(name, "downsamplers.0.") || sdg_name_after(name, "upsamplers.0.")) {
        *resamples = true;
    }
}

void sdg_unet_walk_note(struct sdg_unet_walk *k, const char *name)
{
    bool ignored[SDG_WALK_LAYERS];
    const char *rest;
    int i;
    if (small_number(&rest, &i, name, "down_blocks.", SDG_WALK_LEVELS)) {
        note_folder(&k->down[i], &k->shrinks[i], ignored, rest);
    } else if (small_number(&rest, &i, name, "up_blocks.", SDG_WALK_LEVELS)) {
        note_folder(&k->up[i], &k->grows[i], k->attends[i], rest);
    } else if (small_number(&rest, &i, name, "input_blocks.", SDG_WALK_BLOCKS) && i > 0) {
        if (sdg_name_after(rest, "0.op."))
            k->input[i].resample = true;
        else
            k->input[i].res = true;
    } else if (small_number(&rest, &i, name, "output_blocks.", SDG_WALK_BLOCKS)) {
        k->output[i].res = true;
        if (sdg_name_after(rest, "1.conv.") || sdg_name_after(rest, "2.conv."))
            k->output[i].resample = true;
        else if (sdg_name_after(rest, "1."))
            k->output[i].attention = true;
    }
}

void sdg_unet_walk_end(struct sdg_unet_walk *k)
{
    int level = 0;
    if (k->down[0] == 0)
        for (int i = 1; i < SDG_WALK_BLOCKS && level < SDG_WALK_LEVELS; i++) {
            if (k->input[i].resample)
                k->shrinks[level++] = true;
            else if (k->input[i].res)
                k->down[level]++;
            else
                break;
        }
    level = 0;
    if (k->up[0] == 0)
        for (int i = 0; i < SDG_WALK_BLOCKS && level < SDG_WALK_LEVELS && k->output[i].res; i++) {
            const int l = k->up[level]++;
            if (l < SDG_WALK_LAYERS) k->attends[level][l] = k->output[i].attention;
            if (k->output[i].resample) k->grows[level++] = true;
        }
}

static int input_number(const struct sdg_unet_walk *k, int level, int layer)
{
    int number = 1 + layer;
    for (int b = 0; b < level; b++) number += k->down[b] + k->shrinks[b];
    return number;
}

static int output_number(const struct sdg_unet_walk *k, int level, int layer)
{
    int number = layer;
    for (int b = 0; b < level; b++) number += k->up[b];
    return number;
}

/* Level and layer of a number; layer == counts[level] is the convolution that halves. */
static bool layer_of(int *level, int *layer, const int *counts, const bool *extra, int number)
{
    for (*level = 0; *level < SDG_WALK_LEVELS && counts[*level]; ++*level) {
        const int here = counts[*level] + (extra ? extra[*level] : 0);
        if (number < here) {
            *layer = number;
            return true;
        }
        number -= here;
    }
    return false;
}

/* ---- translating ---- */

static bool resnet_to(char *to, const char *block, const char *name, enum sdg_key_way way)
{
    return sdg_key_swap(to, block, name, resnet, COUNT(resnet), way);
}

static bool block_to_single(char *to, const struct sdg_unet_walk *k, const char *name)
{
    char block[64];
    const char *rest, *inner;
    int b, l;
    const bool down = small_number(&rest, &b, name, "down_blocks.", SDG_WALK_LEVELS);
    if (!down && !small_number(&rest, &b, name, "up_blocks.", SDG_WALK_LEVELS)) return false;
    const char *list = down ? "input_blocks" : "output_blocks";
    if (small_number(&inner, &l, rest, "resnets.", SDG_WALK_LAYERS)) {
        snprintf(block, sizeof block, "%s.%d.0.", list,
                 down ? input_number(k, b, l) : output_number(k, b, l));
        return resnet_to(to, block, inner, SDG_KEY_TO_SINGLE);
    }
    if (small_number(&inner, &l, rest, "attentions.", SDG_WALK_LAYERS)) {
        snprintf(block, sizeof block, "%s.%d.1.", list,
                 down ? input_number(k, b, l) : output_number(k, b, l));
        return sdg_key_join(to, block, inner);
    }
    if (down && (inner = sdg_name_after(rest, "downsamplers.0.conv."))) {
        snprintf(block, sizeof block, "input_blocks.%d.0.op.", input_number(k, b, k->down[b]));
        return sdg_key_join(to, block, inner);
    }
    if (!down && k->up[b] && (inner = sdg_name_after(rest, "upsamplers.0.conv."))) {
        const int last = k->up[b] - 1;
        snprintf(block, sizeof block, "output_blocks.%d.%d.conv.", output_number(k, b, last),
                 k->attends[b][last] ? 2 : 1);
        return sdg_key_join(to, block, inner);
    }
    return false;
}

static bool block_to_folder(char *to, const struct sdg_unet_walk *k, const char *name)
{
    char block[64];
    const char *rest, *inner;
    int i, b, l;
    if (small_number(&rest, &i, name, "input_blocks.", SDG_WALK_BLOCKS) && i > 0) {
        if (!layer_of(&b, &l, k->down, k->shrinks, i - 1)) return false;
        if (l == k->down[b] && (inner = sdg_name_after(rest, "0.op."))) {
            snprintf(block, sizeof block, "down_blocks.%d.downsamplers.0.conv.", b);
            return sdg_key_join(to, block, inner);
        }
        snprintf(block, sizeof block, "down_blocks.%d.", b);
    } else if (small_number(&rest, &i, name, "output_blocks.", SDG_WALK_BLOCKS)) {
        if (!layer_of(&b, &l, k->up, NULL, i)) return false;
        if ((inner = sdg_name_after(rest, "1.conv.")) ||
            (inner = sdg_name_after(rest, "2.conv."))) {
            snprintf(block, sizeof block, "up_blocks.%d.upsamplers.0.conv.", b);
            return sdg_key_join(to, block, inner);
        }
        snprintf(block, sizeof block, "up_blocks.%d.", b);
    } else {
        return false;
    }
    const size_t used = strlen(block);
    if ((inner = sdg_name_after(rest, "0."))) {
        snprintf(block + used, sizeof block - used, "resnets.%d.", l);
        return resnet_to(to, block, inner, SDG_KEY_TO_FOLDER);
    }
    if (!(inner = sdg_name_after(rest, "1."))) return false;
    snprintf(block + used, sizeof block - used, "attentions.%d.", l);
    return sdg_key_join(to, block, inner);
}

bool sdg_keys_unet(char *to, const struct sdg_unet_walk *walk, const char *name,
                   enum sdg_key_way way)
{
    const bool single = way == SDG_KEY_TO_SINGLE;
    if (sdg_key_swap(to, "", name, ends, COUNT(ends), way)) return true;
    if (sdg_key_swap(to, "", name, &middle_attention, 1, way)) return true;
    for (size_t i = 0; i < COUNT(middle_resnets); i++) {
        const struct sdg_key_pair *m = &middle_resnets[i];
        const char *inner = sdg_name_after(name, single ? m->folder : m->single);
        if (inner) return resnet_to(to, single ? m->single : m->folder, inner, way);
    }
    return single ? block_to_single(to, walk, name) : block_to_folder(to, walk, name);
}

bool sdg_key_is_unet(const char *name, enum sdg_key_way spelt)
{
    static const char *const singles[] = {"input_blocks.", "middle_block.", "output_blocks.",
                                          "time_embed.",   "label_emb.",    "out.0.",
                                          "out.2."};
    static const char *const folders[] = {"down_blocks.",    "mid_block.",     "up_blocks.",
                                          "conv_in.",        "conv_out.",      "conv_norm_out.",
                                          "time_embedding.", "add_embedding.", "class_embedding."};
    const char *const *words = spelt == SDG_KEY_TO_SINGLE ? singles : folders;
    const size_t count = spelt == SDG_KEY_TO_SINGLE ? COUNT(singles) : COUNT(folders);
    for (size_t i = 0; i < count; i++)
        if (sdg_name_after(name, words[i])) return true;
    return false;
}
