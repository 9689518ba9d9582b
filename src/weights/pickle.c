/* pickle.c - see pickle.h: the stack machine. Operations: CPython Lib/pickletools.py; the subset
 * and what may be done with each value: torch/_weights_only_unpickler.py. */
#include "weights/pickle.h"

#include <string.h>

#include "weights/pickle_machine.h"

enum {
    OPERATIONS_MAX = 2000000,
    GLOBAL_MAX = 256 /* characters of a module or name */
};

/* Operations by their code in the file. */
enum operation {
    PROTO = 0x80,
    STOP = '.',
    MARK = '(',
    TUPLE = 't',
    EMPTY_TUPLE = ')',
    TUPLE1 = 0x85,
    TUPLE2 = 0x86,
    TUPLE3 = 0x87,
    EMPTY_LIST = ']',
    APPEND = 'a',
    APPENDS = 'e',
    EMPTY_DICT = '}',
    EMPTY_SET = 0x8f,
    SETITEM = 's',
    SETITEMS = 'u',
    NONE = 'N',
    NEWTRUE = 0x88,
    NEWFALSE = 0x89,
    BININT = 'J',
    BININT1 = 'K',
    BININT2 = 'M',
    LONG1 = 0x8a,
    BINFLOAT = 'G',
    BINUNICODE = 'X',
    SHORT_BINSTRING = 'U',
    BINPUT = 'q',
    LONG_BINPUT = 'r',
    BINGET = 'h',
    LONG_BINGET = 'j',
    GLOBAL = 'c',
    BINPERSID = 'Q',
    REDUCE = 'R',
    NEWOBJ = 0x81,
    BUILD = 'b'
};

/* Names of operations that are refused, for the message. */
static const struct {
    uint8_t code;
    const char *name;
} refused_operations[] = {
    {'i', "INST"},
    {'o', "OBJ"},
    {0x93, "STACK_GLOBAL"},
    {0x92, "NEWOBJ_EX"},
    {0x82, "EXT1"},
    {0x83, "EXT2"},
    {0x84, "EXT4"},
    {'P', "PERSID"},
    {0x94, "MEMOIZE"},
    {0x95, "FRAME"},
    {'p', "PUT"},
    {'g', "GET"},
    {'0', "POP"},
    {'1', "POP_MARK"},
    {'2', "DUP"},
    {'d', "DICT"},
    {'l', "LIST"},
    {'I', "INT"},
    {'L', "LONG"},
    {'F', "FLOAT"},
    {'S', "STRING"},
    {'T', "BINSTRING"},
    {'V', "UNICODE"},
    {'B', "BINBYTES"},
    {'C', "SHORT_BINBYTES"},
    {0x8b, "LONG4"},
    {0x8c, "SHORT_BINUNICODE"},
    {0x8d, "BINUNICODE8"},
    {0x8e, "BINBYTES8"},
    {0x90, "ADDITEMS"},
    {0x91, "FROZENSET"},
    {0x96, "BYTEARRAY8"},
    {0x97, "NEXT_BUFFER"},
    {0x98, "READONLY_BUFFER"},
};

static const struct sdg_pickle_value inert = {.kind = SDG_PICKLE_INERT};

/* ---- reading ---- */

/* The next `size` bytes of the pickle. */
static sdgen_status take(const uint8_t **bytes, struct sdg_pickle_machine *m, uint64_t size)
{
    if (size > m->p->size - m->at)
        return sdg_pickle_refuse(m, "it ends too early; " SDG_PICKLE_DAMAGED);
    *bytes = m->p->data + m->at;
    m->at += size;
    return SDGEN_OK;
}

/* A little-endian number of size bytes. */
static sdgen_status take_number(uint64_t *number, struct sdg_pickle_machine *m, size_t size)
{
    const uint8_t *bytes = NULL;
    const sdgen_status status = take(&bytes, m, size);
    *number = 0;
    if (status != SDGEN_OK) return status;
    for (size_t i = size; i-- > 0;) *number = *number << 8 | bytes[i];
    return SDGEN_OK;
}

/* The characters before the next newline. */
static sdgen_status take_line(const uint8_t **line, size_t *size, struct sdg_pickle_machine *m)
{
    const size_t room = m->p->size - m->at < GLOBAL_MAX + 1 ? m->p->size - m->at : GLOBAL_MAX + 1;
    const uint8_t *end = room ? memchr(m->p->data + m->at, '\n', room) : NULL;
    if (!end) return sdg_pickle_refuse(m, "a name has no end; " SDG_PICKLE_DAMAGED);
    *line = m->p->data + m->at;
    *size = (size_t)(end - *line);
    m->at += *size + 1;
    return SDGEN_OK;
}

