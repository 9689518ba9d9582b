/* trace.c - see trace.h. */
#include "pipeline/trace.h"

#include <stdio.h>
#include <string.h>

enum { HEADER = 128 }; /* magic, version, length and dictionary together: a multiple of 64 */

sdgen_status sdg_npy_begin(struct sdg_npy *f, const char *path, enum sdg_npy_type type,
                           const size_t *shape, int rank, sdgen_error *err)
{
    char header[HEADER + 1], dims[64] = "";
    size_t used = 0;
    for (int i = 0; i < rank; i++)
        used += (size_t)snprintf(dims + used, sizeof dims - used, "%zu,", shape[i]);
    memcpy(header, "\x93NUMPY\x01\x00\x76\x00", 10); /* 0x76 = HEADER - 10 bytes follow */
    snprintf(header + 10, HEADER - 9, "{'descr': '%s', 'fortran_order': False, 'shape': (%s), }",
             type == SDG_NPY_F32 ? "<f4" : "<i4", dims);
    const size_t length = 10 + strlen(header + 10);
    memset(header + length, ' ', HEADER - length);
    header[HEADER - 1] = '\n';
    const sdgen_status status = sdg_atomic_begin(&f->file, path, err);
    if (status == SDGEN_OK) fwrite(header, 1, HEADER, f->file.stream);
    return status;
}

void sdg_npy_append(struct sdg_npy *f, const void *data, size_t count)
{
    fwrite(data, 4, count, f->file.stream); /* a failure shows at the end */
}

sdgen_status sdg_npy_end(struct sdg_npy *f, sdgen_error *err)
{
    return sdg_atomic_commit(&f->file, 1, err);
}

sdgen_status sdg_trace_begin(struct sdg_npy *f, const char *directory, const char *name, int number,
                             enum sdg_npy_type type, const size_t *shape, int rank,
                             sdgen_error *err)
{
    char file[64], path[4096];
    if (number < 0)
        snprintf(file, sizeof file, "%s.npy", name);
    else
        snprintf(file, sizeof file, "%s_%03d.npy", name, number);
    if ((size_t)snprintf(path, sizeof path, "%s/%s", directory, file) >= sizeof path)
        return sdg_fail(err, SDGEN_ERR_ARG, "trace directory: the path is too long");
    return sdg_npy_begin(f, path, type, shape, rank, err);
}

sdgen_status sdg_trace(const char *directory, const char *name, int number, enum sdg_npy_type type,
                       const void *data, const size_t *shape, int rank, sdgen_error *err)
{
    struct sdg_npy f;
    sdgen_status status = sdg_trace_begin(&f, directory, name, number, type, shape, rank, err);
    if (status != SDGEN_OK) return status;
    size_t count = 1;
    for (int i = 0; i < rank; i++) count *= shape[i];
    sdg_npy_append(&f, data, count);
    return sdg_npy_end(&f, err);
}
