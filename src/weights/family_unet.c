/* family_unet.c - which Stable Diffusion a UNet is of (see family.h).
 *
 * By what it attends to (768 values a token: CLIP-L, SD1; 1024: OpenCLIP H, SD2; 2048: both
 * encoders of SDXL; 1280: the refiner's), by what its label_emb takes, by what it reads beside the
 * latent, and, for the smaller ones that were distilled from these, by where their transformers
 * sit. Shrunk models have widths of their own; then the text encoders tell. */
#include <stdio.h>
#include <string.h>

#include "weights/arch_names.h"
#include "weights/family.h"
#include "weights/keys.h"

enum { SD1_CONTEXT = 768, SD2_CONTEXT = 1024, REFINER_CONTEXT = 1280, SDXL_CONTEXT = 2048 };
enum { SIZE_EMBEDDING = 256, SDXL_SIZES = 6, REFINER_SIZES = 5 };
enum {
    SDXL_LABEL = 1280 + SDXL_SIZES * SIZE_EMBEDDING,
    REFINER_LABEL = 1280 + REFINER_SIZES * SIZE_EMBEDDING
};

/* What the shapes say. */
struct shapes {
    int64_t in, out, context, label, pooled;
    bool openclip; /* the only text encoder is OpenCLIP's, or of its kind */
    bool linear;   /* projections into the transformers are linear: so they are from SD2 on */
};

/* Extent d of a tensor below prefix, 0 when there is no such thing. */
static int64_t extent(const struct sdg_weights *w, const char *prefix, const char *leaf, int d)
{
    const struct sdg_tensor *t = sdg_arch_tensor(w, prefix, "", leaf);
    return t && d < t->rank ? t->shape[d] : 0;
}

/* Width of what the UNet attends to, from the first cross-attention in file order. */
static int64_t context_width(const struct sdg_weights *w)
{
    static const char tail[] = ".attn2.to_k.weight";
    for (size_t e = 0; e < w->count; e++) {
        const char *name = sdg_name_after(w->entries[e].name, SDG_KEY_UNET);
        const size_t length = name ? strlen(name) : 0;
        if (length >= sizeof tail && strcmp(name + length - (sizeof tail - 1), tail) == 0 &&
            w->entries[e].tensor.rank == 2)
            return w->entries[e].tensor.shape[1];
    }
    return 0;
}

static bool has_linear_projections(const struct sdg_weights *w)
{
    static const char tail[] = ".proj_in.weight";
    for (size_t e = 0; e < w->count; e++) {
        const char *name = sdg_name_after(w->entries[e].name, SDG_KEY_UNET);
        const size_t length = name ? strlen(name) : 0;
        if (length >= sizeof tail && strcmp(name + length - (sizeof tail - 1), tail) == 0)
            return w->entries[e].tensor.rank == 2;
    }
    return false;
}

/* Exact GELU is what sets OpenCLIP's text encoders apart; a diffusers folder says so in words. */
static bool says_gelu(const struct sdg_weights *w)
{
    const char *text = sdg_weights_text(w, "text_encoder/config.json");
    return text && strstr(text, "\"gelu\"");
}

static void read_shapes(struct shapes *s, const struct sdg_finding *f, const struct sdg_weights *w)
{
    *s = (struct shapes) {
        .in = extent(w, SDG_KEY_UNET, "input_blocks.0.0.weight", 1),
        .out = extent(w, SDG_KEY_UNET, "out.2.weight", 0),
        .context = context_width(w),
        .label = extent(w, SDG_KEY_UNET, "label_emb.0.0.weight", 1),
        .linear = has_linear_projections(w),
    };
    if (!s->out) s->out = 4;
    if (!f->text_count) return;
    const char *last = f->texts[f->text_count - 1];
    s->pooled = extent(w, last, "text_projection.weight", 0);
    if (!s->pooled) s->pooled = extent(w, last, "text_model.final_layer_norm.weight", 0);
    s->openclip = sdg_text_is_openclip(w, last) || says_gelu(w);
}

