/* conv_plan.h - the ways to do a convolution, and which one a shape gets.
 *
 * All of them read the same packed weights, so that a way can change without packing anew. */
#ifndef SDG_OPS_CONV_PLAN_H
#define SDG_OPS_CONV_PLAN_H

#include "ops/panel.h"

enum sdg_conv_way {
    SDG_CONV_DIRECT,     /* conv.c: any filter, stride, geometry */
    SDG_CONV_WINOGRAD_4, /* winograd.c: 3x3, stride 1; a quarter of the products, in f32 */
    SDG_CONV_WINOGRAD_2, /* winograd.c: 3x3, stride 1; 4/9 of the products */
    SDG_CONV_PHASES,     /* phases.c: 3x3 behind a doubling; 4/9 of the products */
    SDG_CONV_WAYS
};

/* A convolution about to be done: the arguments of sdg_op_conv, made ready. */
struct sdg_convolution {
    struct sdg_ops *o;
    float *y;
    const float *x, *residual;
    const struct sdg_prologue *pro; /* NULL: none */
    const float *bias;              /* [n][out], or NULL */
    struct sdg_conv_geometry g;
    struct sdg_panels panels; /* for o's product */
    size_t kh, kw;
};

/* Whether a way can do it at all, and the way that the committed rule takes. Both look at the shape
 * of one image, the tier and the precision alone. */
bool sdg_conv_can(const struct sdg_convolution *c, enum sdg_conv_way way);
enum sdg_conv_way sdg_conv_choose(const struct sdg_convolution *c);

/* sdg_op_conv in a way of the caller's choice, for tests and measurements; SDG_CONV_WAYS: the
 * rule's. False, with nothing done, where it cannot. */
bool sdg_conv_by(struct sdg_ops *o, enum sdg_conv_way way, float *y, const float *x,
                 const struct sdg_prologue *pro, const struct sdg_conv *w,
                 const float *channel_bias, const float *residual,
                 const struct sdg_conv_geometry *g);

#endif
