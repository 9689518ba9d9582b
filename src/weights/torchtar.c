/* torchtar.c - files of torch.save before PyTorch 0.1.12: a tar archive of
 *
 *     storages   how many; for each a pickle of (key, location, class), a count in 8 bytes and the
 *                elements; then a pickle of the list of views: (key, key of the whole, offset,
 * count) tensors    how many; for each a pickle of (key, key of the storage, class), then numbers:
 *                dimensions in 4 bytes and 4 of no meaning, sizes, strides, offset in 8 each
 *     pickle     what was saved; persistent ids are keys of tensors and storages
 *     sys_info   what the machine was like, of which nothing matters here
 *
 * Source: torch/serialization.py (legacy_load in _legacy_load); the archive: IEEE Std 1003.1-2001,
 * pax, sections "ustar Interchange Format" and "pax Extended Header", and GNU tar for sizes in base
 * 256. Python's tarfile, which wrote it, writes whole records. */
#include <string.h>

#include "weights/pickle_machine.h"
#include "weights/pool.h"
#include "weights/read.h"
#include "weights/torchforms.h"
#include "weights/torchkeys.h"
#include "weights/torchstate.h"
#include "weights/torchstream.h"

#define AGAIN "the file is damaged, download it again"

enum { BLOCK = 512, RECORD = 20 * BLOCK };
enum member { STORAGES, TENSORS, OBJECT, MACHINE, MEMBERS };
static const char *const member_names[MEMBERS] = {"storages", "tensors", "pickle", "sys_info"};

struct reader {
    struct sdg_weights *w;
    sdgen_error *err;
    struct sdg_torchstream members[MEMBERS]; /* data is NULL for one that is not there */
    struct sdg_torchkeys storages, views;    /* struct sdg_torch_storage */
    struct sdg_torchkeys tensors;            /* struct sdg_torch_tensor */
    void *pool;                              /* of all of them */
};

/* ---- the archive ---- */

/* A field of octal digits, perhaps between blanks, or of base 256 when its first bit is set. */
static bool read_field(uint64_t *number, const uint8_t *field, size_t size)
{
    size_t i = 0;
    *number = 0;
    if (field[0] == 0x80) {
        for (i = 1; i < size; i++) {
            if (*number >> 55) return false;
            *number = *number << 8 | field[i];
        }
        return true;
    }
    while (i < size && field[i] == ' ') i++;
    for (; i < size && field[i] >= '0' && field[i] <= '7'; i++)
        *number = *number << 3 | (field[i] - '0');
    return i == size || field[i] == ' ' || field[i] == 0;
}

/* The sum of a header's bytes, its own field counted as blanks. */
static bool is_header(const uint8_t *p)
{
    uint64_t sum = 0, said;
    for (int i = 0; i < BLOCK; i++) sum += i >= 148 && i < 156 ? ' ' : p[i];
    return memcmp(p + 257, "ustar", 5) == 0 && read_field(&said, p + 148, 8) && said == sum;
}

static enum member member_of(const uint8_t *header)
{
    int i = 0;
    while (i < MEMBERS && strncmp((const char *)header, member_names[i], 100) != 0) i++;
    return (enum member)i;
}

/* Bytes that a member of that size takes in the archive. */
static uint64_t blocks(uint64_t size)
{
    return (size / BLOCK + (size % BLOCK != 0)) * BLOCK;
}

/* A header with more about the next member, which Python's tarfile writes for a time with fractions
 * and for sizes above 8 GiB. */
static bool is_extended(const uint8_t *header)
{
    return header[156] == 'x';
}

bool sdg_torchtar_is(const uint8_t *data, size_t size)
{
    uint64_t more = 0;
    if (size < BLOCK || !is_header(data)) return false;
    if (!is_extended(data)) return member_of(data) < MEMBERS;
    if (!read_field(&more, data + 124, 12) || more > size || blocks(more) > size - BLOCK)
        return false;
    const uint8_t *next = data + BLOCK + blocks(more);
    return size - (size_t)(next - data) >= BLOCK && is_header(next) && member_of(next) < MEMBERS;
}

