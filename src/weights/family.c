/* family.c - see family.h.
 *
 * One pass over the names collects features; an ordered list of rules (the first that fits wins)
 * gives the kind; for a UNet in CompVis naming, shapes give the variant. Which tensors tell what
 * was learnt from diffusers (loaders/single_file_utils.py infer_diffusers_model_type), ComfyUI
 * (comfy/model_detection.py, supported_models.py) and A1111 (modules/sd_models_config.py). */
#include "weights/family.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "weights/arch_names.h"

enum feature {
    F_UNET = 1 << 0,
    F_BARE_UNET = 1 << 1,
    F_CLIP = 1 << 2,
    F_OPENCLIP = 1 << 3,
    F_TWO_TEXTS = 1 << 4,
    F_EMBEDDER = 1 << 5,
    F_VAE = 1 << 6,
    F_BARE_VAE = 1 << 7,
    F_LORA = 1 << 8,
    F_CONTROL = 1 << 9,
    F_SD3 = 1 << 10,
    F_FLUX = 1 << 11,
    F_DIFFUSERS_UNET = 1 << 12,
    F_DIFFUSERS_VAE = 1 << 13,
    F_TEXT = 1 << 14,
    F_EMBEDDING = 1 << 15,
    F_TAESD = 1 << 16,
    F_ESRGAN = 1 << 17,
    F_CLIP_OLD = 1 << 18,
    F_V = 1 << 19
};

enum { EVIDENCE_NAME = 80 }; /* bytes of a tensor name in a line of evidence */

enum place { STARTS, ENDS, HAS, IS };

static const struct {
    enum place place;
    const char *text;
    unsigned feature;
} marks[] = {
    {STARTS, "model.diffusion_model.", F_UNET},
    {STARTS, "input_blocks.", F_BARE_UNET},
    {STARTS, "cond_stage_model.transformer.text_model.", F_CLIP},
    {STARTS, "cond_stage_model.transformer.embeddings.", F_CLIP_OLD},
    {STARTS, "cond_stage_model.transformer.encoder.", F_CLIP_OLD},
    {STARTS, "cond_stage_model.model.", F_OPENCLIP},
    {STARTS, "conditioner.embedders.1.", F_TWO_TEXTS},
    {STARTS, "conditioner.embedders.0.", F_EMBEDDER},
    {STARTS, "first_stage_model.", F_VAE},
    {STARTS, "decoder.up.", F_BARE_VAE},
    {STARTS, "encoder.down.", F_BARE_VAE},
    {ENDS, ".lora_down.weight", F_LORA},
    {ENDS, ".lora_up.weight", F_LORA},
    {HAS, ".lora_A.", F_LORA},
    {ENDS, ".lora_A", F_LORA},
    {HAS, ".lora_linear_layer.", F_LORA},
    {HAS, "_lora.down.", F_LORA},
    {HAS, ".lora.down.", F_LORA},
    {ENDS, ".hada_w1_a", F_LORA},
    {ENDS, ".lokr_w1", F_LORA},
    {ENDS, ".lokr_w1_a", F_LORA},
    {ENDS, ".oft_blocks", F_LORA},
    {ENDS, ".oft_diag", F_LORA},
    {STARTS, "control_model.", F_CONTROL},
    {STARTS, "input_hint_block.", F_CONTROL},
    {STARTS, "controlnet_cond_embedding.", F_CONTROL},
    {STARTS, "lora_controlnet", F_CONTROL},
    {HAS, "joint_blocks.0.", F_SD3},
    {HAS, "double_blocks.0.", F_FLUX},
    {STARTS, "down_blocks.0.resnets.", F_DIFFUSERS_UNET},
    {STARTS, "encoder.down_blocks.", F_DIFFUSERS_VAE},
    {STARTS, "decoder.up_blocks.", F_DIFFUSERS_VAE},
    {STARTS, "text_model.encoder.layers.", F_TEXT},
    {STARTS, "encoder.layers.0.self_attn.", F_TEXT},
    {STARTS, "transformer.resblocks.0.", F_TEXT},
    {STARTS, "string_to_param", F_EMBEDDING},
    {IS, "emb_params", F_EMBEDDING},
    {IS, "clip_l", F_EMBEDDING},
    {IS, "clip_g", F_EMBEDDING},
    {STARTS, "<", F_EMBEDDING},
    {STARTS, "taesd_", F_TAESD},
    {IS, "3.conv.0.weight", F_TAESD},
    {IS, "decoder.layers.3.conv.0.weight", F_TAESD},
    {STARTS, "body.0.rdb1.", F_ESRGAN},
    {STARTS, "RRDB_trunk.0.", F_ESRGAN},
    {STARTS, "model.1.sub.0.", F_ESRGAN},
    {IS, "v_pred", F_V},
};

