/* bundle.h - a model of several files: a folder in the layout of diffusers (folder.c) or an archive
 * of one (dduf.c), whose files were listed, and what of them is read.
 *
 *     model_index.json                         which components there are
 *     unet/ vae/ text_encoder/ text_encoder_2/ config.json and weights, whole or in shards
 *     scheduler/scheduler_config.json
 *
 * Names and rules: diffusers (utils/constants.py, utils/hub_utils.py,
 * pipelines/pipeline_loading_utils.py). What a pipeline has beside these (tokenizers, safety
 * checker, feature extractor) is not looked at. */
#ifndef SDG_FILES_BUNDLE_H
#define SDG_FILES_BUNDLE_H

#include <stdbool.h>
#include "files/weights.h"

struct sdg_bundle_file {
    const char *name;    /* below the root: "unet/config.json" */
    const uint8_t *data; /* [size] in an archive; NULL: a file of its own */
    size_t size;
};

struct sdg_bundle {
    struct sdg_weights *w;
    const char *root; /* the folder, or the archive */
    bool is_archive;
    const char *variant; /* wanted; NULL: by rule */
    bool variant_found;
    struct sdg_bundle_file *files; /* [count], sorted by name once sdg_bundle_sort ran */
    size_t count;
};

enum { SDG_BUNDLE_PARTS = 4 };
extern const char *const sdg_bundle_parts[SDG_BUNDLE_PARTS]; /* folders that hold weights */

/* ---- the list ---- */

SDGEN_MUST_CHECK sdgen_status sdg_bundle_add(struct sdg_bundle *b, const char *name,
                                             size_t name_size, const uint8_t *data, size_t size,
                                             sdgen_error *err);
void sdg_bundle_sort(struct sdg_bundle *b);
void sdg_bundle_free(struct sdg_bundle *b); /* the list, not what was read */

/* "folder/name", or "name" when folder is ""; NULL when there is none. */
const struct sdg_bundle_file *sdg_bundle_find(const struct sdg_bundle *b, const char *folder,
                                              const char *name);

/* Whether a folder has any file. */
bool sdg_bundle_holds(const struct sdg_bundle *b, const char *folder);

/* ---- reading ---- */

/* A text file, NUL-terminated, in memory that w owns; refused above most bytes, and with a zero
 * byte in it. */
SDGEN_MUST_CHECK sdgen_status sdg_bundle_text(const char **text, size_t *size, struct sdg_bundle *b,
                                              const struct sdg_bundle_file *f, size_t most,
                                              sdgen_error *err);

/* The file at hand as messages name it, in memory that w owns; NULL without memory. */
char *sdg_bundle_path(const struct sdg_bundle *b, const char *name);

/* Reads the tensors of one file as those of a component. */
SDGEN_MUST_CHECK sdgen_status sdg_bundle_weights(struct sdg_bundle *b,
                                                 const struct sdg_bundle_file *f, const char *part,
                                                 sdgen_error *err);

/* The file that holds the weights of the component in a folder ("": the root), whole or as an index
 * of shards; NULL when there is none. b->variant_found notes that it is of the wanted variant. */
const struct sdg_bundle_file *sdg_bundle_choose(bool *is_index, struct sdg_bundle *b,
                                                const char *folder);

/* Reads the texts, and the weights of every component that is there. */
SDGEN_MUST_CHECK sdgen_status sdg_bundle_read(struct sdg_bundle *b, sdgen_error *err);

/* ---- the kinds of bundles ---- */

SDGEN_MUST_CHECK sdgen_status sdg_folder_read(struct sdg_weights *w, const char *path,
                                              const char *variant, sdgen_error *err);

/* For a file that may be an index of shards or a model_index.json: reads what it leads to. *taken:
 * it was one. */
SDGEN_MUST_CHECK sdgen_status sdg_folder_read_from(bool *taken, struct sdg_weights *w,
                                                   const uint8_t *data, size_t size,
                                                   const char *variant, sdgen_error *err);

/* Whether data are a zip archive of a model; torch.save writes another kind. */
bool sdg_dduf_is(const uint8_t *data, size_t size);
SDGEN_MUST_CHECK sdgen_status sdg_dduf_read(struct sdg_weights *w, const uint8_t *data, size_t size,
                                            const char *variant, sdgen_error *err);

#endif