static bool is_zero(const uint8_t *p, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (p[i]) return false;
    return true;
}

/* The header at file->at, with the size of what follows it; moves to that. */
static sdgen_status read_header(const uint8_t **header, uint64_t *size,
                                struct sdg_torchstream *file)
{
    sdgen_status status;
    if (file->size - file->at < BLOCK || !is_header(file->data + file->at) ||
        !read_field(size, file->data + file->at + 124, 12))
        return sdg_torchstream_refuse(file, "here should be the header of a member; " AGAIN);
    SDG_TRY(sdg_torchstream_bytes(header, file, BLOCK));
fail:
    return status;
}

/* The value of "size" among the lines "LENGTH key=value" of an extended header, if it is there. */
static bool read_extended(uint64_t *size, const uint8_t *text, uint64_t text_size)
{
    static const char key[] = "size=";
    for (uint64_t at = 0; at < text_size;) {
        uint64_t length = 0, i = at;
        for (; i < text_size && i < at + 8 && text[i] >= '0' && text[i] <= '9'; i++)
            length = 10 * length + (text[i] - '0');
        if (i == at || i >= text_size || text[i] != ' ' || length > text_size - at ||
            length <= i - at + 1 || text[at + length - 1] != '\n')
            return false;
        const uint8_t *line = text + i + 1, *end = text + at + length - 1;
        if ((uint64_t)(end - line) >= sizeof key - 1 && memcmp(line, key, sizeof key - 1) == 0) {
            line += sizeof key - 1;
            if (line == end || end - line > 18) return false;
            for (*size = 0; line < end; line++) {
                if (*line < '0' || *line > '9') return false;
                *size = 10 * *size + (*line - '0');
            }
        }
        at += length;
    }
    return true;
}

static sdgen_status read_member(struct reader *r, struct sdg_torchstream *file)
{
    sdgen_status status;
    const uint8_t *p = NULL, *data = NULL;
    uint64_t size = 0, wide = UINT64_MAX;
    SDG_TRY(read_header(&p, &size, file));
    if (is_extended(p)) {
        SDG_TRY(sdg_torchstream_bytes(&data, file, blocks(size)));
        if (!read_extended(&wide, data, size))
            return sdg_torchstream_refuse(file, "an extended header is malformed; " AGAIN);
        SDG_TRY(read_header(&p, &size, file));
        if (wide != UINT64_MAX) size = wide;
    }
    const enum member m = member_of(p);
    if (m == MEMBERS || (p[156] != '0' && p[156] != 0))
        return sdg_torchstream_refuse(file,
                                      "it holds \"%.100s\", which PyTorch never put there; do not "
                                      "trust the file",
                                      (const char *)p);
    if (r->members[m].data)
        return sdg_torchstream_refuse(file, "%s is there twice; do not trust the file",
                                      member_names[m]);
    SDG_TRY(sdg_torchstream_bytes(&data, file, blocks(size)));
    r->members[m] = (struct sdg_torchstream) {.path = file->path,
                                              .part = member_names[m],
                                              .data = data,
                                              .size = (size_t)size,
                                              .err = r->err};
fail:
    return status;
}

/* All members; what follows the last one is empty. */
static sdgen_status read_archive(struct reader *r, struct sdg_torchstream *file)
{
    sdgen_status status = SDGEN_OK;
    if (file->size % RECORD != 0)
        return sdg_torchstream_refuse(file,
                                      "its %zu bytes are no whole records of %d; it was cut or "
                                      "changed, download it again",
                                      file->size, RECORD);
    while (file->at < file->size && !is_zero(file->data + file->at, BLOCK))
        SDG_TRY(read_member(r, file));
    if (!is_zero(file->data + file->at, file->size - file->at))
        return sdg_torchstream_refuse(file,
                                      "something follows the end of the archive; do not trust "
                                      "the file");
    for (int i = STORAGES; i <= OBJECT; i++)
        if (!r->members[i].data)
            return sdg_torchstream_refuse(file, "the archive holds no \"%s\"; " AGAIN,
                                          member_names[i]);
fail:
    return status;
}

