/* convert.h - writes a checkpoint anew: in another form, spelling or type, pruned, or with another
 * network in it. Streamed: a few megabytes beside the pages of the source that are at work. */
#ifndef SDG_CONVERT_CONVERT_H
#define SDG_CONVERT_CONVERT_H

#include "convert/join.h"
#include "convert/outputs.h"

enum sdg_target_form { SDG_TO_SAFETENSORS, SDG_TO_GGUF, SDG_TO_FOLDER };

struct sdg_convert_options {
    struct sdg_join_options join;
    const char *out;
    enum sdg_target_form to;
    bool diffusers_keys;      /* of a single file */
    const char *type, *rules; /* outtypes.h; or NULL */
    int overwrite;
    /* Files of the folder that others make: "tokenizer/vocab.json", ... Those of a tokenizer are
     * written for the text encoders that there are. */
    const struct sdg_sidetext *texts;
    size_t text_count;
    void (*progress)(void *user, double share);
    void *progress_user;
    const volatile int *cancel;
    const struct sdg_log *log; /* SDGEN_LOG_INFO and _WARN: what became of what, a line each */
};

struct sdg_convert_result {
    size_t tensors;
    uint64_t bytes; /* of their numbers */
};

/* Errors: those of sdg_joined_open and of the writers; SDGEN_ERR_ARG for options that do not go
 * together; SDGEN_ERR_IO; SDGEN_ERR_CANCELLED. On failure nothing is left. */
SDGEN_MUST_CHECK sdgen_status sdg_convert(struct sdg_convert_result *r,
                                          const struct sdg_convert_options *o, sdgen_error *err);

/* The form that a name asks for: "x.gguf", "x.safetensors", else a folder. */
enum sdg_target_form sdg_target_of(const char *out);

/* Whether that is a folder although the name ends like a file's: "x.ckpt", "x.safetensor". */
bool sdg_target_is_doubtful(const char *out);

/* Refuses a name that cannot be written to, before any work. */
SDGEN_MUST_CHECK sdgen_status sdg_target_check(const char *out, enum sdg_target_form to,
                                               int overwrite, sdgen_error *err);

/* ---- shared with merging.c ---- */

/* Writes the planned tensors, whose numbers come through s, as o says. j is what they were planned
 * from. */
SDGEN_MUST_CHECK sdgen_status sdg_convert_write(struct sdg_out_stream *s,
                                                const struct sdg_outputs *outputs,
                                                const struct sdg_joined *j,
                                                const struct sdg_convert_options *o,
                                                sdgen_error *err);
/* The spelling that o asks for. */
enum sdg_out_keys sdg_convert_keys(const struct sdg_convert_options *o);
/* Says what had to be widened or was left out, and how many numbers became infinite. */
void sdg_convert_tell(const struct sdg_convert_options *o, const struct sdg_outputs *outputs,
                      const struct sdg_joined *j, const struct sdg_out_stream *s);

/* A folder instead of one file (convert_folder.c). */
SDGEN_MUST_CHECK sdgen_status sdg_convert_folder(struct sdg_out_stream *s,
                                                 const struct sdg_outputs *outputs,
                                                 const struct sdg_joined *j,
                                                 const struct sdg_convert_options *o,
                                                 sdgen_error *err);

/* Metadata of a file to be written, sorted; texts are the source's or constant. Free with free. */
struct sdg_out_pairs {
    struct sdg_write_pair *list;
    size_t count;
};
SDGEN_MUST_CHECK sdgen_status sdg_out_pairs_make(struct sdg_out_pairs *p,
                                                 const struct sdg_joined *j,
                                                 enum sdg_target_form to, sdgen_error *err);

#endif
