/* convention.h - whose habits to follow. Programs that draw from the same checkpoint differ in a
 * dozen small decisions; --like picks all of them at once, single flags override one. Each row of
 * the table in convention.c is one program. */
#ifndef SDG_PIPELINE_CONVENTION_H
#define SDG_PIPELINE_CONVENTION_H

#include <stdbool.h>
#include "image/png.h"
#include "models/unet.h"
#include "sampling/rng.h"
#include "sampling/schedule.h"
#include "text/emphasis.h"
#include "text/prompt.h"

struct sdg_convention {
    const char *name;                    /* the flag's spelling */
    const char *aliases;                 /* all spellings, separated by '|' */
    enum sdg_like like;                  /* schedules and sampler arithmetic */
    enum sdg_rng_kind rng;               /* noise source */
    enum sdg_prompt_language language;   /* what brackets and the like mean */
    enum sdg_chunking chunking;          /* prompts of more than 75 tokens */
    int clip_skip_first;                 /* the number that means "the last layer" */
    enum sdg_rounding rounding;          /* floats to 8 bits */
    enum sdg_unet_upsampling upsampling; /* odd sizes inside the UNet */
    bool guide_above_one;                /* guidance only for cfg > 1 (else whenever cfg != 1) */
    const char *sampler;                 /* what is drawn with when nobody chooses */
    int steps;
    double cfg_scale;
};

/* By any spelling; name NULL: a1111. Errors: SDGEN_ERR_ARG with the names there are. */
SDGEN_MUST_CHECK sdgen_status sdg_convention_find(const struct sdg_convention **c, const char *name,
                                                  sdgen_error *err);

/* By any spelling. Errors: SDGEN_ERR_ARG with the names there are. */
SDGEN_MUST_CHECK sdgen_status sdg_prompt_language_find(enum sdg_prompt_language *language,
                                                       const char *name, sdgen_error *err);

/* How weights act in a prompt language when nobody chooses. */
enum sdg_emphasis sdg_emphasis_default(enum sdg_prompt_language language);

#endif
