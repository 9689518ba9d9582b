/* packcache_key.h - how packcache.c tells that a file of packed weights is the right one. */
#ifndef SDG_WEIGHTS_PACKCACHE_KEY_H
#define SDG_WEIGHTS_PACKCACHE_KEY_H

#include "weights/packcache.h"
#include "files/sha256.h"

/* Bytes in memory, and the file that is mapped there, or -1. */
struct sdg_packcache_bytes {
    const uint8_t *data; /* [size] */
    size_t size;
    int fd;
};

/* The header down to "samples ", NUL-terminated, to be freed; NULL without memory. */
char *sdg_packcache_header(const struct sdg_packs *packs, const struct sdg_packcache_way *way);

/* Name of the file in its folder. */
enum { SDG_PACKCACHE_NAME = 96 };
void sdg_packcache_name(char name[SDG_PACKCACHE_NAME], const struct sdg_packcache_way *way);

/* What samples says of the image at `image_at` of a file. */
void sdg_packcache_samples(char hex[SDG_SHA256_HEX], const struct sdg_packs *packs,
                           const struct sdg_packcache_bytes *file, size_t image_at);

/* Where the image begins behind that header. */
size_t sdg_packcache_image_at(const char *header);

/* Whether a file with these bytes is the one of that header: NULL, or why it is not. Whatever they
 * are, none outside of them is read. */
const char *sdg_packcache_examine(const struct sdg_packs *packs, const char *header,
                                  const struct sdg_packcache_bytes *file);

#endif