/* ---- scalars ---- */

static sdgen_status push_number(struct sdg_pickle_machine *m, enum sdg_pickle_kind kind,
                                int64_t number)
{
    return sdg_pickle_push(m, (struct sdg_pickle_value) {.kind = kind, .as.number = number});
}

static sdgen_status push_int(struct sdg_pickle_machine *m, size_t bytes)
{
    uint64_t n;
    const sdgen_status status = take_number(&n, m, bytes);
    if (status != SDGEN_OK) return status;
    return push_number(m, SDG_PICKLE_INT, bytes == 4 ? (int32_t)(uint32_t)n : (int64_t)n);
}

/* Two's complement of a length that the file gives. */
static sdgen_status push_long(struct sdg_pickle_machine *m)
{
    uint64_t length, n;
    sdgen_status status;
    SDG_TRY(take_number(&length, m, 1));
    if (length > 8)
        return sdg_pickle_refuse(m, "a number of %u bytes; " SDG_PICKLE_HOSTILE, (unsigned)length);
    SDG_TRY(take_number(&n, m, length));
    if (length > 0 && length < 8 && n >> (8 * length - 1)) n |= UINT64_MAX << 8 * length;
    return push_number(m, SDG_PICKLE_INT, (int64_t)n);
fail:
    return status;
}

static sdgen_status push_float(struct sdg_pickle_machine *m)
{
    const uint8_t *bytes = NULL;
    const sdgen_status status = take(&bytes, m, 8);
    return status == SDGEN_OK ? sdg_pickle_push(m, inert) : status;
}

static sdgen_status push_text(struct sdg_pickle_machine *m, size_t length_bytes)
{
    uint64_t length;
    const uint8_t *text = NULL;
    sdgen_status status;
    SDG_TRY(take_number(&length, m, length_bytes));
    SDG_TRY(take(&text, m, length));
    return sdg_pickle_push(m, (struct sdg_pickle_value) {.kind = SDG_PICKLE_TEXT,
                                                         .size = (uint32_t)length,
                                                         .as.text = text});
fail:
    return status;
}

/* ---- operations with operands ---- */

/* The memo's operations carry the id of a value. */
static sdgen_status with_id(struct sdg_pickle_machine *m, size_t id_bytes,
                            sdgen_status (*use)(struct sdg_pickle_machine *, uint64_t))
{
    uint64_t id = 0;
    const sdgen_status status = take_number(&id, m, id_bytes);
    return status == SDGEN_OK ? use(m, id) : status;
}

static sdgen_status push_global(struct sdg_pickle_machine *m)
{
    const uint8_t *module = NULL, *name = NULL;
    size_t module_size = 0, name_size = 0;
    sdgen_status status;
    SDG_TRY(take_line(&module, &module_size, m));
    SDG_TRY(take_line(&name, &name_size, m));
    const struct sdg_pickle_global *global =
        sdg_pickle_global_find(module, module_size, name, name_size);
    if (!global && module_size > 9 && memcmp(module, "torch.nn.", 9) == 0)
        return sdg_pickle_refuse(m,
                                 "it is a whole module (%.*s.%.*s), not its weights: save its "
                                 "state_dict() as safetensors",
                                 (int)module_size, (const char *)module, (int)name_size,
                                 (const char *)name);
    if (!global)
        return sdg_pickle_refuse(m,
                                 "it refers to %.*s.%.*s, which weights do not need; nothing was "
                                 "run. Get them as safetensors; if you trust the file, PyTorch "
                                 "can save it anew",
                                 (int)module_size, (const char *)module, (int)name_size,
                                 (const char *)name);
    return sdg_pickle_push(
        m, (struct sdg_pickle_value) {.kind = SDG_PICKLE_GLOBAL, .as.global = global});
fail:
    return status;
}

/* Takes `n` operands off the stack, gives where they were, and pushes what becomes of them. */
static sdgen_status reshape(struct sdg_pickle_machine *m, size_t n,
                            sdgen_status (*make)(struct sdg_pickle_value *,
                                                 struct sdg_pickle_machine *,
                                                 const struct sdg_pickle_value *))
{
    sdgen_status status;
    struct sdg_pickle_value result = inert;
    SDG_TRY(sdg_pickle_need(m, n));
    m->count -= n;
    SDG_TRY(make(&result, m, &m->stack[m->count]));
    return sdg_pickle_push(m, result);
fail:
    return status;
}

/* ---- the loop ---- */

