/* torchstate.c - see torchstate.h. The weights are looked for as diffusers
 * (loaders/single_file_utils.py, load_state_dict) and ComfyUI (comfy/utils.py, load_torch_file)
 * do. */
#include "files/torchstate.h"

#include <string.h>

#include "base/utf8.h"
#include "files/pool.h"
#include "files/read.h"

enum {
    NESTED_MAX = 8,         /* dicts in dicts around the weights */
    COPIED_FLOOR = 16 << 20 /* bytes that may be copied out of any file */
};

struct adder {
    struct sdg_weights *w;
    sdgen_error *err;
    uint64_t copied, copied_max;
};

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
static sdgen_status find_state(const struct sdg_pickle_dict **state, const struct adder *a,
                               const struct sdg_pickle_value *top)
{
    const struct sdg_pickle_value *v = top;
    if (v->kind != SDG_PICKLE_DICT)
        return sdg_fail(a->err, SDGEN_ERR_FORMAT,
                        "%s: holds %s, not named tensors: save a state_dict", a->w->path,
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
    return sdg_fail(a->err, SDGEN_ERR_FORMAT,
                    "%s: the weights are nested more than %d dicts deep; do not trust it",
                    a->w->path, NESTED_MAX);
}

/* Numbers in C order: in the file if they lie there so, else a copy that w owns. */
static sdgen_status place(struct sdg_entry *e, struct adder *a, const struct sdg_torch_tensor *t)
{
    struct sdg_tensor *y = &e->tensor;
    size_t bytes = 0;
    y->data = sdg_torch_data(t);
    y->dtype = t->dtype;
    y->rank = t->rank;
    memcpy(y->shape, t->shape, sizeof t->shape);
    if (sdg_torch_contiguous(t)) return SDGEN_OK;
    if (!sdg_shape_bytes(&bytes, t->shape, t->rank, sdg_dtype_size(t->dtype)) ||
        bytes > a->copied_max - a->copied) {
        char shape[96];
        return sdg_fail(a->err, SDGEN_ERR_FORMAT,
                        "%s: tensor %.200s: %s spread out takes more memory than the file holds "
                        "numbers; save it with contiguous()",
                        a->w->path, e->name,
                        sdg_shape_text(shape, sizeof shape, t->shape, t->rank));
    }
    a->copied += bytes;
    void *copy = sdg_pool_alloc(&a->w->owned, bytes);
    if (!copy) return sdg_weights_no_memory(a->w, a->err);
    sdg_torch_gather(copy, t);
    y->data = copy;
    return SDGEN_OK;
}

static sdgen_status add_tensors(struct adder *a, const struct sdg_pickle_dict *state,
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
            return sdg_fail(a->err, SDGEN_ERR_FORMAT,
                            "%s: a tensor's name is not UTF-8 text; the file is damaged, download "
                            "it again",
                            a->w->path);
        names += key->size;
        if (names > pickle_size) /* one long text as the name of many */
            return sdg_fail(a->err, SDGEN_ERR_FORMAT,
                            "%s: tensor %.*s is there twice; do not trust the file", a->w->path,
                            key->size < 200 ? (int)key->size : 200, (const char *)key->as.text);
        SDG_TRY(sdg_weights_add(&e, &name, a->w, key->size, a->err));
        memcpy(name, key->as.text, key->size);
        SDG_TRY(place(e, a, v->as.tensor));
    }
    if (a->w->count == 0)
        return sdg_fail(a->err, SDGEN_ERR_FORMAT,
                        "%s: holds no tensors where weights are, at the top or in \"state_dict\"",
                        a->w->path);
    status = SDGEN_OK;
fail:
    return status;
}

sdgen_status sdg_torchstate_add(struct sdg_weights *w, const struct sdg_pickle_value *top,
                                size_t pickle_size, size_t file_size, sdgen_error *err)
{
    sdgen_status status;
    const struct sdg_pickle_dict *state = NULL;
    struct adder a = {
        .w = w, .err = err, .copied_max = file_size > COPIED_FLOOR ? file_size : COPIED_FLOOR};
    SDG_TRY(find_state(&state, &a, top));
    SDG_TRY(add_tensors(&a, state, pickle_size));
fail:
    return status;
}
