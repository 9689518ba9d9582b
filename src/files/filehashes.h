/* filehashes.h - the short names that programs give to weight files, beside the SHA-256 of the
 * whole (hashcache.h), whose first ten digits are A1111's hash today. */
#ifndef SDG_FILES_FILEHASHES_H
#define SDG_FILES_FILEHASHES_H

#include "files/sha256.h"
#include "files/weights.h"

enum { SDG_OLD_HASH_DIGITS = 8, SDG_ADDNET_DIGITS = 12 };

struct sdg_filehashes {
    char old[SDG_OLD_HASH_DIGITS + 1]; /* A1111 until 2023: of 64 KiB one MiB into the file */
    char addnet[SDG_SHA256_HEX]; /* of what follows the header of a safetensors file, as kohya-ss'
                                    additional networks name LoRAs; "" for other forms */
};

/* Of the file's bytes; reads all of them for the second. */
void sdg_filehashes_of(struct sdg_filehashes *h, const struct sdg_weights *w);

#endif
