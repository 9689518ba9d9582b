/* infotext.h - A1111's "parameters" text: how a picture says how it was made. */
#ifndef SDG_IMAGE_INFOTEXT_H
#define SDG_IMAGE_INFOTEXT_H

#include <stdint.h>
#include "base/status.h"

struct sdg_infotext {
    const char *prompt, *negative; /* written raw; negative line only when not empty */
    int steps, width, height;
    const char *sampler, *schedule; /* labels: "Euler a", "Automatic" */
    double cfg_scale; /* printed as Python prints it: 7, 7.5 (integral floats: "7.0" -> 7) */
    int64_t seed;
    const char *model_hash, *model, *vae_hash, *vae; /* NULL: left out. Names without extension */
    int clip_skip;                                   /* written when > 1 */
    double eta;                                      /* written when has_eta */
    int has_eta;
    const char *eta_name; /* "Eta" (NULL too) or "Eta DDIM" */
    const char *emphasis; /* "None" when brackets were read literally; NULL: left out */
    const char *rng;      /* "NV" or "CPU" */
};

/* Newly allocated text (free()), NULL when out of memory. Values that hold ',' ':' or a newline are
 * written as JSON strings. Ends with "Version: sdgen X.Y". */
char *sdg_infotext_make(const struct sdg_infotext *info);

#endif
