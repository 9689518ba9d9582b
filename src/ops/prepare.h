/* prepare.h - inputs of matrix products: normalised, rounded to the input type, padded, in one pass
 * over the data (matmul.prep). */
#ifndef SDG_OPS_PREPARE_H
#define SDG_OPS_PREPARE_H

#include "kernels.h"
#include "ops/work.h"

/* `in` counts all channels, also those that pro has beside x. */

/* Whether rows [][in] can be read by the product where they lie. */
bool sdg_prepare_is_needless(const struct sdg_matmul *mul, size_t in,
                             const struct sdg_prologue *pro);

/* y [tokens->count][pitch] from tokens [first, first + count) of x [n][t][in]; pro, which may be
 * NULL, has one scale and shift, if any, per image of t tokens, or is LayerNorm. A dry run takes no
 * more than the scratch. */
void sdg_prepare_rows(const struct sdg_ops *o, void *y, size_t pitch, const struct sdg_matmul *mul,
                      const float *x, size_t in, const struct sdg_prologue *pro, size_t t,
                      const struct sdg_span *tokens);

/* A strip of the input of a convolution: lines [line, line + lines) of the padded, perhaps doubled
 * map of images [image, image + images), each `columns` pixels of `pitch` elements wide. Virtual
 * pixel (i, j) lies at line i + pad, column j + pad; outside the map everything is zero. */
struct sdg_padded {
    void *y; /* [images][lines][columns][pitch] */
    size_t image, images, line, lines, columns, pitch;
};
void sdg_prepare_map(const struct sdg_ops *o, const struct sdg_padded *to,
                     const struct sdg_matmul *mul, const float *x, size_t in,
                     const struct sdg_prologue *pro, const struct sdg_conv_geometry *g);

#endif
