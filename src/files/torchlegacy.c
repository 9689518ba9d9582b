/* torchlegacy.c - files of torch.save before PyTorch 1.6 (and later ones on request):
 *
 *     pickle of the magic number | pickle of the protocol's number | pickle of sys_info |
 *     pickle of what was saved | pickle of the list of its storages' keys |
 *     for each key: how many elements, in 8 bytes, and the elements
 *
 * Source: torch/serialization.py (_legacy_save, _legacy_load) and torch/csrc/serialization.cpp
 * (writeFileRaw: counts and elements are little-endian whatever sys_info says of the machine).
 * Where a storage lies is known only after the last pickle: tensors refer to storages, and those
 * are filled in when the file has been walked. */
#include "files/torchforms.h"

#include <stdio.h>
#include <string.h>

#include "files/pickle_machine.h"
#include "files/pool.h"
#include "files/read.h"
#include "files/torchkeys.h"
#include "files/torchstate.h"
#include "files/torchstream.h"

enum { PROTOCOL = 1001 };

/* A storage as one persistent id tells it: the whole, or a view of it. */
struct storage {
    struct sdg_torch_storage part; /* what tensors are windows of */
    uint64_t at;                   /* byte of the whole where the part begins */
    uint64_t count, item;          /* of the whole */
};

struct reader {
    struct sdg_torchstream s;      /* the file */
    struct sdg_torchkeys storages; /* struct storage, several of one key */
};

#define AGAIN "the file is damaged, download it again"

/* ---- the pickles ---- */

/* The magic number as protocols 0 and 1 write it, and as the later ones do: perhaps a PROTO,
 * perhaps a FRAME, then LONG1. */
size_t sdg_torchlegacy_magic(const uint8_t *data, size_t size)
{
    static const char text[] = "L119547037146038801333356L\n.",
                      number[] = "\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";
    const size_t text_size = sizeof text - 1, number_size = sizeof number - 1;
    size_t at = 0;
    if (size >= text_size && memcmp(data, text, text_size) == 0) return text_size;
    if (size >= 2 && data[0] == 0x80 && data[1] >= 2 && data[1] <= 5) at = 2;
    if (at == 2 && size >= 11 && memcmp(data + 2, "\x95\x0d\0\0\0\0\0\0\0", 9) == 0) at = 11;
    if (at == 0 || size - at < number_size || memcmp(data + at, number, number_size) != 0) return 0;
    return at + number_size;
}

bool sdg_torchlegacy_is(const uint8_t *data, size_t size)
{
    return sdg_torchlegacy_magic(data, size) > 0;
}

/* The protocol and what the machine was like, of which nothing matters here. */
static sdgen_status read_head(struct sdg_torchstream *s)
{
    sdgen_status status;
    struct sdg_pickle protocol = {0}, machine = {0};
    struct sdg_pickle_value v;
    s->part = "pickle of the protocol";
    SDG_TRY(sdg_torchstream_pickle(&v, s, &protocol));
    if (v.kind != SDG_PICKLE_INT || v.as.number != PROTOCOL)
        SDG_TRY(
            sdg_torchstream_refuse(s, "it is not %d, the only one there was; " AGAIN, PROTOCOL));
    s->part = "pickle of sys_info";
    SDG_TRY(sdg_torchstream_pickle(&v, s, &machine));
    if (v.kind != SDG_PICKLE_DICT) SDG_TRY(sdg_torchstream_refuse(s, "it is no dict; " AGAIN));
fail:
    sdg_pool_free(&protocol.pool);
    sdg_pool_free(&machine.pool);
    return status;
}

/* ---- storages ---- */

/* A new storage of that id: the bytes of tensors are checked against what it should hold; where
 * they are follows later. */
static sdgen_status find_storage(struct sdg_pickle_value *result, struct sdg_pickle_machine *m,
                                 const struct sdg_pickle_value *id)
{
    sdgen_status status;
    struct sdg_pickle_storage s;
    struct reader *r = m->p->user;
    uint64_t key, end;
    SDG_TRY(sdg_pickle_storage_id(&s, m, id, 6));
    if (!sdg_torchkeys_read(&key, &id->as.tuple->items[2]))
        return sdg_pickle_refuse(m, "a storage's key is no number; " SDG_PICKLE_HOSTILE);
    struct storage *storage = sdg_pool_alloc(&m->p->pool, sizeof *storage);
    if (!storage || !sdg_torchkeys_add(&r->storages, key, storage)) return sdg_pickle_no_memory(m);
    *storage = (struct storage) {
        .part = {.bytes = s.bytes, .dtype = s.class->dtype}, .count = s.count, .item = s.item};
    if (s.view) {
        const uint64_t offset = (uint64_t)s.view->items[1].as.number,
                       count = (uint64_t)s.view->items[2].as.number;
        if (__builtin_mul_overflow(offset, s.item, &storage->at) ||
            __builtin_mul_overflow(count, s.item, &storage->part.bytes) ||
            __builtin_add_overflow(storage->at, storage->part.bytes, &end) || end > s.bytes)
            return sdg_pickle_refuse(m, "a view reaches beyond its storage; " SDG_PICKLE_HOSTILE);
    }
    *result = (struct sdg_pickle_value) {.kind = SDG_PICKLE_STORAGE, .as.storage = &storage->part};
fail:
    return status;
}

