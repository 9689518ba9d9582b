/* torchtar.c - files of torch.save before PyTorch 0.1.12, a tar archive of four members:
 *
 *     storages   how many; for each a pickle of (key, location, class), a count in 8 bytes and the
 *                elements; then a pickle of the views: (key, key of the whole, offset, count)
 *     tensors    how many; for each a pickle of (key, key of the storage, class), then numbers:
 *                dimensions in 4 bytes and 4 of no meaning, sizes, strides, offset in 8 each
 *     pickle     what was saved; persistent ids are keys of tensors and storages
 *     sys_info   what the machine was like, of which nothing matters here
 *
 * Source: torch/serialization.py (legacy_load in _legacy_load). */
#include <string.h>

#include "files/pickle_machine.h"
#include "files/pool.h"
#include "files/read.h"
#include "files/torchkeys.h"
#include "files/torchstate.h"
#include "files/torchtar.h"

#define AGAIN "the file is damaged, download it again"

struct reader {
    struct sdg_weights *w;
    sdgen_error *err;
    struct sdg_torchstream members[SDG_TAR_MEMBERS];
    struct sdg_torchkeys storages, views; /* struct sdg_torch_storage */
    struct sdg_torchkeys tensors;         /* struct sdg_torch_tensor */
    void *pool;                           /* of all of them */
};

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
    struct sdg_torchstream *s = &r->members[SDG_TAR_STORAGES];
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
    struct sdg_torchstream *s = &r->members[SDG_TAR_TENSORS];
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
        .path = w->path, .part = "pickle", .persistent = find_saved, .user = &r};
    struct sdg_pickle_value top;
    w->form = SDG_FORM_TORCH_TAR;
    SDG_TRY(sdg_torchtar_open(r.members, &file));
    SDG_TRY(read_storages(&r));
    SDG_TRY(read_tensors(&r));
    object.data = r.members[SDG_TAR_PICKLE].data;
    object.size = r.members[SDG_TAR_PICKLE].size;
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
