/* variation.h - A1111's two ways to stay near a picture: blend its noise with another seed's, and
 * keep its noise in the middle of a picture of another size. */
#ifndef SDG_SAMPLING_VARIATION_H
#define SDG_SAMPLING_VARIATION_H

#include <stddef.h>

/* low = spherical blend of low and high at share `strength` of high; both [c][h][w]. */
void sdg_slerp(float *low, const float *high, size_t c, size_t h, size_t w, double strength);

/* Lays x [c][xh][xw] over the middle of y [c][h][w]; what sticks out is cut off. */
void sdg_paste_centre(float *y, size_t h, size_t w, const float *x, size_t xh, size_t xw, size_t c);

#endif
