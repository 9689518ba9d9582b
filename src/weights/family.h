/* family.h - what a weight file is, told from its tensor names and shapes.
 *
 * Files travel under any name. Each kind of file has tensors that no other kind has; shapes then
 * tell the variants apart. The findings come with the evidence, in words, so that a user can judge
 * them. */
#ifndef SDG_WEIGHTS_FAMILY_H
#define SDG_WEIGHTS_FAMILY_H

#include "weights/model.h"

enum sdg_kind {
    SDG_KIND_UNKNOWN,
    SDG_KIND_SD1, /* the only one that runs */
    SDG_KIND_SD1_V,
    SDG_KIND_SD1_INPAINT,
    SDG_KIND_SD1_PIX2PIX,
    SDG_KIND_UNET_CHANNELS,
    SDG_KIND_SD2,
    SDG_KIND_SD2_INPAINT,
    SDG_KIND_SD2_DEPTH,
    SDG_KIND_X4_UPSCALER,
    SDG_KIND_SDXL,
    SDG_KIND_SDXL_INPAINT,
    SDG_KIND_SDXL_REFINER,
    SDG_KIND_SD3,
    SDG_KIND_FLUX,
    SDG_KIND_UNET_ONLY,
    SDG_KIND_VAE,
    SDG_KIND_TEXT_ENCODER,
    SDG_KIND_CONTROLNET,
    SDG_KIND_LORA,
    SDG_KIND_EMBEDDING,
    SDG_KIND_TAESD,
    SDG_KIND_ESRGAN,
    SDG_KIND_DIFFUSERS_UNET,
    SDG_KIND_DIFFUSERS_VAE
};

enum { SDG_EVIDENCE_MAX = 8, SDG_EVIDENCE_SIZE = 160 };

struct sdg_finding {
    enum sdg_kind kind;
    const char *name;   /* "Stable Diffusion XL checkpoint" */
    const char *remedy; /* what can be done with it now; "" for what runs */
    /* Where the networks are: NULL when the file has none under a name that sdgen reads. */
    const char *unet_prefix, *clip_prefix, *vae_prefix;
    int evidence_count;
    char evidence[SDG_EVIDENCE_MAX][SDG_EVIDENCE_SIZE];
};

void sdg_family_find(struct sdg_finding *f, const struct sdg_weights *w);

/* SDGEN_OK for a checkpoint that runs; SDGEN_ERR_ARG for a kind that is recognised but not run,
 * SDGEN_ERR_MODEL for an unknown one: one line with name, evidence and remedy. */
SDGEN_MUST_CHECK sdgen_status sdg_family_check(const struct sdg_finding *f,
                                               const struct sdg_weights *w, sdgen_error *err);

#endif
