/* picklescan.c - see picklescan.h: walks the operations of a pickle. Where values are is followed
 * by the table of pickle_ops.c: a slot of the stack holds a text of the file or something else. */
#include "files/picklescan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    STACK_MAX = 65536,
    MEMO_MAX = 1 << 20,
    MEMO_AHEAD = 65536, /* ids that lie further ahead of the count are not followed */
    GLOBALS_MAX = 10000,
    NOTES_MAX = 1000,
    PICKLES_MAX = 1000,
    INSIDE_MAX = 4, /* pickles in pickles */
    NAME_MAX_SIZE = 1024
};

struct slot {
    const uint8_t *text; /* [size], or NULL for anything else */
    uint32_t size;
    bool set; /* in the memo: there is something */
};

struct walk {
    struct sdg_scan *s;
    const uint8_t *data; /* [size] */
    size_t size, at, begin;
    struct slot *stack, *memo;
    size_t count, room, memo_room, memo_set;
    uint32_t *marks;
    size_t mark_count, mark_room;
    uint32_t pickle; /* its index */
    int inside;
    bool told_lack, told_memo; /* once is enough */
    bool no_memory;
};

/* What follows the code of an operation. */
struct operand {
    const uint8_t *bytes; /* [size]: what FIXED and SIZED hold, or the first line */
    size_t size;
    const uint8_t *second; /* [second_size]: the second line */
    size_t second_size;
};

/* ---- lists that grow ---- */

static bool grow(void **array, size_t *room, size_t count, size_t item)
{
    if (count < *room) return true;
    const size_t wanted = *room ? 2 * *room : 64;
    void *more = realloc(*array, wanted * item);
    if (!more) return false;
    *array = more;
    *room = wanted;
    return true;
}

/* Room for one more of a list of the result, which doubles at every power of two. */
static bool grow_list(void **array, size_t count, size_t item)
{
    if (count & (count - 1)) return true;
    void *more = realloc(*array, (count ? 2 * count : 1) * item);
    if (more) *array = more;
    return more != NULL;
}

static void add_note(struct walk *w, enum sdg_verdict verdict, const char *text)
{
    void *list = w->s->notes;
    w->s->verdicts[verdict]++;
    if (w->s->note_count == NOTES_MAX) return;
    if (!grow_list(&list, w->s->note_count, sizeof *w->s->notes)) {
        w->no_memory = true;
        return;
    }
    w->s->notes = list;
    w->s->notes[w->s->note_count++] = (struct sdg_scan_note) {w->pickle, w->begin, verdict, text};
}

static void add_global(struct walk *w, const struct sdg_pickle_op *op, struct slot module,
                       struct slot name)
{
    const char *reason;
    void *list = w->s->globals;
    const enum sdg_verdict verdict =
        sdg_scan_judge(&reason, module.text, module.size, name.text, name.size);
    w->s->verdicts[verdict]++;
    if (w->s->global_count == GLOBALS_MAX) return;
    if (!grow_list(&list, w->s->global_count, sizeof *w->s->globals)) {
        w->no_memory = true;
        return;
    }
    w->s->globals = list;
    w->s->globals[w->s->global_count++] = (struct sdg_scan_global) {.module = module.text,
                                                                    .name = name.text,
                                                                    .module_size = module.size,
                                                                    .name_size = name.size,
                                                                    .pickle = w->pickle,
                                                                    .byte = w->begin,
                                                                    .op = op,
                                                                    .verdict = verdict,
                                                                    .reason = reason};
}

/* ---- operands ---- */

static bool take_line(const uint8_t **line, size_t *line_size, const uint8_t *data, size_t size,
                      size_t *at)
{
    const uint8_t *end = *at < size ? memchr(data + *at, '\n', size - *at) : NULL;
    if (!end) return false;
    *line = data + *at;
    *line_size = (size_t)(end - *line);
    *at += *line_size + 1;
    return true;
}

