/* tensor_write.h - writes weight files as a stream: first the header, then the numbers of one
 * tensor after another, a piece at a time, so that a file of any size takes little memory.
 *
 *     struct sdg_writer w;
 *     sdg_write_safetensors(&w, path, tensors, count, pairs, pair_count, err)    or sdg_write_gguf
 *     for (size_t i = 0; i < w.count; i++)       in the order that w.tensors has now
 *         sdg_write_numbers(&w, data, bytes, err)        as often as it takes for
 * w.tensors[i].bytes sdg_write_commit(&w, overwrite, err)       or sdg_write_abort, at any time
 *
 * The file has its name only when it is complete (base/atomicfile.h). */
#ifndef SDG_FILES_TENSOR_WRITE_H
#define SDG_FILES_TENSOR_WRITE_H

#include "base/atomicfile.h"
#include "base/tensor.h"

struct sdg_write_tensor {
    const char *name;
    enum sdg_dtype dtype;
    int rank;
    int64_t shape[SDG_MAX_DIMS];
    const void *user;       /* the caller's own */
    uint64_t offset, bytes; /* filled in by the writer; offset from the first number of all */
};

/* Metadata: a text, or, where text is NULL, a number (u32 in GGUF, its digits in safetensors). */
struct sdg_write_pair {
    const char *key, *text;
    uint32_t number;
};

struct sdg_writer {
    struct sdg_atomicfile file;
    struct sdg_write_tensor *tensors; /* [count], the caller's */
    size_t count;
    size_t at;          /* the tensor being written */
    uint64_t written;   /* bytes of it */
    uint64_t alignment; /* tensors begin at a multiple; 1 in safetensors */
};

/* Begin a file and write its header. Tensors are put into the order in which they will be written;
 * safetensors: by alignment, then by name, as huggingface/safetensors does; GGUF: as they came.
 * Metadata of safetensors should come sorted, to be the same bytes each time; of GGUF those that
 * describe another file's layout are left out, so what was read may be handed on. tensors and path
 * must outlive w. Errors: SDGEN_ERR_ARG for a type or shape that the form has no room for, and for
 * names that are there twice; SDGEN_ERR_IO, SDGEN_ERR_MEMORY. On failure there is no file. */
SDGEN_MUST_CHECK sdgen_status sdg_write_safetensors(struct sdg_writer *w, const char *path,
                                                    struct sdg_write_tensor *tensors, size_t count,
                                                    const struct sdg_write_pair *pairs,
                                                    size_t pair_count, sdgen_error *err);
SDGEN_MUST_CHECK sdgen_status sdg_write_gguf(struct sdg_writer *w, const char *path,
                                             struct sdg_write_tensor *tensors, size_t count,
                                             const struct sdg_write_pair *pairs, size_t pair_count,
                                             sdgen_error *err);

/* The next bytes of the tensor at work; more than it has left is SDGEN_ERR_INTERNAL. */
SDGEN_MUST_CHECK sdgen_status sdg_write_numbers(struct sdg_writer *w, const void *data,
                                                size_t bytes, sdgen_error *err);

/* SDGEN_ERR_INTERNAL when numbers are still missing; SDGEN_ERR_IO when the file is there already
 * and overwrite is 0, or cannot be finished. Either way w is done with. */
SDGEN_MUST_CHECK sdgen_status sdg_write_commit(struct sdg_writer *w, int overwrite,
                                               sdgen_error *err);
void sdg_write_abort(struct sdg_writer *w); /* accepts a zeroed or finished one */

/* ---- for the two forms: safetensors_write.c, gguf_write.c ---- */

/* Opens the file, and fills in bytes and offset of every tensor. */
SDGEN_MUST_CHECK sdgen_status sdg_write_begin(struct sdg_writer *w, const char *path,
                                              struct sdg_write_tensor *tensors, size_t count,
                                              uint64_t alignment, sdgen_error *err);

/* Checks after the header that it arrived; on failure w is aborted. */
SDGEN_MUST_CHECK sdgen_status sdg_write_check(struct sdg_writer *w, sdgen_error *err);

/* SDGEN_ERR_ARG when two tensors share a name. */
SDGEN_MUST_CHECK sdgen_status sdg_write_names(const struct sdg_write_tensor *tensors, size_t count,
                                              const char *path, sdgen_error *err);

#endif
