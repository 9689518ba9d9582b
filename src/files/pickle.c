/* pickle.c - see pickle.h: the stack machine. Operations: CPython Lib/pickletools.py; the subset
 * and what may be done with each value: torch/_weights_only_unpickler.py. */
#include "files/pickle.h"

#include <string.h>

#include "files/pickle_machine.h"
#include "files/pickle_ops.h"

enum {
    OPERATIONS_MAX = 2000000,
    LINE_MAX_SIZE = 256 /* characters of a module, a name or a number */
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
    const size_t room =
        m->p->size - m->at < LINE_MAX_SIZE + 1 ? m->p->size - m->at : LINE_MAX_SIZE + 1;
    const uint8_t *end = room ? memchr(m->p->data + m->at, '\n', room) : NULL;
    if (!end) return sdg_pickle_refuse(m, "a line has no end; " SDG_PICKLE_DAMAGED);
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
    if (length > UINT32_MAX)
        return sdg_pickle_refuse(m, "a text of more than 4 GiB; " SDG_PICKLE_HOSTILE);
    return sdg_pickle_push(m, (struct sdg_pickle_value) {.kind = SDG_PICKLE_TEXT,
                                                         .size = (uint32_t)length,
                                                         .as.text = text});
fail:
    return status;
}

static sdgen_status push_bytes(struct sdg_pickle_machine *m, size_t length_bytes)
{
    uint64_t length;
    const uint8_t *bytes = NULL;
    sdgen_status status;
    SDG_TRY(take_number(&length, m, length_bytes));
    SDG_TRY(take(&bytes, m, length));
    return sdg_pickle_push(m, inert);
fail:
    return status;
}

/* A line of decimal digits, perhaps with a sign. */
static bool read_decimal(int64_t *number, const uint8_t *line, size_t size)
{
    const bool negative = size > 0 && line[0] == '-';
    uint64_t n = 0;
    if (size == negative) return false;
    for (size_t i = negative; i < size; i++) {
        if (line[i] < '0' || line[i] > '9' || n > (UINT64_MAX - 9) / 10) return false;
        n = 10 * n + (line[i] - '0');
    }
    if (n > INT64_MAX) return false;
    *number = negative ? -(int64_t)n : (int64_t)n;
    return true;
}

/* INT and LONG, numbers as protocol 1 writes them: "I01" and "I00" are true and false, long ones
 * end in an L. */
static sdgen_status push_decimal(struct sdg_pickle_machine *m, bool is_long)
{
    const uint8_t *line = NULL;
    size_t size = 0;
    int64_t n = 0;
    const sdgen_status status = take_line(&line, &size, m);
    if (status != SDGEN_OK) return status;
    if (!is_long && size == 2 && line[0] == '0' && (line[1] == '0' || line[1] == '1'))
        return push_number(m, SDG_PICKLE_BOOL, line[1] - '0');
    if (is_long && size > 0 && line[size - 1] == 'L') size--;
    if (!read_decimal(&n, line, size))
        return sdg_pickle_refuse(
            m, "a number that is none, or of more than 64 bits; " SDG_PICKLE_HOSTILE);
    return push_number(m, SDG_PICKLE_INT, n);
}

