/* emphasis.h - how weights of a prompt act on its encoding. */
#ifndef SDG_TEXT_EMPHASIS_H
#define SDG_TEXT_EMPHASIS_H

#include "text/prompt.h"

enum sdg_emphasis {
    SDG_EMPHASIS_ORIGINAL, /* A1111: z *= w, then the mean of each chunk is restored */
    SDG_EMPHASIS_NO_NORM,  /* A1111: z *= w */
    SDG_EMPHASIS_IGNORE,   /* parsed, but without effect */
    SDG_EMPHASIS_NONE,     /* not even parsed */
    SDG_EMPHASIS_COMFYUI,  /* z = z0 + w (z - z0), z0 the encoding of an empty text */
    SDG_EMPHASIS_COMPEL    /* as compel's EmbeddingsProvider */
};

/* z [c->count][77][width] in place by c->weights. empty [77][width]: encoding of the empty text,
 * needed by COMFYUI and COMPEL, else NULL. */
void sdg_emphasise(float *z, const struct sdg_chunks *c, const float *empty, size_t width,
                   enum sdg_emphasis how);

/* compel: the section of p in y [sections][77][width] += p->factor z, z [77][width] the encoding of
 * p, emphasised already. The sections start at 0; every piece is added once, in their order. */
void sdg_add_piece(float *y, const float *z, const struct sdg_prompt_piece *p, size_t width);

#endif
