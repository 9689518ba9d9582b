/* pickle_objects.c - what the pickle machine makes of PyTorch's objects: persistent ids become
 * storages, calls of torch/_utils.py's _rebuild_* functions become tensors, the rest stays inert.
 * Argument lists as in torch/_utils.py, persistent ids as in torch/serialization.py (save, the
 * zip form). */
#include "weights/pickle_machine.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "weights/pool.h"

/* Arguments of _rebuild_tensor*, by place. */
enum { ARG_STORAGE, ARG_OFFSET, ARG_SIZE, ARG_STRIDE, ARG_GRAD, ARG_HOOKS, ARG_LATER };

sdgen_status sdg_pickle_refuse(const struct sdg_pickle_machine *m, const char *format, ...)
{
    char what[768];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    return sdg_fail(m->err, SDGEN_ERR_FORMAT, "%s: data.pkl, byte %zu: %s", m->p->path, m->begin,
                    what);
}

sdgen_status sdg_pickle_no_memory(const struct sdg_pickle_machine *m)
{
    return sdg_fail(m->err, SDGEN_ERR_MEMORY, "%s: not enough memory to read it", m->p->path);
}

static bool is_text(const struct sdg_pickle_value *v, const char *wanted)
{
    return v->kind == SDG_PICKLE_TEXT && v->size == strlen(wanted) &&
           memcmp(v->as.text, wanted, v->size) == 0;
}

static bool has_role(const struct sdg_pickle_value *v, enum sdg_pickle_role role)
{
    return v->kind == SDG_PICKLE_GLOBAL && v->as.global->role == role;
}

static sdgen_status refuse_type(const struct sdg_pickle_machine *m,
                                const struct sdg_pickle_global *g)
{
    return sdg_pickle_refuse(m, "numbers of type %s.%s cannot be used; save it as float16",
                             g->module, g->name);
}

/* ('storage', class, key, location, count): count elements, or bytes of an untyped storage. */
sdgen_status sdg_pickle_persistent(struct sdg_pickle_value *result, struct sdg_pickle_machine *m,
                                   const struct sdg_pickle_value *o)
{
    const struct sdg_pickle_tuple *id = o[0].kind == SDG_PICKLE_TUPLE ? o[0].as.tuple : NULL;
    uint64_t bytes, wanted;
    if (!id || id->count != 5 || !is_text(&id->items[0], "storage") ||
        !has_role(&id->items[1], SDG_ROLE_STORAGE) || id->items[2].kind != SDG_PICKLE_TEXT ||
        id->items[4].kind != SDG_PICKLE_INT || id->items[4].as.number < 0)
        return sdg_pickle_refuse(m, "a persistent id names no storage; " SDG_PICKLE_HOSTILE);
    const struct sdg_pickle_global *class = id->items[1].as.global;
    const struct sdg_pickle_value *key = &id->items[2];
    if (class->dtype == SDG_TORCH_UNUSABLE) return refuse_type(m, class);
    const uint8_t *data = m->p->find(m->p->user, &bytes, key->as.text, key->size);
    if (!data)
        return sdg_pickle_refuse(m, "storage \"%.*s\" is not in the file; " SDG_PICKLE_DAMAGED,
                                 key->size < 40 ? (int)key->size : 40, (const char *)key->as.text);
    const size_t item =
        class->dtype == SDG_TORCH_UNTYPED ? 1 : sdg_dtype_size((enum sdg_dtype) class->dtype);
    if (__builtin_mul_overflow((uint64_t)id->items[4].as.number, item, &wanted) || wanted != bytes)
        return sdg_pickle_refuse(m,
                                 "storage \"%.*s\" should hold %lld elements of %zu bytes, the "
                                 "file has %llu bytes; " SDG_PICKLE_DAMAGED,
                                 key->size < 40 ? (int)key->size : 40, (const char *)key->as.text,
                                 (long long)id->items[4].as.number, item,
                                 (unsigned long long)bytes);
    struct sdg_torch_storage *s = sdg_pool_alloc(&m->p->pool, sizeof *s);
    if (!s) return sdg_pickle_no_memory(m);
    *s = (struct sdg_torch_storage) {.data = data, .bytes = bytes, .dtype = class->dtype};
    *result = (struct sdg_pickle_value) {.kind = SDG_PICKLE_STORAGE, .as.storage = s};
    return SDGEN_OK;
}