static sdgen_status refuse_operation(struct sdg_pickle_machine *m, unsigned code)
{
    for (size_t i = 0; i < sizeof refused_operations / sizeof *refused_operations; i++)
        if (refused_operations[i].code == code)
            return sdg_pickle_refuse(m,
                                     "operation %s, which torch.save does not write unless asked "
                                     "to; get it as safetensors",
                                     refused_operations[i].name);
    return sdg_pickle_refuse(m, "0x%02x is no operation; " SDG_PICKLE_DAMAGED, code);
}

static sdgen_status start(struct sdg_pickle_machine *m)
{
    uint64_t version;
    const sdgen_status status = take_number(&version, m, 1);
    if (status == SDGEN_OK && version > 5)
        return sdg_pickle_refuse(m, "pickle protocol %u is unknown; " SDG_PICKLE_DAMAGED,
                                 (unsigned)version);
    return status;
}

/* Every operation but STOP. */
static sdgen_status operate(struct sdg_pickle_machine *m, unsigned code)
{
    switch (code) {
    case PROTO: return start(m);
    case MARK: return sdg_pickle_push_mark(m);
    case TUPLE: return sdg_pickle_marked(m, sdg_pickle_tuple);
    case EMPTY_TUPLE: return sdg_pickle_tuple(m, 0);
    case TUPLE1: return sdg_pickle_tuple(m, 1);
    case TUPLE2: return sdg_pickle_tuple(m, 2);
    case TUPLE3: return sdg_pickle_tuple(m, 3);
    case EMPTY_LIST: return sdg_pickle_push_list(m);
    case APPEND: return sdg_pickle_append(m, 1);
    case APPENDS: return sdg_pickle_marked(m, sdg_pickle_append);
    case EMPTY_DICT: return sdg_pickle_push_dict(m);
    case SETITEM: return sdg_pickle_set_items(m, 2);
    case SETITEMS: return sdg_pickle_marked(m, sdg_pickle_set_items);
    case EMPTY_SET:
    case NONE: return sdg_pickle_push(m, inert);
    case NEWTRUE: return push_number(m, SDG_PICKLE_BOOL, 1);
    case NEWFALSE: return push_number(m, SDG_PICKLE_BOOL, 0);
    case BININT: return push_int(m, 4);
    case BININT1: return push_int(m, 1);
    case BININT2: return push_int(m, 2);
    case LONG1: return push_long(m);
    case BINFLOAT: return push_float(m);
    case BINUNICODE: return push_text(m, 4);
    case SHORT_BINSTRING: return push_text(m, 1);
    case BINPUT: return with_id(m, 1, sdg_pickle_put);
    case LONG_BINPUT: return with_id(m, 4, sdg_pickle_put);
    case BINGET: return with_id(m, 1, sdg_pickle_get);
    case LONG_BINGET: return with_id(m, 4, sdg_pickle_get);
    case GLOBAL: return push_global(m);
    case BINPERSID: return reshape(m, 1, sdg_pickle_persistent);
    case REDUCE: return reshape(m, 2, sdg_pickle_reduce);
    case NEWOBJ: return reshape(m, 2, sdg_pickle_new_object);
    case BUILD: return reshape(m, 2, sdg_pickle_build);
    default: return refuse_operation(m, code);
    }
}

static sdgen_status finish(struct sdg_pickle_value *result, struct sdg_pickle_machine *m)
{
    if (m->count != 1 || m->mark_count != 0)
        return sdg_pickle_refuse(m, "it ends with open values; " SDG_PICKLE_DAMAGED);
    if (m->at != m->p->size)
        return sdg_pickle_refuse(m, "something follows its end; " SDG_PICKLE_HOSTILE);
    *result = m->stack[0];
    return SDGEN_OK;
}

sdgen_status sdg_pickle_run(struct sdg_pickle_value *result, struct sdg_pickle *p, sdgen_error *err)
{
    sdgen_status status;
    struct sdg_pickle_machine m = {.p = p, .err = err};
    *result = inert;
    for (int operations = 0;; operations++) {
        const uint8_t *code = NULL;
        m.begin = m.at;
        SDG_TRY(take(&code, &m, 1));
        if (*code == STOP) {
            SDG_TRY(finish(result, &m));
            break;
        }
        if (operations == OPERATIONS_MAX)
            SDG_TRY(sdg_pickle_refuse(&m, "more than %d operations; " SDG_PICKLE_HOSTILE,
                                      OPERATIONS_MAX));
        SDG_TRY(operate(&m, *code));
    }
fail:
    sdg_pickle_clear(&m);
    return status;
}
