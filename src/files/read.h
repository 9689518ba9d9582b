/* read.h - between weights.c, which opens files and finds names, and the readers of the forms
 * (safetensors.c, torchfile.c, gguf.c), which fill in entries. Where a model is several files
 * (bundle.c), readers append to what is there, and w->path is that of the file at work. */
#ifndef SDG_FILES_READ_H
#define SDG_FILES_READ_H

#include "files/weights.h"

enum { SDG_MAX_TENSORS = 1 << 20 }; /* some 50 times what the largest model has */

/* Everything sdg_weights_open does once the file is in memory: tells the form, reads it, sorts the
 * names. w is zeroed but for path, and for map when data lies in it; on failure the caller closes
 * it. data [size] must outlive w. */
SDGEN_MUST_CHECK sdgen_status sdg_weights_parse(struct sdg_weights *w, const uint8_t *data,
                                                size_t size, sdgen_error *err);

/* Tells the form of one file that is no archive of files, and reads it. */
SDGEN_MUST_CHECK sdgen_status sdg_weights_read(struct sdg_weights *w, const uint8_t *data,
                                               size_t size, sdgen_error *err);

/* One more file that entries will point into: the last of w->maps from then on. */
SDGEN_MUST_CHECK sdgen_status sdg_weights_map(struct sdg_weights *w, const char *path,
                                              sdgen_error *err);

/* Whether p lies in one of the mapped files. */
bool sdg_weights_is_mapped(const struct sdg_weights *w, const void *p);

/* The readers. They append to w and may leave it half-filled on failure. */
SDGEN_MUST_CHECK sdgen_status sdg_safetensors_read(struct sdg_weights *w, const uint8_t *data,
                                                   size_t size, sdgen_error *err);
SDGEN_MUST_CHECK sdgen_status sdg_torchfile_read(struct sdg_weights *w, const uint8_t *data,
                                                 size_t size, sdgen_error *err);

SDGEN_MUST_CHECK sdgen_status sdg_gguf_read(struct sdg_weights *w, const uint8_t *data, size_t size,
                                            sdgen_error *err);
SDGEN_MUST_CHECK sdgen_status sdg_torchlegacy_read(struct sdg_weights *w, const uint8_t *data,
                                                   size_t size, sdgen_error *err);
SDGEN_MUST_CHECK sdgen_status sdg_torchtar_read(struct sdg_weights *w, const uint8_t *data,
                                                size_t size, sdgen_error *err);

/* A new zeroed entry at the end of w->entries, with room for a name of name_size bytes and a NUL.
 * *name is that room; the pointer to the entry is good until the next call. */
SDGEN_MUST_CHECK sdgen_status sdg_weights_add(struct sdg_entry **entry, char **name,
                                              struct sdg_weights *w, size_t name_size,
                                              sdgen_error *err);

/* A new zeroed pair at the end of w->metadata. */
SDGEN_MUST_CHECK sdgen_status sdg_weights_add_metadata(struct sdg_metadata **m,
                                                       struct sdg_weights *w, sdgen_error *err);

/* Sorts the metadata from number first on by key, and refuses keys that are there twice. */
SDGEN_MUST_CHECK sdgen_status sdg_weights_sort_metadata(struct sdg_weights *w, size_t first,
                                                        sdgen_error *err);

/* Sorts w->index after names or the number of entries have changed. Errors: SDGEN_ERR_FORMAT when
 * two entries have the same name, SDGEN_ERR_MEMORY. */
SDGEN_MUST_CHECK sdgen_status sdg_weights_sort(struct sdg_weights *w, sdgen_error *err);

/* The numbers of the entries [first, w->count), at least one, in the order of their data, those
 * without data before others at the same place. The caller frees it; NULL: no memory. */
uint32_t *sdg_weights_by_place(const struct sdg_weights *w, size_t first);

sdgen_status sdg_weights_no_memory(const struct sdg_weights *w, sdgen_error *err);

#endif
