/* png.h - 8-bit RGB pictures as PNG with a text chunk. */
#ifndef SDG_IMAGE_PNG_H
#define SDG_IMAGE_PNG_H

#include <stdint.h>
#include "base/status.h"

/* Encodes with stb_image_write and inserts a text chunk `keyword` = text before IDAT: tEXt when the
 * text is Latin-1 (converted from UTF-8), else an uncompressed iTXt, as Pillow does. text may be
 * NULL. The file appears only when complete (base/atomicfile.h). Errors: SDGEN_ERR_IO,
 * SDGEN_ERR_MEMORY. */
SDGEN_MUST_CHECK sdgen_status sdg_png_write(const char *path, const uint8_t *rgb, int width,
                                            int height, const char *keyword, const char *text,
                                            int overwrite, sdgen_error *err);

/* Rounding of a decoded image to 8 bits, as each program does it.
 * x [3][h][w] about [-1,1] -> rgb [h][w][3]; v = clamp(x/2 + 0.5, 0, 1) in f32, then
 * A1111: truncate 255*v; diffusers: round half to even. NaN becomes 0. */
enum sdg_rounding { SDG_ROUND_TRUNCATE, SDG_ROUND_NEAREST_EVEN };
void sdg_image_to_rgb8(uint8_t *rgb, const float *x, int width, int height, enum sdg_rounding how);

#endif
