/* conditioning.h - what the UNet attends to: every text of a prompt, encoded once, and which of
 * them counts at a model call. */
#ifndef SDG_PIPELINE_CONDITIONING_H
#define SDG_PIPELINE_CONDITIONING_H

#include "models/clip_text.h"
#include "text/emphasis.h"
#include "text/prompt.h"

/* A text as it stands in one part of a prompt: beside other neighbours it is encoded otherwise. */
struct sdg_encoding {
    size_t text;   /* index into prompt->texts */
    size_t turns;  /* how many turns of the part it has */
    size_t chunks; /* of the longest text of the part: all of its texts are padded to it */
};

struct sdg_conditioning {
    const struct sdg_prompt *prompt;
    struct sdg_encoding *encodings; /* part by part, by text within a part */
    size_t *first;                  /* [parts + 1] where a part begins among them */
    size_t rows, width;             /* of each encoding; all have the rows of the longest */
    float *z;                       /* [encodings][rows][width] */
    float *empty;                   /* [77][width] encoding of the empty text */
};

/* Lays out the encodings of a parsed prompt, which must outlive it. *c is zeroed. Errors:
 * SDGEN_ERR_MEMORY. */
SDGEN_MUST_CHECK sdgen_status sdg_conditioning_make(struct sdg_conditioning *c,
                                                    const struct sdg_prompt *prompt, size_t width,
                                                    sdgen_error *err);
void sdg_conditioning_free(struct sdg_conditioning *c);

/* How many encodings there are. */
size_t sdg_conditioning_count(const struct sdg_conditioning *c);

/* Takes z and empty from the arena. */
void sdg_conditioning_reserve(struct sdg_conditioning *c, struct sdg_arena *arena);

/* Fills z: text encoder without its last `skip` layers, weights, padding. */
void sdg_conditioning_encode(struct sdg_conditioning *c, struct sdg_ops *o,
                             const struct sdg_clip *clip, int skip, enum sdg_emphasis emphasis);

/* [rows][width] of `part` at model call `call` (0-based). */
const float *sdg_conditioning_at(const struct sdg_conditioning *c, size_t part, int call);

#endif