/* The first rule whose `all` are present decides, when no shape has to. */
static const struct {
    unsigned all;
    enum sdg_kind kind;
    const char *because;
} rules[] = {
    {F_SD3, SDG_KIND_SD3, "joint_blocks: a multimodal diffusion transformer"},
    {F_FLUX, SDG_KIND_FLUX, "double_blocks: a diffusion transformer"},
    {F_UNET, SDG_KIND_SD1, "model.diffusion_model: a UNet in CompVis naming"},
    {F_LORA, SDG_KIND_LORA, "pairs of low-rank factors instead of weights"},
    {F_CONTROL, SDG_KIND_CONTROLNET, "layers that read a control picture"},
    {F_BARE_UNET, SDG_KIND_UNET_ONLY, "input_blocks: a UNet in CompVis naming, alone"},
    {F_DIFFUSERS_UNET, SDG_KIND_DIFFUSERS_UNET, "down_blocks: a UNet in diffusers naming"},
    {F_VAE, SDG_KIND_VAE, "first_stage_model: a VAE, and no UNet"},
    {F_BARE_VAE, SDG_KIND_VAE, "encoder.down, decoder.up: a VAE, and no UNet"},
    {F_DIFFUSERS_VAE, SDG_KIND_DIFFUSERS_VAE, "decoder.up_blocks: a VAE in diffusers naming"},
    {F_TAESD, SDG_KIND_TAESD, "layers of a tiny autoencoder"},
    {F_ESRGAN, SDG_KIND_ESRGAN, "residual dense blocks of an upscaler"},
    {F_CLIP, SDG_KIND_TEXT_ENCODER, "a text encoder, and no UNet"},
    {F_CLIP_OLD, SDG_KIND_TEXT_ENCODER, "a text encoder, and no UNet"},
    {F_OPENCLIP, SDG_KIND_TEXT_ENCODER, "a text encoder, and no UNet"},
    {F_TEXT, SDG_KIND_TEXT_ENCODER, "a text encoder, and no UNet"},
    {F_EMBEDDING, SDG_KIND_EMBEDDING, "a few vectors for one word"},
};

#define TRY_SD1 "use an SD1.x checkpoint"
static const struct {
    const char *name, *remedy;
} kinds[] = {
    [SDG_KIND_UNKNOWN] = {"unknown model", "sdgen runs SD1.x checkpoints in one file"},
    [SDG_KIND_SD1] = {"Stable Diffusion 1.x checkpoint", ""},
    [SDG_KIND_SD1_V] = {"Stable Diffusion 1.x checkpoint with v-prediction",
                        "use an SD1.x checkpoint with epsilon-prediction"},
    [SDG_KIND_SD1_INPAINT] = {"Stable Diffusion 1.x inpainting checkpoint",
                              "use the plain SD1.x checkpoint it was made from"},
    [SDG_KIND_SD1_PIX2PIX] = {"InstructPix2Pix (Stable Diffusion 1.x) checkpoint", TRY_SD1},
    [SDG_KIND_UNET_CHANNELS] = {"latent diffusion checkpoint with extra input channels", TRY_SD1},
    [SDG_KIND_SD2] = {"Stable Diffusion 2.x checkpoint", TRY_SD1},
    [SDG_KIND_SD2_INPAINT] = {"Stable Diffusion 2.x inpainting checkpoint", TRY_SD1},
    [SDG_KIND_SD2_DEPTH] = {"Stable Diffusion 2.x depth-to-image checkpoint", TRY_SD1},
    [SDG_KIND_X4_UPSCALER] = {"Stable Diffusion x4 upscaler", TRY_SD1},
    [SDG_KIND_SDXL] = {"Stable Diffusion XL checkpoint", TRY_SD1},
    [SDG_KIND_SDXL_INPAINT] = {"Stable Diffusion XL inpainting checkpoint", TRY_SD1},
    [SDG_KIND_SDXL_REFINER] = {"Stable Diffusion XL refiner", TRY_SD1},
    [SDG_KIND_SD3] = {"Stable Diffusion 3 model", TRY_SD1},
    [SDG_KIND_FLUX] = {"Flux model", TRY_SD1},
    [SDG_KIND_UNET_ONLY] = {"UNet without text encoder and VAE",
                            "use the whole checkpoint in one file"},
    [SDG_KIND_VAE] = {"VAE", "give it with --vae, beside an SD1.x checkpoint with -m"},
    [SDG_KIND_TEXT_ENCODER] = {"text encoder", "use the whole checkpoint in one file"},
    [SDG_KIND_CONTROLNET] = {"ControlNet", TRY_SD1 " without it"},
    [SDG_KIND_LORA] = {"LoRA", "merge it into an SD1.x checkpoint with another tool"},
    [SDG_KIND_EMBEDDING] = {"textual inversion embedding", TRY_SD1 " without it"},
    [SDG_KIND_TAESD] = {"tiny autoencoder (TAESD)", TRY_SD1 " with its own VAE"},
    [SDG_KIND_ESRGAN] = {"ESRGAN upscaler", "upscale with another tool"},
    [SDG_KIND_DIFFUSERS_UNET] = {"UNet of a diffusers folder",
                                 "use the same model as one file (.safetensors or .ckpt)"},
    [SDG_KIND_DIFFUSERS_VAE] = {"VAE of a diffusers folder",
                                "use the same VAE as one file in CompVis naming"},
};

