/* imagetext.h - the texts that programs leave in picture files.
 *
 * PNG tEXt, zTXt and iTXt; JPEG comment, Exif and XMP; WebP Exif and XMP; GIF comment. Pixels are
 * not looked at. Files are hostile: nothing is read beyond the end, no text grows beyond a limit,
 * and the cost is linear in the size of the file. */
#ifndef SDG_IMAGE_IMAGETEXT_H
#define SDG_IMAGE_IMAGETEXT_H

#include <stdint.h>
#include "base/status.h"

enum {
    SDG_IMAGETEXT_ENTRIES = 256,    /* more texts than that are refused */
    SDG_IMAGETEXT_BYTES = 16 << 20, /* so is a longer text, unpacked */
    SDG_IMAGETEXT_TOTAL = 48 << 20  /* and all of them together */
};

struct sdg_imagetext_entry {
    char *keyword; /* PNG's, or "UserComment", "ImageDescription", "Software", "Make", "Model",
                      "XMP", "comment" */
    char *text;    /* UTF-8; bytes that are none have become U+FFFD */
};

struct sdg_imagetext {
    const char *format;     /* "PNG", "JPEG", "WebP", "GIF" */
    uint32_t width, height; /* pixels, 0: not said */
    struct sdg_imagetext_entry *entries;
    size_t count, total; /* bytes of all texts */
};

/* Fills *t (zeroed) from the file's bytes. A file without a text is no error. Errors:
 * SDGEN_ERR_FORMAT (no such picture, AVIF and others by name, damaged, beyond the limits),
 * SDGEN_ERR_MEMORY. On failure *t is empty. */
SDGEN_MUST_CHECK sdgen_status sdg_imagetext_read(struct sdg_imagetext *t, const uint8_t *data,
                                                 size_t size, const char *path, sdgen_error *err);
void sdg_imagetext_free(struct sdg_imagetext *t);

/* The first text of that keyword, or NULL. */
const char *sdg_imagetext_find(const struct sdg_imagetext *t, const char *keyword);

#endif
