/* trace.h - NumPy files of what happens inside a run: the bridge to every comparison.
 * Format: NumPy's NEP 1, version 1.0, C order, little-endian. */
#ifndef SDG_PIPELINE_TRACE_H
#define SDG_PIPELINE_TRACE_H

#include <stdint.h>
#include "base/atomicfile.h"

enum sdg_npy_type { SDG_NPY_F32, SDG_NPY_I32 };

struct sdg_npy { /* one file that is being written */
    struct sdg_atomicfile file;
};

/* Errors of all: SDGEN_ERR_IO with the path. An existing file is replaced. */
SDGEN_MUST_CHECK sdgen_status sdg_npy_begin(struct sdg_npy *f, const char *path,
                                            enum sdg_npy_type type, const size_t *shape, int rank,
                                            sdgen_error *err);
void sdg_npy_append(struct sdg_npy *f, const void *data, size_t count); /* 4-byte items */
SDGEN_MUST_CHECK sdgen_status sdg_npy_end(struct sdg_npy *f, sdgen_error *err);

/* Begins directory/name.npy, or directory/name_NNN.npy when number >= 0. */
SDGEN_MUST_CHECK sdgen_status sdg_trace_begin(struct sdg_npy *f, const char *directory,
                                              const char *name, int number, enum sdg_npy_type type,
                                              const size_t *shape, int rank, sdgen_error *err);

/* Writes directory/name.npy, or directory/name_NNN.npy when number >= 0, whole. */
SDGEN_MUST_CHECK sdgen_status sdg_trace(const char *directory, const char *name, int number,
                                        enum sdg_npy_type type, const void *data,
                                        const size_t *shape, int rank, sdgen_error *err);

#endif
