/* torchfile.c - checkpoints of torch.save (PyTorch 1.6 and later): a zip archive with a pickle,
 * which says what tensors there are, and one entry per storage, which holds their numbers.
 *
 * Source: torch/serialization.py (_save, _load) for the entries. */
#include <stdio.h>
#include <string.h>

#include "files/pickle_machine.h"
#include "files/pool.h"
#include "files/read.h"
#include "files/torchstate.h"
#include "files/zip.h"

enum {
    NAME_SIZE = 1200,     /* a top folder and what torch.save puts below it */
    KEY_DIGITS = 20,      /* of a storage's name */
    PICKLE_MAX = 64 << 20 /* bytes; those of real models are below two million */
};

struct reader {
    struct sdg_weights *w;
    sdgen_error *err;
    struct sdg_zip zip;
    const char *top; /* name of the folder, not NUL-terminated */
    int top_size;
};

/* ---- entries of the archive ---- */

/* The entry `name` of the top folder, or NULL. */
static struct sdg_zip_entry *find(const struct reader *r, const char *name)
{
    char path[NAME_SIZE];
    snprintf(path, sizeof path, "%.*s/%s", r->top_size, r->top, name);
    return sdg_zip_find(&r->zip, path);
}

/* All entries lie in one folder; torch takes its name from the first. */
static sdgen_status find_top(struct reader *r)
{
    const struct sdg_zip *z = &r->zip;
    const char *path = r->w->path;
    const struct sdg_zip_entry *first = z->count ? &z->entries[0] : NULL;
    const uint8_t *slash = first ? memchr(first->name, '/', first->name_size) : NULL;
    if (!slash)
        return sdg_fail(r->err, SDGEN_ERR_FORMAT,
                        "%s: is a zip archive, but not one of torch.save: unpack it, or download "
                        "the weights themselves",
                        path);
    r->top = (const char *)first->name;
    r->top_size = (int)(slash - first->name);
    for (size_t i = 0; i < z->count; i++) {
        const struct sdg_zip_entry *e = &z->entries[i];
        if (e->name_size > (uint32_t)r->top_size && e->name[r->top_size] == '/' &&
            memcmp(e->name, r->top, (size_t)r->top_size) == 0)
            continue;
        return sdg_fail(r->err, SDGEN_ERR_FORMAT,
                        "%s: is a zip archive of several folders, not one of torch.save: unpack "
                        "it, or download the weights themselves",
                        path);
    }
    return SDGEN_OK;
}

/* Refuses archives of other programs and of other machines. */
static sdgen_status check_kind(const struct reader *r)
{
    const char *path = r->w->path;
    if (find(r, "constants.pkl"))
        return sdg_fail(r->err, SDGEN_ERR_FORMAT,
                        "%s: is a TorchScript program, not a checkpoint: save its state_dict() as "
                        "safetensors",
                        path);
    const struct sdg_zip_entry *pickle = find(r, "data.pkl"), *order = find(r, "byteorder");
    if (!pickle)
        return sdg_fail(r->err, SDGEN_ERR_FORMAT,
                        "%s: is a zip archive without data.pkl, not one of torch.save: unpack it, "
                        "or download the weights themselves",
                        path);
    for (size_t i = 0; i < r->zip.count; i++) {
        const struct sdg_zip_entry *e = &r->zip.entries[i];
        if (e->method != 0)
            return sdg_fail(r->err, SDGEN_ERR_FORMAT,
                            "%s: %.*s is compressed, which torch.save never does: if this is an "
                            "ordinary archive, unpack it",
                            path, e->name_size < 200 ? (int)e->name_size : 200,
                            (const char *)e->name);
    }
    if (pickle->size > PICKLE_MAX)
        return sdg_fail(r->err, SDGEN_ERR_FORMAT,
                        "%s: data.pkl of %llu bytes is larger than any model's; do not trust it",
                        path, (unsigned long long)pickle->size);
    if (!sdg_zip_crc_is_right(pickle))
        return sdg_fail(r->err, SDGEN_ERR_FORMAT,
                        "%s: data.pkl is not what its checksum says; the file is damaged, download "
                        "it again",
                        path);
    if (order && !(order->size == 6 && memcmp(order->data, "little", 6) == 0))
        return sdg_fail(r->err, SDGEN_ERR_FORMAT,
                        "%s: its numbers are not little-endian (byteorder \"%.*s\"): save it on a "
                        "little-endian machine, or as safetensors",
                        path, order->size < 16 ? (int)order->size : 16, (const char *)order->data);
    return SDGEN_OK;
}

/* The record data/<key> of a storage; its name is decimal. NULL when there is none. */
static const struct sdg_zip_entry *find_record(const struct reader *r,
                                               const struct sdg_pickle_storage *s)
{
    char name[8 + KEY_DIGITS] = "data/";
    if (s->key_size == 0 || s->key_size > KEY_DIGITS) return NULL;
    for (uint32_t i = 0; i < s->key_size; i++)
        if (s->key[i] < '0' || s->key[i] > '9') return NULL;
    memcpy(name + 5, s->key, s->key_size);
    name[5 + s->key_size] = 0;
    return find(r, name);
}

static sdgen_status find_storage(struct sdg_pickle_value *result, struct sdg_pickle_machine *m,
                                 const struct sdg_pickle_value *id)
{
    sdgen_status status;
    struct sdg_pickle_storage s;
    SDG_TRY(sdg_pickle_storage_id(&s, m, id, 5));
    const struct sdg_zip_entry *e = find_record(m->p->user, &s);
    const int shown = s.key_size < 40 ? (int)s.key_size : 40;
    if (!e)
        return sdg_pickle_refuse(m, "storage \"%.*s\" is not in the file; " SDG_PICKLE_DAMAGED,
                                 shown, (const char *)s.key);
    if (s.bytes != e->size)
        return sdg_pickle_refuse(m,
                                 "storage \"%.*s\" should hold %llu elements of %zu bytes, the "
                                 "file has %llu bytes; " SDG_PICKLE_DAMAGED,
                                 shown, (const char *)s.key, (unsigned long long)s.count, s.item,
                                 (unsigned long long)e->size);
    struct sdg_torch_storage *storage = sdg_pool_alloc(&m->p->pool, sizeof *storage);
    if (!storage) return sdg_pickle_no_memory(m);
    *storage =
        (struct sdg_torch_storage) {.data = e->data, .bytes = e->size, .dtype = s.class->dtype};
    *result = (struct sdg_pickle_value) {.kind = SDG_PICKLE_STORAGE, .as.storage = storage};
fail:
    return status;
}

sdgen_status sdg_torchfile_read(struct sdg_weights *w, const uint8_t *data, size_t size,
                                sdgen_error *err)
{
    sdgen_status status;
    struct reader r = {.w = w, .err = err};
    struct sdg_pickle pickle = {
        .path = w->path, .part = "data.pkl", .persistent = find_storage, .user = &r};
    struct sdg_pickle_value top;
    w->form = SDG_FORM_TORCH_ZIP;
    SDG_TRY(sdg_zip_open(&r.zip, w->path, data, size, err));
    SDG_TRY(find_top(&r));
    SDG_TRY(check_kind(&r));
    const struct sdg_zip_entry *e = find(&r, "data.pkl");
    pickle.data = e->data;
    pickle.size = (size_t)e->size;
    SDG_TRY(sdg_pickle_run(&top, &pickle, err));
    SDG_TRY(sdg_torchstate_add(w, &top, pickle.size, size, err));
fail:
    sdg_pool_free(&pickle.pool);
    sdg_zip_close(&r.zip);
    return status;
}
