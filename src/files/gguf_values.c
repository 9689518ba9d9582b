/* gguf_values.c - the metadata of a GGUF file, and the numbers and texts they are made of. */
#define _GNU_SOURCE
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "files/gguf.h"
#include "files/pool.h"
#include "files/read.h"

#define DAMAGED "the file is damaged, download it again"

enum {
    KEY_MAX = 65535,  /* bytes; the specification's limit */
    LIST_SHOWN = 16,  /* values of a list that is shown in full */
    NESTED_MAX = 4,   /* lists in lists */
    VALUE_SIZE = 512, /* of a value that is no text */
    MIN_VALUE = 14    /* bytes of the smallest metadata: key of one, type, value of one */
};

static const uint8_t widths[SDG_GGUF_KIND_COUNT] = {
    [SDG_GGUF_U8] = 1,    [SDG_GGUF_I8] = 1,  [SDG_GGUF_U16] = 2, [SDG_GGUF_I16] = 2,
    [SDG_GGUF_U32] = 4,   [SDG_GGUF_I32] = 4, [SDG_GGUF_F32] = 4, [SDG_GGUF_BOOL] = 1,
    [SDG_GGUF_TEXT] = 8, /* at least: its length */
    [SDG_GGUF_LIST] = 12, [SDG_GGUF_U64] = 8, [SDG_GGUF_I64] = 8, [SDG_GGUF_F64] = 8,
};

sdgen_status sdg_gguf_number(uint64_t *value, struct sdg_gguf_reader *r, size_t width)
{
    *value = 0;
    if (r->size - r->at < width)
        return sdg_fail(r->err, SDGEN_ERR_FORMAT,
                        "%s: GGUF header, byte %zu: the file ends here: it was cut short, download "
                        "it again",
                        r->w->path, r->at);
    for (size_t i = 0; i < width; i++) *value |= (uint64_t)r->data[r->at + i] << 8 * i;
    r->at += width;
    return SDGEN_OK;
}

sdgen_status sdg_gguf_text(const uint8_t **text, size_t *size, struct sdg_gguf_reader *r,
                           size_t most, const char *what)
{
    uint64_t length;
    const size_t start = r->at;
    const sdgen_status status = sdg_gguf_number(&length, r, 8);
    if (status != SDGEN_OK) return status;
    if (length > most || length > r->size - r->at)
        return sdg_fail(r->err, SDGEN_ERR_FORMAT,
                        "%s: GGUF header, byte %zu: %s of %" PRIu64
                        " bytes, of which %zu are there; the file was cut short or damaged, "
                        "download it again",
                        r->w->path, start, what, length, r->size - r->at);
    *text = r->data + r->at;
    *size = (size_t)length;
    r->at += *size;
    if (sdg_utf8_is_name(*text, *size)) return SDGEN_OK;
    return sdg_fail(r->err, SDGEN_ERR_FORMAT,
                    "%s: GGUF header, byte %zu: %s is not UTF-8 text; " DAMAGED, r->w->path, start,
                    what);
}

/* ---- values as text ---- */

/* A number of the given kind, whose bits are in the low bytes of `bits`. */
static void print_number(char *out, size_t size, enum sdg_gguf_kind kind, uint64_t bits)
{
    const uint32_t low = (uint32_t)bits;
    float f;
    double d;
    memcpy(&f, &low, sizeof f);
    memcpy(&d, &bits, sizeof d);
    switch (kind) {
    case SDG_GGUF_I8: snprintf(out, size, "%d", (int8_t)bits); break;
    case SDG_GGUF_I16: snprintf(out, size, "%d", (int16_t)bits); break;
    case SDG_GGUF_I32: snprintf(out, size, "%" PRId32, (int32_t)bits); break;
    case SDG_GGUF_I64: snprintf(out, size, "%" PRId64, (int64_t)bits); break;
    case SDG_GGUF_F32: snprintf(out, size, "%.9g", (double)f); break;
    case SDG_GGUF_F64: snprintf(out, size, "%.17g", d); break;
    case SDG_GGUF_BOOL: snprintf(out, size, "%s", bits ? "true" : "false"); break;
    default: snprintf(out, size, "%" PRIu64, bits); break;
    }
}

static sdgen_status read_kind(enum sdg_gguf_kind *kind, struct sdg_gguf_reader *r)
{
    uint64_t value;
    const sdgen_status status = sdg_gguf_number(&value, r, 4);
    if (status != SDGEN_OK) return status;
    if (value >= SDG_GGUF_KIND_COUNT)
        return sdg_fail(r->err, SDGEN_ERR_FORMAT,
                        "%s: GGUF header, byte %zu: metadata of type %" PRIu64
                        ", which is none; " DAMAGED,
                        r->w->path, r->at - 4, value);
    *kind = (enum sdg_gguf_kind)value;
    return SDGEN_OK;
}

