/* gguf.c - the GGUF form of ggml, stable-diffusion.cpp and ComfyUI-GGUF: header and views of
 * tensors. See gguf.h for the layout. Checks are those of gguf_init_from_file (ggml, src/gguf.cpp),
 * but for the order of tensors, which may be any as long as none overlaps another. */
#include "files/gguf.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "files/read.h"

#define DAMAGED "the file is damaged, download it again"
#define CONVERT "convert it with a current program"

enum {
    NAME_MAX_SIZE = 4096,
    NAME_SHOWN = 200,
    MIN_TENSOR = 24 /* bytes of the smallest description: length of the name, rank, type, place */
};

/* One tensor's description in the file. */
struct description {
    const char *name;
    int rank;
    int64_t shape[SDG_MAX_DIMS]; /* slowest first */
    enum sdg_dtype dtype;
    uint64_t offset;
};

__attribute__((format(printf, 3, 4))) static sdgen_status
refuse(const struct sdg_gguf_reader *r, const char *name, const char *format, ...)
{
    char what[320];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    return sdg_fail(r->err, SDGEN_ERR_FORMAT, "%s: tensor %.*s (header byte %zu): %s", r->w->path,
                    NAME_SHOWN, name, r->at, what);
}

/* ---- one tensor ---- */

static sdgen_status read_type(struct description *d, struct sdg_gguf_reader *r)
{
    uint64_t type;
    const char *called;
    const sdgen_status status = sdg_gguf_number(&type, r, 4);
    if (status != SDGEN_OK) return status;
    if (sdg_gguf_dtype(&d->dtype, &called, (uint32_t)type)) return SDGEN_OK;
    if (called)
        return refuse(r, d->name,
                      "numbers of type %s cannot be used; take a file of Q8_0, Q5_0, Q4_0, a K "
                      "type, F16 or BF16",
                      called);
    return refuse(r, d->name, "type %" PRIu64 " is none that sdgen knows; " DAMAGED, type);
}

static sdgen_status read_description(struct description *d, struct sdg_gguf_reader *r)
{
    sdgen_status status;
    uint64_t rank, extent;
    SDG_TRY(sdg_gguf_number(&rank, r, 4));
    if (rank > SDG_MAX_DIMS)
        return refuse(r, d->name, "has %" PRIu64 " dimensions; at most %d can be", rank,
                      SDG_MAX_DIMS);
    d->rank = (int)rank;
    for (int i = d->rank - 1; i >= 0; i--) {
        SDG_TRY(sdg_gguf_number(&extent, r, 8));
        if (extent > INT64_MAX)
            return refuse(r, d->name, "dimension %" PRIu64 " is absurd; " DAMAGED, extent);
        d->shape[i] = (int64_t)extent;
    }
    SDG_TRY(read_type(d, r));
    SDG_TRY(sdg_gguf_number(&d->offset, r, 8));
    if (sdg_dtype_is_quantised(d->dtype) &&
        (d->rank == 0 || d->shape[d->rank - 1] % (int64_t)sdg_dtype_block(d->dtype) != 0))
        return refuse(r, d->name, "rows of %lld are no whole blocks of %s; " DAMAGED,
                      d->rank ? (long long)d->shape[d->rank - 1] : 1LL, sdg_dtype_name(d->dtype));
fail:
    return status;
}

static int compare_key(const void *key, const void *item)
{
    return strcmp(key, ((const struct sdg_metadata *)item)->key);
}

/* This file's metadata value of a key; NULL when there is none. */
static const char *value_of(const struct sdg_gguf_reader *r, const char *key)
{
    const struct sdg_weights *w = r->w;
    if (!r->metadata_count) return NULL;
    const struct sdg_metadata *m = bsearch(key, w->metadata + w->metadata_count - r->metadata_count,
                                           r->metadata_count, sizeof *m, compare_key);
    return m ? m->value : NULL;
}

/* Some tensors were folded into rows of whole blocks, and metadata say what shape they have. */
static sdgen_status unfold(struct description *d, const struct sdg_gguf_reader *r)
{
    char key[sizeof SDG_GGUF_SHAPE_KEY + NAME_MAX_SIZE];
    struct description true_one = *d;
    size_t folded, unfolded;
    snprintf(key, sizeof key, SDG_GGUF_SHAPE_KEY "%s", d->name);
    const char *const shape = value_of(r, key), *p = shape;
    if (!shape) return SDGEN_OK;
    bool good = *p == '[';
    for (true_one.rank = 0; good && *p && *p != ']' && true_one.rank < SDG_MAX_DIMS;) {
        char *end;
        const long long extent = strtoll(p + 1, &end, 10); /* behind a bracket, a comma */
        good = end != p + 1 && extent >= 0;
        true_one.shape[true_one.rank++] = extent;
        p = end;
    }
    if (!good || strcmp(p, "]") != 0 || !sdg_shape_bytes(&folded, d->shape, d->rank, 1) ||
        !sdg_shape_bytes(&unfolded, true_one.shape, true_one.rank, 1) || folded != unfolded)
        return refuse(r, d->name, "metadata give it the shape %.64s, which its numbers do not fill",
                      shape);
    *d = true_one;
    return SDGEN_OK;
}

