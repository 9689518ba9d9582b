/* pixels.h - picture files as pixels: what a model is shown beside the prompt. */
#ifndef SDG_IMAGE_PIXELS_H
#define SDG_IMAGE_PIXELS_H

#include "base/status.h"

/* Reads PNG, JPEG or BMP; told from the content. grey: as one channel, colours by their luma (ITU-R
 * BT.601, as Pillow's convert("L")), else RGB; transparency is dropped. Errors: SDGEN_ERR_IO,
 * SDGEN_ERR_FORMAT (no picture, damaged, or more than 64 million pixels), SDGEN_ERR_MEMORY. */
SDGEN_MUST_CHECK sdgen_status sdg_pixels_read(sdgen_pixels *p, const char *path, int grey,
                                              sdgen_error *err);

#endif
