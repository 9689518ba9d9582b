/* safetensors.c - the safetensors form: eight bytes of header length, a JSON header, then numbers.
 *
 * Format and checks are those of huggingface/safetensors (README.md, and `validate` in
 * safetensors/src/tensor.rs): tensors cover the data without hole or overlap, and each has exactly
 * the bytes that its shape and type ask for. Stricter in one point: the specification forbids
 * duplicate keys, the original lets the last one win, and here they are refused. (Duplicate tensor
 * names are found by weights.c, when it sorts the names.) */
#include "files/safetensors.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "files/jsonstream.h"
#include "files/pool.h"
#include "files/read.h"

#define DAMAGED "the file is damaged, download it again"

enum { LENGTH_SIZE = 8, NAME_SHOWN = 200, SPACE_LOOKED_OVER = 64 };
static const uint64_t max_header = 100000000; /* MAX_HEADER_SIZE in tensor.rs */

struct reader {
    struct sdg_weights *w;
    sdgen_error *err;
    struct sdg_json json;
    const uint8_t *body; /* the numbers */
    size_t body_size;
    size_t first; /* number of its first entry */
    bool has_metadata;
};

/* One tensor's description, as far as it was read. */
struct description {
    bool has_dtype, has_shape, has_offsets;
    enum sdg_dtype dtype;
    int rank;
    int64_t shape[SDG_MAX_DIMS];
    uint64_t begin, end;
};

static uint64_t header_length(const uint8_t *data)
{
    uint64_t n = 0;
    for (int i = LENGTH_SIZE - 1; i >= 0; i--) n = n << 8 | data[i];
    return n;
}

/* Length first: any two bytes may begin a small one, those of other forms too. */
bool sdg_safetensors_is(const uint8_t *data, size_t size)
{
    size_t i = LENGTH_SIZE;
    if (size <= LENGTH_SIZE || header_length(data) > max_header) return false;
    while (i < size - 1 && i < LENGTH_SIZE + SPACE_LOOKED_OVER && data[i] &&
           strchr(" \t\r\n", data[i]))
        i++;
    return data[i] == '{';
}

bool sdg_safetensors_was(const uint8_t *data, size_t size)
{
    if (size < LENGTH_SIZE) return false;
    if (size > LENGTH_SIZE && data[LENGTH_SIZE] == '{') return true;
    return header_length(data) <= max_header && header_length(data) >= size - LENGTH_SIZE;
}

/* The text of the JSON reader's mistake. */
static sdgen_status json_failure(const struct reader *r)
{
    return sdg_fail(r->err, SDGEN_ERR_FORMAT, "%s: safetensors header, byte %zu: %s; " DAMAGED,
                    r->w->path, LENGTH_SIZE + r->json.at, r->json.problem);
}

__attribute__((format(printf, 3, 4))) static sdgen_status
refuse(const struct reader *r, const char *name, const char *format, ...)
{
    char what[256];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    return sdg_fail(r->err, SDGEN_ERR_FORMAT, "%s: tensor %.*s (header byte %zu): %s", r->w->path,
                    NAME_SHOWN, name, LENGTH_SIZE + r->json.at, what);
}

/* Decodes text into out [size]; what does not fit reads as "". */
static const char *short_text(char *out, size_t size, const struct reader *r,
                              const struct sdg_json_text *text)
{
    out[0] = 0;
    if (text->size < size && !text->has_nul) sdg_json_decode(out, &r->json, text);
    return out;
}

/* ---- one tensor ---- */

