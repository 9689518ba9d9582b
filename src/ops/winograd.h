/* winograd.h - 3x3 convolutions of stride 1 with fewer products. */
#ifndef SDG_OPS_WINOGRAD_H
#define SDG_OPS_WINOGRAD_H

#include "ops/conv_plan.h"

/* Does c with tiles of 4x4 or 2x2 outputs, where sdg_conv_can. Takes its scratch from o->work, also
 * in a dry run. */
void sdg_winograd(const struct sdg_convolution *c, size_t tile);

/* The transforms and the product that c would be done with. */
const struct sdg_winograd *sdg_winograd_of(const struct sdg_convolution *c, size_t tile);
const struct sdg_matmul *sdg_winograd_product(const struct sdg_convolution *c, size_t tile);

#endif
