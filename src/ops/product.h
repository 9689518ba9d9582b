/* product.h - a matrix product over all panels of a weight, cut into tasks: what linear layers and
 * convolutions come down to once their input is prepared. */
#ifndef SDG_OPS_PRODUCT_H
#define SDG_OPS_PRODUCT_H

#include "ops/panel.h"

/* Where the rows of A or of y lie: row r of line l of image i at i * image + l * line + r * row
 * elements. A convolution's lines are those of the map; a linear layer cuts its rows into lines. */
struct sdg_places {
    size_t image, line, row;
};

struct sdg_multiply {
    const struct sdg_panels *panels;
    size_t images, lines, rows, last_rows; /* rows of a line; of the last line */
    const void *a;
    struct sdg_places a_at;
    const ptrdiff_t *taps;
    float *y;
    const float *residual; /* laid out as y, may be y; NULL: nothing */
    struct sdg_places y_at;
    const float *bias; /* [out] per image; NULL: none */
    size_t bias_image; /* step from image to image, 0: one bias for all */
    bool geglu; /* panels are pairs: y [c] = value * gelu(gate), gate c = out/2 channels on */
    void *next; /* geglu: rounded to the input type, laid out as y, which stays as it was: what
                   another product is to read; NULL: y */
};

/* y = residual + bias + A W^T. Each element's sum runs in the same order whatever the task it falls
 * into. Takes its scratch from o->work, also in a dry run. */
void sdg_multiply(struct sdg_ops *o, const struct sdg_multiply *m);

/* Whether a weight of 2c channels can go through `geglu`: pairs of panels must begin together. */
bool sdg_multiply_can_geglu(const struct sdg_panels *p);

#endif
