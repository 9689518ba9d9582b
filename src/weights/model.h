/* model.h - a whole SD checkpoint: three bound networks and the facts that shapes cannot tell. */
#ifndef SDG_WEIGHTS_MODEL_H
#define SDG_WEIGHTS_MODEL_H

#include "models/clip_text.h"
#include "models/unet.h"
#include "models/vae.h"
#include "weights/weights.h"

enum sdg_family { SDG_FAMILY_SD1 }; /* SD2, SDXL and kin join here */

struct sdg_model {
    struct sdg_weights file, vae_file; /* vae_file: zeroed unless a VAE of its own was given */
    struct sdg_arena arena;
    enum sdg_family family;
    struct sdg_clip clip;
    struct sdg_unet unet;
    struct sdg_vae vae;
    float latent_scale;              /* 0.18215: latents are divided by it before decoding */
    int native_width, native_height; /* modelspec.resolution, else 512 */
    size_t used, unused;             /* tensors of `file` */
};

struct sdg_model_options {
    const char *path, *vae_path; /* vae_path may be NULL */
    bool ema;                    /* UNet from model_ema.* where the file holds both */
    const struct sdg_log *log;   /* every missing or mis-shaped tensor is one SDGEN_LOG_ERROR line;
                                    unused tensors are SDGEN_LOG_VERBOSE lines */
};

/* Errors: those of sdg_weights_open and sdg_arch_*; SDGEN_ERR_MODEL when tensors are missing or
 * have other shapes (err counts them and shows the first, with wanted and found shape; the log has
 * all); SDGEN_ERR_ARG for a family that is recognised but not run, by name. On failure *m is
 * closed. */
SDGEN_MUST_CHECK sdgen_status sdg_model_open(struct sdg_model *m,
                                             const struct sdg_model_options *opt, sdgen_error *err);
void sdg_model_close(struct sdg_model *m); /* accepts a zeroed one */

/* Whether networks that were bound also work together: the text encoder makes what the UNet attends
 * to, from CLIP's tokens; the VAE makes what the UNet reads. vae may be NULL. path is for the
 * message. */
SDGEN_MUST_CHECK sdgen_status sdg_model_fits(const struct sdg_clip_config *clip,
                                             const struct sdg_unet_config *unet,
                                             const struct sdg_vae_config *vae, const char *path,
                                             sdgen_error *err);

#endif
