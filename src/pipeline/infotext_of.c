/* infotext_of.c - see infotext_of.h. Which fields appear, and when, follows A1111 1.10
 * (modules/processing.py create_infotext, modules/sd_samplers_common.py). */
#include "pipeline/infotext_of.h"

#include <stdio.h>
#include <string.h>

#include "image/infotext.h"

/* The file's name without directory and extension, cut at size. */
static void stem_of(char *stem, size_t size, const char *path)
{
    const char *slash = strrchr(path, '/');
    snprintf(stem, size, "%s", slash ? slash + 1 : path);
    char *dot = strrchr(stem, '.');
    if (dot && dot != stem) *dot = 0;
}

char *sdg_plan_infotext(const struct sdgen_engine *e, const struct sdg_plan *plan, int64_t seed)
{
    const sdgen_image_params *params = plan->params;
    char model[256], vae[256], model_hash[SDG_SHA256_HEX] = "", vae_hash[SDG_SHA256_HEX] = "";
    stem_of(model, sizeof model, e->model.file.path);
    sdg_hashjob_wait(e->model_hash, model_hash);
    model_hash[SDG_MODEL_HASH_DIGITS] = 0;
    const bool own_vae = e->model.vae_file.path != NULL;
    if (own_vae) {
        stem_of(vae, sizeof vae, e->model.vae_file.path);
        sdg_hashjob_wait(e->vae_hash, vae_hash);
        vae_hash[SDG_MODEL_HASH_DIGITS] = 0;
    }
    const bool brackets = params->literal_prompt && plan->convention->prompt_language &&
                          strpbrk(params->prompt, "([");
    const struct sdg_infotext info = {
        .prompt = params->prompt,
        .negative = params->negative_prompt ? params->negative_prompt : "",
        .steps = plan->steps,
        .width = (int)plan->width,
        .height = (int)plan->height,
        .sampler = plan->sampler->label,
        .schedule = params->scheduler ? sdg_scheduler_label(plan->scheduler) : "Automatic",
        .cfg_scale = params->cfg_scale,
        .seed = seed,
        .model_hash = model_hash[0] ? model_hash : NULL,
        .model = model,
        .vae_hash = own_vae && vae_hash[0] ? vae_hash : NULL,
        .vae = own_vae ? vae : NULL,
        .clip_skip = plan->layers_skipped + 1,
        .eta = plan->eta,
        .has_eta = plan->eta != plan->sampler->default_eta,
        .eta_name = plan->sampler->variance_preserving ? "Eta DDIM" : "Eta",
        .rng = plan->rng == SDG_RNG_CUDA ? "NV" : "CPU",
        .emphasis = brackets ? "None" : NULL,
    };
    return sdg_infotext_make(&info);
}
