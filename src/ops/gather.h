/* gather.h - the input of a convolution, laid out as rows of a matrix (im2col).
 *
 *      x [h][w][in]          strip: one row per output pixel
 *      . . . . . .           [ky kx in . . . . . . . . . . . .]  pixel
 *      . a b c . .    --->   [a      b      c      d  ...     ]
 *      . d e f . .           [ ...                            ]
 *      . g h i . .            k = kh * kw * in
 *
 * The prologue (normalisation, SiLU) is applied to the pixels of x that a strip reads, once each,
 * before they are copied kh * kw times; padding stays zero behind it. Doubling of the input is a
 * matter of addresses. */
#ifndef SDG_OPS_GATHER_H
#define SDG_OPS_GATHER_H

#include "ops/work.h"

struct sdg_gather {
    const struct sdg_kernels *kernels;
    const float *x;
    const struct sdg_prologue *pro; /* NULL: none */
    struct sdg_conv_geometry g;
    size_t in, kh, kw;
};

/* strip [pixels->count][kh][kw][in] of an image; pixels count through its output, row by row.
 * scratch: as many floats as sdg_gather_scratch says for that many pixels. */
void sdg_gather_strip(const struct sdg_gather *c, float *strip, size_t image,
                      const struct sdg_span *pixels, float *scratch);
size_t sdg_gather_scratch(const struct sdg_gather *c, size_t pixels);

#endif