/* ---- storages and tensors ---- */

/* A pickle that is a whole number of things that follow. */
static sdgen_status read_count(int64_t *count, struct sdg_torchstream *s)
{
    sdgen_status status;
    struct sdg_pickle p = {0};
    struct sdg_pickle_value v;
    SDG_TRY(sdg_torchstream_pickle(&v, s, &p));
    *count = v.kind == SDG_PICKLE_INT ? v.as.number : -1;
    /* Each takes a few bytes at least: no more than that are there. */
    if (*count < 0 || (uint64_t)*count > s->size)
        status = sdg_torchstream_refuse(s, "how many follow is no number of them; " AGAIN);
fail:
    sdg_pool_free(&p.pool);
    return status;
}

/* A pickle that is a tuple of three, the first of them a key. */
static sdgen_status read_triple(uint64_t *key, struct sdg_pickle_value items[2],
                                struct sdg_torchstream *s, struct sdg_pickle *p)
{
    sdgen_status status;
    struct sdg_pickle_value v;
    SDG_TRY(sdg_torchstream_pickle(&v, s, p));
    if (v.kind != SDG_PICKLE_TUPLE || v.as.tuple->count != 3 ||
        !sdg_torchkeys_read(key, &v.as.tuple->items[0]))
        return sdg_torchstream_refuse(s, "one of %s is told wrongly; " AGAIN, s->part);
    memcpy(items, &v.as.tuple->items[1], 2 * sizeof *items);
fail:
    return status;
}

static sdgen_status add_storage(struct sdg_torchkeys *list, struct reader *r, uint64_t key,
                                struct sdg_torch_storage storage)
{
    struct sdg_torch_storage *s = sdg_pool_alloc(&r->pool, sizeof *s);
    if (!s || !sdg_torchkeys_add(list, key, s)) return sdg_weights_no_memory(r->w, r->err);
    *s = storage;
    return SDGEN_OK;
}

static sdgen_status read_storage(struct reader *r, struct sdg_torchstream *s)
{
    sdgen_status status;
    struct sdg_pickle p = {0};
    struct sdg_pickle_value items[2]; /* location, class */
    uint64_t key = 0, bytes = 0;
    int64_t count = 0;
    const uint8_t *data = NULL;
    SDG_TRY(read_triple(&key, items, s, &p));
    const struct sdg_pickle_global *class =
        items[1].kind == SDG_PICKLE_GLOBAL ? items[1].as.global : NULL;
    if (!class || class->role != SDG_ROLE_STORAGE || class->dtype < 0)
        SDG_TRY(sdg_torchstream_refuse(s, "a storage of numbers that cannot be used; " AGAIN));
    SDG_TRY(sdg_torchstream_number(&count, s, 8));
    if (count < 0 || __builtin_mul_overflow((uint64_t)count,
                                            sdg_dtype_size((enum sdg_dtype) class->dtype), &bytes))
        SDG_TRY(sdg_torchstream_refuse(s, "a storage of an absurd size; " AGAIN));
    SDG_TRY(sdg_torchstream_bytes(&data, s, bytes));
    SDG_TRY(
        add_storage(&r->storages, r, key, (struct sdg_torch_storage) {data, bytes, class->dtype}));
fail:
    sdg_pool_free(&p.pool);
    return status;
}

/* Two things of one key could be taken for each other. */
static sdgen_status sort_keys(struct sdg_torchkeys *k, const struct sdg_torchstream *s)
{
    sdg_torchkeys_sort(k);
    for (size_t i = 1; i < k->count; i++)
        if (k->items[i - 1].key == k->items[i].key)
            return sdg_torchstream_refuse(s, "two of %s have one key, %llu; do not trust the file",
                                          s->part, (unsigned long long)k->items[i].key);
    return SDGEN_OK;
}

