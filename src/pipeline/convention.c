/* convention.c - see convention.h. Sources: AUTOMATIC1111 stable-diffusion-webui 1.10 (modules/
 * processing.py, sd_hijack_clip.py, sd_hijack_unet.py, rng.py), diffusers
 * (pipelines/stable_diffusion/ pipeline_stable_diffusion.py, models/unets/unet_2d_condition.py,
 * image_processor.py). */
#include "pipeline/convention.h"

#include <string.h>

static const struct sdg_convention conventions[] = {
    {.name = "a1111",
     .like = SDG_LIKE_A1111,
     .rng = SDG_RNG_CUDA,
     .chunking = SDG_CHUNKS_A1111,
     .prompt_language = true,
     .clip_skip_first = 1,
     .rounding = SDG_ROUND_TRUNCATE,
     .upsampling = SDG_UPSAMPLE_CROP_AFTER,
     .guide_above_one = false},
    {.name = "diffusers",
     .like = SDG_LIKE_DIFFUSERS,
     .rng = SDG_RNG_CPU,
     .chunking = SDG_CHUNKS_TRUNCATE,
     .prompt_language = false,
     .clip_skip_first = 0,
     .rounding = SDG_ROUND_NEAREST_EVEN,
     .upsampling = SDG_UPSAMPLE_CROP_BEFORE,
     .guide_above_one = true},
};

static const char *const later[] = {"comfyui", "sd.cpp"};

sdgen_status sdg_convention_find(const struct sdg_convention **c, const char *name,
                                 sdgen_error *err)
{
    if (!name) name = conventions[0].name;
    for (size_t i = 0; i < sizeof conventions / sizeof conventions[0]; i++)
        if (strcmp(name, conventions[i].name) == 0) {
            *c = &conventions[i];
            return SDGEN_OK;
        }
    for (size_t i = 0; i < sizeof later / sizeof later[0]; i++)
        if (strcmp(name, later[i]) == 0)
            return sdg_fail(err, SDGEN_ERR_ARG,
                            "--like %s is not built yet; there are a1111 and diffusers", name);
    return sdg_fail(err, SDGEN_ERR_ARG,
                    "--like %s: no such convention; there are a1111 and diffusers", name);
}
