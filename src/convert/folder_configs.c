/* folder_configs.c - see folder_configs.h: configurations of the networks. */
#include "convert/folder_configs.h"

#include <cjson/cJSON.h>
#include <string.h>

#include "convert/folder_json.h"

/* ---- UNet ---- */

static bool attends(const int *depth, int blocks)
{
    for (int i = 0; i < blocks; i++)
        if (depth[i]) return true;
    return false;
}

/* diffusers wants at least one everywhere, also where there is no transformer. */
static int layers_of(int depth)
{
    return depth ? depth : 1;
}

/* One number where all blocks of a level have the same, else a list. */
static void add_depths(cJSON *list, const int *depth, int blocks)
{
    bool same = true;
    for (int i = 1; i < blocks; i++) same &= layers_of(depth[i]) == layers_of(depth[0]);
    if (same) {
        cJSON_AddItemToArray(list, cJSON_CreateNumber(layers_of(depth[0])));
        return;
    }
    cJSON *inner = cJSON_CreateArray();
    for (int i = 0; i < blocks; i++)
        cJSON_AddItemToArray(inner, cJSON_CreateNumber(layers_of(depth[i])));
    cJSON_AddItemToArray(list, inner);
}

/* Whether the way up has the transformers of the way down. */
static bool is_mirror(const struct sdg_unet_config *c)
{
    for (int l = 0; l < c->levels; l++) {
        for (int i = 0; i < c->blocks[l]; i++)
            if (c->depth_in[l][i] != c->depth_in[l][0]) return false;
        for (int i = 0; i <= c->blocks[l]; i++)
            if (c->depth_out[l][i] != c->depth_in[l][0]) return false;
    }
    return true;
}

static void add_transformers(cJSON *o, const struct sdg_unet_config *c)
{
    cJSON *down = cJSON_AddArrayToObject(o, "transformer_layers_per_block");
    const int last = c->levels - 1;
    for (int l = 0; l < c->levels; l++) {
        const int middle[] = {c->middle_depth};
        /* The middle takes its number from the last level, where that has no transformers. */
        if (l == last && c->middle == 2 && !attends(c->depth_in[l], c->blocks[l]))
            add_depths(down, middle, 1);
        else
            add_depths(down, c->depth_in[l], c->blocks[l]);
    }
    if (is_mirror(c)) return;
    cJSON *up = cJSON_AddArrayToObject(o, "reverse_transformer_layers_per_block");
    for (int l = last; l >= 0; l--) add_depths(up, c->depth_out[l], c->blocks[l] + 1);
}

static void add_levels(cJSON *o, const struct sdg_unet_config *c)
{
    cJSON *widths = cJSON_AddArrayToObject(o, "block_out_channels");
    cJSON *layers = cJSON_AddArrayToObject(o, "layers_per_block");
    cJSON *heads = cJSON_AddArrayToObject(o, "attention_head_dim"); /* in truth their number */
    cJSON *down = cJSON_AddArrayToObject(o, "down_block_types");
    cJSON *up = cJSON_AddArrayToObject(o, "up_block_types");
    bool cross = false;
    for (int l = 0; l < c->levels; l++) {
        const int back = c->levels - 1 - l;
        cJSON_AddItemToArray(widths, cJSON_CreateNumber(c->channels[l]));
        cJSON_AddItemToArray(layers, cJSON_CreateNumber(c->blocks[l]));
        cJSON_AddItemToArray(heads, cJSON_CreateNumber(c->heads[l] > 0 ? c->heads[l] : 1));
        cJSON_AddItemToArray(down, cJSON_CreateString(attends(c->depth_in[l], c->blocks[l])
                                                          ? "CrossAttnDownBlock2D"
                                                          : "DownBlock2D"));
        cJSON_AddItemToArray(up, cJSON_CreateString(attends(c->depth_out[back], c->blocks[back] + 1)
                                                        ? "CrossAttnUpBlock2D"
                                                        : "UpBlock2D"));
        cross |= c->only_cross[l];
    }
    if (!cross) return;
    cJSON *only = cJSON_AddArrayToObject(o, "only_cross_attention");
    for (int l = 0; l < c->levels; l++)
        cJSON_AddItemToArray(only, cJSON_CreateBool(c->only_cross[l]));
}