/* (key, key of the whole, offset, count) */
static sdgen_status read_view(struct reader *r, const struct sdg_torchstream *s,
                              const struct sdg_pickle_value *v)
{
    const struct sdg_pickle_value *items = v->kind == SDG_PICKLE_TUPLE ? v->as.tuple->items : NULL;
    uint64_t key, whole, offset, bytes, end;
    if (!items || v->as.tuple->count != 4 || !sdg_torchkeys_read(&key, &items[0]) ||
        !sdg_torchkeys_read(&whole, &items[1]) || items[2].kind != SDG_PICKLE_INT ||
        items[3].kind != SDG_PICKLE_INT || items[2].as.number < 0 || items[3].as.number < 0)
        return sdg_torchstream_refuse(s, "a view is told wrongly; " AGAIN);
    const struct sdg_torchkey *k = sdg_torchkeys_find(&r->storages, whole);
    if (!k) return sdg_torchstream_refuse(s, "a view of no storage; " AGAIN);
    const struct sdg_torch_storage *t = k->value;
    const size_t item = sdg_dtype_size((enum sdg_dtype)t->dtype);
    if (__builtin_mul_overflow((uint64_t)items[2].as.number, item, &offset) ||
        __builtin_mul_overflow((uint64_t)items[3].as.number, item, &bytes) ||
        __builtin_add_overflow(offset, bytes, &end) || end > t->bytes)
        return sdg_torchstream_refuse(s, "a view reaches beyond its storage; " SDG_PICKLE_HOSTILE);
    return add_storage(&r->views, r, key,
                       (struct sdg_torch_storage) {t->data + offset, bytes, t->dtype});
}

/* The wholes, then the views of them, which are then storages like any other. */
static sdgen_status read_storages(struct reader *r)
{
    sdgen_status status;
    struct sdg_torchstream *s = &r->members[STORAGES];
    struct sdg_pickle p = {0};
    struct sdg_pickle_value views;
    int64_t count = 0;
    SDG_TRY(read_count(&count, s));
    for (int64_t i = 0; i < count; i++) SDG_TRY(read_storage(r, s));
    SDG_TRY(sort_keys(&r->storages, s));
    SDG_TRY(sdg_torchstream_pickle(&views, s, &p));
    if (views.kind != SDG_PICKLE_LIST)
        SDG_TRY(sdg_torchstream_refuse(s, "the views are no list; " AGAIN));
    for (size_t i = 0; i < views.as.list->count; i++)
        SDG_TRY(read_view(r, s, &views.as.list->items[i]));
    if (s->at != s->size) SDG_TRY(sdg_torchstream_refuse(s, "something follows them; " AGAIN));
    for (size_t i = 0; i < r->views.count; i++)
        if (!sdg_torchkeys_add(&r->storages, r->views.items[i].key, r->views.items[i].value))
            SDG_TRY(sdg_weights_no_memory(r->w, r->err));
    SDG_TRY(sort_keys(&r->storages, s));
fail:
    sdg_pool_free(&p.pool);
    return status;
}

/* Dimensions, sizes, strides, offset of a tensor on the storage t->storage. */
static sdgen_status read_window(struct sdg_torch_tensor *t, struct sdg_torchstream *s,
                                const struct sdg_torch_storage *storage)
{
    sdgen_status status;
    int64_t rank = 0, nothing = 0, offset = 0;
    SDG_TRY(sdg_torchstream_number(&rank, s, 4));
    SDG_TRY(sdg_torchstream_number(&nothing, s, 4));
    if (rank < 0 || rank > SDG_MAX_DIMS)
        return sdg_torchstream_refuse(s,
                                      "a tensor of %lld dimensions, where no model sdgen knows "
                                      "needs more than %d",
                                      (long long)rank, SDG_MAX_DIMS);
    t->rank = (int)rank;
    t->dtype = (enum sdg_dtype)storage->dtype;
    for (int i = 0; i < t->rank; i++) SDG_TRY(sdg_torchstream_number(&t->shape[i], s, 8));
    for (int i = 0; i < t->rank; i++) SDG_TRY(sdg_torchstream_number(&t->stride[i], s, 8));
    SDG_TRY(sdg_torchstream_number(&offset, s, 8));
    const char *problem = sdg_torch_window(t, storage, offset);
    if (problem) return sdg_torchstream_refuse(s, "%s; " SDG_PICKLE_HOSTILE, problem);
fail:
    return status;
}

