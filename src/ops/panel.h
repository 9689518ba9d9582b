/* panel.h - weights as the tier's matrix product reads them: panels of nr output channels. */
#ifndef SDG_OPS_PANEL_H
#define SDG_OPS_PANEL_H

#include "kernels.h"
#include "ops/packs.h"
#include "ops/work.h"

/* A weight [out][in][taps], packed or not, and the product that is going to read it. */
struct sdg_panels {
    const struct sdg_ops *o;
    const struct sdg_matmul *mul;
    const struct sdg_tensor *weight;
    struct sdg_packed packed;
    size_t out, in, taps;
    size_t depth; /* in, rounded up to mul->k_step */
    size_t count; /* panels */
};
/* Looks it up among o->packs; a dry run notes it there, with the number of rows that are going to
 * be multiplied with it. */
struct sdg_panels sdg_panels_of(const struct sdg_ops *o, const struct sdg_matmul *mul,
                                const struct sdg_tensor *weight, size_t rows);

/* Elements of a panel: [tap][depth][nr]. */
size_t sdg_panel_size(const struct sdg_panels *p);

/* Panel i, in the packed weight itself where it lies there in the type that is read, else made
 * ready in scratch of sdg_panel_scratch floats. */
const void *sdg_panel_get(const struct sdg_panels *p, size_t i, float *scratch);
size_t sdg_panel_scratch(const struct sdg_panels *p);

/* The input type's rows: `in` elements rounded up to the product's step, then to an odd number of
 * cache lines, so that neighbouring rows fall into different sets of the first cache. */
size_t sdg_row_pitch(const struct sdg_matmul *mul, size_t in);

#endif
