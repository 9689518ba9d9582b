/* infotext.h - A1111's "parameters" text: how a picture says how it was made. */
#ifndef SDG_IMAGE_INFOTEXT_H
#define SDG_IMAGE_INFOTEXT_H

#include <stdbool.h>
#include <stdint.h>
#include "base/status.h"

/* Everything a run can be told. A field that is zero, NULL or false is left out of the text, but
 * for the first block. Keys of our own (infotext.c) exist only where A1111 has none. */
struct sdg_infotext {
    const char *prompt, *negative; /* written raw; negative line only when not empty */
    int steps, width, height;
    const char *sampler, *schedule; /* labels: "Euler a", "Automatic" */
    double cfg_scale; /* printed as Python prints it: 7, 7.5 (integral floats: "7.0" -> 7) */
    int64_t seed;

    const char *model_hash, *model, *vae_hash, *vae; /* names without extension */
    int64_t subseed;                                 /* written when subseed_strength > 0 */
    double subseed_strength;
    int resize_width, resize_height; /* "Seed resize from", pixels */
    int clip_skip;                   /* A1111's count, under any program; 0: the model's own */
    int64_t ensd;
    const char *rng;      /* "NV" or "CPU" */
    const char *emphasis; /* "None" when brackets were read literally, "No norm", ... */

    bool discard_penultimate; /* asked for, not the sampler's own habit */
    double schedule_min, schedule_max, schedule_rho;
    double gits_coefficient;
    const char *spacing;              /* diffusers: under karras, exponential and beta */
    const double *sigmas, *timesteps; /* lists that the user gave, [.._count] */
    int sigma_count, timestep_count;

    double eta; /* written when has_eta */
    bool has_eta;
    const char *eta_name; /* "Eta" (NULL too) or "Eta DDIM" */
    double s_churn, s_tmin, s_tmax, s_noise, r;
    bool has_s_noise, has_r;
    const char *variant; /* of the solver: "bh1" */
    int order;
    bool no_lower_order_final;
    bool unipc; /* the last three under A1111's names for UniPC */

    double skip_early, ngms;
    bool ngms_all_steps;
    double cfg_rescale;
    double guidance_start, guidance_end; /* written when has_interval */
    bool has_interval;

    const char *prediction; /* given by the user: "v" */
    bool zero_terminal_snr;
    const char *like;     /* whose conventions; NULL: A1111's */
    const char *language; /* of the prompt, where it is not the convention's own: "plain" */
    bool old_editing;     /* A1111's timelines of prompt editing before 1.6 */

    int tile_width, tile_height; /* pixels, where the VAE decoded tiles; else 0 */
    double tile_overlap;

    double image_cfg; /* written when has_image_cfg: of models that edit a picture */
    bool has_image_cfg;
    const char *refiner, *refiner_hash; /* name without extension */
    double refiner_switch;
    /* What SDXL was told, where the user said it (pixels; scores where there is a refiner). */
    int original_width, original_height, crop_left, crop_top, target_width, target_height;
    bool has_scores;
    double aesthetic_score, negative_aesthetic_score;

    const char *unet, *clip_l, *clip_g, *taesd; /* files of their own: names without extension */
    bool ema;                                   /* weights of the average over the training */
    bool empty_negative;  /* given, and empty, where none at all is another picture */
    const char *pictures; /* that the model read beside the prompt */

    bool joint; /* the batch drew from one stream: it can only be repeated as a whole */
    int batch_size, batch_pos; /* written with joint; position from 0 */
};

/* Newly allocated text (free()), NULL when out of memory. Values that hold ',' ':' or a newline are
 * written as JSON strings. Ends with "Version: sdgen X.Y". */
char *sdg_infotext_make(const struct sdg_infotext *info);

#endif
