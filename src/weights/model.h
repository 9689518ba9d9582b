/* model.h - a whole SD checkpoint: bound networks and the facts that shapes cannot tell. */
#ifndef SDG_WEIGHTS_MODEL_H
#define SDG_WEIGHTS_MODEL_H

#include "models/clip_text.h"
#include "models/taesd.h"
#include "models/unet.h"
#include "models/vae.h"
#include "weights/facts.h"
#include "files/weights.h"

enum { SDG_MAX_CLIPS = 2 };

struct sdg_model {
    struct sdg_weights file; /* zeroed if only single networks were given */
    /* Zeroed unless a file of its own was given for that network. */
    struct sdg_weights unet_file, vae_file, clip_l_file, clip_g_file, taesd_file;
    struct sdg_arena arena;
    struct sdg_facts facts;
    /* In the order in which their vectors lie side by side in the UNet's context: CLIP-L, bigG. */
    struct sdg_clip clips[SDG_MAX_CLIPS];
    struct sdg_clip_take takes[SDG_MAX_CLIPS]; /* what the UNet was trained on */
    int clip_count;
    struct sdg_unet unet;
    /* At least one of the two that decodes. taesd is there where it was asked for, or the model has
     * no other; it decodes, encodes or both (taesd.config). */
    bool has_vae, has_taesd;
    bool ema; /* the UNet is the average over the training, as asked */
    struct sdg_vae vae;
    struct sdg_taesd taesd;
    size_t used, unused; /* tensors of `file` */
};

/* Paths may be NULL, but for path where unet_path, vae_path and an encoder are not all there. Each
 * may be of any form, a whole checkpoint or the network alone. */
struct sdg_model_options {
    const char *path, *unet_path, *vae_path, *clip_l_path, *clip_g_path, *taesd_path;
    const char *variant;       /* of path and unet_path, where they are folders; NULL: by rule */
    bool without_vae;          /* it is not looked for, nor needed: a refiner */
    bool ema;                  /* UNet from model_ema.* where the file holds both */
    const struct sdg_log *log; /* every missing or mis-shaped tensor is one SDGEN_LOG_ERROR line;
                                  unused tensors are SDGEN_LOG_VERBOSE lines */
};

/* Errors: those of sdg_weights_open and sdg_arch_*; SDGEN_ERR_MODEL when tensors are missing or
 * have other shapes (err counts them and shows the first, with wanted and found shape; the log has
 * all), or networks do not belong together; SDGEN_ERR_ARG for a family that is recognised but not
 * run, by name. On failure *m is closed. */
SDGEN_MUST_CHECK sdgen_status sdg_model_open(struct sdg_model *m,
                                             const struct sdg_model_options *opt, sdgen_error *err);
void sdg_model_close(struct sdg_model *m); /* accepts a zeroed one */

/* The weight is not needed for now, whichever of the files it lies in (sdg_weights_let_go). */
void sdg_model_let_go(const struct sdg_model *m, const struct sdg_tensor *weight);

/* It will be read soon (sdg_weights_ask_for). */
void sdg_model_ask_for(const struct sdg_model *m, const struct sdg_tensor *weight);

/* Whether networks that were bound also work together: the text encoders, of which there are
 * clip_count, make what the UNet attends to, from CLIP's tokens, and what its label_emb takes; the
 * VAE makes what the UNet reads beside `extra`. vae may be NULL. path is for the message. */
SDGEN_MUST_CHECK sdgen_status sdg_model_fits(const struct sdg_clip_config *const *clips,
                                             int clip_count, const struct sdg_unet_config *unet,
                                             const struct sdg_vae_config *vae,
                                             const struct sdg_facts *facts, const char *path,
                                             sdgen_error *err);

#endif
