/* blockweights.h - how much of another model each block of a UNet gets when models are merged. */
#ifndef SDG_CONVERT_BLOCKWEIGHTS_H
#define SDG_CONVERT_BLOCKWEIGHTS_H

#include "files/weights.h"

enum { SDG_BLOCK_WEIGHTS_MAX = 256 };

/* IN00, IN01, ..., M00, OUT00, OUT01, ... as the merge-block-weighted extension of A1111's WebUI
 * numbers them (its scripts/mbw/merge_block_weighted.py): the entries of input_blocks, the middle,
 * the entries of output_blocks. */
struct sdg_block_weights {
    double base; /* of the text encoders, and whatever else is no block */
    int inputs, count;
    double blocks[SDG_BLOCK_WEIGHTS_MAX]; /* [count]; all equal where none were given */
};

/* text: numbers separated by commas, as many as w's UNet has blocks, or one more in front, which is
 * the base; NULL: alpha for all. Errors: SDGEN_ERR_ARG. */
SDGEN_MUST_CHECK sdgen_status sdg_block_weights_read(struct sdg_block_weights *b, const char *text,
                                                     double alpha, const struct sdg_weights *w,
                                                     sdgen_error *err);

/* Of a tensor by its canonical name. */
double sdg_block_weight(const struct sdg_block_weights *b, const char *canonical);

#endif
