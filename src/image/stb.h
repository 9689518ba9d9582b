/* stb.h - the one function of stb_image_write that sdgen uses. */
#ifndef SDG_IMAGE_STB_H
#define SDG_IMAGE_STB_H

#include <stddef.h>
#include <stdint.h>

/* rgb [height][width][3] as a complete PNG file in memory, 8 bits a channel, or NULL when out of
 * memory. Free with free(). */
uint8_t *sdg_stb_png(size_t *length, const uint8_t *rgb, int width, int height);

#endif
