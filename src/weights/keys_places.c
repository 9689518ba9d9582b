/* keys_places.c - to which network an entry belongs, by its folder, its prefix or its first words
 * (see keys_parts.h).
 *
 * Prefixes: CompVis and Stability's single files; diffusers' component names, also used as prefixes
 * by stable-diffusion.cpp; ComfyUI's checkpoints and its CLIPSave (comfy/supported_models*.py,
 * comfy_extras/ nodes_model_merging.py). */
#include <stdio.h>
#include <string.h>

#include "weights/arch_names.h"
#include "weights/keys_parts.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static const struct {
    const char *word;
    enum sdg_key_place place;
} folders[] =
    {
        {"unet", SDG_PLACE_UNET},
        {"vae", SDG_PLACE_VAE},
        {"text_encoder", SDG_PLACE_ONE},
        {"text_encoder_2", SDG_PLACE_TWO},
},
  prefixes[] = {
      {SDG_KEY_UNET, SDG_PLACE_UNET},
      {"unet.", SDG_PLACE_UNET},
      {"diffusion_model.", SDG_PLACE_UNET},
      {SDG_KEY_VAE, SDG_PLACE_VAE},
      {"vae.", SDG_PLACE_VAE},
      {SDG_KEY_TAESD "encoder.", SDG_PLACE_TAESD_ENCODER},
      {SDG_KEY_TAESD "decoder.", SDG_PLACE_TAESD_DECODER},
      {"taesd_encoder.", SDG_PLACE_TAESD_ENCODER},
      {"taesd_decoder.", SDG_PLACE_TAESD_DECODER},
      {"cond_stage_model.1.", SDG_PLACE_SECOND},
      {"cond_stage_model.", SDG_PLACE_TEXT},
      {"conditioner.embedders.0.", SDG_PLACE_FIRST},
      {"conditioner.embedders.1.", SDG_PLACE_SECOND},
      {"text_encoder.", SDG_PLACE_ONE},
      {"text_encoder_2.", SDG_PLACE_TWO},
      {"text_encoders.clip_l.", SDG_PLACE_ONE},
      {"text_encoders.clip_h.", SDG_PLACE_ONE},
      {"text_encoders.clip_g.", SDG_PLACE_TWO},
      {"clip_l.", SDG_PLACE_ONE},
      {"clip_h.", SDG_PLACE_ONE},
      {"clip_g.", SDG_PLACE_TWO},
};

static bool is_text(enum sdg_key_place place)
{
    return place >= SDG_PLACE_TEXT;
}

/* What follows the number of a layer of the tiny autoencoder. */
static bool is_tiny_layer(const char *inner)
{
    return sdg_name_after(inner, "conv.") || sdg_name_after(inner, "skip.") ||
           strcmp(inner, "weight") == 0 || strcmp(inner, "bias") == 0;
}

/* "encoder.layers.3.conv.0.weight", "decoder.layers.0.bias": of diffusers' AutoencoderTiny, and the
 * same without "layers.": of taesd.py. In "encoder.layers." of a text encoder other words follow
 * the number. */
static enum sdg_key_place tiny_place(const char **rest, const char *name)
{
    const char *inner = sdg_name_after(name, "encoder."), *layer;
    const bool encoder = inner != NULL;
    int i;
    if (!inner) inner = sdg_name_after(name, "decoder.");
    if (!inner ||
        (!sdg_name_number(&layer, &i, inner, "layers.") && !sdg_name_number(&layer, &i, inner, "")))
        return SDG_PLACE_NONE;
    if (!is_tiny_layer(layer)) return SDG_PLACE_NONE;
    *rest = name;
    return encoder ? SDG_PLACE_TAESD_ENCODER : SDG_PLACE_TAESD_DECODER;
}

static bool is_bare_text(const char *name)
{
    static const char *const words[] = {"text_model.",          "embeddings.token_embedding.",
                                        "embeddings.position_", "encoder.layers.",
                                        "final_layer_norm.",    "text_projection"};
    for (size_t i = 0; i < COUNT(words); i++)
        if (sdg_name_after(name, words[i])) return true;
    return sdg_key_is_openclip(name);
}

static enum sdg_key_place bare_place(const char **rest, const char *name)
{
    *rest = name;
    if (sdg_key_is_unet(name, SDG_KEY_TO_SINGLE) || sdg_key_is_unet(name, SDG_KEY_TO_FOLDER))
        return SDG_PLACE_UNET;
    if (sdg_key_is_vae(name)) return SDG_PLACE_VAE;
    const enum sdg_key_place tiny = tiny_place(rest, name);
    if (tiny) return tiny;
    return is_bare_text(name) ? SDG_PLACE_ONE : SDG_PLACE_NONE;
}

/* Between the prefix of a text encoder and its own names: the attribute that holds the module. */
static const char *inside_text(const char *name)
{
    const char *rest = sdg_name_after(name, "model.");
    if (!rest && !sdg_name_after(name, "transformer.resblocks."))
        rest = sdg_name_after(name, "transformer.");
    return rest ? rest : name;
}

enum sdg_key_place sdg_key_placed(const char **rest, const struct sdg_entry *e, bool bare)
{
    enum sdg_key_place place = SDG_PLACE_NONE;
    const char *inner;
    *rest = e->stored;
    if (e->part[0]) {
        for (size_t i = 0; i < COUNT(folders) && !place; i++)
            if (strcmp(e->part, folders[i].word) == 0) place = folders[i].place;
    } else {
        for (size_t i = 0; i < COUNT(prefixes) && !place; i++)
            if ((inner = sdg_name_after(e->stored, prefixes[i].word))) {
                place = prefixes[i].place;
                *rest = inner;
            }
        if (!place && bare) place = bare_place(rest, e->stored);
    }
    if (is_text(place)) *rest = inside_text(*rest);
    if (place == SDG_PLACE_VAE) {
        const enum sdg_key_place tiny = tiny_place(&inner, *rest);
        if (tiny) place = tiny;
    }
    return place;
}