static sdgen_status read_tensor(struct reader *r, struct sdg_torchstream *s)
{
    sdgen_status status;
    struct sdg_pickle p = {0};
    struct sdg_pickle_value items[2]; /* key of the storage, class */
    uint64_t key = 0, of = 0;
    SDG_TRY(read_triple(&key, items, s, &p));
    const struct sdg_torchkey *k =
        sdg_torchkeys_read(&of, &items[0]) ? sdg_torchkeys_find(&r->storages, of) : NULL;
    if (!k) SDG_TRY(sdg_torchstream_refuse(s, "a tensor of no storage; " AGAIN));
    struct sdg_torch_tensor *t = sdg_pool_alloc(&r->pool, sizeof *t);
    if (!t || !sdg_torchkeys_add(&r->tensors, key, t)) SDG_TRY(sdg_weights_no_memory(r->w, r->err));
    *t = (struct sdg_torch_tensor) {0};
    SDG_TRY(read_window(t, s, k->value));
fail:
    sdg_pool_free(&p.pool);
    return status;
}

static sdgen_status read_tensors(struct reader *r)
{
    sdgen_status status;
    struct sdg_torchstream *s = &r->members[TENSORS];
    int64_t count = 0;
    SDG_TRY(read_count(&count, s));
    for (int64_t i = 0; i < count; i++) SDG_TRY(read_tensor(r, s));
    if (s->at != s->size) return sdg_torchstream_refuse(s, "something follows them; " AGAIN);
    SDG_TRY(sort_keys(&r->tensors, s));
fail:
    return status;
}

/* ---- the object ---- */

static sdgen_status find_saved(struct sdg_pickle_value *result, struct sdg_pickle_machine *m,
                               const struct sdg_pickle_value *id)
{
    const struct reader *r = m->p->user;
    uint64_t key;
    if (!sdg_torchkeys_read(&key, id))
        return sdg_pickle_refuse(m, "a persistent id names no tensor; " SDG_PICKLE_HOSTILE);
    const struct sdg_torchkey *tensor = sdg_torchkeys_find(&r->tensors, key),
                              *storage = sdg_torchkeys_find(&r->storages, key);
    if (tensor)
        *result = (struct sdg_pickle_value) {.kind = SDG_PICKLE_TENSOR, .as.tensor = tensor->value};
    else if (storage)
        *result =
            (struct sdg_pickle_value) {.kind = SDG_PICKLE_STORAGE, .as.storage = storage->value};
    else
        return sdg_pickle_refuse(m, "tensor %llu is not in the file; " SDG_PICKLE_DAMAGED,
                                 (unsigned long long)key);
    return SDGEN_OK;
}

sdgen_status sdg_torchtar_read(struct sdg_weights *w, const uint8_t *data, size_t size,
                               sdgen_error *err)
{
    sdgen_status status;
    struct reader r = {.w = w, .err = err};
    struct sdg_torchstream file = {
        .path = w->path, .part = "tar archive", .data = data, .size = size, .err = err};
    struct sdg_pickle object = {
        .path = w->path, .part = member_names[OBJECT], .persistent = find_saved, .user = &r};
    struct sdg_pickle_value top;
    w->form = SDG_FORM_TORCH_TAR;
    SDG_TRY(read_archive(&r, &file));
    SDG_TRY(read_storages(&r));
    SDG_TRY(read_tensors(&r));
    object.data = r.members[OBJECT].data;
    object.size = r.members[OBJECT].size;
    SDG_TRY(sdg_pickle_run(&top, &object, err));
    SDG_TRY(sdg_torchstate_add(w, &top, object.size, size, err));
fail:
    sdg_torchkeys_free(&r.storages);
    sdg_torchkeys_free(&r.views);
    sdg_torchkeys_free(&r.tensors);
    sdg_pool_free(&object.pool);
    sdg_pool_free(&r.pool);
    return status;
}