static bool fits(const char *name, enum place place, const char *text)
{
    const size_t n = strlen(name), t = strlen(text);
    switch (place) {
    case STARTS: return n >= t && memcmp(name, text, t) == 0;
    case ENDS: return n >= t && memcmp(name + n - t, text, t) == 0;
    case HAS: return strstr(name, text) != NULL;
    case IS: return strcmp(name, text) == 0;
    }
    return false;
}

static unsigned features_of(const struct sdg_weights *w)
{
    unsigned features = 0;
    for (size_t e = 0; e < w->count; e++)
        for (size_t m = 0; m < sizeof marks / sizeof marks[0]; m++)
            if (!(features & marks[m].feature) &&
                fits(w->entries[e].name, marks[m].place, marks[m].text))
                features |= marks[m].feature;
    return features;
}

__attribute__((format(printf, 2, 3))) static void evidence(struct sdg_finding *f,
                                                           const char *format, ...)
{
    if (f->evidence_count == SDG_EVIDENCE_MAX) return;
    va_list args;
    va_start(args, format);
    vsnprintf(f->evidence[f->evidence_count++], SDG_EVIDENCE_SIZE, format, args);
    va_end(args);
}

static void find_prefixes(struct sdg_finding *f, unsigned features)
{
    if (features & F_UNET) f->unet_prefix = "model.diffusion_model.";
    if (features & F_VAE)
        f->vae_prefix = "first_stage_model.";
    else if (features & F_BARE_VAE)
        f->vae_prefix = "";
    if (features & F_CLIP) f->clip_prefix = "cond_stage_model.transformer.";
}

/* Extent d of a tensor of the UNet, 0 when there is no such thing. */
static int64_t unet_extent(const struct sdg_weights *w, const char *leaf, int d)
{
    const struct sdg_tensor *t = sdg_arch_tensor(w, "model.diffusion_model.", "", leaf);
    return t && d < t->rank ? t->shape[d] : 0;
}

/* Width of what the UNet attends to, from the first cross-attention in file order. */
static int64_t context_width(const struct sdg_weights *w)
{
    for (size_t e = 0; e < w->count; e++)
        if (fits(w->entries[e].name, STARTS, "model.diffusion_model.") &&
            fits(w->entries[e].name, ENDS, ".attn2.to_k.weight") && w->entries[e].tensor.rank == 2)
            return w->entries[e].tensor.shape[1];
    return 0;
}

/* What the UNet reads beside the latent it is to clean: more channels in than out. Tensors that are
 * not there, or make no sense, count as none: the binder will name them. */
static int64_t extra_channels(int64_t in, const struct sdg_weights *w)
{
    const int64_t out = unet_extent(w, "out.2.weight", 0);
    const int64_t extra = in - (out ? out : 4);
    return extra > 0 ? extra : 0;
}

/* UNets with class or size conditioning (label_emb): SDXL and kin. */
static enum sdg_kind labelled(struct sdg_finding *f, int64_t label, int64_t extra, int64_t context,
                              unsigned features)
{
    evidence(f, "label_emb takes %lld values: %s", (long long)label,
             label == 2816   ? "SDXL's pooled text and six sizes"
             : label == 2560 ? "the SDXL refiner's pooled text and five sizes"
                             : "conditioned on more than text");
    if (label == 2560 || (context == 1280 && !(features & F_TWO_TEXTS)))
        return SDG_KIND_SDXL_REFINER;
    if (features & F_TWO_TEXTS || context == 2048)
        return extra == 5 ? SDG_KIND_SDXL_INPAINT : SDG_KIND_SDXL;
    return context == 1024 ? SDG_KIND_SD2 : SDG_KIND_UNKNOWN;
}

