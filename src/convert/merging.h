/* merging.h - one checkpoint made of two or three of the same family: a weighted sum, or what one
 * learned added to another. The sums are those of A1111's checkpoint merger (modules/extras.py). */
#ifndef SDG_CONVERT_MERGING_H
#define SDG_CONVERT_MERGING_H

#include "convert/convert.h"

enum sdg_merge_method {
    SDG_MERGE_SUM, /* (1 - x) a + x b */
    SDG_MERGE_ADD, /* a + x (b - c) */
    SDG_MERGE_NONE /* a */
};

struct sdg_merge_options {
    struct sdg_convert_options to; /* join.path is A */
    const char *b, *c;             /* NULL where the method needs none */
    enum sdg_merge_method method;
    double alpha;
    const char *block_weights; /* blockweights.h; or NULL */
    bool vae;                  /* merged too, else A's */
};

/* Computed in f32, each operation rounded; the result rounded once to the type it is written in.
 * Tensors that are no floats, are of no network or of a network that the others lack, and those
 * whose x is 0, are A's own. An inpainting or editing A takes what another UNet has for the first
 * channels of its input. Errors: as sdg_convert; SDGEN_ERR_MODEL when the others lack tensors of a
 * network that they have, or have them in other shapes (counted, the first by name). */
SDGEN_MUST_CHECK sdgen_status sdg_merge(struct sdg_convert_result *r,
                                        const struct sdg_merge_options *o, sdgen_error *err);

#endif