/* Moves *at over the operand of op; false when the bytes end before. */
static bool take_operand(struct operand *o, const struct sdg_pickle_op *op, const uint8_t *data,
                         size_t size, size_t *at)
{
    uint64_t length = op->width;
    *o = (struct operand) {0};
    if (op->operand == SDG_OPERAND_NONE) return true;
    if (op->operand == SDG_OPERAND_LINES)
        return take_line(&o->bytes, &o->size, data, size, at) &&
               (op->width == 1 || take_line(&o->second, &o->second_size, data, size, at));
    if (op->operand == SDG_OPERAND_SIZED) {
        if (size - *at < op->width) return false;
        length = 0;
        for (size_t i = op->width; i-- > 0;) length = length << 8 | data[*at + i];
        *at += op->width;
    }
    if (length > size - *at) return false;
    o->bytes = data + *at;
    o->size = (size_t)length;
    *at += (size_t)length;
    return true;
}

bool sdg_scan_is_pickle(size_t *used, size_t *names, const uint8_t *data, size_t size, size_t most)
{
    size_t at = 0;
    struct operand o;
    *names = 0;
    if (size > most) size = most;
    while (at < size) {
        const struct sdg_pickle_op *op = sdg_pickle_op_find(data[at++]);
        if (!op || !take_operand(&o, op, data, size, &at)) return false;
        if (op->code == SDG_OP_STOP) {
            *used = at;
            return true;
        }
        *names +=
            op->code == SDG_OP_GLOBAL || op->code == SDG_OP_STACK_GLOBAL || op->code == SDG_OP_INST;
    }
    return false;
}

/* ---- stack and memo ---- */

static void push(struct walk *w, struct slot slot)
{
    void *stack = w->stack;
    if (w->count == STACK_MAX) { /* where texts are is lost, nothing else */
        add_note(w, SDG_VERDICT_UNKNOWN, "the stack grows beyond all use");
        w->count = w->mark_count = 0;
    }
    if (!grow(&stack, &w->room, w->count, sizeof slot)) {
        w->no_memory = true;
        return;
    }
    w->stack = stack;
    w->stack[w->count++] = slot;
}

static void push_mark(struct walk *w)
{
    void *marks = w->marks;
    if (w->mark_count == STACK_MAX) {
        add_note(w, SDG_VERDICT_UNKNOWN, "the stack grows beyond all use");
        w->mark_count = 0;
    }
    if (!grow(&marks, &w->mark_room, w->mark_count, sizeof *w->marks)) {
        w->no_memory = true;
        return;
    }
    w->marks = marks;
    w->marks[w->mark_count++] = (uint32_t)w->count;
}

static void lacks(struct walk *w, const char *text)
{
    if (!w->told_lack) add_note(w, SDG_VERDICT_UNKNOWN, text);
    w->told_lack = true;
}

static void pop_mark(struct walk *w)
{
    if (w->mark_count)
        w->count = w->marks[--w->mark_count];
    else
        lacks(w, "an operation lacks its mark");
}

/* Never below the last mark: Python stops there. */
static void pop(struct walk *w, size_t n)
{
    const size_t floor = w->mark_count ? w->marks[w->mark_count - 1] : 0;
    if (n > w->count - floor) lacks(w, "an operation lacks its operands");
    w->count -= n < w->count - floor ? n : w->count - floor;
}

static struct slot top(const struct walk *w, size_t below)
{
    return below < w->count ? w->stack[w->count - 1 - below] : (struct slot) {0};
}

/* The id in a memo operation: a number of the operand's bytes, or a line of digits. */
static uint64_t id_of(const struct sdg_pickle_op *op, const struct operand *o)
{
    uint64_t id = 0;
    if (op->operand == SDG_OPERAND_FIXED)
        for (size_t i = o->size; i-- > 0;) id = id << 8 | o->bytes[i];
    else
        for (size_t i = 0; i < o->size && id < MEMO_MAX; i++) id = 10 * id + (o->bytes[i] & 15u);
    return id;
}

static void put(struct walk *w, uint64_t id)
{
    if (id >= MEMO_MAX || id > 2 * w->memo_set + MEMO_AHEAD) {
        if (!w->told_memo) add_note(w, SDG_VERDICT_UNKNOWN, "a value is remembered far too high");
        w->told_memo = true;
        return;
    }
    if (id >= w->memo_room) {
        size_t room = w->memo_room ? w->memo_room : 256;
        while (room <= id) room *= 2;
        struct slot *more = realloc(w->memo, room * sizeof *more);
        if (!more) {
            w->no_memory = true;
            return;
        }
        memset(more + w->memo_room, 0, (room - w->memo_room) * sizeof *more);
        w->memo = more;
        w->memo_room = room;
    }
    w->memo_set += !w->memo[id].set;
    w->memo[id] = top(w, 0);
    w->memo[id].set = true;
}

