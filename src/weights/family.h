/* family.h - what a weight file is, told from its tensor names and shapes.
 *
 * Files travel under any name. Each kind of file has tensors that no other kind has; shapes then
 * tell the variants apart. The findings come with the evidence, in words, so that a user can judge
 * them. Names are the canonical ones (keys.h). */
#ifndef SDG_WEIGHTS_FAMILY_H
#define SDG_WEIGHTS_FAMILY_H

#include "base/status.h"
#include "weights/facts.h"
#include "files/weights.h"

enum sdg_kind {
    SDG_KIND_UNKNOWN,
    SDG_KIND_CHECKPOINT, /* a UNet of a family that runs, with a text encoder */
    SDG_KIND_UNET,       /* the UNet without any */
    SDG_KIND_VAE,
    SDG_KIND_TAESD,
    SDG_KIND_TEXT_ENCODER,
    SDG_KIND_CONTROLNET,
    SDG_KIND_LORA,
    SDG_KIND_EMBEDDING,
    SDG_KIND_ESRGAN,
    SDG_KIND_FOREIGN /* a model of another family, or part of one: named, not run */
};

enum { SDG_EVIDENCE_MAX = 10, SDG_EVIDENCE_SIZE = 160, SDG_KIND_NAME_SIZE = 96, SDG_TEXTS_MAX = 2 };

struct sdg_finding {
    enum sdg_kind kind;
    char name[SDG_KIND_NAME_SIZE]; /* "Stable Diffusion XL checkpoint (SSD-1B)" */
    const char *remedy;            /* what can be done with it now; "" for what runs */
    /* Which networks are there, whatever the kind. */
    bool unet, vae, taesd_encoder, taesd_decoder;
    const char *texts[SDG_TEXTS_MAX]; /* prefixes of the text encoders, in their order */
    int text_count;
    /* Of the UNet: */
    enum sdg_family family;
    enum sdg_extra extra;
    enum sdg_label label;
    bool one_step; /* SDXS, by its shape */
    int evidence_count;
    char evidence[SDG_EVIDENCE_MAX][SDG_EVIDENCE_SIZE];
};

void sdg_family_find(struct sdg_finding *f, const struct sdg_weights *w);

/* SDGEN_OK for a checkpoint that runs; SDGEN_ERR_ARG for a kind that is recognised but not run as a
 * whole model, SDGEN_ERR_MODEL for an unknown one: one line with name, evidence and remedy. */
SDGEN_MUST_CHECK sdgen_status sdg_family_check(const struct sdg_finding *f,
                                               const struct sdg_weights *w, sdgen_error *err);

/* SDGEN_ERR_MODEL where tensors of 8 bits are to be multiplied by scales that are stored beside
 * them
 * ("scaled fp8"): read without them every number would be wrong. */
SDGEN_MUST_CHECK sdgen_status sdg_family_check_scales(const struct sdg_weights *w,
                                                      sdgen_error *err);

/* Appends a line of evidence; what is beyond the room is dropped. */
void sdg_evidence(struct sdg_finding *f, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Names a UNet by its family and variant (family_unet.c): fills kind and all that is "of the UNet".
 */
void sdg_family_unet(struct sdg_finding *f, const struct sdg_weights *w);

/* Whether encoder 0 or 1 of a family is one that OpenCLIP trained. */
bool sdg_family_openclip(enum sdg_family family, int encoder);

/* Whether the text encoder at this canonical prefix is spelt as OpenCLIP spells it. */
bool sdg_text_is_openclip(const struct sdg_weights *w, const char *prefix);

#endif