/* The variants of a UNet in CompVis naming. */
static enum sdg_kind unet_kind(struct sdg_finding *f, const struct sdg_weights *w,
                               unsigned features)
{
    const int64_t in = unet_extent(w, "input_blocks.0.0.weight", 1), context = context_width(w);
    const int64_t label = unet_extent(w, "label_emb.0.0.weight", 1), extra = extra_channels(in, w);
    const char *prediction = sdg_weights_metadata(w, "modelspec.prediction_type");
    evidence(f, "context width %lld: %s", (long long)context,
             context == 768    ? "SD1"
             : context == 1024 ? "SD2"
             : context == 2048 ? "SDXL"
             : context == 1280 ? "SDXL refiner"
                               : "a model of its own size");
    evidence(f, "%lld input channels: %s", (long long)in,
             extra == 0   ? "text to image"
             : extra == 5 ? "inpainting (latent, mask, masked picture)"
             : extra == 4 ? "picture to picture (latent, picture)"
             : extra == 3 ? "x4 upscaler (latent, small picture)"
             : extra == 1 ? "depth to image (latent, depth)"
                          : "of no well-known model");
    if (label) return labelled(f, label, extra, context, features);
    if (extra == 3) return SDG_KIND_X4_UPSCALER;
    if (features & F_OPENCLIP || context == 1024) {
        evidence(f, "text encoder: %s", features & F_OPENCLIP ? "OpenCLIP, as in SD2" : "none");
        return extra == 5 ? SDG_KIND_SD2_INPAINT : extra == 1 ? SDG_KIND_SD2_DEPTH : SDG_KIND_SD2;
    }
    if (!(features & (F_CLIP | F_CLIP_OLD))) {
        evidence(f, "no text encoder under cond_stage_model or conditioner");
        return features & (F_EMBEDDER | F_TWO_TEXTS) ? SDG_KIND_UNKNOWN : SDG_KIND_UNET_ONLY;
    }
    evidence(f, "text encoder: CLIP as in SD1, under %s", f->clip_prefix);
    if ((prediction && prediction[0] == 'v') || features & F_V) {
        evidence(f, "%s", features & F_V ? "tensor v_pred" : "modelspec.prediction_type is v");
        return SDG_KIND_SD1_V;
    }
    return extra == 0   ? SDG_KIND_SD1
           : extra == 5 ? SDG_KIND_SD1_INPAINT
           : extra == 4 ? SDG_KIND_SD1_PIX2PIX
                        : SDG_KIND_UNET_CHANNELS;
}

/* Bytes of s to show: at most EVIDENCE_NAME, and no character in halves. */
static int shown(const char *s)
{
    size_t n = strlen(s);
    if (n > EVIDENCE_NAME)
        for (n = EVIDENCE_NAME; n > 0 && ((unsigned char)s[n] & 0xc0) == 0x80;) n--;
    return (int)n;
}

/* Evidence for nothing in particular: what is there at all. */
static void describe_unknown(struct sdg_finding *f, const struct sdg_weights *w)
{
    evidence(f, "%zu tensors, none with a name of a known kind", w->count);
    for (size_t e = 0; e < w->count && e < 2; e++) {
        char shape[64];
        evidence(f, "%.*s %s", shown(w->entries[e].name), w->entries[e].name,
                 sdg_shape_text(shape, sizeof shape, w->entries[e].tensor.shape,
                                w->entries[e].tensor.rank));
    }
}

void sdg_family_find(struct sdg_finding *f, const struct sdg_weights *w)
{
    *f = (struct sdg_finding) {0};
    const unsigned features = features_of(w);
    find_prefixes(f, features);
    const size_t count = sizeof rules / sizeof rules[0];
    size_t r = 0;
    while (r < count && !(features & rules[r].all)) r++;
    if (r < count) {
        evidence(f, "%s", rules[r].because);
        f->kind = rules[r].all == F_UNET ? unet_kind(f, w, features) : rules[r].kind;
    } else if (w->count == 1 && w->entries[0].tensor.rank <= 2) {
        evidence(f, "one tensor only, %.*s", shown(w->entries[0].name), w->entries[0].name);
        f->kind = SDG_KIND_EMBEDDING;
    } else {
        describe_unknown(f, w);
    }
    f->name = kinds[f->kind].name;
    f->remedy = kinds[f->kind].remedy;
}

sdgen_status sdg_family_check(const struct sdg_finding *f, const struct sdg_weights *w,
                              sdgen_error *err)
{
    if (f->kind == SDG_KIND_SD1) return SDGEN_OK;
    char all[SDG_EVIDENCE_MAX * (SDG_EVIDENCE_SIZE + 2)];
    size_t used = 0;
    all[0] = 0;
    for (int i = 0; i < f->evidence_count; i++)
        used +=
            (size_t)snprintf(all + used, sizeof all - used, "%s%s", i ? "; " : "", f->evidence[i]);
    if (f->kind == SDG_KIND_UNKNOWN)
        return sdg_fail(err, SDGEN_ERR_MODEL, "%s: not a model that sdgen knows (%s); %s", w->path,
                        all, f->remedy);
    return sdg_fail(err, SDGEN_ERR_ARG, "%s: this is %s %s, which sdgen does not run yet (%s); %s",
                    w->path, strchr("AEI", f->name[0]) ? "an" : "a", f->name, all, f->remedy);
}
