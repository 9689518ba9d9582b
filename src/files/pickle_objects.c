/* pickle_objects.c - what the pickle machine makes of PyTorch's objects: persistent ids become
 * storages, calls of torch/_utils.py's _rebuild_* functions become tensors, the rest stays inert.
 * Argument lists as in torch/_utils.py, persistent ids as in torch/serialization.py (_save and
 * _legacy_save). */
#define _GNU_SOURCE
#include "files/pickle_machine.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "files/pool.h"

/* Arguments of _rebuild_tensor*, by place. */
enum { ARG_STORAGE, ARG_OFFSET, ARG_SIZE, ARG_STRIDE, ARG_GRAD, ARG_HOOKS, ARG_LATER };

sdgen_status sdg_pickle_refuse(const struct sdg_pickle_machine *m, const char *format, ...)
{
    char what[768];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    return sdg_fail(m->err, SDGEN_ERR_FORMAT, "%s: %s, byte %zu: %s", m->p->path, m->p->part,
                    m->p->base + m->begin, what);
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

/* The view of a storage in the older form: None, or (key, offset, count). */
static bool read_view(const struct sdg_pickle_tuple **view, const struct sdg_pickle_value *v)
{
    *view = NULL;
    if (v->kind == SDG_PICKLE_INERT) return true;
    if (v->kind != SDG_PICKLE_TUPLE || v->as.tuple->count != 3) return false;
    *view = v->as.tuple;
    for (int i = 1; i < 3; i++)
        if ((*view)->items[i].kind != SDG_PICKLE_INT || (*view)->items[i].as.number < 0)
            return false;
    return true;
}

sdgen_status sdg_pickle_storage_id(struct sdg_pickle_storage *s, struct sdg_pickle_machine *m,
                                   const struct sdg_pickle_value *o, uint32_t items)
{
    const struct sdg_pickle_tuple *id = o->kind == SDG_PICKLE_TUPLE ? o->as.tuple : NULL;
    *s = (struct sdg_pickle_storage) {0};
    if (!id || id->count != items || !is_text(&id->items[0], "storage") ||
        !has_role(&id->items[1], SDG_ROLE_STORAGE) || id->items[2].kind != SDG_PICKLE_TEXT ||
        id->items[4].kind != SDG_PICKLE_INT || id->items[4].as.number < 0 ||
        (items > 5 && !read_view(&s->view, &id->items[5])))
        return sdg_pickle_refuse(m, "a persistent id names no storage; " SDG_PICKLE_HOSTILE);
    s->class = id->items[1].as.global;
    s->key = id->items[2].as.text;
    s->key_size = id->items[2].size;
    s->count = (uint64_t)id->items[4].as.number;
    if (s->class->dtype == SDG_TORCH_UNUSABLE) return refuse_type(m, s->class);
    s->item =
        s->class->dtype == SDG_TORCH_UNTYPED ? 1 : sdg_dtype_size((enum sdg_dtype)s->class->dtype);
    if (__builtin_mul_overflow(s->count, s->item, &s->bytes))
        return sdg_pickle_refuse(
            m, "a storage should hold %llu elements of %zu bytes; " SDG_PICKLE_HOSTILE,
            (unsigned long long)s->count, s->item);
    return SDGEN_OK;
}

sdgen_status sdg_pickle_persistent(struct sdg_pickle_value *result, struct sdg_pickle_machine *m,
                                   const struct sdg_pickle_value *o)
{
    if (!m->p->persistent)
        return sdg_pickle_refuse(m, "a persistent id where none can be; " SDG_PICKLE_HOSTILE);
    return m->p->persistent(result, m, o);
}

/* ---- names ---- */

enum { SHOWN = 100, AHEAD = 65536 };

/* Whether what follows fills in an object as modules are: the key "_parameters" of a dict. */
static bool is_module_ahead(const struct sdg_pickle_machine *m)
{
    static const char key[] = "_parameters";
    const size_t left = m->p->size - m->at;
    return memmem(m->p->data + m->at, left < AHEAD ? left : AHEAD, key, sizeof key - 1) != NULL;
}

static bool starts_with(const struct sdg_pickle_value *text, const char *prefix)
{
    return text->size >= strlen(prefix) && memcmp(text->as.text, prefix, strlen(prefix)) == 0;
}

#define TEXT(v) (int)((v)->size < SHOWN ? (v)->size : SHOWN), (const char *)(v)->as.text

sdgen_status sdg_pickle_refuse_global(const struct sdg_pickle_machine *m,
                                      const struct sdg_pickle_value *module,
                                      const struct sdg_pickle_value *name)
{
    const bool persistent = m->count > 0 && is_text(&m->stack[m->count - 1], "module");
    if (persistent || starts_with(module, "torch.nn.") || is_module_ahead(m))
        return sdg_pickle_refuse(m,
                                 "it is a whole module (%.*s.%.*s), not its weights: save its "
                                 "state_dict() as safetensors",
                                 TEXT(module), TEXT(name));
    return sdg_pickle_refuse(m,
                             "it refers to %.*s.%.*s, which weights do not need; nothing was "
                             "run. Get them as safetensors; if you trust the file, PyTorch can "
                             "save it anew",
                             TEXT(module), TEXT(name));
}

sdgen_status sdg_pickle_stack_global(struct sdg_pickle_value *result, struct sdg_pickle_machine *m,
                                     const struct sdg_pickle_value *o)
{
    if (o[0].kind != SDG_PICKLE_TEXT || o[1].kind != SDG_PICKLE_TEXT)
        return sdg_pickle_refuse(m, "a name that is no text; " SDG_PICKLE_HOSTILE);
    const struct sdg_pickle_global *global =
        sdg_pickle_global_find(o[0].as.text, o[0].size, o[1].as.text, o[1].size);
    if (!global) return sdg_pickle_refuse_global(m, &o[0], &o[1]);
    *result = (struct sdg_pickle_value) {.kind = SDG_PICKLE_GLOBAL, .as.global = global};
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

/* A dict without arguments or of a type (defaultdict(list)), of another dict (Counter({...})), or,
 * as Python 2 writes OrderedDict, of a list of pairs, which are lists themselves. */
static sdgen_status make_dict(struct sdg_pickle_value *result, struct sdg_pickle_machine *m,
                              const struct sdg_pickle_tuple *args)
{
    const struct sdg_pickle_value *v = args->items;
    sdgen_status status;
    if (args->count == 1 && v->kind == SDG_PICKLE_DICT) {
        *result = *v;
        return SDGEN_OK;
    }
    if (args->count == 1 && v->kind == SDG_PICKLE_GLOBAL) return sdg_pickle_new_dict(result, m);
    if (args->count > 1 || (args->count == 1 && v->kind != SDG_PICKLE_LIST))
        return sdg_pickle_refuse(m, "a dict of what it does not take; " SDG_PICKLE_HOSTILE);
    SDG_TRY(sdg_pickle_new_dict(result, m));
    for (size_t i = 0; args->count && i < v->as.list->count; i++) {
        const struct sdg_pickle_value *item = &v->as.list->items[i], *pair = NULL;
        if (item->kind == SDG_PICKLE_LIST && item->as.list->count == 2) pair = item->as.list->items;
        if (item->kind == SDG_PICKLE_TUPLE && item->as.tuple->count == 2)
            pair = item->as.tuple->items;
        if (!pair) return sdg_pickle_refuse(m, "a dict of what are no pairs; " SDG_PICKLE_HOSTILE);
        SDG_TRY(sdg_pickle_set_item(result->as.dict, m, pair));
    }
fail:
    return status;
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
    case SDG_ROLE_DICT: return make_dict(result, m, args);
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
    if (has_role(&o[0], SDG_ROLE_WRAPPER)) return sdg_pickle_reduce(result, m, o);
    if (has_role(&o[0], SDG_ROLE_DICT) && o[1].kind == SDG_PICKLE_TUPLE &&
        o[1].as.tuple->count == 0)
        return sdg_pickle_new_dict(result, m);
    return sdg_pickle_refuse(m, "an object of what is no class; " SDG_PICKLE_HOSTILE);
}

/* (requires_grad, volatile or None, hooks): what PyTorch before 0.4 kept of a Parameter beside its
 * numbers. Longer ones would replace the numbers (torch/_tensor.py, __setstate__). */
static bool is_flags(const struct sdg_pickle_value *state)
{
    if (state->kind != SDG_PICKLE_TUPLE || state->as.tuple->count != 3) return false;
    for (uint32_t i = 0; i < 3; i++) {
        const enum sdg_pickle_kind kind = state->as.tuple->items[i].kind;
        if (kind != SDG_PICKLE_INERT && kind != SDG_PICKLE_BOOL && kind != SDG_PICKLE_DICT)
            return false;
    }
    return true;
}

/* The state of a dict is its attributes (a module's version numbers in "_metadata"); they and those
 * of inert objects mean nothing here. */
sdgen_status sdg_pickle_build(struct sdg_pickle_value *result, struct sdg_pickle_machine *m,
                              const struct sdg_pickle_value *o)
{
    if (o[0].kind != SDG_PICKLE_DICT && o[0].kind != SDG_PICKLE_INERT &&
        !(o[0].kind == SDG_PICKLE_TENSOR && is_flags(&o[1])))
        return sdg_pickle_refuse(m, "a state for what has none; " SDG_PICKLE_HOSTILE);
    *result = o[0];
    return SDGEN_OK;
}
