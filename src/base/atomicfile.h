/* atomicfile.h - a file appears under its name only when it is complete.
 *
 *     sdg_atomic_begin   makes a temporary file beside the target (same directory, O_EXCL)
 *     write to file.stream
 *     sdg_atomic_commit  flush, fsync, rename (or link when the target must not exist), fsync of
 * the directory; or sdg_atomic_abort, which removes the temporary file */
#ifndef SDG_BASE_ATOMICFILE_H
#define SDG_BASE_ATOMICFILE_H

#include <stdio.h>
#include "base/status.h"

struct sdg_atomicfile {
    FILE *stream;
    char *path, *temporary;
};

SDGEN_MUST_CHECK sdgen_status sdg_atomic_begin(struct sdg_atomicfile *f, const char *path,
                                               sdgen_error *err);
/* With overwrite == 0 an existing target is SDGEN_ERR_IO and stays as it is (no race: link(2)).
 * Any failure removes the temporary file. */
SDGEN_MUST_CHECK sdgen_status sdg_atomic_commit(struct sdg_atomicfile *f, int overwrite,
                                                sdgen_error *err);
void sdg_atomic_abort(struct sdg_atomicfile *f); /* accepts a zeroed or finished one */

#endif
