/* stb.c - see stb.h: the implementation of stb_image and stb_image_write (Sean Barrett, public
 * domain), the only place that includes them. Rows get the PNG filter that makes them smallest; the
 * deflate stage is zlib's, whose match finder makes files about a tenth smaller than stb's own. */
#include "image/stb.h"

#include <stdlib.h>
#include <zlib.h>

/* stb calls this for the deflate stage and frees the result with free(). */
static unsigned char *deflate_rows(unsigned char *rows, int length, int *deflated, int level)
{
    uLongf size = compressBound((uLong)length);
    unsigned char *bytes = malloc(size);
    if (!bytes) return NULL;
    if (compress2(bytes, &size, rows, (uLong)length, level) != Z_OK || size > 0x7fffff00) {
        free(bytes);
        return NULL;
    }
    *deflated = (int)size;
    return bytes;
}

/* Everything static, no files, no assertions that end the process. Warnings about functions that
 * are not used come at the end of the file, so the silence lasts to there. */
#define STB_IMAGE_WRITE_STATIC
#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STBI_WRITE_NO_STDIO
#define STBIW_ASSERT(x) ((void)(x))
#define STBIW_ZLIB_COMPRESS deflate_rows
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wpedantic"
#pragma GCC diagnostic ignored "-Wsign-compare"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#include <stb/stb_image_write.h>

#define STBI_NO_FAILURE_STRINGS
#define STB_IMAGE_STATIC
#define STB_IMAGE_IMPLEMENTATION
#define STBI_NO_STDIO
#define STBI_ONLY_PNG
#define STBI_ONLY_JPEG
#define STBI_ONLY_BMP
#define STBI_MAX_DIMENSIONS (1 << 24)
#define STBI_ASSERT(x) ((void)(x))
#pragma GCC diagnostic ignored "-Wunused-but-set-variable"
#include <stb/stb_image.h>

uint8_t *sdg_stb_png(size_t *length, const uint8_t *rgb, int width, int height)
{
    int size = 0;
    uint8_t *png = stbi_write_png_to_mem(rgb, width * 3, width, height, 3, &size);
    *length = (size_t)size;
    return png;
}

int sdg_stb_size(int *width, int *height, const uint8_t *data, size_t length)
{
    int channels;
    return stbi_info_from_memory(data, (int)length, width, height, &channels);
}

uint8_t *sdg_stb_read(int *width, int *height, const uint8_t *data, size_t length)
{
    int channels;
    return stbi_load_from_memory(data, (int)length, width, height, &channels, 3);
}
