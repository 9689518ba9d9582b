/* convention.c - see convention.h. Sources: AUTOMATIC1111 stable-diffusion-webui 1.10 (modules/
 * processing.py, sd_hijack_clip.py, sd_hijack_unet.py, rng.py), diffusers
 * (pipelines/stable_diffusion/ pipeline_stable_diffusion.py, models/unets/unet_2d_condition.py,
 * image_processor.py), ComfyUI (nodes.py, comfy/sample.py, comfy/sd1_clip.py), stable-diffusion.cpp
 * (src/stable-diffusion.cpp, src/conditioning/conditioner.hpp). The defaults under a1111 are
 * sdgen's own; those of the other programs are what they draw with unasked. */
#include "pipeline/convention.h"

#include <stdio.h>

#include "base/names.h"

static const struct sdg_convention conventions[] = {
    {.name = "a1111",
     .aliases = "a1111|automatic1111|webui|sdwebui|stablediffusionwebui",
     .like = SDG_LIKE_A1111,
     .rng = SDG_RNG_CUDA,
     .language = SDG_PROMPT_A1111,
     .chunking = SDG_CHUNKS_A1111,
     .clip_skip_first = 1,
     .rounding = SDG_ROUND_TRUNCATE,
     .upsampling = SDG_UPSAMPLE_CROP_AFTER,
     .sampler = "euler_a",
     .steps = 20,
     .cfg_scale = 7},
    {.name = "diffusers",
     .aliases = "diffusers|huggingface",
     .like = SDG_LIKE_DIFFUSERS,
     .rng = SDG_RNG_CPU,
     .language = SDG_PROMPT_PLAIN,
     .chunking = SDG_CHUNKS_TRUNCATE,
     .clip_skip_first = 0,
     .rounding = SDG_ROUND_NEAREST_EVEN,
     .upsampling = SDG_UPSAMPLE_CROP_BEFORE,
     .guide_above_one = true,
     .sampler = "pndm",
     .steps = 50,
     .cfg_scale = 7.5},
    {.name = "comfyui",
     .aliases = "comfyui|comfy",
     .like = SDG_LIKE_COMFYUI,
     .rng = SDG_RNG_CPU,
     .language = SDG_PROMPT_COMFYUI,
     .chunking = SDG_CHUNKS_COMFYUI,
     .clip_skip_first = 1,
     .rounding = SDG_ROUND_TRUNCATE,
     .upsampling = SDG_UPSAMPLE_CROP_BEFORE,
     .sampler = "euler",
     .steps = 20,
     .cfg_scale = 8},
    {.name = "sd.cpp",
     .aliases = "sd.cpp|sdcpp|stablediffusion.cpp|stablediffusioncpp|sdcli",
     .like = SDG_LIKE_SDCPP,
     .rng = SDG_RNG_CUDA,
     .language = SDG_PROMPT_SDCPP,
     .chunking = SDG_CHUNKS_SDCPP,
     .clip_skip_first = 1,
     .rounding = SDG_ROUND_TRUNCATE,
     .upsampling = SDG_UPSAMPLE_CROP_BEFORE,
     .sampler = "euler_a",
     .steps = 20,
     .cfg_scale = 7},
};
enum { COUNT = sizeof conventions / sizeof conventions[0] };

sdgen_status sdg_convention_find(const struct sdg_convention **c, const char *name,
                                 sdgen_error *err)
{
    char names[128];
    size_t used = 0;
    *c = &conventions[0];
    if (!name) return SDGEN_OK;
    for (int i = 0; i < COUNT; i++)
        if (sdg_name_matches(name, conventions[i].aliases)) {
            *c = &conventions[i];
            return SDGEN_OK;
        }
    for (int i = 0; i < COUNT; i++)
        used += (size_t)snprintf(names + used, sizeof names - used, "%s%s",
                                 i == 0          ? ""
                                 : i < COUNT - 1 ? ", "
                                                 : " and ",
                                 conventions[i].name);
    return sdg_fail(err, SDGEN_ERR_ARG, "--like %s: no such program; there are %s", name, names);
}

enum sdg_emphasis sdg_emphasis_default(enum sdg_prompt_language language)
{
    switch (language) {
    case SDG_PROMPT_PLAIN: return SDG_EMPHASIS_IGNORE;
    case SDG_PROMPT_COMFYUI: return SDG_EMPHASIS_COMFYUI;
    case SDG_PROMPT_COMPEL: return SDG_EMPHASIS_COMPEL;
    case SDG_PROMPT_A1111:
    case SDG_PROMPT_SDCPP: break;
    }
    return SDG_EMPHASIS_ORIGINAL;
}

sdgen_status sdg_prompt_language_find(enum sdg_prompt_language *language, const char *name,
                                      sdgen_error *err)
{
    static const enum sdg_prompt_language languages[] = {SDG_PROMPT_PLAIN, SDG_PROMPT_A1111,
                                                         SDG_PROMPT_COMFYUI, SDG_PROMPT_COMPEL,
                                                         SDG_PROMPT_SDCPP};
    const int i = sdg_name_choice(name, "plain=none=literal|a1111=automatic1111=webui|"
                                        "comfyui=comfy|compel|sd.cpp=sdcpp=stablediffusion.cpp");
    if (i < 0)
        return sdg_fail(err, SDGEN_ERR_ARG,
                        "--prompt-language %s: no such language; there are a1111, comfyui, compel, "
                        "sd.cpp and plain",
                        name);
    *language = languages[i];
    return SDGEN_OK;
}
