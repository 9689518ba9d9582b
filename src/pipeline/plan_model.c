/* plan_model.c - what the family of a model asks for beside the prompt. */
#include "pipeline/autoencoder.h"
#include "pipeline/plan_parts.h"

/* ---- pictures ---- */

static sdgen_status check_picture(const sdgen_pixels *x, const char *flag, int channels,
                                  const struct sdg_plan *p, sdgen_error *err)
{
    if (!x->data || x->width < 1 || x->height < 1 || x->channels != channels)
        return sdg_fail(err, SDGEN_ERR_ARG, "%s: must have %d channel%s", flag, channels,
                        channels == 1 ? "" : "s");
    if (p && ((size_t)x->width != p->width || (size_t)x->height != p->height))
        return sdg_fail(err, SDGEN_ERR_ARG,
                        "%s: has %d x %d pixels and %zu x %zu are drawn; scale it, or choose its "
                        "size by -W and -H",
                        flag, x->width, x->height, p->width, p->height);
    return SDGEN_OK;
}

/* Which pictures a model reads; those that it must have are not left out. */
static sdgen_status plan_pictures(const struct sdg_plan *p, const struct sdg_model *m,
                                  sdgen_error *err)
{
    const sdgen_image_params *a = p->params;
    const enum sdg_extra extra = m->facts.extra;
    sdgen_status status = SDGEN_OK;
    if (a->init_image && extra != SDG_EXTRA_INPAINT && extra != SDG_EXTRA_EDIT)
        return sdg_fail(
            err, SDGEN_ERR_ARG,
            "-i: this model draws from the prompt alone; a picture is read by models for "
            "inpainting and editing");
    if (a->mask && (extra != SDG_EXTRA_INPAINT || !a->init_image))
        return sdg_fail(err, SDGEN_ERR_ARG, "--mask: %s",
                        extra == SDG_EXTRA_INPAINT
                            ? "says which part of a picture is new: give the picture with -i"
                            : "only models for inpainting read one");
    if (a->depth && extra != SDG_EXTRA_DEPTH)
        return sdg_fail(err, SDGEN_ERR_ARG, "--depth: only models for depth to image read one");
    if (extra == SDG_EXTRA_EDIT && !a->init_image)
        return sdg_fail(err, SDGEN_ERR_ARG,
                        "this model changes pictures: give it one with -i, and say what to change "
                        "with -p");
    if (extra == SDG_EXTRA_DEPTH && !a->depth)
        return sdg_fail(err, SDGEN_ERR_ARG,
                        "this model draws after a picture of depth: give it one with --depth");
    if ((extra == SDG_EXTRA_INPAINT || extra == SDG_EXTRA_EDIT) && !sdg_can_encode(m))
        return sdg_fail(err, SDGEN_ERR_ARG,
                        "%s: the autoencoder only decodes, and this model reads pictures; give a "
                        "whole one with --vae",
                        m->file.path);
    if (a->init_image) SDG_TRY(check_picture(a->init_image, "-i", 3, p, err));
    if (a->mask) SDG_TRY(check_picture(a->mask, "--mask", 1, p, err));
    if (a->depth) SDG_TRY(check_picture(a->depth, "--depth", 1, NULL, err));
fail:
    return status;
}

/* ---- SDXL ---- */

/* Sizes and scores that no network of this run is told. */
static sdgen_status plan_label(const struct sdg_plan *p, const struct sdgen_engine *e,
                               sdgen_error *err)
{
    const sdgen_image_params *a = p->params, plain = sdgen_image_defaults();
    const enum sdg_label label = e->model.facts.label;
    const bool scored = e->refiner || label == SDG_LABEL_REFINER;
    if (label == SDG_LABEL_NONE && (a->original_width || a->original_height || a->target_width ||
                                    a->target_height || a->crop_left || a->crop_top))
        return sdg_fail(err, SDGEN_ERR_ARG,
                        "--original-size, --target-size, --crop-top and --crop-left: only SDXL is "
                        "told sizes");
    if (!scored && (a->aesthetic_score != plain.aesthetic_score ||
                    a->negative_aesthetic_score != plain.negative_aesthetic_score))
        return sdg_fail(err, SDGEN_ERR_ARG,
                        "--aesthetic-score: only SDXL's refiner is told one; name it with "
                        "--refiner");
    return SDGEN_OK;
}

static sdgen_status plan_refiner(struct sdg_plan *p, const struct sdgen_engine *e, sdgen_error *err)
{
    const double share = p->params->refiner_switch;
    if (!e->refiner && share != sdgen_image_defaults().refiner_switch)
        return sdg_fail(err, SDGEN_ERR_ARG, "--refiner-switch %g: has no effect without --refiner",
                        share);
    if (!e->refiner) return SDGEN_OK;
    if (!(share >= 0 && share <= 1))
        return sdg_fail(err, SDGEN_ERR_ARG, "--refiner-switch %g: must be between 0 and 1", share);
    return sdg_encoders_choose(&p->refiner_encoders, e->refiner, p->convention,
                               p->params->clip_skip, err);
}

sdgen_status sdg_plan_model(struct sdg_plan *p, const struct sdgen_engine *e, sdgen_error *err)
{
    sdgen_status status;
    if (p->params->clip_skip < 0)
        return sdg_fail(err, SDGEN_ERR_ARG, "--clip-skip %d: must not be negative",
                        p->params->clip_skip);
    SDG_TRY(sdg_encoders_choose(&p->encoders, &e->model, p->convention, p->params->clip_skip, err));
    SDG_TRY(plan_label(p, e, err));
    SDG_TRY(plan_refiner(p, e, err));
    SDG_TRY(plan_pictures(p, &e->model, err));
fail:
    return status;
}
