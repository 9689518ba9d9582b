/* zip.h - the zip container of torch.save, read without copying: what is stored under which name.
 *
 * One archive in one file, no encryption; compressed entries are listed but not unpacked.
 * Everything by which two readers could come to read different bytes is refused: entries that
 * overlap, local headers that contradict the central directory, names that are there twice. What
 * the entries mean is torchfile.c's business. */
#ifndef SDG_FILES_ZIP_H
#define SDG_FILES_ZIP_H

#include <stdbool.h>
#include <stdint.h>
#include "base/status.h"

struct sdg_zip_entry {
    const uint8_t *name; /* [name_size], in the central directory; no NUL */
    const uint8_t *data; /* [size], as it lies in the file */
    uint64_t size;
    uint64_t local; /* offset of the local header */
    uint32_t name_size;
    uint32_t method; /* of compression; 0: none */
    uint32_t crc;    /* CRC-32 of what is stored, as the directory says; 0: not computed */
};

struct sdg_zip {
    const char *path;    /* for messages */
    const uint8_t *data; /* [size]: the whole file */
    uint64_t size;
    struct sdg_zip_entry *entries; /* [count], sorted by name without regard to case */
    size_t count;
    uint64_t directory, directory_size; /* where the central directory is */
};

/* Errors: SDGEN_ERR_FORMAT, SDGEN_ERR_MEMORY; then nothing needs closing, though it may be. path
 * and data must outlive z. */
SDGEN_MUST_CHECK sdgen_status sdg_zip_open(struct sdg_zip *z, const char *path, const uint8_t *data,
                                           size_t size, sdgen_error *err);
void sdg_zip_close(struct sdg_zip *z);

/* NULL when there is none. */
struct sdg_zip_entry *sdg_zip_find(const struct sdg_zip *z, const char *name);

/* Whether what is stored is what its CRC says. torch.save can be told to compute none
 * (torch.serialization.set_crc32_options) and writes 0 then, which is never wrong here. Reads every
 * byte of the entry. */
bool sdg_zip_crc_is_right(const struct sdg_zip_entry *e);

/* The same of every entry of the archive data [size], on `threads` threads. Errors:
 * SDGEN_ERR_FORMAT with the name of the first that is wrong and how many there are; those of
 * sdg_zip_open. *unknown: entries without a CRC. */
SDGEN_MUST_CHECK sdgen_status sdg_zip_check_crcs(size_t *unknown, const char *path,
                                                 const uint8_t *data, size_t size, int threads,
                                                 sdgen_error *err);

#endif