static sdgen_status push_float_line(struct sdg_pickle_machine *m)
{
    const uint8_t *line = NULL;
    size_t size = 0;
    const sdgen_status status = take_line(&line, &size, m);
    return status == SDGEN_OK ? sdg_pickle_push(m, inert) : status;
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

/* The same with the id as a line of digits. */
static sdgen_status with_id_line(struct sdg_pickle_machine *m,
                                 sdgen_status (*use)(struct sdg_pickle_machine *, uint64_t))
{
    const uint8_t *line = NULL;
    size_t size = 0;
    int64_t id = 0;
    const sdgen_status status = take_line(&line, &size, m);
    if (status != SDGEN_OK) return status;
    if (!read_decimal(&id, line, size) || id < 0)
        return sdg_pickle_refuse(m, "a remembered value has no number; " SDG_PICKLE_HOSTILE);
    return use(m, (uint64_t)id);
}

/* From protocol 4 on a pickle is cut into frames, which matter to who reads from a pipe. */
static sdgen_status frame(struct sdg_pickle_machine *m)
{
    uint64_t length = 0;
    const sdgen_status status = take_number(&length, m, 8);
    if (status == SDGEN_OK && length > m->p->size - m->at)
        return sdg_pickle_refuse(
            m, "a frame of %llu bytes reaches beyond the end; " SDG_PICKLE_DAMAGED,
            (unsigned long long)length);
    return status;
}

static sdgen_status push_global(struct sdg_pickle_machine *m)
{
    const uint8_t *module = NULL, *name = NULL;
    size_t module_size = 0, name_size = 0;
    sdgen_status status;
    SDG_TRY(take_line(&module, &module_size, m));
    SDG_TRY(take_line(&name, &name_size, m));
    const struct sdg_pickle_value names[2] = {
        {.kind = SDG_PICKLE_TEXT, .size = (uint32_t)module_size, .as.text = module},
        {.kind = SDG_PICKLE_TEXT, .size = (uint32_t)name_size, .as.text = name}};
    struct sdg_pickle_value global = inert;
    SDG_TRY(sdg_pickle_stack_global(&global, m, names));
    return sdg_pickle_push(m, global);
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
    const struct sdg_pickle_op *op = sdg_pickle_op_find(code);
    if (op)
        return sdg_pickle_refuse(m,
                                 "operation %s, which torch.save does not write; do not trust "
                                 "the file, get it as safetensors",
                                 op->name);
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
    case SDG_OP_PROTO: return start(m);
    case SDG_OP_FRAME: return frame(m);
    case SDG_OP_MARK: return sdg_pickle_push_mark(m);
    case SDG_OP_TUPLE: return sdg_pickle_marked(m, sdg_pickle_tuple);
    case SDG_OP_EMPTY_TUPLE: return sdg_pickle_tuple(m, 0);
    case SDG_OP_TUPLE1: return sdg_pickle_tuple(m, 1);
    case SDG_OP_TUPLE2: return sdg_pickle_tuple(m, 2);
    case SDG_OP_TUPLE3: return sdg_pickle_tuple(m, 3);
    case SDG_OP_EMPTY_LIST: return sdg_pickle_push_list(m);
    case SDG_OP_APPEND: return sdg_pickle_append(m, 1);
    case SDG_OP_APPENDS: return sdg_pickle_marked(m, sdg_pickle_append);
    case SDG_OP_EMPTY_DICT: return sdg_pickle_push_dict(m);
    case SDG_OP_SETITEM: return sdg_pickle_set_items(m, 2);
    case SDG_OP_SETITEMS: return sdg_pickle_marked(m, sdg_pickle_set_items);
    case SDG_OP_ADDITEMS: return sdg_pickle_marked(m, sdg_pickle_add_members);
    case SDG_OP_FROZENSET: return sdg_pickle_marked(m, sdg_pickle_frozen_set);
    case SDG_OP_EMPTY_SET:
    case SDG_OP_NONE: return sdg_pickle_push(m, inert);
    case SDG_OP_NEWTRUE: return push_number(m, SDG_PICKLE_BOOL, 1);
    case SDG_OP_NEWFALSE: return push_number(m, SDG_PICKLE_BOOL, 0);
    case SDG_OP_BININT: return push_int(m, 4);
    case SDG_OP_BININT1: return push_int(m, 1);
    case SDG_OP_BININT2: return push_int(m, 2);
    case SDG_OP_LONG1: return push_long(m);
    case SDG_OP_INT: return push_decimal(m, false);
    case SDG_OP_LONG: return push_decimal(m, true);
    case SDG_OP_BINFLOAT: return push_float(m);
    case SDG_OP_FLOAT: return push_float_line(m);
    case SDG_OP_SHORT_BINSTRING:
    case SDG_OP_SHORT_BINUNICODE: return push_text(m, 1);
    case SDG_OP_BINSTRING:
    case SDG_OP_BINUNICODE: return push_text(m, 4);
    case SDG_OP_BINUNICODE8: return push_text(m, 8);
    case SDG_OP_SHORT_BINBYTES: return push_bytes(m, 1);
    case SDG_OP_BINBYTES: return push_bytes(m, 4);
    case SDG_OP_BYTEARRAY8:
    case SDG_OP_BINBYTES8: return push_bytes(m, 8);
    case SDG_OP_PUT: return with_id_line(m, sdg_pickle_put);
    case SDG_OP_BINPUT: return with_id(m, 1, sdg_pickle_put);
    case SDG_OP_LONG_BINPUT: return with_id(m, 4, sdg_pickle_put);
    case SDG_OP_MEMOIZE: return sdg_pickle_memoize(m);
    case SDG_OP_GET: return with_id_line(m, sdg_pickle_get);
    case SDG_OP_BINGET: return with_id(m, 1, sdg_pickle_get);
    case SDG_OP_LONG_BINGET: return with_id(m, 4, sdg_pickle_get);
    case SDG_OP_GLOBAL: return push_global(m);
    case SDG_OP_STACK_GLOBAL: return reshape(m, 2, sdg_pickle_stack_global);
    case SDG_OP_BINPERSID: return reshape(m, 1, sdg_pickle_persistent);
    case SDG_OP_REDUCE: return reshape(m, 2, sdg_pickle_reduce);
    case SDG_OP_NEWOBJ: return reshape(m, 2, sdg_pickle_new_object);
    case SDG_OP_BUILD: return reshape(m, 2, sdg_pickle_build);
    default: return refuse_operation(m, code);
    }
}

static sdgen_status finish(struct sdg_pickle_value *result, struct sdg_pickle_machine *m)
{
    if (m->count != 1 || m->mark_count != 0)
        return sdg_pickle_refuse(m, "it ends with open values; " SDG_PICKLE_DAMAGED);
    m->p->used = m->at;
    if (m->at != m->p->size && !m->p->stream)
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
        if (*code == SDG_OP_STOP) {
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