static void describe(struct sdg_finding *f, const struct shapes *s)
{
    const int64_t extra = s->in - s->out;
    sdg_evidence(f, "context width %lld: %s", (long long)s->context,
                 s->context == SD1_CONTEXT       ? "SD1"
                 : s->context == SD2_CONTEXT     ? "SD2"
                 : s->context == SDXL_CONTEXT    ? "SDXL"
                 : s->context == REFINER_CONTEXT ? "SDXL refiner"
                                                 : "a model of its own size");
    sdg_evidence(f, "%lld input channels: %s", (long long)s->in,
                 extra <= 0   ? "text to image"
                 : extra == 5 ? "inpainting (latent, mask, masked picture)"
                 : extra == 4 ? "picture to picture (latent, picture)"
                 : extra == 3 ? "x4 upscaler (latent, small picture)"
                 : extra == 1 ? "depth to image (latent, depth)"
                              : "of no well-known model");
    if (s->label)
        sdg_evidence(f, "label_emb takes %lld values: %s", (long long)s->label,
                     f->label == SDG_LABEL_SIZES     ? "SDXL's pooled text and six sizes"
                     : f->label == SDG_LABEL_REFINER ? "the refiner's pooled text and five sizes"
                                                     : "conditioned on more than text");
    if (f->text_count == 0)
        sdg_evidence(f, "no text encoder");
    else
        sdg_evidence(f, "%s",
                     f->text_count > 1 ? "two text encoders"
                     : s->openclip     ? "text encoder: OpenCLIP's kind"
                                       : "text encoder: CLIP's kind");
}

/* ---- where the transformers are ---- */

enum { BLOCKS = 32, NO_MIDDLE = -1 };

/* Depths of the transformers beside the resblocks on the way in, a slash between levels, and in the
 * middle. */
static int transformers(char text[2 * BLOCKS], const struct sdg_weights *w)
{
    struct {
        bool res, op;
        int depth;
    } in[BLOCKS] = {{0}};
    int middle = NO_MIDDLE, used = 0;
    for (size_t e = 0; e < w->count; e++) {
        const char *name = sdg_name_after(w->entries[e].name, SDG_KEY_UNET), *rest;
        int i, k;
        if (!name) continue;
        if (sdg_name_number(&rest, &i, name, "input_blocks.") && i > 0 && i < BLOCKS) {
            if (sdg_name_after(rest, "0.op."))
                in[i].op = true;
            else
                in[i].res = true;
            if (sdg_name_number(&rest, &k, rest, "1.transformer_blocks.") && k >= in[i].depth)
                in[i].depth = k + 1;
        } else if (sdg_name_number(&rest, &k, name, "middle_block.1.transformer_blocks.")) {
            if (k >= middle) middle = k + 1;
        }
    }
    for (int i = 1; i < BLOCKS && (in[i].res || in[i].op); i++)
        text[used++] = in[i].op ? '/' : (char)(in[i].depth < 10 ? '0' + in[i].depth : '*');
    text[used] = 0;
    return middle;
}

static const struct {
    const char *transformers;
    int middle;
    bool label, only_cross;
    const char *name;
} variants[] = {
    /* ComfyUI comfy/model_detection.py; the papers' configurations in diffusers' form */
    {"00/22/44", NO_MIDDLE, true, false, "SSD-1B"},
    {"00/11/22", NO_MIDDLE, true, false, "Segmind-Vega"},
    {"0/2/5", NO_MIDDLE, true, false, "KOALA-700M"},
    {"0/2/6", 6, true, false, "KOALA-1B"},
    {"1/1/1/0", 1, false, false, "BK-SDM base"},
    {"1/1/1/0", NO_MIDDLE, false, false, "BK-SDM small, small-sd"},
    {"1/1/1", NO_MIDDLE, false, false, "BK-SDM tiny, tiny-sd"},
    {"1/1/1", NO_MIDDLE, false, true, "SDXS-512"},
    {"0/1/1", NO_MIDDLE, false, false, "SDXS-512"},
};

/* The first level's "self" attention reads the text instead. */
static bool crosses_only(const struct sdg_weights *w, int64_t context)
{
    static const char key[] = "input_blocks.1.1.transformer_blocks.0.attn1.to_k.weight";
    const int64_t own = extent(w, SDG_KEY_UNET, key, 0), read = extent(w, SDG_KEY_UNET, key, 1);
    return read == context && read != own;
}

static const char *variant(const struct sdg_finding *f, const struct sdg_weights *w,
                           int64_t context, const char *levels, int middle)
{
    for (size_t i = 0; i < sizeof variants / sizeof variants[0]; i++)
        if (strcmp(levels, variants[i].transformers) == 0 && middle == variants[i].middle &&
            variants[i].label == (f->label != SDG_LABEL_NONE) &&
            variants[i].only_cross == crosses_only(w, context))
            return variants[i].name;
    return NULL;
}

