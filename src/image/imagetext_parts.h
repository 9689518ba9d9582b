/* imagetext_parts.h - what the readers behind imagetext.h share; not for others. */
#ifndef SDG_IMAGE_IMAGETEXT_PARTS_H
#define SDG_IMAGE_IMAGETEXT_PARTS_H

#include <stdbool.h>
#include "image/imagetext.h"

enum sdg_imagetext_encoding {
    SDG_TEXT_LATIN1,
    SDG_TEXT_UTF8,           /* malformed bytes become U+FFFD */
    SDG_TEXT_UTF8_OR_LATIN1, /* UTF-8 where all of it is, else Latin-1 */
    SDG_TEXT_UTF16BE,
    SDG_TEXT_UTF16LE
};

struct sdg_imagetext_reader {
    struct sdg_imagetext *t;
    const char *path;
    sdgen_error *err;
};

/* Adds bytes[length] as UTF-8; zero bytes at the end are cut off, others become U+FFFD. */
SDGEN_MUST_CHECK sdgen_status sdg_imagetext_add(const struct sdg_imagetext_reader *r,
                                                const char *keyword, const uint8_t *bytes,
                                                size_t length,
                                                enum sdg_imagetext_encoding encoding);

/* One reader a format; data[size] is the file, whose signature has been seen. */
sdgen_status sdg_png_texts(const struct sdg_imagetext_reader *r, const uint8_t *data, size_t size);
sdgen_status sdg_jpeg_texts(const struct sdg_imagetext_reader *r, const uint8_t *data, size_t size);
sdgen_status sdg_webp_texts(const struct sdg_imagetext_reader *r, const uint8_t *data, size_t size);
sdgen_status sdg_gif_texts(const struct sdg_imagetext_reader *r, const uint8_t *data, size_t size);

/* A TIFF structure (Exif 2.32), and an XMP packet. */
sdgen_status sdg_exif_texts(const struct sdg_imagetext_reader *r, const uint8_t *data, size_t size);
sdgen_status sdg_xmp_texts(const struct sdg_imagetext_reader *r, const uint8_t *data, size_t size);

#endif
