/* keys_vae.c - names of the autoencoders in single files and in diffusers folders (see
 * keys_parts.h).
 *
 * CompVis counts the levels of both halves from the picture, diffusers counts the decoder's from
 * the latent (diffusers loaders/single_file_utils.py, convert_ldm_vae_checkpoint). The attention in
 * the middle has had three namings; its 1x1 convolutions are plain matrices in diffusers, which the
 * binder takes for each other. */
#include <stdio.h>
#include <string.h>

#include "weights/arch_names.h"
#include "weights/keys_parts.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static const struct sdg_key_pair ends[] = {
    {"norm_out.", "conv_norm_out."},
    {"conv_in.", "conv_in."},
    {"conv_out.", "conv_out."},
};

static const struct sdg_key_pair resnet[] = {
    {"nin_shortcut.", "conv_shortcut."},
    {"norm1.", "norm1."},
    {"conv1.", "conv1."},
    {"norm2.", "norm2."},
    {"conv2.", "conv2."},
};

/* The first pair of a single's word is how it is spelt to a folder. */
static const struct sdg_key_pair attention[] = {
    {"norm.", "group_norm."},    {"q.", "to_q."},  {"k.", "to_k."}, {"v.", "to_v."},
    {"proj_out.", "to_out.0."},  {"q.", "query."}, {"k.", "key."},  {"v.", "value."},
    {"proj_out.", "proj_attn."},
};

static const struct {
    struct sdg_key_pair place;
    const struct sdg_key_pair *inner;
    size_t count;
} middle[] = {
    {{"mid.block_1.", "mid_block.resnets.0."}, resnet, COUNT(resnet)},
    {{"mid.block_2.", "mid_block.resnets.1."}, resnet, COUNT(resnet)},
    {{"mid.attn_1.", "mid_block.attentions.0."}, attention, COUNT(attention)},
};

enum { MAX_LEVELS = 64 };

int sdg_keys_vae_levels(int levels, const char *name)
{
    const char *rest;
    int i;
    if ((sdg_name_number(&rest, &i, name, "decoder.up.") ||
         sdg_name_number(&rest, &i, name, "decoder.up_blocks.")) &&
        i < MAX_LEVELS && i >= levels)
        return i + 1;
    return levels;
}

/* half: "encoder." or "decoder."; name: what follows. */
static bool level_to(char *to, const char *half, int levels, const char *name, enum sdg_key_way way)
{
    const bool single = way == SDG_KEY_TO_SINGLE, decoder = half[0] == 'd';
    const char *single_list = decoder ? "up" : "down";
    const char *folder_list = decoder ? "up_blocks" : "down_blocks";
    char stem[32], block[64];
    const char *rest, *inner;
    int i, j;
    snprintf(stem, sizeof stem, "%s.", single ? folder_list : single_list);
    if (!sdg_name_number(&rest, &i, name, stem) || i >= MAX_LEVELS) return false;
    if (decoder && i >= levels) return false;
    if (decoder) i = levels - 1 - i;
    if (sdg_name_number(&inner, &j, rest, single ? "resnets." : "block.") && j < MAX_LEVELS) {
        snprintf(block, sizeof block, "%s%s.%d.%s.%d.", half, single ? single_list : folder_list, i,
                 single ? "block" : "resnets", j);
        return sdg_key_swap(to, block, inner, resnet, COUNT(resnet), way);
    }
    const struct sdg_key_pair sample = {decoder ? "upsample.conv." : "downsample.conv.",
                                        decoder ? "upsamplers.0.conv." : "downsamplers.0.conv."};
    snprintf(block, sizeof block, "%s%s.%d.", half, single ? single_list : folder_list, i);
    return sdg_key_swap(to, block, rest, &sample, 1, way);
}

bool sdg_keys_vae(char *to, int levels, const char *name, enum sdg_key_way way)
{
    const bool single = way == SDG_KEY_TO_SINGLE;
    const bool decoder = sdg_name_after(name, "decoder.") != NULL;
    const char *half = decoder ? "decoder." : "encoder.", *rest = sdg_name_after(name, half);
    if (!rest) return false;
    if (sdg_key_swap(to, half, rest, ends, COUNT(ends), way)) return true;
    for (size_t m = 0; m < COUNT(middle); m++) {
        const struct sdg_key_pair *p = &middle[m].place;
        const char *inner = sdg_name_after(rest, single ? p->folder : p->single);
        char block[64];
        if (!inner) continue;
        snprintf(block, sizeof block, "%s%s", half, single ? p->single : p->folder);
        return sdg_key_swap(to, block, inner, middle[m].inner, middle[m].count, way);
    }
    return level_to(to, half, levels, rest, way);
}

bool sdg_key_is_vae(const char *name)
{
    static const char *const words[] = {
        "down.",      "up.",        "mid.",           "norm_out.", "down_blocks.",
        "up_blocks.", "mid_block.", "conv_norm_out.", "conv_in.",  "conv_out."};
    const char *rest = sdg_name_after(name, "encoder.");
    if (!rest) rest = sdg_name_after(name, "decoder.");
    if (!rest)
        return sdg_name_after(name, "quant_conv.") || sdg_name_after(name, "post_quant_conv.");
    for (size_t i = 0; i < COUNT(words); i++)
        if (sdg_name_after(rest, words[i])) return true;
    return false;
}

bool sdg_keys_taesd(char *to, const char *name, enum sdg_key_way way)
{
    const bool single = way == SDG_KEY_TO_SINGLE;
    const bool decoder = sdg_name_after(name, "decoder.") != NULL;
    const char *half = decoder ? "decoder." : "encoder.", *rest = sdg_name_after(name, half),
               *inner;
    int i;
    if (!rest || !sdg_name_number(&inner, &i, rest, single ? "layers." : "")) return false;
    if (decoder) i += single ? 1 : -1;
    if (i < 0) return false;
    const int length =
        snprintf(to, SDG_KEY_SIZE, "%s%s%d.%s", half, single ? "" : "layers.", i, inner);
    return length >= 0 && length < SDG_KEY_SIZE;
}
