/* encoders.c - see encoders.h. How "clip skip" acts beyond SD1 differs between the programs:
 * AUTOMATIC1111 stable-diffusion-webui 1.10 leaves OpenCLIP's encoders and SDXL's alone
 * (modules/sd_hijack_open_clip.py, modules/sd_hijack_clip.py), ComfyUI and stable-diffusion.cpp
 * count layers from the end whatever the model (comfy/sd1_clip.py set_clip_options;
 * src/conditioning/conditioner.hpp), diffusers counts from what the model reads unasked
 * (pipelines/stable_diffusion_xl/pipeline_stable_diffusion_xl.py encode_prompt). */
#include "pipeline/encoders.h"

#include "text/tokenizer.h"

/* Layers to leave out, by the rules above. */
static int layers_to_skip(const struct sdg_clip_take *own, enum sdg_family family,
                          const struct sdg_convention *like, int clip_skip)
{
    if (clip_skip == 0) return own->skip;
    if (like->like == SDG_LIKE_DIFFUSERS) return own->skip + clip_skip;
    if (like->like == SDG_LIKE_A1111 && family != SDG_FAMILY_SD1) return own->skip;
    return clip_skip - 1;
}

/* CLIP-L was trained on texts filled up with the token that ends them, OpenCLIP's on zeros. */
static int32_t padding(const struct sdg_model *m, int i)
{
    const bool clip_l = m->facts.family == SDG_FAMILY_SD1 ||
                        (m->facts.family == SDG_FAMILY_SDXL && m->clip_count > 1 && i == 0);
    return clip_l ? SDG_TOKEN_END : 0;
}

sdgen_status sdg_encoders_choose(struct sdg_encoders *e, const struct sdg_model *m,
                                 const struct sdg_convention *like, int clip_skip, sdgen_error *err)
{
    *e = (struct sdg_encoders) {.count = m->clip_count};
    for (int i = 0; i < m->clip_count; i++) {
        struct sdg_encoder *of = &e->of[i];
        const struct sdg_clip_config *config = &m->clips[i].config;
        *of =
            (struct sdg_encoder) {.clip = &m->clips[i], .take = m->takes[i], .pad = padding(m, i)};
        of->take.skip = layers_to_skip(&m->takes[i], m->facts.family, like, clip_skip);
        of->take.pooled = false; /* asked for text by text */
        if (of->take.skip < 0 || of->take.skip >= config->layers)
            return sdg_fail(err, SDGEN_ERR_ARG, "--clip-skip %d: must be between %d and %d here",
                            clip_skip, like->clip_skip_first,
                            like->clip_skip_first + config->layers - 1 -
                                (like->like == SDG_LIKE_DIFFUSERS ? m->takes[i].skip : 0));
        e->width += (size_t)config->width;
        if (m->facts.label != SDG_LABEL_NONE)
            e->pooled = (size_t)(config->projection ? config->projection : config->width);
    }
    return SDGEN_OK;
}
