/* family.c - see family.h.
 *
 * One pass over the names collects features; an ordered list of rules (the first that fits wins)
 * gives the kind; for a UNet, shapes give the variant (family_unet.c). Which tensors tell what was
 * learnt from diffusers (loaders/single_file_utils.py infer_diffusers_model_type), ComfyUI (comfy/
 * model_detection.py, supported_models.py), stable-diffusion.cpp (src/model_loader.cpp) and A1111
 * (modules/sd_models_config.py). */
#include "weights/family.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cjson/cJSON.h>

#include "weights/arch_names.h"
#include "weights/keys.h"

enum feature {
    F_UNET = 1 << 0,
    F_CLIP = 1 << 1,
    F_CLIP_0 = 1 << 2,
    F_CLIP_1 = 1 << 3,
    F_VAE = 1 << 4,
    F_TAESD_ENCODER = 1 << 5,
    F_TAESD_DECODER = 1 << 6,
    F_LORA = 1 << 7,
    F_CONTROL = 1 << 8,
    F_EMBEDDING = 1 << 9,
    F_ESRGAN = 1 << 10,
    F_TEXT = F_CLIP | F_CLIP_0 | F_CLIP_1,
    F_TAESD = F_TAESD_ENCODER | F_TAESD_DECODER
};

enum { EVIDENCE_NAME = 80 }; /* bytes of a tensor name in a line of evidence */

enum place { STARTS, ENDS, HAS, IS };

static const struct {
    enum place place;
    const char *text;
    unsigned feature;
} marks[] = {
    {STARTS, SDG_KEY_UNET, F_UNET},
    {STARTS, SDG_KEY_CLIP "text_model.", F_CLIP},
    {STARTS, SDG_KEY_CLIP_0 "text_model.", F_CLIP_0},
    {STARTS, SDG_KEY_CLIP_1 "text_model.", F_CLIP_1},
    {STARTS, SDG_KEY_VAE, F_VAE},
    {STARTS, SDG_KEY_TAESD "encoder.", F_TAESD_ENCODER},
    {STARTS, SDG_KEY_TAESD "decoder.", F_TAESD_DECODER},
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
    {STARTS, "string_to_param", F_EMBEDDING},
    {IS, "emb_params", F_EMBEDDING},
    {IS, "clip_l", F_EMBEDDING},
    {IS, "clip_g", F_EMBEDDING},
    {STARTS, "<", F_EMBEDDING},
    {STARTS, "body.0.rdb1.", F_ESRGAN},
    {STARTS, "RRDB_trunk.0.", F_ESRGAN},
    {STARTS, "model.1.sub.0.", F_ESRGAN},
};

/* Models of other families, by what only they have; the first in this order that is there. */
static const struct {
    enum place place;
    const char *text, *name;
} foreigners[] = {
    {HAS, "joint_blocks.0.", "Stable Diffusion 3 model"},
    {HAS, "distilled_guidance_layer.", "Chroma model"},
    {HAS, "individual_token_refiner.", "HunyuanVideo model"},
    {HAS, "double_stream_modulation_img.", "Flux 2 model"},
    {HAS, "double_blocks.0.", "Flux model"},
    {HAS, "single_transformer_blocks.0.", "Flux model"},
    {HAS, "double_layers.0.", "AuraFlow model"},
    {HAS, ".motion_modules.", "AnimateDiff motion module, for video"},
    {HAS, ".time_stack.", "Stable Video Diffusion model"},
    {HAS, ".time_mixer.mix_factor", "Stable Video Diffusion model"},
    {HAS, ".temporal_transformer_blocks.", "Stable Video Diffusion model"},
    {HAS, "patchify_proj.", "LTX-Video model"},
    {HAS, "head.modulation", "Wan video model"},
    {HAS, "t5_yproj.", "Mochi video model"},
    {HAS, "effnet_mapper.", "Stable Cascade model"},
    {HAS, "clip_txt_mapper.", "Stable Cascade model"},
    {HAS, "mlp_t5.0.", "HunyuanDiT model"},
    {HAS, "transformer_blocks.0.img_mod.", "Qwen-Image model"},
    {HAS, "cap_embedder.", "Lumina or Z-Image model"},
    {HAS, "adaln_single.", "PixArt model"},
    {HAS, "noise_augmentor.", "Stable Diffusion 2.x unCLIP checkpoint"},
    {HAS, "add_embedding.image_norm.", "Kandinsky 2 model"},
    {HAS, "encoder_hid_proj.", "UNet for other text encoders (DeepFloyd IF, Kandinsky)"},
    {HAS, "position_net.", "GLIGEN model"},
    {HAS, "ip_adapter.", "IP-Adapter"},
    {STARTS, "adapter.body.", "T2I-Adapter"},
    {STARTS, "encoder.block.0.layer.0.SelfAttention.", "T5 text encoder"},
};