static sdgen_status read_tensor(struct sdg_gguf_reader *r)
{
    sdgen_status status;
    struct description d = {0};
    struct sdg_entry *e;
    const uint8_t *text;
    size_t size, bytes;
    char *name, shape[96];
    SDG_TRY(sdg_gguf_text(&text, &size, r, NAME_MAX_SIZE, "a tensor's name"));
    SDG_TRY(sdg_weights_add(&e, &name, r->w, size, r->err));
    memcpy(name, text, size);
    d.name = name;
    SDG_TRY(read_description(&d, r));
    SDG_TRY(unfold(&d, r));
    if (!sdg_shape_storage(&bytes, d.shape, d.rank, d.dtype))
        return refuse(r, name, "shape %s is larger than any memory; " DAMAGED,
                      sdg_shape_text(shape, sizeof shape, d.shape, d.rank));
    if (d.offset > r->size || bytes > r->size - d.offset)
        return refuse(r, name,
                      "%s %s, %zu bytes from byte %" PRIu64
                      " of the data on, reaches beyond the file: it was cut short, download it "
                      "again",
                      sdg_dtype_name(d.dtype), sdg_shape_text(shape, sizeof shape, d.shape, d.rank),
                      bytes, d.offset);
    e->tensor.dtype = d.dtype;
    e->tensor.rank = d.rank;
    memcpy(e->tensor.shape, d.shape, sizeof d.shape);
    e->tensor.data =
        r->data + d.offset; /* from the start of the file, until that of the data is known */
fail:
    return status;
}

/* ---- the whole ---- */

/* Moves the tensors, entries [first, count), to where the data begin: each must lie in the file, at
 * a multiple of the alignment, and share no byte with another. */
static sdgen_status place(struct sdg_gguf_reader *r, size_t first, uint64_t alignment)
{
    struct sdg_weights *w = r->w;
    const size_t count = w->count - first, spare = r->at & (size_t)(alignment - 1);
    const size_t gap = spare ? (size_t)alignment - spare : 0;
    if (count == 0) return SDGEN_OK;
    const size_t start = gap > r->size - r->at ? r->size : r->at + gap;
    for (size_t i = first; i < w->count; i++) {
        struct sdg_tensor *t = &w->entries[i].tensor;
        const size_t offset = (size_t)((const uint8_t *)t->data - r->data);
        if (offset & (size_t)(alignment - 1))
            return refuse(r, w->entries[i].name,
                          "begins at byte %zu of the data, no multiple of %" PRIu64 "; " DAMAGED,
                          offset, alignment);
        if (offset > r->size - start || sdg_tensor_bytes(t) > r->size - start - offset)
            return refuse(r, w->entries[i].name,
                          "its data end %zu bytes behind the file: it was cut short, download it "
                          "again",
                          offset + sdg_tensor_bytes(t) - (r->size - start));
        t->data = r->data + start + offset;
    }
    uint32_t *order = sdg_weights_by_place(w, first);
    if (!order) return sdg_weights_no_memory(w, r->err);
    const struct sdg_entry *overlaps = NULL;
    for (size_t i = 1; i < count && !overlaps; i++) {
        const struct sdg_tensor *before = &w->entries[order[i - 1]].tensor;
        const struct sdg_entry *e = &w->entries[order[i]];
        if ((const uint8_t *)before->data + sdg_tensor_bytes(before) >
            (const uint8_t *)e->tensor.data)
            overlaps = e;
    }
    free(order);
    return overlaps ? refuse(r, overlaps->name, "overlaps another tensor; " DAMAGED) : SDGEN_OK;
}

static sdgen_status check_version(struct sdg_gguf_reader *r)
{
    uint64_t version;
    const sdgen_status status = sdg_gguf_number(&version, r, 4);
    if (status != SDGEN_OK) return status;
    if (version == 2 || version == SDG_GGUF_VERSION) return SDGEN_OK;
    if (version == 1)
        return sdg_fail(r->err, SDGEN_ERR_FORMAT,
                        "%s: is GGUF of version 1, which no program writes since 2023: " CONVERT,
                        r->w->path);
    if ((version & 0xffff) == 0)
        return sdg_fail(r->err, SDGEN_ERR_FORMAT,
                        "%s: is a big-endian GGUF file: take the little-endian one", r->w->path);
    return sdg_fail(r->err, SDGEN_ERR_FORMAT,
                    "%s: is GGUF of version %" PRIu64 "; sdgen reads 2 and 3", r->w->path, version);
}

sdgen_status sdg_gguf_read(struct sdg_weights *w, const uint8_t *data, size_t size,
                           sdgen_error *err)
{
    sdgen_status status;
    struct sdg_gguf_reader r = {.w = w, .err = err, .data = data, .size = size};
    const size_t first = w->count;
    uint64_t tensors, metadata, alignment;
    r.at = sizeof SDG_GGUF_MAGIC - 1;
    w->form = SDG_FORM_GGUF;
    SDG_TRY(check_version(&r));
    SDG_TRY(sdg_gguf_number(&tensors, &r, 8));
    SDG_TRY(sdg_gguf_number(&metadata, &r, 8));
    if (tensors > (size - r.at) / MIN_TENSOR)
        return sdg_fail(err, SDGEN_ERR_FORMAT,
                        "%s: GGUF header: %" PRIu64 " tensors in a file of %zu bytes; " DAMAGED,
                        w->path, tensors, size);
    SDG_TRY(sdg_gguf_metadata(&alignment, &r, metadata));
    r.metadata_count = (size_t)metadata;
    const char *parts = value_of(&r, "split.count");
    if (parts && strcmp(parts, "0") != 0 && strcmp(parts, "1") != 0)
        return sdg_fail(err, SDGEN_ERR_FORMAT,
                        "%s: is one of %.20s parts of a GGUF file: join them with llama-gguf-split",
                        w->path, parts);
    for (uint64_t i = 0; i < tensors; i++) SDG_TRY(read_tensor(&r));
    SDG_TRY(place(&r, first, alignment));
fail:
    return status;
}