cJSON *sdg_config_unet(const struct sdg_unet_config *c, const struct sdg_facts *facts, int factor)
{
    static const char *const middles[] = {NULL, "UNetMidBlock2D", "UNetMidBlock2DCrossAttn"};
    enum { SIZE_WIDTH = 256 }; /* of each embedded number beside the pooled text */
    cJSON *o = sdg_config_begin("UNet2DConditionModel");
    sdg_config_number(o, "sample_size", facts->native_width / factor);
    sdg_config_number(o, "in_channels", c->in_channels);
    sdg_config_number(o, "out_channels", c->out_channels);
    add_levels(o, c);
    if (c->middle)
        cJSON_AddStringToObject(o, "mid_block_type", middles[c->middle]);
    else
        cJSON_AddNullToObject(o, "mid_block_type");
    add_transformers(o, c);
    sdg_config_number(o, "cross_attention_dim", c->context);
    cJSON_AddBoolToObject(o, "use_linear_projection", c->linear_projection);
    if (c->time_cond) sdg_config_number(o, "time_cond_proj_dim", c->time_cond);
    if (c->label) {
        cJSON_AddStringToObject(o, "addition_embed_type", "text_time");
        sdg_config_number(o, "addition_time_embed_dim", SIZE_WIDTH);
        sdg_config_number(o, "projection_class_embeddings_input_dim", c->label);
    }
    cJSON_AddStringToObject(o, "act_fn", "silu");
    sdg_config_number(o, "norm_num_groups", 32);
    sdg_config_number(o, "norm_eps", 1e-5);
    cJSON_AddBoolToObject(o, "flip_sin_to_cos", true);
    sdg_config_number(o, "freq_shift", 0);
    cJSON_AddBoolToObject(o, "center_input_sample", false);
    sdg_config_number(o, "downsample_padding", 1);
    sdg_config_number(o, "mid_block_scale_factor", 1);
    return o;
}

/* ---- VAE ---- */

static void add_latents(cJSON *o, const struct sdg_facts *f)
{
    bool plain = true;
    for (int i = 0; i < SDG_LATENT_CHANNELS; i++)
        plain &= f->latent_mean[i] == 0 && f->latent_std[i] == 1;
    /* Shortest decimal of what is kept in f32. */
    sdg_config_float(o, "scaling_factor", f->latent_scale);
    if (plain) return;
    cJSON *mean = cJSON_AddArrayToObject(o, "latents_mean");
    cJSON *std = cJSON_AddArrayToObject(o, "latents_std");
    for (int i = 0; i < SDG_LATENT_CHANNELS; i++) {
        cJSON_AddItemToArray(mean, cJSON_CreateNumber((double)f->latent_mean[i]));
        cJSON_AddItemToArray(std, cJSON_CreateNumber((double)f->latent_std[i]));
    }
}

cJSON *sdg_config_vae(const struct sdg_vae_config *c, const struct sdg_facts *facts)
{
    cJSON *o = sdg_config_begin("AutoencoderKL");
    sdg_config_number(o, "in_channels", c->image_channels);
    sdg_config_number(o, "out_channels", c->image_channels);
    sdg_config_number(o, "latent_channels", c->z_channels);
    cJSON *widths = cJSON_AddArrayToObject(o, "block_out_channels");
    cJSON *down = cJSON_AddArrayToObject(o, "down_block_types");
    cJSON *up = cJSON_AddArrayToObject(o, "up_block_types");
    for (int l = 0; l < c->levels; l++) {
        cJSON_AddItemToArray(widths, cJSON_CreateNumber(c->channels[l]));
        cJSON_AddItemToArray(down, cJSON_CreateString("DownEncoderBlock2D"));
        cJSON_AddItemToArray(up, cJSON_CreateString("UpDecoderBlock2D"));
    }
    sdg_config_number(o, "layers_per_block", c->blocks);
    cJSON_AddStringToObject(o, "act_fn", "silu");
    sdg_config_number(o, "norm_num_groups", 32);
    if (!facts) return o;
    sdg_config_number(o, "sample_size", facts->native_width);
    add_latents(o, facts);
    if (facts->label != SDG_LABEL_NONE) cJSON_AddBoolToObject(o, "force_upcast", true);
    return o;
}

cJSON *sdg_config_taesd(void)
{
    cJSON *o = sdg_config_begin("AutoencoderTiny"); /* its own defaults are those of TAESD */
    sdg_config_number(o, "latent_channels", 4);
    sdg_config_number(o, "scaling_factor", 1);
    return o;
}

/* ---- text ---- */

cJSON *sdg_config_text(const struct sdg_clip_config *c, bool projecting, int layers)
{
    cJSON *o = cJSON_CreateObject();
    cJSON *classes = cJSON_AddArrayToObject(o, "architectures");
    cJSON_AddItemToArray(
        classes, cJSON_CreateString(projecting ? "CLIPTextModelWithProjection" : "CLIPTextModel"));
    cJSON_AddStringToObject(o, "model_type", "clip_text_model");
    sdg_config_number(o, "vocab_size", c->vocab);
    sdg_config_number(o, "max_position_embeddings", c->positions);
    sdg_config_number(o, "hidden_size", c->width);
    sdg_config_number(o, "num_hidden_layers", layers);
    sdg_config_number(o, "num_attention_heads", c->heads);
    sdg_config_number(o, "intermediate_size", c->mlp);
    cJSON_AddStringToObject(o, "hidden_act", sdg_config_activation_name(c));
    sdg_config_number(o, "layer_norm_eps", 1e-5);
    sdg_config_number(o, "projection_dim", c->projection ? c->projection : c->width);
    sdg_config_number(o, "bos_token_id", c->vocab - 2);
    sdg_config_number(o, "eos_token_id", c->vocab - 1);
    sdg_config_number(o, "pad_token_id", 1);
    return o;
}
