/* stb.h - the functions of stb_image and stb_image_write that sdgen uses. */
#ifndef SDG_IMAGE_STB_H
#define SDG_IMAGE_STB_H

#include <stddef.h>
#include <stdint.h>

/* rgb [height][width][3] as a complete PNG file in memory, 8 bits a channel, or NULL when out of
 * memory. Free with free(). */
uint8_t *sdg_stb_png(size_t *length, const uint8_t *rgb, int width, int height);

/* Size of the picture in data [length], by its header alone; 0: none that can be read. */
int sdg_stb_size(int *width, int *height, const uint8_t *data, size_t length);

/* The picture as RGB [height][width][3], or NULL: damaged, or out of memory. Free with free(). */
uint8_t *sdg_stb_read(int *width, int *height, const uint8_t *data, size_t length);

#endif
