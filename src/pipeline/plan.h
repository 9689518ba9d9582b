/* plan.h - everything about a run that can be decided, and refused, before the first
 * multiplication.
 *
 *   plan.c            size, numbers, memory; calls those below
 *   plan_model.c      what the family of the model asks for: encoders, pictures
 *   plan_sampling.c   sampler, its options, schedule, guidance, noise
 *   plan_prompt.c     the prompt languages */
#ifndef SDG_PIPELINE_PLAN_H
#define SDG_PIPELINE_PLAN_H

#include "pipeline/convention.h"
#include "pipeline/encoders.h"
#include "pipeline/engine.h"
#include "pipeline/habits.h"
#include "sampling/guidance.h"
#include "sampling/noise.h"
#include "sampling/sampler.h"

enum { SDG_MAX_BATCH = 64 }; /* images that go through the UNet together */

struct sdg_plan {
    const struct sdgen_image_params *params;
    const struct sdg_convention *convention;

    size_t width, height;                           /* pixels */
    size_t w, h;                                    /* latent */
    int images, batch;                              /* in all; at once */
    struct sdg_encoders encoders, refiner_encoders; /* the second where there is a refiner */

    struct sdg_habits own; /* what is done unasked */
    bool sdxl;             /* whose published tables of levels count */
    const struct sdg_sampler *sampler;
    const struct sdg_sampler_way *way; /* the sampler under this convention */
    struct sdg_sampler_options options;
    int steps;                           /* as asked for; the schedule may have other entries */
    int calls;                           /* model calls that prompt editing counts on */
    struct sdg_schedule_request request; /* its list is owned */
    bool schedule_chosen;                /* by a name, or by the tail of the sampler's */
    struct sdg_levels levels;
    struct sdg_schedule schedule;
    struct sdg_guidance guidance;
    bool guided;                    /* the negative prompt takes part */
    bool guides_picture;            /* edit models: so does the picture, with a scale of its own */
    double guidance_input;          /* the scale as UNets take it that were distilled to (LCM) */
    struct sdg_noise_request noise; /* of the first batch, with its full size */

    enum sdg_prompt_language language;
    enum sdg_emphasis emphasis;
    struct sdg_prompt cond, uncond;
    bool composed; /* the weights of the parts do not add up to 1, so a share of the negative prompt
                      remains even at scale 1 */

    struct sdg_vae_tiling tiling;             /* h 0: the VAE decodes the picture as a whole */
    struct sdg_memory memory;                 /* what is kept in memory, and when */
    size_t work_bytes;                        /* peak of the work arena */
    double text_cost, step_cost, decode_cost; /* multiply-adds: of the prompts, of a model call for
                                                 a whole batch, of one image's decoding */
};

/* Checks params against the engine's model and fills the plan. Errors: SDGEN_ERR_ARG naming the
 * option, SDGEN_ERR_MEMORY when the plan cannot fit the machine. On failure the plan is empty. */
SDGEN_MUST_CHECK sdgen_status sdg_plan_make(struct sdg_plan *plan, const struct sdgen_engine *e,
                                            const struct sdgen_image_params *params,
                                            sdgen_error *err);
void sdg_plan_free(struct sdg_plan *plan);

/* Logs what was decided, the planned memory, and a warning for what truncation drops or what is
 * left out. */
void sdg_plan_announce(const struct sdg_plan *plan, const struct sdgen_engine *e);

/* Seed and variation seed of image i of the run. */
int64_t sdg_plan_seed(const struct sdg_plan *plan, int i);
int64_t sdg_plan_subseed(const struct sdg_plan *plan, int i);

#endif