/* ---- tensors ---- */

/* A tuple of whole numbers into out; false when it is none. */
static bool read_numbers(int64_t out[SDG_MAX_DIMS], const struct sdg_pickle_tuple *t)
{
    for (uint32_t i = 0; i < t->count; i++) {
        if (t->items[i].kind != SDG_PICKLE_INT) return false;
        out[i] = t->items[i].as.number;
    }
    return true;
}

/* Type of the tensor: that of its storage, or (_rebuild_tensor_v3) the seventh argument. */
static sdgen_status read_type(struct sdg_torch_tensor *t, const struct sdg_pickle_machine *m,
                              const struct sdg_pickle_tuple *args)
{
    const int storage = args->items[ARG_STORAGE].as.storage->dtype;
    const struct sdg_pickle_value *later = args->count > ARG_LATER ? &args->items[ARG_LATER] : NULL;
    if (later && has_role(later, SDG_ROLE_DTYPE)) {
        const struct sdg_pickle_global *g = later->as.global;
        if (g->dtype == SDG_TORCH_UNUSABLE) return refuse_type(m, g);
        if (storage != SDG_TORCH_UNTYPED && storage != g->dtype)
            return sdg_pickle_refuse(m, "a tensor has two types; " SDG_PICKLE_HOSTILE);
        t->dtype = (enum sdg_dtype)g->dtype;
        return SDGEN_OK;
    }
    if (storage == SDG_TORCH_UNTYPED)
        return sdg_pickle_refuse(m, "a tensor has no type; " SDG_PICKLE_HOSTILE);
    t->dtype = (enum sdg_dtype)storage;
    return SDGEN_OK;
}

/* The last arguments may hold a dict of bits that change what the numbers mean ("neg", "conj"). */
static bool has_math_bits(const struct sdg_pickle_tuple *args)
{
    for (uint32_t i = ARG_LATER; i < args->count; i++) {
        const struct sdg_pickle_value *v = &args->items[i];
        if (v->kind == SDG_PICKLE_DICT && v->as.dict->count + v->as.dict->others > 0) return true;
    }
    return false;
}

/* _rebuild_tensor(storage, offset, size, stride), _v2(..., requires_grad, hooks[, metadata]),
 * _v3(..., requires_grad, hooks, dtype[, metadata]). */
static sdgen_status rebuild(struct sdg_pickle_value *result, struct sdg_pickle_machine *m,
                            const struct sdg_pickle_tuple *args)
{
    sdgen_status status;
    struct sdg_torch_tensor t = {0};
    const struct sdg_pickle_value *v = args->items;
    if (args->count <= ARG_STRIDE || args->count > ARG_LATER + 2 ||
        v[ARG_STORAGE].kind != SDG_PICKLE_STORAGE || v[ARG_OFFSET].kind != SDG_PICKLE_INT ||
        v[ARG_SIZE].kind != SDG_PICKLE_TUPLE || v[ARG_STRIDE].kind != SDG_PICKLE_TUPLE ||
        v[ARG_SIZE].as.tuple->count != v[ARG_STRIDE].as.tuple->count)
        return sdg_pickle_refuse(m, "a tensor is described wrongly; " SDG_PICKLE_HOSTILE);
    if (v[ARG_SIZE].as.tuple->count > SDG_MAX_DIMS)
        return sdg_pickle_refuse(m,
                                 "a tensor of more than %d dimensions, which no model sdgen knows "
                                 "needs",
                                 SDG_MAX_DIMS);
    if (!read_numbers(t.shape, v[ARG_SIZE].as.tuple) ||
        !read_numbers(t.stride, v[ARG_STRIDE].as.tuple))
        return sdg_pickle_refuse(m, "a tensor's size is no number; " SDG_PICKLE_HOSTILE);
    if (has_math_bits(args))
        return sdg_pickle_refuse(m, "a tensor is stored negated or conjugated; save a copy of it");
    t.rank = (int)v[ARG_SIZE].as.tuple->count;
    SDG_TRY(read_type(&t, m, args));
    const char *problem = sdg_torch_window(&t, v[ARG_STORAGE].as.storage, v[ARG_OFFSET].as.number);
    if (problem) return sdg_pickle_refuse(m, "%s; " SDG_PICKLE_HOSTILE, problem);
    struct sdg_torch_tensor *copy = sdg_pool_alloc(&m->p->pool, sizeof *copy);
    if (!copy) return sdg_pickle_no_memory(m);
    *copy = t;
    *result = (struct sdg_pickle_value) {.kind = SDG_PICKLE_TENSOR, .as.tensor = copy};
fail:
    return status;
}

