/* tensor_write.c - see tensor_write.h: what both forms share, all but the header. */
#include "files/tensor_write.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static sdgen_status failed(struct sdg_writer *w, sdgen_error *err)
{
    const int reason = errno;
    const sdgen_status status = sdg_fail(err, SDGEN_ERR_IO, "%s: write failed: %s", w->file.path,
                                         reason ? strerror(reason) : "unknown reason");
    sdg_write_abort(w);
    return status;
}

static uint64_t pad_of(uint64_t at, uint64_t alignment)
{
    return (alignment - at % alignment) % alignment;
}

static sdgen_status put_zeros(struct sdg_writer *w, uint64_t count, sdgen_error *err)
{
    for (uint64_t i = 0; i < count; i++)
        if (fputc(0, w->file.stream) == EOF) return failed(w, err);
    return SDGEN_OK;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

sdgen_status sdg_write_names(const struct sdg_write_tensor *tensors, size_t count, const char *path,
                             sdgen_error *err)
{
    sdgen_status status = SDGEN_OK;
    if (count == 0) return SDGEN_OK;
    const char **names = malloc(count * sizeof *names);
    if (!names) return sdg_fail(err, SDGEN_ERR_MEMORY, "%s: out of memory", path);
    for (size_t i = 0; i < count; i++) names[i] = tensors[i].name;
    qsort(names, count, sizeof *names, compare_names);
    for (size_t i = 1; i < count && status == SDGEN_OK; i++)
        if (strcmp(names[i - 1], names[i]) == 0)
            status = sdg_fail(err, SDGEN_ERR_ARG, "%s: two tensors would be called %.200s", path,
                              names[i]);
    free(names);
    return status;
}

sdgen_status sdg_write_begin(struct sdg_writer *w, const char *path,
                             struct sdg_write_tensor *tensors, size_t count, uint64_t alignment,
                             sdgen_error *err)
{
    uint64_t offset = 0;
    *w = (struct sdg_writer) {.tensors = tensors, .count = count, .alignment = alignment};
    for (size_t i = 0; i < count; i++) {
        struct sdg_write_tensor *t = &tensors[i];
        size_t bytes;
        char shape[96];
        if (!sdg_shape_storage(&bytes, t->shape, t->rank, t->dtype) ||
            (sdg_dtype_is_quantised(t->dtype) &&
             (t->rank == 0 || t->shape[t->rank - 1] % (int64_t)sdg_dtype_block(t->dtype) != 0)))
            return sdg_fail(err, SDGEN_ERR_ARG, "%s: tensor %.200s: %s cannot be stored as %s",
                            path, t->name, sdg_shape_text(shape, sizeof shape, t->shape, t->rank),
                            sdg_dtype_name(t->dtype));
        offset += pad_of(offset, alignment);
        t->offset = offset;
        t->bytes = bytes;
        offset += bytes;
    }
    return sdg_atomic_begin(&w->file, path, err);
}

sdgen_status sdg_write_check(struct sdg_writer *w, sdgen_error *err)
{
    return ferror(w->file.stream) ? failed(w, err) : SDGEN_OK;
}

sdgen_status sdg_write_numbers(struct sdg_writer *w, const void *data, size_t bytes,
                               sdgen_error *err)
{
    while (w->at < w->count && w->written == w->tensors[w->at].bytes) { /* also empty tensors */
        w->at++;
        w->written = 0;
    }
    if (bytes == 0) return SDGEN_OK;
    if (w->at == w->count || bytes > w->tensors[w->at].bytes - w->written) {
        const sdgen_status status = sdg_fail(err, SDGEN_ERR_INTERNAL,
                                             "%s: more numbers than its header says", w->file.path);
        sdg_write_abort(w);
        return status;
    }
    if (fwrite(data, 1, bytes, w->file.stream) != bytes) return failed(w, err);
    w->written += bytes;
    if (w->written < w->tensors[w->at].bytes) return SDGEN_OK;
    return put_zeros(w, pad_of(w->written, w->alignment), err);
}

sdgen_status sdg_write_commit(struct sdg_writer *w, int overwrite, sdgen_error *err)
{
    const sdgen_status status = sdg_write_numbers(w, "", 0, err);
    if (status != SDGEN_OK) return status;
    if (w->at < w->count) {
        (void)sdg_fail(err, SDGEN_ERR_INTERNAL, "%s: tensor %.200s was not written to the end",
                       w->file.path, w->tensors[w->at].name);
        sdg_write_abort(w);
        return SDGEN_ERR_INTERNAL;
    }
    return sdg_atomic_commit(&w->file, overwrite, err);
}

void sdg_write_abort(struct sdg_writer *w)
{
    sdg_atomic_abort(&w->file);
}
