/* conditioning.h - what the UNet attends to: every text of a prompt, encoded once, and which of
 * them counts at a model call. */
#ifndef SDG_PIPELINE_CONDITIONING_H
#define SDG_PIPELINE_CONDITIONING_H

#include "pipeline/encoders.h"
#include "pipeline/label.h"
#include "text/emphasis.h"
#include "text/prompt.h"

/* A text as it stands in one part of a prompt: beside other neighbours it is encoded otherwise. */
struct sdg_encoding {
    size_t text;   /* index into prompt->texts */
    size_t turns;  /* how many turns of the part it has */
    size_t chunks; /* of the longest text of the part: all of its texts are padded to it */
};

/* What one text encoder makes of all texts, or what all of them make, side by side. */
struct sdg_encoded {
    float *z;     /* [encodings][rows][width] */
    float *empty; /* [77][width] of the empty text */
    size_t width;
};

struct sdg_conditioning {
    const struct sdg_prompt *prompt;
    const struct sdg_encoders *encoders;
    struct sdg_encoding *encodings; /* part by part, by text within a part */
    size_t *first;                  /* [parts + 1] where a part begins among them */
    size_t rows;                    /* of each encoding; all have the rows of the longest */
    struct sdg_encoded of[SDG_MAX_ENCODERS];
    struct sdg_encoded all; /* what the UNet reads; of[0] where there is one encoder only */
    float *labels;          /* [encodings][label]: beside the texts; NULL where the UNet has none */
    size_t label;
};

/* Lays out the encodings of a parsed prompt; prompt and encoders must outlive it. *c is zeroed.
 * label: what the UNet's label_emb takes, 0: nothing. Errors: SDGEN_ERR_MEMORY. */
SDGEN_MUST_CHECK sdgen_status sdg_conditioning_make(struct sdg_conditioning *c,
                                                    const struct sdg_prompt *prompt,
                                                    const struct sdg_encoders *encoders,
                                                    size_t label, sdgen_error *err);
void sdg_conditioning_free(struct sdg_conditioning *c);

/* How many encodings there are. */
size_t sdg_conditioning_count(const struct sdg_conditioning *c);

/* Takes everything that is encoded from the arena. */
void sdg_conditioning_reserve(struct sdg_conditioning *c, struct sdg_arena *arena);

/* How a prompt becomes numbers. */
struct sdg_conditioning_rules {
    enum sdg_emphasis emphasis;
    bool emphasis_of_all; /* means are restored over all encoders together (stable-diffusion.cpp) */
    bool zero_text;       /* every encoding is 0 (SDXL's habit for an empty negative prompt) ... */
    bool zero_pooled;     /*   and so is the pooled one */
    struct sdg_sizes sizes; /* read where there are labels */
};

/* Fills all of it: text encoders, weights, padding, labels. */
void sdg_conditioning_encode(struct sdg_conditioning *c, struct sdg_ops *o,
                             const struct sdg_conditioning_rules *rules);

/* [rows][all.width] of `part` at model call `call` (0-based), and its label [label] or NULL. */
const float *sdg_conditioning_at(const struct sdg_conditioning *c, size_t part, int call);
const float *sdg_conditioning_label(const struct sdg_conditioning *c, size_t part, int call);

#endif
