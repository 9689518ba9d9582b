/* gguf.h - what the reader of the GGUF form (read.h) and its writer (gguf_write.h) share.
 *
 *     "GGUF", u32 version, u64 tensors, u64 metadata
 *     metadata: text key, u32 type, value            text: u64 length, bytes
 *     tensors:  text name, u32 rank, u64 extents (fastest first), u32 type, u64 place in the data
 *     data, from the next multiple of the alignment on, each tensor at a multiple of it
 *
 * Little-endian. Specification: ggml, docs/gguf.md; limits: src/gguf.cpp. */
#ifndef SDG_FILES_GGUF_H
#define SDG_FILES_GGUF_H

#include <stdbool.h>
#include "files/weights.h"

#define SDG_GGUF_MAGIC "GGUF"
#define SDG_GGUF_ALIGNMENT_KEY "general.alignment"

/* Where the shape of a tensor stands that was folded into rows of whole blocks: this and its name
 * (ComfyUI-GGUF, tools/convert.py). */
#define SDG_GGUF_SHAPE_KEY "comfy.gguf.orig_shape."

enum { SDG_GGUF_VERSION = 3, SDG_GGUF_ALIGNMENT = 32 };

enum sdg_gguf_kind { /* of a metadata value */
                     SDG_GGUF_U8,
                     SDG_GGUF_I8,
                     SDG_GGUF_U16,
                     SDG_GGUF_I16,
                     SDG_GGUF_U32,
                     SDG_GGUF_I32,
                     SDG_GGUF_F32,
                     SDG_GGUF_BOOL,
                     SDG_GGUF_TEXT,
                     SDG_GGUF_LIST,
                     SDG_GGUF_U64,
                     SDG_GGUF_I64,
                     SDG_GGUF_F64,
                     SDG_GGUF_KIND_COUNT
};

/* The number of a tensor type (enum ggml_type of ggml.h); -1 when the form has none for it. */
int sdg_gguf_type(enum sdg_dtype d);

/* The way back: false for types that sdgen does not read; then *name is what ggml calls it, or NULL
 * when it is no type at all. */
bool sdg_gguf_dtype(enum sdg_dtype *d, const char **name, uint32_t type);

/* ---- reading ---- */

struct sdg_gguf_reader {
    struct sdg_weights *w;
    sdgen_error *err;
    const uint8_t *data; /* [size]: the whole file */
    size_t size, at;
    size_t metadata_count; /* this file's, at the end of w->metadata */
};

/* A number of width bytes, 1 to 8. On failure the text says that the file was cut short. */
SDGEN_MUST_CHECK sdgen_status sdg_gguf_number(uint64_t *value, struct sdg_gguf_reader *r,
                                              size_t width);

/* A text of at most `most` bytes, UTF-8 without a zero byte: where it lies, not NUL-terminated.
 * what it is, for the message. */
SDGEN_MUST_CHECK sdgen_status sdg_gguf_text(const uint8_t **text, size_t *size,
                                            struct sdg_gguf_reader *r, size_t most,
                                            const char *what);

/* Reads count metadata, sorted, to the end of w->metadata: numbers as text, short lists as "[4,
 * 8]", long ones and lists of texts as "[100 values]". *alignment is that of the data. */
SDGEN_MUST_CHECK sdgen_status sdg_gguf_metadata(uint64_t *alignment, struct sdg_gguf_reader *r,
                                                uint64_t count);

#endif
