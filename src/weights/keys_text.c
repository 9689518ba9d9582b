/* keys_text.c - names of CLIP's text encoders in OpenCLIP and in transformers (see keys_parts.h).
 *
 * OpenCLIP (src/open_clip/transformer.py) keeps the projections of queries, keys and values as one
 * matrix, row blocks in this order, as torch's MultiheadAttention does; and text_projection is a
 * bare parameter that rows are multiplied by from the left, so the matrix of a Linear is its
 * transpose (diffusers loaders/single_file_utils.py, convert_open_clip_checkpoint; ComfyUI
 * comfy/utils.py, clip_text_transformers_convert). */
#include <stdio.h>
#include <string.h>

#include "weights/arch_names.h"
#include "weights/keys_parts.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
#define LAYERS "text_model.encoder.layers."
#define RESBLOCKS "transformer.resblocks."

static const struct sdg_key_pair ends[] = {
    {"token_embedding.", "text_model.embeddings.token_embedding."},
    {"positional_embedding", "text_model.embeddings.position_embedding.weight"},
    {"ln_final.", "text_model.final_layer_norm."},
};

static const struct sdg_key_pair inner[] = {
    {"ln_1.", "layer_norm1."},
    {"ln_2.", "layer_norm2."},
    {"attn.out_proj.", "self_attn.out_proj."},
    {"mlp.c_fc.", "mlp.fc1."},
    {"mlp.c_proj.", "mlp.fc2."},
};

static const char *const thirds[] = {"q_proj", "k_proj", "v_proj"};

void sdg_keys_third(char *name, int third)
{
    for (int i = 0; i < 3; i++) {
        char *at = strstr(name, thirds[i]);
        if (at) memcpy(at, thirds[third], strlen(thirds[third]));
    }
}

static bool layer_to_folder(struct sdg_key_text *to, const char *name)
{
    char block[64];
    const char *rest;
    int i;
    if (!sdg_name_number(&rest, &i, name, RESBLOCKS)) return false;
    snprintf(block, sizeof block, LAYERS "%d.", i);
    const char *fused = sdg_name_after(rest, "attn.in_proj_");
    if (!fused) return sdg_key_swap(to->name, block, rest, inner, COUNT(inner), SDG_KEY_TO_FOLDER);
    to->third = 0;
    const int length =
        snprintf(to->name, sizeof to->name, "%sself_attn.%s.%s", block, thirds[0], fused);
    return length >= 0 && length < SDG_KEY_SIZE;
}

static bool layer_to_single(struct sdg_key_text *to, const char *name)
{
    char block[64], stem[32];
    const char *rest;
    int i;
    if (!sdg_name_number(&rest, &i, name, LAYERS)) return false;
    snprintf(block, sizeof block, RESBLOCKS "%d.", i);
    for (int third = 0; third < 3; third++) {
        snprintf(stem, sizeof stem, "self_attn.%s.", thirds[third]);
        const char *leaf = sdg_name_after(rest, stem);
        if (!leaf) continue;
        to->third = third;
        const int length = snprintf(to->name, sizeof to->name, "%sattn.in_proj_%s", block, leaf);
        return length >= 0 && length < SDG_KEY_SIZE;
    }
    return sdg_key_swap(to->name, block, rest, inner, COUNT(inner), SDG_KEY_TO_SINGLE);
}

static bool projection_to(struct sdg_key_text *to, const char *name, enum sdg_key_way way)
{
    const char *rest = sdg_name_after(name, "text_projection");
    if (!rest) return false;
    to->transposed = rest[0] == 0 || way == SDG_KEY_TO_SINGLE;
    return (rest[0] == 0 || strcmp(rest, ".weight") == 0 || strcmp(rest, ".weight.weight") == 0) &&
           sdg_key_join(to->name, "text_projection", way == SDG_KEY_TO_SINGLE ? "" : ".weight");
}

/* transformers' own names, with or without "text_model." in front. */
static bool complete(char *to, const char *name)
{
    static const char *const words[] = {"embeddings.", "encoder.layers.", "final_layer_norm."};
    const char *rest = sdg_name_after(name, "text_model.");
    for (size_t i = 0; i < COUNT(words); i++)
        if (sdg_name_after(rest ? rest : name, words[i]))
            return sdg_key_join(to, "text_model.", rest ? rest : name);
    return false;
}

bool sdg_keys_text(struct sdg_key_text *to, const char *name, enum sdg_key_way way)
{
    to->third = SDG_KEY_WHOLE;
    to->transposed = false;
    if (projection_to(to, name, way)) return true;
    if (sdg_key_swap(to->name, "", name, ends, COUNT(ends), way)) return true;
    if (way == SDG_KEY_TO_SINGLE) return layer_to_single(to, name);
    return layer_to_folder(to, name) || complete(to->name, name);
}

bool sdg_key_is_openclip(const char *name)
{
    return sdg_name_after(name, RESBLOCKS) || sdg_name_after(name, "token_embedding.") ||
           sdg_name_after(name, "ln_final.") || strcmp(name, "positional_embedding") == 0 ||
           strcmp(name, "text_projection") == 0;
}
