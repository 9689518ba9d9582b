/* sdgen.c - the functions of sdgen.h that an engine, once loaded, is used through. */
#include "sdgen.h"

#include <stdlib.h>

#include "base/parallel.h"
#include "image/pixels.h"
#include "image/png.h"
#include "pipeline/txt2img.h"

sdgen_image_params sdgen_image_defaults(void)
{
    return (sdgen_image_params) {
        .prompt = "",
        .cfg_scale = -1,
        .image_cfg_scale = 1.5,
        .refiner_switch = 0.8,
        .aesthetic_score = 6,
        .negative_aesthetic_score = 2.5,
        .seed = -1,
        .batch_count = 1,
        .batch_size = 1,
        .eta = -1,
        .s_churn = -1,
        .s_tmin = -1,
        .s_tmax = -1,
        .s_noise = -1,
        .r = -1,
        .lower_order_final = -1,
        .guidance_end = 1,
        .variation_seed = -1,
        .vae_tile_overlap = -1,
    };
}

const char *sdgen_version(void)
{
    return SDGEN_VERSION;
}

const char *sdgen_sampler_name(int i)
{
    const struct sdg_sampler *s = sdg_sampler_at(i);
    return s ? s->name : NULL;
}

const char *sdgen_scheduler_name(int i)
{
    return i < 0 || i >= SDG_SCHEDULER_COUNT ? NULL : sdg_scheduler_name((enum sdg_scheduler)i);
}

sdgen_status sdgen_pixels_read(sdgen_pixels *pixels, const char *path, int grey, sdgen_error *error)
{
    return sdg_pixels_read(pixels, path, grey, error);
}

void sdgen_pixels_free(sdgen_pixels *pixels)
{
    free(pixels->data);
    *pixels = (sdgen_pixels) {0};
}

sdgen_status sdgen_check(sdgen_engine *engine, const sdgen_image_params *params, sdgen_error *error)
{
    struct sdg_plan plan;
    const sdgen_status status = sdg_plan_make(&plan, engine, params, error);
    if (status == SDGEN_OK) sdg_plan_free(&plan);
    return status;
}

sdgen_status sdgen_generate(sdgen_engine *engine, const sdgen_image_params *params,
                            sdgen_image_fn on_image, void *user, sdgen_error *error)
{
    struct sdg_plan plan;
    sdgen_status status = sdg_plan_make(&plan, engine, params, error);
    if (status != SDGEN_OK) return status;
    sdg_plan_announce(&plan, engine);
    struct sdg_pinning *pinning = engine->pin ? sdg_parallel_pin(engine->threads) : NULL;
    status = sdg_txt2img(engine, &plan, on_image, user, error);
    sdg_parallel_release(pinning);
    sdg_plan_free(&plan);
    return status;
}

sdgen_status sdgen_write_png(const sdgen_image *image, const char *path, int overwrite,
                             sdgen_error *error)
{
    return sdg_png_write(path, image->rgb, image->width, image->height, "parameters",
                         image->parameters, overwrite, error);
}
