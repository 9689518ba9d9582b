/* arch_clip.c - the plan of a CLIP text transformer, read from a checkpoint (see arch.h).
 *
 * Names are those of Hugging Face transformers (modeling_clip.py). Heads are always 64 wide in
 * CLIP's text towers. The activation is in no shape: OpenAI's ViT-L was trained with quick-GELU
 * (Hendrycks & Gimpel 2016, x * sigmoid(1.702 x)), OpenCLIP's H and bigG with the exact GELU. The
 * configuration of a diffusers folder says which; else OpenCLIP's spelling does, or being the
 * second encoder, or the width, or what the caller knows. */
#include <stdio.h>
#include <string.h>

#include "weights/arch.h"
#include "weights/arch_config.h"
#include "weights/arch_names.h"
#include "weights/family.h"
#include "weights/keys.h"

enum { HEAD_WIDTH = 64 };

/* Number of layers by their names; negative when there are more than the network has room for. */
static int count_layers(const struct sdg_weights *w, const char *prefix)
{
    int layers = 0;
    for (size_t e = 0; e < w->count; e++) {
        const char *name = sdg_name_after(w->entries[e].name, prefix), *rest;
        int i;
        if (!name || !sdg_name_number(&rest, &i, name, "text_model.encoder.layers.")) continue;
        if (i >= SDG_CLIP_MAX_LAYERS) return -1;
        if (i >= layers) layers = i + 1;
    }
    return layers;
}

enum { CLIP_L_WIDTH = 768 };

static enum sdg_activation activation_of(const struct sdg_weights *w, const char *prefix, int width,
                                         bool openclip)
{
    enum sdg_activation said;
    if (sdg_config_activation(&said, w, prefix)) return said;
    return sdg_text_is_openclip(w, prefix) || strcmp(prefix, SDG_KEY_CLIP_1) == 0 ||
                   width > CLIP_L_WIDTH || (width != CLIP_L_WIDTH && openclip)
               ? SDG_GELU
               : SDG_QUICK_GELU;
}

sdgen_status sdg_arch_clip(struct sdg_clip_config *c, const struct sdg_weights *w,
                           const char *prefix, bool openclip, sdgen_error *err)
{
    static const struct sdg_width_rule
        width = {{{"text_model.embeddings.token_embedding.weight", 1},
                  {"text_model.embeddings.position_embedding.weight", 1},
                  {"text_model.final_layer_norm.weight", 0}},
                 HEAD_WIDTH},
        positions = {{{"text_model.embeddings.position_embedding.weight", 0}}, 0},
        projection = {{{"text_projection.weight", 0}}, 0},
        mlp = {{{"mlp.fc1.weight", 0}, {"mlp.fc1.bias", 0}, {"mlp.fc2.weight", 1}}, 0};
    sdgen_status status;
    *c = (struct sdg_clip_config) {0};
    c->layers = count_layers(w, prefix);
    const struct sdg_tensor *tokens =
        sdg_arch_tensor(w, prefix, "", "text_model.embeddings.token_embedding.weight");
    const int64_t vocab = tokens && tokens->rank > 0 ? tokens->shape[0] : 0;
    if (c->layers < 1 || vocab < 1 || vocab > INT32_MAX) {
        status = sdg_fail(
            err, SDGEN_ERR_MODEL, "%s: %s%s", w->path, prefix,
            c->layers < 0
                ? "text_model.encoder.layers: more layers than any text encoder that sdgen knows"
            : c->layers < 1 ? "text_model.encoder.layers.0 is missing: no text encoder is there"
            : !tokens       ? "text_model.embeddings.token_embedding.weight is missing"
                            : "text_model.embeddings.token_embedding.weight has an absurd shape");
        goto fail;
    }
    c->vocab = (int)vocab;
    SDG_TRY(sdg_arch_width(&c->width, w, prefix, "", &width, err));
    SDG_TRY(sdg_arch_width(&c->positions, w, prefix, "", &positions, err));
    SDG_TRY(sdg_arch_width(&c->mlp, w, prefix, "text_model.encoder.layers.0.", &mlp, err));
    c->heads = c->width / HEAD_WIDTH;
    c->activation = activation_of(w, prefix, c->width, openclip);
    if (sdg_arch_tensor(w, prefix, "", "text_projection.weight"))
        SDG_TRY(sdg_arch_width(&c->projection, w, prefix, "", &projection, err));
fail:
    return status;
}