static void get(struct walk *w, uint64_t id)
{
    push(w, id < w->memo_room ? w->memo[id] : (struct slot) {0});
}

/* ---- operations ---- */

static bool is_text(unsigned code)
{
    return code == SDG_OP_SHORT_BINUNICODE || code == SDG_OP_BINUNICODE ||
           code == SDG_OP_BINUNICODE8 || code == SDG_OP_SHORT_BINSTRING ||
           code == SDG_OP_BINSTRING || code == 'V';
}

/* STRING is a line in quotes. */
static struct slot unquoted(const struct operand *o)
{
    const bool quoted = o->size >= 2 && o->bytes[0] == o->bytes[o->size - 1] &&
                        (o->bytes[0] == '\'' || o->bytes[0] == '"');
    return (struct slot) {o->bytes + quoted, (uint32_t)(o->size - 2 * quoted), false};
}

static void stack_global(struct walk *w, const struct sdg_pickle_op *op)
{
    const struct slot module = top(w, 1), name = top(w, 0);
    pop(w, 2);
    if (module.text && name.text && module.size <= NAME_MAX_SIZE && name.size <= NAME_MAX_SIZE)
        add_global(w, op, module, name);
    else
        add_note(w, SDG_VERDICT_DANGEROUS, "it refers to a name that it makes up as it runs");
    push(w, (struct slot) {0});
}

static struct slot name_slot(const uint8_t *text, size_t size)
{
    return (struct slot) {text, (uint32_t)(size < NAME_MAX_SIZE ? size : NAME_MAX_SIZE), false};
}

/* What is neither a matter of the stack alone nor of the memo. */
static void remark(struct walk *w, const struct sdg_pickle_op *op, const struct operand *o)
{
    switch (op->code) {
    case SDG_OP_EXT1:
    case SDG_OP_EXT2:
    case SDG_OP_EXT4:
        add_note(w, SDG_VERDICT_DANGEROUS, "it calls an extension by its number");
        break;
    case SDG_OP_PERSID:
        add_note(w, SDG_VERDICT_UNKNOWN, "a persistent id that is a line of text");
        break;
    case SDG_OP_PROTO:
        if (o->bytes[0] > 5) add_note(w, SDG_VERDICT_UNKNOWN, "a protocol that nobody knows");
        w->s->pickles[w->pickle].protocol = o->bytes[0];
        break;
    case SDG_OP_GLOBAL:
    case SDG_OP_INST:
        add_global(w, op, name_slot(o->bytes, o->size), name_slot(o->second, o->second_size));
        break;
    default: break;
    }
}

/* The stack after op, by the table; texts are remembered. */
static void follow(struct walk *w, const struct sdg_pickle_op *op, const struct operand *o)
{
    struct slot slot = {0};
    switch (op->code) {
    case SDG_OP_STACK_GLOBAL: stack_global(w, op); return;
    case SDG_OP_MARK: push_mark(w); return;
    case SDG_OP_DUP: push(w, top(w, 0)); return;
    case SDG_OP_GET:
    case SDG_OP_BINGET:
    case SDG_OP_LONG_BINGET: get(w, id_of(op, o)); return;
    case SDG_OP_PUT:
    case SDG_OP_BINPUT:
    case SDG_OP_LONG_BINPUT: put(w, id_of(op, o)); return;
    case SDG_OP_MEMOIZE: put(w, w->memo_set); return;
    case SDG_OP_POP:
        if (w->mark_count && w->marks[w->mark_count - 1] == w->count)
            w->mark_count--;
        else
            pop(w, 1);
        return;
    default: break;
    }
    if (op->to_mark) pop_mark(w);
    pop(w, op->takes);
    if (is_text(op->code)) slot = (struct slot) {o->bytes, (uint32_t)o->size, false};
    if (op->code == 'S') slot = unquoted(o);
    if (o->size > UINT32_MAX) slot = (struct slot) {0};
    for (int i = 0; i < op->gives; i++) push(w, slot);
}

static bool walk(struct sdg_scan *s, size_t *used, const char *where, const uint8_t *data,
                 size_t size, uint32_t outer, uint64_t begin, int inside);

/* A pickle in the bytes of an operation: it needs a whole one, which refers to some name. Another
 * one may hide in a text whose characters are bytes to be (the way Python 2 wrote them). */
