/* label.h - what an SDXL UNet is told beside the text: how large the training picture was, where it
 * was cut, how large it became (Podell et al. 2023, "SDXL", section 2.2), or how good it looked.
 *
 *   base      pooled text | F(original h) F(w) F(crop top) F(left) F(target h) F(w)
 *   refiner   pooled text | F(original h) F(w) F(crop top) F(left) F(aesthetic score)
 *
 * F is the sinusoidal embedding that timesteps have, 256 wide in every real model. */
#ifndef SDG_PIPELINE_LABEL_H
#define SDG_PIPELINE_LABEL_H

#include <stdbool.h>
#include <stddef.h>

struct sdg_sizes {
    float original_height, original_width, crop_top, crop_left; /* pixels */
    float target_height, target_width;                          /* base */
    float aesthetic;                                            /* refiner */
    bool refines;                                               /* which of the two */
};

/* Fills label [pooled, width), behind the pooled text, with the embeddings, all of one width: width
 * - pooled is a multiple of their number (checked when the model was opened). */
void sdg_label_make(float *label, size_t pooled, const struct sdg_sizes *sizes, size_t width);

#endif
