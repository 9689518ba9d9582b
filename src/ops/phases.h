/* phases.h - a 3x3 convolution behind a nearest-neighbour doubling, without the doubled map. */
#ifndef SDG_OPS_PHASES_H
#define SDG_OPS_PHASES_H

#include "ops/conv_plan.h"

/* Does c, where sdg_conv_can. Takes its scratch from o->work, also in a dry run. */
void sdg_phases(const struct sdg_convolution *c);

#endif