/* The first rule of which anything is present decides, where no shape has to. */
static const struct {
    unsigned any;
    enum sdg_kind kind;
    const char *because;
} rules[] = {
    {F_UNET, SDG_KIND_CHECKPOINT, "a denoising UNet"},
    {F_LORA, SDG_KIND_LORA, "pairs of low-rank factors instead of weights"},
    {F_CONTROL, SDG_KIND_CONTROLNET, "layers that read a control picture"},
    {F_VAE, SDG_KIND_VAE, "an autoencoder, and no UNet"},
    {F_TEXT, SDG_KIND_TEXT_ENCODER, "a text encoder, and no UNet"},
    {F_TAESD, SDG_KIND_TAESD, "layers of a tiny autoencoder"},
    {F_ESRGAN, SDG_KIND_ESRGAN, "residual dense blocks of an upscaler"},
    {F_EMBEDDING, SDG_KIND_EMBEDDING, "a few vectors for one word"},
};

#define USE_ONE "use a checkpoint of SD1, SD2 or SDXL"
static const struct {
    const char *name, *remedy;
} kinds[] = {
    [SDG_KIND_UNKNOWN] = {"unknown model", "sdgen runs checkpoints of SD1, SD2 and SDXL"},
    [SDG_KIND_CHECKPOINT] = {"", ""}, /* both from family_unet.c */
    [SDG_KIND_UNET] = {"", "give its text encoder with --clip-l or --clip-g, and a VAE with --vae"},
    [SDG_KIND_VAE] = {"VAE", "give it with --vae, beside a checkpoint with -m"},
    [SDG_KIND_TAESD] = {"tiny autoencoder (TAESD)", "give it with --taesd, beside a checkpoint"},
    [SDG_KIND_TEXT_ENCODER] = {"text encoder", "give it with --clip-l or --clip-g, beside a "
                                               "checkpoint"},
    [SDG_KIND_CONTROLNET] = {"ControlNet", USE_ONE " without it"},
    [SDG_KIND_LORA] = {"LoRA", "merge it into a checkpoint with another tool"},
    [SDG_KIND_EMBEDDING] = {"textual inversion embedding", USE_ONE " without it"},
    [SDG_KIND_ESRGAN] = {"ESRGAN upscaler", "upscale with another tool"},
    [SDG_KIND_FOREIGN] = {"", USE_ONE},
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

void sdg_evidence(struct sdg_finding *f, const char *format, ...)
{
    if (f->evidence_count == SDG_EVIDENCE_MAX) return;
    va_list args;
    va_start(args, format);
    vsnprintf(f->evidence[f->evidence_count++], SDG_EVIDENCE_SIZE, format, args);
    va_end(args);
}

bool sdg_text_is_openclip(const struct sdg_weights *w, const char *prefix)
{
    for (size_t e = 0; e < w->count; e++)
        if (sdg_name_after(w->entries[e].name, prefix) &&
            strstr(w->entries[e].stored, "transformer.resblocks."))
            return true;
    return false;
}

bool sdg_family_openclip(enum sdg_family family, int encoder)
{
    return encoder == 1 || family == SDG_FAMILY_SD2 || family == SDG_FAMILY_SDXL_REFINER;
}

static void find_networks(struct sdg_finding *f, unsigned features)
{
    static const struct {
        unsigned feature;
        const char *prefix;
    } texts[] = {{F_CLIP, SDG_KEY_CLIP}, {F_CLIP_0, SDG_KEY_CLIP_0}, {F_CLIP_1, SDG_KEY_CLIP_1}};
    f->unet = features & F_UNET;
    f->vae = features & F_VAE;
    f->taesd_encoder = features & F_TAESD_ENCODER;
    f->taesd_decoder = features & F_TAESD_DECODER;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (features & texts[i].feature && f->text_count < SDG_TEXTS_MAX)
            f->texts[f->text_count++] = texts[i].prefix;
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
    sdg_evidence(f, "%zu tensors, none with a name of a known kind", w->count);
    for (size_t e = 0; e < w->count && e < 2; e++) {
        char shape[64];
        sdg_evidence(f, "%.*s %s", shown(w->entries[e].name), w->entries[e].name,
                     sdg_shape_text(shape, sizeof shape, w->entries[e].tensor.shape,
                                    w->entries[e].tensor.rank));
    }
}

/* A tensor that only a model of another family has. */
static bool find_foreigner(struct sdg_finding *f, const struct sdg_weights *w)
{
    const size_t none = sizeof foreigners / sizeof foreigners[0];
    size_t best = none, where = 0;
    for (size_t e = 0; e < w->count; e++)
        for (size_t i = 0; i < best; i++)
            if (fits(w->entries[e].name, foreigners[i].place, foreigners[i].text)) {
                best = i;
                where = e;
            }
    if (best == none) return false;
    f->kind = SDG_KIND_FOREIGN;
    snprintf(f->name, sizeof f->name, "%s", foreigners[best].name);
    sdg_evidence(f, "it has %.*s", shown(w->entries[where].name), w->entries[where].name);
    return true;
}

/* A folder of diffusers whose networks are others: it says its own name. */
static bool find_pipeline(struct sdg_finding *f, const struct sdg_weights *w)
{
    const char *text = sdg_weights_text(w, "model_index.json");
    cJSON *index = f->unet || !text ? NULL : cJSON_Parse(text);
    const cJSON *name = cJSON_GetObjectItemCaseSensitive(index, "_class_name");
    if (cJSON_IsString(name)) {
        f->kind = SDG_KIND_FOREIGN;
        snprintf(f->name, sizeof f->name, "%.60s of diffusers", name->valuestring);
        sdg_evidence(f, "model_index.json says so, and there is no UNet");
    }
    cJSON_Delete(index);
    return f->kind == SDG_KIND_FOREIGN;
}

static void find_kind(struct sdg_finding *f, const struct sdg_weights *w, unsigned features)
{
    const size_t count = sizeof rules / sizeof rules[0];
    size_t r = 0;
    if (!(features & F_LORA && !f->unet) && find_foreigner(f, w)) return;
    if (find_pipeline(f, w)) return;
    while (r < count && !(features & rules[r].any)) r++;
    if (r < count) {
        sdg_evidence(f, "%s", rules[r].because);
        f->kind = rules[r].kind;
        if (f->unet) sdg_family_unet(f, w);
    } else if (w->count == 1 && w->entries[0].tensor.rank <= 2) {
        sdg_evidence(f, "one tensor only, %.*s", shown(w->entries[0].name), w->entries[0].name);
        f->kind = SDG_KIND_EMBEDDING;
    } else {
        describe_unknown(f, w);
    }
}

void sdg_family_find(struct sdg_finding *f, const struct sdg_weights *w)
{
    *f = (struct sdg_finding) {0};
    const unsigned features = features_of(w);
    find_networks(f, features);
    find_kind(f, w, features);
    if (!f->name[0]) snprintf(f->name, sizeof f->name, "%s", kinds[f->kind].name);
    f->remedy = kinds[f->kind].remedy;
}

sdgen_status sdg_family_check(const struct sdg_finding *f, const struct sdg_weights *w,
                              sdgen_error *err)
{
    if (f->kind == SDG_KIND_CHECKPOINT) return SDGEN_OK;
    char all[SDG_EVIDENCE_MAX * (SDG_EVIDENCE_SIZE + 2)];
    size_t used = 0;
    all[0] = 0;
    for (int i = 0; i < f->evidence_count; i++)
        used +=
            (size_t)snprintf(all + used, sizeof all - used, "%s%s", i ? "; " : "", f->evidence[i]);
    if (f->kind == SDG_KIND_UNKNOWN)
        return sdg_fail(err, SDGEN_ERR_MODEL, "%s: not a model that sdgen knows (%s); %s", w->path,
                        all, f->remedy);
    const bool part = f->kind == SDG_KIND_UNET || f->kind == SDG_KIND_VAE ||
                      f->kind == SDG_KIND_TAESD || f->kind == SDG_KIND_TEXT_ENCODER;
    return sdg_fail(err, SDGEN_ERR_ARG, "%s: this is %s %s, %s (%s); %s", w->path,
                    strchr("AEI", f->name[0]) ? "an" : "a", f->name,
                    part ? "no whole model" : "which sdgen does not run yet", all, f->remedy);
}

/* ComfyUI, comfy/ops.py (scaled_fp8_ops): "x.weight" in 8 bits, "x.scale_weight", and a tensor that
 * says so. */
sdgen_status sdg_family_check_scales(const struct sdg_weights *w, sdgen_error *err)
{
    for (size_t i = 0; i < w->count; i++) {
        const char *name = w->entries[i].stored;
        if (!fits(name, ENDS, ".scale_weight") && !fits(name, ENDS, "scaled_fp8")) continue;
        return sdg_fail(err, SDGEN_ERR_MODEL,
                        "%s: its weights are 8-bit numbers with scales beside them (%s), which "
                        "sdgen does not read; take the file in f16, bf16 or plain fp8",
                        w->path, name);
    }
    return SDGEN_OK;
}