static bool look_inside(struct walk *w, const struct operand *o)
{
    size_t used = 0, names = 0;
    if (o->size < 4) return true;
    if (o->bytes[0] == 0xc2 && o->bytes[1] == 0x80 && o->bytes[2] <= 5)
        add_note(w, SDG_VERDICT_UNKNOWN, "a text that becomes a pickle when it is encoded");
    if (!sdg_scan_is_pickle(&used, &names, o->bytes, o->size, o->size)) return true;
    if (names == 0 && o->bytes[0] != SDG_OP_PROTO) return true;
    add_note(w, SDG_VERDICT_UNKNOWN, "a pickle inside of the pickle");
    if (w->inside == INSIDE_MAX) return true;
    return walk(w->s, &used, "", o->bytes, o->size, w->pickle, (uint64_t)(o->bytes - w->data),
                w->inside + 1);
}

/* Up to the end of the pickle, or where it breaks off. */
static void walk_all(struct walk *w)
{
    bool ended = false;
    while (!ended && !w->no_memory) {
        struct operand o;
        w->begin = w->at;
        if (w->at == w->size) {
            add_note(w, SDG_VERDICT_UNKNOWN, "it ends without a STOP");
            break;
        }
        const struct sdg_pickle_op *op = w->s->ops[w->data[w->at]];
        if (!op) {
            add_note(w, SDG_VERDICT_UNKNOWN, "a byte that is no operation");
            break;
        }
        w->at++;
        if (!take_operand(&o, op, w->data, w->size, &w->at)) {
            add_note(w, SDG_VERDICT_UNKNOWN, "an operation reaches beyond the end");
            w->at = w->size;
            break;
        }
        w->s->operations++;
        w->s->histogram[op->code]++;
        w->s->pickles[w->pickle].operations++;
        ended = op->code == SDG_OP_STOP;
        remark(w, op, &o);
        follow(w, op, &o);
        if (op->operand == SDG_OPERAND_SIZED && !look_inside(w, &o)) w->no_memory = true;
    }
    w->s->pickles[w->pickle].ended = ended;
    w->s->pickles[w->pickle].size = w->at;
}

/* outer, begin: the pickle around this one, and where this one begins there; inside: how many there
 * are around it. */
static bool walk(struct sdg_scan *s, size_t *used, const char *where, const uint8_t *data,
                 size_t size, uint32_t outer, uint64_t begin, int inside)
{
    struct walk w = {.s = s, .data = data, .size = size, .inside = inside};
    void *list = s->pickles;
    *used = size;
    if (s->pickle_count == PICKLES_MAX) return true;
    if (!grow_list(&list, s->pickle_count, sizeof *s->pickles)) return false;
    s->pickles = list;
    w.pickle = (uint32_t)s->pickle_count++;
    struct sdg_scan_pickle *p = &s->pickles[w.pickle];
    *p = (struct sdg_scan_pickle) {.begin = begin, .inside = inside ? outer : w.pickle};
    snprintf(p->where, sizeof p->where, "%s", inside ? s->pickles[outer].where : where);
    walk_all(&w);
    *used = w.at;
    free(w.stack);
    free(w.memo);
    free(w.marks);
    return !w.no_memory;
}

bool sdg_scan_pickle(struct sdg_scan *s, size_t *used, const char *where, const uint8_t *data,
                     size_t size)
{
    if (!s->ops[SDG_OP_STOP])
        for (unsigned i = 0; i < 256; i++) s->ops[i] = sdg_pickle_op_find(i);
    return walk(s, used, where, data, size, 0, 0, 0);
}

/* ---- results ---- */

const char *sdg_verdict_name(enum sdg_verdict v)
{
    static const char *const names[] = {"tensor", "inert", "unread", "unknown", "dangerous"};
    return names[v];
}

enum sdg_verdict sdg_scan_worst(const struct sdg_scan *s)
{
    for (int v = SDG_VERDICT_COUNT; v-- > SDG_VERDICT_INERT;)
        if (s->verdicts[v]) return (enum sdg_verdict)v;
    return SDG_VERDICT_INERT;
}

void sdg_scan_free(struct sdg_scan *s)
{
    free(s->pickles);
    free(s->globals);
    free(s->notes);
    *s = (struct sdg_scan) {0};
}