/* The numbers of the storage of that key come next, after how many they are. All that was told of
 * it must agree with the first, whose elements the file counts. */
static sdgen_status place_storage(struct reader *r, uint64_t key)
{
    sdgen_status status;
    const uint8_t *numbers = NULL;
    int64_t count = 0;
    const struct sdg_torchkey *k = sdg_torchkeys_find(&r->storages, key),
                              *end = r->storages.items + r->storages.count;
    if (!k) return sdg_torchstream_refuse(&r->s, "nothing refers to this one; " AGAIN);
    const struct storage *first = k->value;
    if (first->part.data) return sdg_torchstream_refuse(&r->s, "it is there twice; " AGAIN);
    SDG_TRY(sdg_torchstream_number(&count, &r->s, 8));
    if (count < 0 || (uint64_t)count != first->count)
        return sdg_torchstream_refuse(&r->s, "it should hold %llu elements, not %lld; " AGAIN,
                                      (unsigned long long)first->count, (long long)count);
    SDG_TRY(sdg_torchstream_bytes(&numbers, &r->s, first->count * first->item));
    for (; k < end && k->key == key; k++) {
        struct storage *s = k->value;
        if (s->count * s->item != first->count * first->item)
            return sdg_torchstream_refuse(&r->s, "it is told in two sizes; " AGAIN);
        s->part.data = numbers + s->at;
    }
fail:
    return status;
}

static sdgen_status place_storages(struct reader *r, const struct sdg_pickle_value *keys)
{
    sdgen_status status = SDGEN_OK;
    char part[48];
    if (keys->kind != SDG_PICKLE_LIST)
        return sdg_torchstream_refuse(&r->s, "it is no list; " AGAIN);
    sdg_torchkeys_sort(&r->storages);
    for (size_t i = 0; i < keys->as.list->count; i++) {
        uint64_t key = 0;
        if (!sdg_torchkeys_read(&key, &keys->as.list->items[i]))
            return sdg_torchstream_refuse(&r->s, "a storage's key is no number; " AGAIN);
        snprintf(part, sizeof part, "storage %llu", (unsigned long long)key);
        r->s.part = part;
        SDG_TRY(place_storage(r, key));
    }
    r->s.part = "end";
    for (size_t i = 0; i < r->storages.count; i++) {
        const struct storage *s = r->storages.items[i].value;
        if (!s->part.data)
            SDG_TRY(sdg_torchstream_refuse(&r->s, "storage %llu is not there; " AGAIN,
                                           (unsigned long long)r->storages.items[i].key));
    }
    if (r->s.at != r->s.size)
        SDG_TRY(sdg_torchstream_refuse(&r->s,
                                       "something follows the last storage; " SDG_PICKLE_HOSTILE));
fail:
    r->s.part = "";
    return status;
}

sdgen_status sdg_torchlegacy_read(struct sdg_weights *w, const uint8_t *data, size_t size,
                                  sdgen_error *err)
{
    sdgen_status status;
    struct reader r = {.s = {.path = w->path, .data = data, .size = size, .err = err}};
    struct sdg_pickle object = {.persistent = find_storage, .user = &r}, list = {0};
    struct sdg_pickle_value top, keys;
    w->form = SDG_FORM_TORCH_LEGACY;
    r.s.at = sdg_torchlegacy_magic(data, size);
    SDG_TRY(read_head(&r.s));
    r.s.part = "pickle";
    SDG_TRY(sdg_torchstream_pickle(&top, &r.s, &object));
    r.s.part = "list of storages";
    SDG_TRY(sdg_torchstream_pickle(&keys, &r.s, &list));
    SDG_TRY(place_storages(&r, &keys));
    SDG_TRY(sdg_torchstate_add(w, &top, object.used, size, err));
fail:
    sdg_torchkeys_free(&r.storages);
    sdg_pool_free(&object.pool);
    sdg_pool_free(&list.pool);
    return status;
}
