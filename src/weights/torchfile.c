/* torchfile.c - checkpoints of torch.save (PyTorch 1.6 and later): a zip archive with a pickle,
 * which says what tensors there are, and one entry per storage, which holds their numbers.
 *
 * Sources: torch/serialization.py (save, load) for the entries; the weights are looked for as
 * diffusers (loaders/single_file_utils.py, load_state_dict) and ComfyUI (comfy/utils.py,
 * load_torch_file) do. Tensors are views into the file; only those that do not lie in C order are
 * copied. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "weights/pickle.h"
#include "weights/pool.h"
#include "weights/read.h"
#include "base/utf8.h"
#include "weights/zip.h"

enum {
    NAME_SIZE = 1200,       /* a top folder and what torch.save puts below it */
    KEY_DIGITS = 20,        /* of a storage's name */
    PICKLE_MAX = 64 << 20,  /* bytes; those of real models are below two million */
    NESTED_MAX = 8,         /* dicts in dicts around the weights */
    COPIED_FLOOR = 16 << 20 /* bytes that may be copied out of any file */
};

struct reader {
    struct sdg_weights *w;
    sdgen_error *err;
    struct sdg_zip zip;
    const char *top; /* name of the folder, not NUL-terminated */
    int top_size;
    uint64_t copied, copied_max;
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
    if (order && !(order->size == 6 && memcmp(order->data, "little", 6) == 0))
        return sdg_fail(r->err, SDGEN_ERR_FORMAT,
                        "%s: its numbers are not little-endian (byteorder \"%.*s\"): save it on a "
                        "little-endian machine, or as safetensors",
                        path, order->size < 16 ? (int)order->size : 16, (const char *)order->data);
    return SDGEN_OK;
}

/* The record data/<key>; its name is decimal. */
static const uint8_t *find_storage(void *user, uint64_t *size, const uint8_t *key, size_t key_size)
{
    char name[8 + KEY_DIGITS] = "data/";
    if (key_size == 0 || key_size > KEY_DIGITS) return NULL;
    for (size_t i = 0; i < key_size; i++)
        if (key[i] < '0' || key[i] > '9') return NULL;
    memcpy(name + 5, key, key_size);
    name[5 + key_size] = 0;
    const struct sdg_zip_entry *e = find(user, name);
    *size = e ? e->size : 0;
    return e ? e->data : NULL;
}

/* ---- the weights among the values ---- */

/* The value of a text key in a dict; the last one set counts. */
static const struct sdg_pickle_value *lookup(const struct sdg_pickle_dict *d, const char *key)
{
    for (size_t i = d->count; i-- > 0;) {
        const struct sdg_pickle_value *k = &d->pairs[i].key;
        if (k->size == strlen(key) && memcmp(k->as.text, key, k->size) == 0)
            return &d->pairs[i].value;
    }
    return NULL;
}

/* Goes down from the outermost dict: into "state_dict" where there is one, into the only value of a
 * dict that holds nothing else. */
static sdgen_status find_state(const struct sdg_pickle_dict **state, const struct reader *r,
                               const struct sdg_pickle_value *top)
{
    const struct sdg_pickle_value *v = top;
    if (v->kind != SDG_PICKLE_DICT)
        return sdg_fail(r->err, SDGEN_ERR_FORMAT,
                        "%s: holds %s, not named tensors: save a state_dict", r->w->path,
                        v->kind == SDG_PICKLE_TENSOR ? "a single tensor"
                        : v->kind == SDG_PICKLE_LIST || v->kind == SDG_PICKLE_TUPLE ? "a list"
                                                                                    : "an object");
    for (int i = 0; i < NESTED_MAX; i++) {
        const struct sdg_pickle_dict *d = v->as.dict;
        const struct sdg_pickle_value *inner = lookup(d, "state_dict");
        if (!inner && d->count == 1 && d->others == 0) inner = &d->pairs[0].value;
        if (!inner || inner->kind != SDG_PICKLE_DICT) {
            *state = d;
            return SDGEN_OK;
        }
        v = inner;
    }
    return sdg_fail(r->err, SDGEN_ERR_FORMAT,
                    "%s: the weights are nested more than %d dicts deep; do not trust it",
                    r->w->path, NESTED_MAX);
}