/* _rebuild_from_type_v2(function, type, arguments, state): a tensor with attributes of its own. */
static sdgen_status rebuild_typed(struct sdg_pickle_value *result, struct sdg_pickle_machine *m,
                                  const struct sdg_pickle_tuple *args)
{
    if (args->count < 3 || !has_role(&args->items[0], SDG_ROLE_TENSOR) ||
        args->items[2].kind != SDG_PICKLE_TUPLE)
        return sdg_pickle_refuse(m, "a tensor of an own type; save plain tensors");
    return rebuild(result, m, args->items[2].as.tuple);
}

/* ---- the operations ---- */

sdgen_status sdg_pickle_reduce(struct sdg_pickle_value *result, struct sdg_pickle_machine *m,
                               const struct sdg_pickle_value *o)
{
    if (o[0].kind != SDG_PICKLE_GLOBAL || o[1].kind != SDG_PICKLE_TUPLE)
        return sdg_pickle_refuse(m, "a call of what is no function; " SDG_PICKLE_HOSTILE);
    const struct sdg_pickle_global *g = o[0].as.global;
    const struct sdg_pickle_tuple *args = o[1].as.tuple;
    switch (g->role) {
    case SDG_ROLE_INERT: return SDGEN_OK;
    case SDG_ROLE_DICT:
        if (args->count == 1 && args->items[0].kind == SDG_PICKLE_DICT) { /* Counter({...}) */
            *result = args->items[0];
            return SDGEN_OK;
        }
        if (args->count > 0)
            return sdg_pickle_refuse(m, "a dict made from a list, as Python 2 writes it; get it "
                                        "as safetensors");
        return sdg_pickle_new_dict(result, m);
    case SDG_ROLE_TENSOR: return rebuild(result, m, args);
    case SDG_ROLE_TYPED: return rebuild_typed(result, m, args);
    case SDG_ROLE_SIZE:
    case SDG_ROLE_WRAPPER:
        if (args->count < 1 ||
            args->items[0].kind !=
                (g->role == SDG_ROLE_SIZE ? SDG_PICKLE_TUPLE : SDG_PICKLE_TENSOR))
            break;
        *result = args->items[0];
        return SDGEN_OK;
    case SDG_ROLE_REFUSED: return sdg_pickle_refuse(m, "%s; save plain tensors", g->reason);
    case SDG_ROLE_STORAGE:
    case SDG_ROLE_DTYPE: break;
    }
    return sdg_pickle_refuse(m, "%s.%s is called with what it does not take; " SDG_PICKLE_HOSTILE,
                             g->module, g->name);
}

sdgen_status sdg_pickle_new_object(struct sdg_pickle_value *result, struct sdg_pickle_machine *m,
                                   const struct sdg_pickle_value *o)
{
    if (has_role(&o[0], SDG_ROLE_INERT) && o[1].kind == SDG_PICKLE_TUPLE) return SDGEN_OK;
    if (has_role(&o[0], SDG_ROLE_DICT) && o[1].kind == SDG_PICKLE_TUPLE &&
        o[1].as.tuple->count == 0)
        return sdg_pickle_new_dict(result, m);
    return sdg_pickle_refuse(m, "an object of what is no class; " SDG_PICKLE_HOSTILE);
}

/* The state of a dict is its attributes (a module's version numbers in "_metadata"); they and those
 * of inert objects mean nothing here. */
sdgen_status sdg_pickle_build(struct sdg_pickle_value *result, struct sdg_pickle_machine *m,
                              const struct sdg_pickle_value *o)
{
    if (o[0].kind != SDG_PICKLE_DICT && o[0].kind != SDG_PICKLE_INERT)
        return sdg_pickle_refuse(m, "a state for what has none; " SDG_PICKLE_HOSTILE);
    *result = o[0];
    return SDGEN_OK;
}