/* A list of numbers, its text into out. */
static sdgen_status read_numbers(char *out, struct sdg_gguf_reader *r, enum sdg_gguf_kind kind,
                                 uint64_t count)
{
    sdgen_status status = SDGEN_OK;
    size_t used = 0;
    if (count > LIST_SHOWN) {
        r->at += (size_t)count * widths[kind]; /* known to be there */
        snprintf(out, VALUE_SIZE, "[%" PRIu64 " values]", count);
        return SDGEN_OK;
    }
    for (uint64_t i = 0; i < count; i++) {
        uint64_t bits;
        SDG_TRY(sdg_gguf_number(&bits, r, widths[kind]));
        used += (size_t)snprintf(out + used, VALUE_SIZE - used, "%s", i ? ", " : "[");
        print_number(out + used, VALUE_SIZE - used, kind, bits);
        used += strlen(out + used);
    }
    snprintf(out + used, VALUE_SIZE - used, "%s", count ? "]" : "[]");
fail:
    return status;
}

static sdgen_status read_list(char *out, struct sdg_gguf_reader *r, int depth)
{
    sdgen_status status;
    enum sdg_gguf_kind kind;
    uint64_t count;
    char inner[VALUE_SIZE];
    const uint8_t *text;
    size_t size;
    SDG_TRY(read_kind(&kind, r));
    SDG_TRY(sdg_gguf_number(&count, r, 8));
    if (depth == NESTED_MAX || count > (r->size - r->at) / widths[kind])
        return sdg_fail(r->err, SDGEN_ERR_FORMAT,
                        "%s: GGUF header, byte %zu: a list of %" PRIu64 " values %s; " DAMAGED,
                        r->w->path, r->at, count,
                        depth == NESTED_MAX ? "in a list in a list ..." : "is not all there");
    if (kind != SDG_GGUF_TEXT && kind != SDG_GGUF_LIST) return read_numbers(out, r, kind, count);
    for (uint64_t i = 0; i < count; i++) {
        if (kind == SDG_GGUF_LIST)
            SDG_TRY(read_list(inner, r, depth + 1));
        else
            SDG_TRY(sdg_gguf_text(&text, &size, r, SIZE_MAX, "a text"));
    }
    snprintf(out, VALUE_SIZE, "[%" PRIu64 " values]", count);
fail:
    return status;
}

/* ---- all of them ---- */

static char *keep(struct sdg_weights *w, const void *text, size_t size)
{
    char *copy = sdg_pool_alloc(&w->owned, size + 1);
    if (!copy) return NULL;
    memcpy(copy, text, size);
    copy[size] = 0;
    return copy;
}

/* The value into the pool, *alignment when it is that. */
static sdgen_status read_value(const char **value, uint64_t *alignment, struct sdg_gguf_reader *r,
                               const char *key)
{
    sdgen_status status;
    enum sdg_gguf_kind kind;
    char printed[VALUE_SIZE];
    const void *text = printed;
    const uint8_t *stored;
    uint64_t bits = 0;
    size_t size;
    const bool is_alignment = strcmp(key, SDG_GGUF_ALIGNMENT_KEY) == 0;
    SDG_TRY(read_kind(&kind, r));
    if (kind == SDG_GGUF_TEXT) {
        SDG_TRY(sdg_gguf_text(&stored, &size, r, SIZE_MAX, "a text"));
        text = stored;
    } else if (kind == SDG_GGUF_LIST) {
        SDG_TRY(read_list(printed, r, 0));
        size = strlen(printed);
    } else {
        SDG_TRY(sdg_gguf_number(&bits, r, widths[kind]));
        print_number(printed, sizeof printed, kind, bits);
        size = strlen(printed);
    }
    if (is_alignment && (kind != SDG_GGUF_U32 || bits == 0 || (bits & (bits - 1)) != 0))
        return sdg_fail(r->err, SDGEN_ERR_FORMAT,
                        "%s: GGUF header: " SDG_GGUF_ALIGNMENT_KEY
                        " is %.*s, and should be a power of two as u32; " DAMAGED,
                        r->w->path, (int)(size < 40 ? size : 40), (const char *)text);
    if (is_alignment) *alignment = bits;
    *value = keep(r->w, text, size);
    return *value ? SDGEN_OK : sdg_weights_no_memory(r->w, r->err);
fail:
    return status;
}

sdgen_status sdg_gguf_metadata(uint64_t *alignment, struct sdg_gguf_reader *r, uint64_t count)
{
    sdgen_status status = SDGEN_OK;
    struct sdg_weights *w = r->w;
    const uint8_t *text;
    size_t size;
    *alignment = SDG_GGUF_ALIGNMENT;
    if (count > (r->size - r->at) / MIN_VALUE)
        return sdg_fail(r->err, SDGEN_ERR_FORMAT,
                        "%s: GGUF header: %" PRIu64 " metadata in a file of %zu bytes; " DAMAGED,
                        w->path, count, r->size);
    for (uint64_t i = 0; i < count; i++) {
        struct sdg_metadata *m;
        const char *key, *value;
        SDG_TRY(sdg_gguf_text(&text, &size, r, KEY_MAX, "a metadata key"));
        if (size == 0)
            return sdg_fail(r->err, SDGEN_ERR_FORMAT,
                            "%s: GGUF header, byte %zu: a metadata key is empty; " DAMAGED, w->path,
                            r->at);
        key = keep(w, text, size);
        if (!key) return sdg_weights_no_memory(w, r->err);
        SDG_TRY(read_value(&value, alignment, r, key));
        SDG_TRY(sdg_weights_add_metadata(&m, w, r->err));
        *m = (struct sdg_metadata) {key, value};
    }
    SDG_TRY(sdg_weights_sort_metadata(w, w->metadata_count - (size_t)count, r->err));
fail:
    return status;
}