/* Numbers in C order: in the file if they lie there so, else a copy that w owns. */
static sdgen_status place(struct sdg_entry *e, struct reader *r, const struct sdg_torch_tensor *t)
{
    struct sdg_tensor *y = &e->tensor;
    size_t bytes = 0;
    y->data = t->data;
    y->dtype = t->dtype;
    y->rank = t->rank;
    memcpy(y->shape, t->shape, sizeof t->shape);
    if (sdg_torch_contiguous(t)) return SDGEN_OK;
    if (!sdg_shape_bytes(&bytes, t->shape, t->rank, sdg_dtype_size(t->dtype)) ||
        bytes > r->copied_max - r->copied) {
        char shape[96];
        return sdg_fail(r->err, SDGEN_ERR_FORMAT,
                        "%s: tensor %.200s: %s spread out takes more memory than the file holds "
                        "numbers; save it with contiguous()",
                        r->w->path, e->name,
                        sdg_shape_text(shape, sizeof shape, t->shape, t->rank));
    }
    r->copied += bytes;
    void *copy = sdg_pool_alloc(&r->w->owned, bytes);
    if (!copy) return sdg_weights_no_memory(r->w, r->err);
    sdg_torch_gather(copy, t);
    y->data = copy;
    return SDGEN_OK;
}

static sdgen_status add_tensors(struct reader *r, const struct sdg_pickle_dict *state,
                                size_t pickle_size)
{
    sdgen_status status;
    size_t names = 0;
    for (size_t i = 0; i < state->count; i++) {
        const struct sdg_pickle_value *key = &state->pairs[i].key, *v = &state->pairs[i].value;
        struct sdg_entry *e;
        char *name;
        if (v->kind != SDG_PICKLE_TENSOR) continue;
        if (!sdg_utf8_is_name(key->as.text, key->size))
            return sdg_fail(r->err, SDGEN_ERR_FORMAT,
                            "%s: a tensor's name is not UTF-8 text; the file is damaged, download "
                            "it again",
                            r->w->path);
        names += key->size;
        if (names > pickle_size) /* one long text as the name of many */
            return sdg_fail(r->err, SDGEN_ERR_FORMAT,
                            "%s: tensor %.*s is there twice; do not trust the file", r->w->path,
                            key->size < 200 ? (int)key->size : 200, (const char *)key->as.text);
        SDG_TRY(sdg_weights_add(&e, &name, r->w, key->size, r->err));
        memcpy(name, key->as.text, key->size);
        SDG_TRY(place(e, r, v->as.tensor));
    }
    if (r->w->count == 0)
        return sdg_fail(r->err, SDGEN_ERR_FORMAT,
                        "%s: holds no tensors where weights are, at the top or in \"state_dict\"",
                        r->w->path);
    status = SDGEN_OK;
fail:
    return status;
}

sdgen_status sdg_torchfile_read(struct sdg_weights *w, const uint8_t *data, size_t size,
                                sdgen_error *err)
{
    sdgen_status status;
    struct reader r = {.w = w, .err = err, .copied_max = size > COPIED_FLOOR ? size : COPIED_FLOOR};
    struct sdg_pickle pickle = {.path = w->path, .find = find_storage, .user = &r};
    struct sdg_pickle_value top;
    const struct sdg_pickle_dict *state = NULL;
    w->form = SDG_FORM_TORCH_ZIP;
    SDG_TRY(sdg_zip_open(&r.zip, w->path, data, size, err));
    SDG_TRY(find_top(&r));
    SDG_TRY(check_kind(&r));
    const struct sdg_zip_entry *e = find(&r, "data.pkl");
    pickle.data = e->data;
    pickle.size = (size_t)e->size;
    SDG_TRY(sdg_pickle_run(&top, &pickle, err));
    SDG_TRY(find_state(&state, &r, &top));
    SDG_TRY(add_tensors(&r, state, pickle.size));
fail:
    sdg_pool_free(&pickle.pool);
    sdg_zip_close(&r.zip);
    return status;
}
