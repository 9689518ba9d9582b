/* torch_normal.h - normal numbers as torch's CPU generator makes them. */
#ifndef SDG_SAMPLING_TORCH_NORMAL_H
#define SDG_SAMPLING_TORCH_NORMAL_H

#include "sampling/rng.h"

/* y[count] = torch.randn(count, generator=cpu generator, dtype=float32). */
void sdg_torch_normal(struct sdg_rng *r, float *y, size_t count);

#endif
