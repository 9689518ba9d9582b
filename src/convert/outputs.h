/* outputs.h - the tensors of a checkpoint as a file to be written has them: names in its spelling,
 * types that it can hold, parts put together that OpenCLIP keeps in one tensor; and their numbers,
 * written a piece at a time. */
#ifndef SDG_CONVERT_OUTPUTS_H
#define SDG_CONVERT_OUTPUTS_H

#include <stdbool.h>
#include "convert/join.h"
#include "weights/keys.h"
#include "convert/outtypes.h"
#include "files/tensor_write.h"

struct sdg_out {
    const char *name, *folder;        /* folder: "unet", ...; "" in a single file */
    const char *canonical;            /* of its first part */
    const struct sdg_entry *parts[3]; /* one after the other */
    int part_count;
    bool transposed;      /* it is the transpose of its one part */
    bool computed;        /* its numbers are not the part's: sdg_out_stream.values makes them */
    struct sdg_tensor as; /* type and shape it is written in; no data */
};

struct sdg_outputs {
    struct sdg_out *list; /* [count], in the order of folder and name */
    size_t count;
    size_t left;                     /* tensors that have no place in a folder */
    size_t retyped[SDG_DTYPE_COUNT]; /* tensors by the type they had, where the form has no room for
                                        it and another was taken */
    void *pool;
};

enum sdg_out_keys { SDG_OUT_LDM, SDG_OUT_DIFFUSERS, SDG_OUT_FOLDER };

/* Plans all tensors of j. gguf: the form of the file. A file that holds a single text encoder or
 * VAE gets names without a prefix. Errors: SDGEN_ERR_MODEL where one third of a fused tensor is
 * missing, SDGEN_ERR_MEMORY. */
SDGEN_MUST_CHECK sdgen_status sdg_outputs_plan(struct sdg_outputs *o, const struct sdg_joined *j,
                                               enum sdg_out_keys keys, bool gguf,
                                               const struct sdg_typing *typing, sdgen_error *err);
void sdg_outputs_destroy(struct sdg_outputs *o); /* accepts a zeroed one */

/* The folder of the only network that j holds, or NULL where there are more, or none. */
const char *sdg_outputs_alone(const struct sdg_joined *j, const struct sdg_speller *speller);

/* ---- numbers ---- */

struct sdg_out_stream {
    const struct sdg_joined *from;
    /* y[count] = the numbers of part `part` from number first on, in any order and from several
     * threads; NULL: those it has. */
    void (*values)(void *user, float *y, const struct sdg_out *t, int part, size_t first,
                   size_t count);
    void (*let_go)(void *user); /* now and then: pages of other sources; or NULL */
    void *user;
    void (*progress)(void *user, double share); /* or NULL; 0 to 1 */
    void *progress_user;
    const volatile int *cancel; /* or NULL; not 0: SDGEN_ERR_CANCELLED */
    /* Kept by sdg_out_write. */
    uint64_t done, all, since; /* bytes written, to be written, written since pages were let go */
    size_t infinite;           /* numbers too large for the type they were given */
    int threads;
    void *x, *y; /* room for a piece */
};

/* Room for pieces; all is the number of bytes that all files together will have. */
SDGEN_MUST_CHECK sdgen_status sdg_out_stream_begin(struct sdg_out_stream *s, sdgen_error *err);
void sdg_out_stream_end(struct sdg_out_stream *s);

/* Writes the numbers of one tensor. On failure w is aborted. */
SDGEN_MUST_CHECK sdgen_status sdg_out_write(struct sdg_out_stream *s, struct sdg_writer *w,
                                            const struct sdg_out *t, sdgen_error *err);

/* A file with those of the outputs that have this folder. */
struct sdg_out_file {
    const char *path, *folder;
    bool gguf;
    const struct sdg_write_pair *pairs;
    size_t pair_count;
    int overwrite;
};
SDGEN_MUST_CHECK sdgen_status sdg_out_file_write(struct sdg_out_stream *s,
                                                 const struct sdg_outputs *o,
                                                 const struct sdg_out_file *f, sdgen_error *err);

#endif