/* ---- families ---- */

/* UNets with a vector beside the timestep. Alone and shrunk, the refiner is known by a fourth
 * level. False when the vector is of unknown meaning. */
static bool labelled(struct sdg_finding *f, const struct shapes *s, const char *levels)
{
    const bool alone = f->text_count == 0 && s->context != SD2_CONTEXT;
    const int64_t rest = s->label - s->pooled;
    const int64_t sizes = s->pooled && rest % SIZE_EMBEDDING == 0 ? rest / SIZE_EMBEDDING : 0;
    int slashes = 0;
    for (const char *p = levels; *p; p++) slashes += *p == '/';
    if (f->text_count < 2 && s->context != SDXL_CONTEXT &&
        (s->label == REFINER_LABEL || sizes == REFINER_SIZES ||
         (alone && s->label != SDXL_LABEL && slashes == 3))) {
        f->family = SDG_FAMILY_SDXL_REFINER;
        f->label = SDG_LABEL_REFINER;
    } else if (s->label == SDXL_LABEL || sizes == SDXL_SIZES || alone) {
        f->family = SDG_FAMILY_SDXL;
        f->label = SDG_LABEL_SIZES;
    } else {
        return false;
    }
    return true;
}

/* ---- kinds ---- */

static void foreign(struct sdg_finding *f, const char *name)
{
    f->kind = SDG_KIND_FOREIGN;
    snprintf(f->name, sizeof f->name, "%s", name);
}

static void name_it(struct sdg_finding *f, const char *smaller)
{
    static const char *const families[] = {[SDG_FAMILY_SD1] = "Stable Diffusion 1.x",
                                           [SDG_FAMILY_SD2] = "Stable Diffusion 2.x",
                                           [SDG_FAMILY_SDXL] = "Stable Diffusion XL",
                                           [SDG_FAMILY_SDXL_REFINER] =
                                               "Stable Diffusion XL refiner"};
    static const char *const extras[] = {[SDG_EXTRA_NONE] = "",
                                         [SDG_EXTRA_INPAINT] = " inpainting",
                                         [SDG_EXTRA_EDIT] = " InstructPix2Pix",
                                         [SDG_EXTRA_DEPTH] = " depth-to-image"};
    snprintf(f->name, sizeof f->name, "%s%s %s%s%s%s", families[f->family], extras[f->extra],
             f->kind == SDG_KIND_UNET ? "UNet" : "checkpoint", smaller ? " (" : "",
             smaller ? smaller : "", smaller ? ")" : "");
}

void sdg_family_unet(struct sdg_finding *f, const struct sdg_weights *w)
{
    struct shapes s;
    char levels[2 * BLOCKS];
    const int middle = transformers(levels, w);
    read_shapes(&s, f, w);
    const int64_t extra = s.in - s.out;
    const bool known = s.label == 0 || labelled(f, &s, levels);
    describe(f, &s);
    if (extra == 3) {
        foreign(f, "Stable Diffusion x4 upscaler");
        return;
    }
    if (!known && s.context == SD2_CONTEXT) {
        foreign(
            f,
            "Stable Diffusion 2.x unCLIP checkpoint, or another that is conditioned on pictures");
        return;
    }
    if (!known) {
        f->kind = SDG_KIND_UNKNOWN;
        return;
    }
    if (extra > 0 && extra != 1 && extra != 4 && extra != 5) {
        foreign(f, "latent diffusion checkpoint with extra input channels");
        return;
    }
    f->extra = extra == 5   ? SDG_EXTRA_INPAINT
               : extra == 4 ? SDG_EXTRA_EDIT
               : extra == 1 ? SDG_EXTRA_DEPTH
                            : SDG_EXTRA_NONE;
    if (!s.label)
        f->family =
            s.context == SD2_CONTEXT || (s.context != SD1_CONTEXT && (s.openclip || s.linear))
                ? SDG_FAMILY_SD2
                : SDG_FAMILY_SD1;
    f->kind = f->text_count ? SDG_KIND_CHECKPOINT : SDG_KIND_UNET;
    const char *smaller = variant(f, w, s.context, levels, middle);
    if (smaller) sdg_evidence(f, "transformers as in %s", smaller);
    f->one_step = smaller && strcmp(smaller, "SDXS-512") == 0;
    name_it(f, smaller);
}
