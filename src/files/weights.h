/* weights.h - a checkpoint of any supported form as a list of named tensor views.
 *
 * The form is told from the content, not from the file name: safetensors.c, torchfile.c (zip +
 * The form is told from the content, not from the file name: safetensors.c, torchfile.c (zip +
 * pickle), torchlegacy.c and torchtar.c (what PyTorch wrote before), gguf.c, dduf.c (an archive of
 * a whole model), shards.c (an index and its files), folder.c (diffusers' layout, one component of
 * it, or a cache of the model hub). Views point into the mapped files (or, for the rare tensor that
 * is not stored as its network reads it, into memory owned by the weights) and live until
 * sdg_weights_close. Nothing in a file is ever executed. */
#ifndef SDG_FILES_WEIGHTS_H
#define SDG_FILES_WEIGHTS_H

#include <stdint.h>
#include "base/filemap.h"
#include "base/log.h"
#include "base/tensor.h"

enum sdg_form {
    SDG_FORM_SAFETENSORS,
    SDG_FORM_TORCH_ZIP,
    SDG_FORM_TORCH_LEGACY,
    SDG_FORM_TORCH_TAR,
    SDG_FORM_GGUF,
    SDG_FORM_DDUF,
    SDG_FORM_SHARDS, /* an index.json and the files it names */
    SDG_FORM_FOLDER
};

struct sdg_entry {
    const char *name;   /* what it is found by, UTF-8, NUL-terminated */
    const char *stored; /* as in the file, below the folder of its component */
    const char *part;   /* that folder: "unet", "text_encoder_2", ...; "" in a single file */
    struct sdg_tensor tensor;
};

struct sdg_metadata {
    const char *key, *value;
};

/* A text beside the tensors: "model_index.json", "unet/config.json", ... */
struct sdg_sidetext {
    const char *name, *text; /* NUL-terminated */
};

struct sdg_weights {
    char *path;
    enum sdg_form form;
    struct sdg_filemap *maps; /* [map_count]: every file that entries point into */
    size_t map_count;
    struct sdg_entry *entries; /* [count], in file order */
    size_t count;
    uint32_t *index; /* [index_size]: the entries in order of their names */
    size_t index_size;
    struct sdg_metadata
        *metadata; /* safetensors' __metadata__, GGUF's; of several files the first */
    size_t metadata_count;
    struct sdg_sidetext *texts;
    size_t text_count;
    void *owned; /* list of what close frees: names, materialised tensors */
};

/* Errors: SDGEN_ERR_IO, SDGEN_ERR_FORMAT (malformed or refused; the text names the file, the tensor
 * or byte offset, and the remedy), SDGEN_ERR_MEMORY. On failure *w is closed. */
SDGEN_MUST_CHECK sdgen_status sdg_weights_open(struct sdg_weights *w, const char *path,
                                               sdgen_error *err);

/* The same, and of the files that a folder or an archive has for one component the one of that
 * variant ("fp16", "non_ema", ...), if the component has it: NULL takes full precision where it is
 * there. SDGEN_ERR_ARG when no component has it. */
SDGEN_MUST_CHECK sdgen_status sdg_weights_open_variant(struct sdg_weights *w, const char *path,
                                                       const char *variant, sdgen_error *err);
void sdg_weights_close(struct sdg_weights *w); /* accepts a zeroed or closed one */

/* NULL when there is none. */
const struct sdg_entry *sdg_weights_find(const struct sdg_weights *w, const char *name);
const char *sdg_weights_metadata(const struct sdg_weights *w, const char *key);
const char *sdg_weights_text(const struct sdg_weights *w, const char *name);

/* Bytes of all its files. */
size_t sdg_weights_bytes(const struct sdg_weights *w);

/* The tensor is not needed for now: gives back the memory its pages take where they are pages of
 * the mapped file, which come back when they are read again. */
void sdg_weights_let_go(const struct sdg_weights *w, const struct sdg_tensor *t);

/* The same for all of its files. */
void sdg_weights_let_go_all(const struct sdg_weights *w);

/* The tensor is going to be read: lets the system fetch what is not in its cache. Takes no time. */
void sdg_weights_ask_for(const struct sdg_weights *w, const struct sdg_tensor *t);

const char *sdg_form_name(enum sdg_form form); /* "safetensors", "GGUF", ... */

#endif