/* Types that the format knows and sdgen cannot compute with are refused by their name. */
static sdgen_status read_dtype(struct description *d, const char *name, struct reader *r)
{
    struct sdg_json_text text;
    char spelled[24];
    if (!sdg_json_string(&r->json, &text)) return json_failure(r);
    short_text(spelled, sizeof spelled, r, &text);
    for (int i = 0; i < SDG_DTYPE_COUNT; i++) {
        if (sdg_dtype_is_quantised((enum sdg_dtype)i)) continue; /* GGUF's own */
        if (strcmp(spelled, sdg_dtype_name((enum sdg_dtype)i)) != 0) continue;
        d->dtype = (enum sdg_dtype)i;
        return SDGEN_OK;
    }
    static const char *const known[] = {"F4",      "F6_E2M3",     "F6_E3M2",     "C64",
                                        "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "C128"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(spelled, known[i]) == 0)
            return refuse(r, name, "numbers of type %s cannot be used; save it as F16 or F32",
                          spelled);
    return refuse(r, name, "dtype \"%s\" is not one of safetensors; " DAMAGED, spelled);
}

static sdgen_status read_shape(struct description *d, const char *name, struct reader *r)
{
    bool first = true;
    uint64_t extent;
    sdg_json_open(&r->json, '[');
    while (!r->json.problem && sdg_json_more(&r->json, &first, ']')) {
        if (!sdg_json_natural(&r->json, &extent)) break;
        if (d->rank == SDG_MAX_DIMS)
            return refuse(r, name, "has more than %d dimensions, which no model sdgen knows needs",
                          SDG_MAX_DIMS);
        if (extent > INT64_MAX)
            return refuse(r, name, "dimension %" PRIu64 " is absurd; " DAMAGED, extent);
        d->shape[d->rank++] = (int64_t)extent;
    }
    return r->json.problem ? json_failure(r) : SDGEN_OK;
}

static sdgen_status read_offsets(struct description *d, struct reader *r)
{
    bool first = true;
    int count = 0;
    sdg_json_open(&r->json, '[');
    while (!r->json.problem && sdg_json_more(&r->json, &first, ']')) {
        if (count == 2)
            sdg_json_wrong(&r->json, "data_offsets should be two numbers");
        else if (!sdg_json_natural(&r->json, count == 0 ? &d->begin : &d->end))
            break;
        count++;
    }
    if (count != 2) sdg_json_wrong(&r->json, "data_offsets should be two numbers");
    return r->json.problem ? json_failure(r) : SDGEN_OK;
}

/* {"dtype": ..., "shape": [...], "data_offsets": [begin, end]} in any order; other fields mean
 * nothing. */
static sdgen_status read_fields(struct description *d, const char *name, struct reader *r)
{
    sdgen_status status = SDGEN_OK;
    bool first = true, again = false;
    struct sdg_json_text key;
    char field[16];
    sdg_json_open(&r->json, '{');
    while (!r->json.problem && sdg_json_more(&r->json, &first, '}')) {
        if (!sdg_json_key(&r->json, &key)) break;
        short_text(field, sizeof field, r, &key);
        if (strcmp(field, "dtype") == 0) {
            again = d->has_dtype;
            d->has_dtype = true;
            SDG_TRY(read_dtype(d, name, r));
        } else if (strcmp(field, "shape") == 0) {
            again = d->has_shape;
            d->has_shape = true;
            if (!again) SDG_TRY(read_shape(d, name, r));
        } else if (strcmp(field, "data_offsets") == 0) {
            again = d->has_offsets;
            d->has_offsets = true;
            SDG_TRY(read_offsets(d, r));
        } else {
            sdg_json_skip(&r->json);
        }
        if (again) return refuse(r, name, "field %s is there twice; " DAMAGED, field);
    }
    if (r->json.problem) return json_failure(r);
    if (!d->has_dtype || !d->has_shape || !d->has_offsets)
        return refuse(r, name, "%s is missing; " DAMAGED,
                      !d->has_dtype   ? "dtype"
                      : !d->has_shape ? "shape"
                                      : "data_offsets");
fail:
    return status;
}

/* The bytes that a description claims must be there and be as many as its shape asks for. */
static sdgen_status check_extent(const struct description *d, const char *name, struct reader *r)
{
    size_t bytes;
    char shape[96];
    if (!sdg_shape_bytes(&bytes, d->shape, d->rank, sdg_dtype_size(d->dtype)))
        return refuse(r, name, "shape %s is larger than any memory; " DAMAGED,
                      sdg_shape_text(shape, sizeof shape, d->shape, d->rank));
    if (d->end < d->begin || d->end - d->begin != bytes)
        return refuse(
            r, name,
            "%s %s takes %zu bytes, data_offsets [%" PRIu64 ",%" PRIu64 "] are other; " DAMAGED,
            sdg_dtype_name(d->dtype), sdg_shape_text(shape, sizeof shape, d->shape, d->rank), bytes,
            d->begin, d->end);
    if (d->end > r->body_size)
        return refuse(r, name,
                      "its data ends at byte %" PRIu64
                      ", the file's at %zu: it was cut short, download it again",
                      d->end, r->body_size);
    return SDGEN_OK;
}

static sdgen_status read_tensor(struct reader *r, const struct sdg_json_text *key)
{
    sdgen_status status;
    struct description d = {0};
    struct sdg_entry *entry;
    char *name;
    if (key->has_nul) {
        sdg_json_wrong(&r->json, "a tensor's name holds a zero byte");
        return json_failure(r);
    }
    SDG_TRY(sdg_weights_add(&entry, &name, r->w, key->size, r->err));
    sdg_json_decode(name, &r->json, key);
    SDG_TRY(read_fields(&d, name, r));
    SDG_TRY(check_extent(&d, name, r));
    entry->tensor.data = r->body + d.begin;
    entry->tensor.dtype = d.dtype;
    entry->tensor.rank = d.rank;
    memcpy(entry->tensor.shape, d.shape, sizeof d.shape);
fail:
    return status;
}

/* ---- metadata ---- */

/* A NUL-terminated copy that w owns; NULL without memory. */
static char *keep_text(struct reader *r, const struct sdg_json_text *text)
{
    char *copy = sdg_pool_alloc(&r->w->owned, text->size + 1);
    if (copy) sdg_json_decode(copy, &r->json, text);
    return copy;
}

static sdgen_status add_metadata(struct reader *r, const struct sdg_json_text *key,
                                 const struct sdg_json_text *value)
{
    struct sdg_metadata *m;
    const sdgen_status status = sdg_weights_add_metadata(&m, r->w, r->err);
    if (status != SDGEN_OK) return status;
    const char *k = keep_text(r, key), *v = keep_text(r, value);
    if (!k || !v) return sdg_weights_no_memory(r->w, r->err);
    *m = (struct sdg_metadata) {k, v};
    return SDGEN_OK;
}

/* {"key": "value", ...}: strings only. */
static sdgen_status read_metadata(struct reader *r)
{
    sdgen_status status = SDGEN_OK;
    const size_t before = r->w->metadata_count;
    struct sdg_json_text key, value;
    bool first = true;
    if (r->has_metadata) sdg_json_wrong(&r->json, "__metadata__ is there twice");
    r->has_metadata = true;
    sdg_json_open(&r->json, '{');
    while (!r->json.problem && sdg_json_more(&r->json, &first, '}')) {
        if (!sdg_json_key(&r->json, &key) || !sdg_json_string(&r->json, &value)) break;
        if (key.has_nul || value.has_nul)
            sdg_json_wrong(&r->json, "__metadata__ holds a zero byte");
        else
            SDG_TRY(add_metadata(r, &key, &value));
    }
    if (r->json.problem) return json_failure(r);
    SDG_TRY(sdg_weights_sort_metadata(r->w, before, r->err));
fail:
    return status;
}

/* ---- the whole ---- */

/* Tensors in the order of their data must cover it exactly: no hole, no overlap, nothing behind. */
static sdgen_status check_cover(struct reader *r)
{
    struct sdg_weights *w = r->w;
    const uint8_t *cursor = r->body;
    const size_t count = w->count - r->first;
    size_t bad = w->count;
    if (count > 0) {
        uint32_t *order = sdg_weights_by_place(w, r->first);
        if (!order) return sdg_weights_no_memory(w, r->err);
        for (size_t i = 0; i < count && bad == w->count; i++) {
            const struct sdg_tensor *t = &w->entries[order[i]].tensor;
            if (t->data != (const void *)cursor) bad = order[i];
            cursor += sdg_tensor_bytes(t);
        }
        free(order);
    }
    if (bad < w->count) {
        const struct sdg_entry *e = &w->entries[bad];
        const size_t begin = (size_t)((const uint8_t *)e->tensor.data - r->body);
        return sdg_fail(r->err, SDGEN_ERR_FORMAT,
                        "%s: tensor %.*s: data_offsets begin at byte %zu and leave a hole or "
                        "overlap another tensor; " DAMAGED,
                        w->path, NAME_SHOWN, e->name, begin);
    }
    const size_t covered = (size_t)(cursor - r->body);
    if (covered != r->body_size)
        return sdg_fail(r->err, SDGEN_ERR_FORMAT,
                        "%s: %zu bytes behind the last tensor belong to none; " DAMAGED, w->path,
                        r->body_size - covered);
    return SDGEN_OK;
}

static sdgen_status read_header(struct reader *r)
{
    sdgen_status status = SDGEN_OK;
    struct sdg_json_text key;
    char special[16];
    bool first = true;
    sdg_json_open(&r->json, '{');
    while (!r->json.problem && sdg_json_more(&r->json, &first, '}')) {
        if (!sdg_json_key(&r->json, &key)) break;
        if (strcmp(short_text(special, sizeof special, r, &key), "__metadata__") == 0)
            SDG_TRY(read_metadata(r));
        else
            SDG_TRY(read_tensor(r, &key));
    }
    sdg_json_end(&r->json);
    if (r->json.problem) return json_failure(r);
fail:
    return status;
}

sdgen_status sdg_safetensors_read(struct sdg_weights *w, const uint8_t *data, size_t size,
                                  sdgen_error *err)
{
    sdgen_status status;
    const uint64_t length = header_length(data);
    if (length > max_header)
        return sdg_fail(err, SDGEN_ERR_FORMAT,
                        "%s: safetensors header of %" PRIu64 " bytes, %" PRIu64
                        " are allowed; " DAMAGED,
                        w->path, length, max_header);
    if (length > size - LENGTH_SIZE)
        return sdg_fail(err, SDGEN_ERR_FORMAT,
                        "%s: safetensors header of %" PRIu64
                        " bytes in a file of %zu: it was cut short, download it again",
                        w->path, length, size);
    struct reader r = {.w = w, .err = err, .first = w->count};
    r.json = (struct sdg_json) {.data = data + LENGTH_SIZE,
                                .size = (size_t)length,
                                .mapped = sdg_weights_is_mapped(w, data)};
    r.body = data + LENGTH_SIZE + length;
    r.body_size = size - LENGTH_SIZE - (size_t)length;
    w->form = SDG_FORM_SAFETENSORS;
    SDG_TRY(read_header(&r));
    SDG_TRY(check_cover(&r));
fail:
    return status;
}
