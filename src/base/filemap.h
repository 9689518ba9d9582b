/* filemap.h - a whole file, read-only in memory. */
#ifndef SDG_BASE_FILEMAP_H
#define SDG_BASE_FILEMAP_H

#include <stdint.h>
#include "base/status.h"

struct sdg_filemap {
    const uint8_t *data; /* [size]; NULL for an empty file */
    size_t size;
    int fd;           /* kept open: -1 when not */
    int64_t mtime_ns; /* with size and inode the identity of the content, for caches */
    uint64_t inode, device;
};

/* Errors: SDGEN_ERR_IO with path and the system's reason; a directory, FIFO or device is refused by
 * what it is. On failure *map needs no unmap, though unmap accepts it. */
SDGEN_MUST_CHECK sdgen_status sdg_filemap_open(struct sdg_filemap *map, const char *path,
                                               sdgen_error *err);
void sdg_filemap_close(struct sdg_filemap *map);

#endif
