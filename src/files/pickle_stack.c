/* pickle_stack.c - the memory of the pickle machine: stack, marks, memo, and the containers that
 * its operations fill. What each operation does to them: CPython Lib/pickletools.py; which
 * containers take items: torch/_weights_only_unpickler.py. */
#include "files/pickle_machine.h"

#include <stdlib.h>
#include <string.h>

#include "files/pool.h"

enum {
    STACK_MAX = 65536,
    MARKS_MAX = 4096,
    MEMO_MAX = 1000000,
    MEMO_AHEAD = 256, /* picklers count up; a larger gap would be memory without a reason */
    DEPTH_MAX = 64
};

/* Makes room for one more item of an array that doubles; NULL without memory. */
static void *grown(void *array, size_t *room, size_t count, size_t item)
{
    if (count < *room) return array;
    const size_t wanted = *room ? 2 * *room : 64;
    void *more = realloc(array, wanted * item);
    if (more) *room = wanted;
    return more;
}

sdgen_status sdg_pickle_push(struct sdg_pickle_machine *m, struct sdg_pickle_value value)
{
    if (m->count == STACK_MAX)
        return sdg_pickle_refuse(m, "the stack holds more than %d values; " SDG_PICKLE_HOSTILE,
                                 STACK_MAX);
    void *more = grown(m->stack, &m->room, m->count, sizeof *m->stack);
    if (!more) return sdg_pickle_no_memory(m);
    m->stack = more;
    m->stack[m->count++] = value;
    return SDGEN_OK;
}

/* The values above the last mark are all that an operation may reach. */
static size_t floor_of(const struct sdg_pickle_machine *m)
{
    return m->mark_count ? m->marks[m->mark_count - 1] : 0;
}

sdgen_status sdg_pickle_need(struct sdg_pickle_machine *m, size_t values)
{
    if (m->count - floor_of(m) < values)
        return sdg_pickle_refuse(m, "an operation lacks its operands; " SDG_PICKLE_DAMAGED);
    return SDGEN_OK;
}

sdgen_status sdg_pickle_push_mark(struct sdg_pickle_machine *m)
{
    if (m->mark_count == MARKS_MAX)
        return sdg_pickle_refuse(m, "more than %d open marks; " SDG_PICKLE_HOSTILE, MARKS_MAX);
    void *more = grown(m->marks, &m->mark_room, m->mark_count, sizeof *m->marks);
    if (!more) return sdg_pickle_no_memory(m);
    m->marks = more;
    m->marks[m->mark_count++] = (uint32_t)m->count;
    return SDGEN_OK;
}

/* Gives the values above the last mark, which is gone then; they are still on the stack. */
static sdgen_status pop_mark(size_t *values, struct sdg_pickle_machine *m)
{
    if (m->mark_count == 0)
        return sdg_pickle_refuse(m, "an operation lacks its mark; " SDG_PICKLE_DAMAGED);
    *values = m->count - floor_of(m);
    m->mark_count--;
    return SDGEN_OK;
}

/* ---- containers ---- */

static uint32_t depth_of(const struct sdg_pickle_value *v)
{
    switch (v->kind) {
    case SDG_PICKLE_TUPLE: return v->as.tuple->depth;
    case SDG_PICKLE_LIST: return v->as.list->depth;
    case SDG_PICKLE_DICT: return v->as.dict->depth;
    default: return 0;
    }
}

/* A container at *depth takes in v. One that holds itself by a detour gets deeper with every turn
 * but is never walked. */
static sdgen_status take_in(uint32_t *depth, struct sdg_pickle_machine *m,
                            const struct sdg_pickle_value *v)
{
    const uint32_t inner = depth_of(v) + 1;
    if (inner > DEPTH_MAX)
        return sdg_pickle_refuse(m, "values are nested more than %d deep; " SDG_PICKLE_HOSTILE,
                                 DEPTH_MAX);
    if (inner > *depth) *depth = inner;
    return SDGEN_OK;
}

sdgen_status sdg_pickle_tuple(struct sdg_pickle_machine *m, size_t n)
{
    sdgen_status status;
    SDG_TRY(sdg_pickle_need(m, n));
    struct sdg_pickle_tuple *t =
        sdg_pool_alloc(&m->p->pool, sizeof *t + n * sizeof(struct sdg_pickle_value));
    if (!t) return sdg_pickle_no_memory(m);
    t->count = (uint32_t)n;
    t->depth = 1;
    m->count -= n;
    for (size_t i = 0; i < n; i++) {
        t->items[i] = m->stack[m->count + i];
        SDG_TRY(take_in(&t->depth, m, &t->items[i]));
    }
    return sdg_pickle_push(m, (struct sdg_pickle_value) {.kind = SDG_PICKLE_TUPLE, .as.tuple = t});
fail:
    return status;
}

sdgen_status sdg_pickle_push_list(struct sdg_pickle_machine *m)
{
    struct sdg_pickle_list *list = sdg_pool_alloc(&m->p->pool, sizeof *list);
    if (!list) return sdg_pickle_no_memory(m);
    *list = (struct sdg_pickle_list) {.depth = 1};
    return sdg_pickle_push(m, (struct sdg_pickle_value) {.kind = SDG_PICKLE_LIST, .as.list = list});
}

sdgen_status sdg_pickle_new_dict(struct sdg_pickle_value *v, struct sdg_pickle_machine *m)
{
    struct sdg_pickle_dict *dict = sdg_pool_alloc(&m->p->pool, sizeof *dict);
    if (!dict) return sdg_pickle_no_memory(m);
    *dict = (struct sdg_pickle_dict) {.depth = 1};
    *v = (struct sdg_pickle_value) {.kind = SDG_PICKLE_DICT, .as.dict = dict};
    return SDGEN_OK;
}

sdgen_status sdg_pickle_push_dict(struct sdg_pickle_machine *m)
{
    struct sdg_pickle_value v;
    const sdgen_status status = sdg_pickle_new_dict(&v, m);
    return status == SDGEN_OK ? sdg_pickle_push(m, v) : status;
}

/* Room for one more item of an array of n in the pool: it doubles at every power of two. */
static sdgen_status more_room(void **array, struct sdg_pickle_machine *m, size_t n, size_t item)
{
    if (n != 0 && (n < 4 || (n & (n - 1)) != 0)) return SDGEN_OK;
    void *more = sdg_pool_alloc(&m->p->pool, (n ? 2 * n : 4) * item);
    if (!more) return sdg_pickle_no_memory(m);
    if (n) memcpy(more, *array, n * item);
    *array = more;
    return SDGEN_OK;
}

sdgen_status sdg_pickle_append(struct sdg_pickle_machine *m, size_t n)
{
    sdgen_status status;
    SDG_TRY(sdg_pickle_need(m, n + 1));
    m->count -= n;
    if (m->stack[m->count - 1].kind != SDG_PICKLE_LIST)
        return sdg_pickle_refuse(m, "items are appended to what is no list; " SDG_PICKLE_HOSTILE);
    struct sdg_pickle_list *list = m->stack[m->count - 1].as.list;
    for (size_t i = 0; i < n; i++) {
        const struct sdg_pickle_value *item = &m->stack[m->count + i];
        void *items = list->items;
        if (item->kind == SDG_PICKLE_LIST && item->as.list == list)
            return sdg_pickle_refuse(m, "a list holds itself; " SDG_PICKLE_HOSTILE);
        SDG_TRY(take_in(&list->depth, m, item));
        SDG_TRY(more_room(&items, m, list->count, sizeof *item));
        list->items = items;
        list->items[list->count++] = *item;
    }
fail:
    return status;
}

sdgen_status sdg_pickle_set_item(struct sdg_pickle_dict *dict, struct sdg_pickle_machine *m,
                                 const struct sdg_pickle_value *pair)
{
    sdgen_status status;
    void *pairs = dict->pairs;
    if (pair[1].kind == SDG_PICKLE_DICT && pair[1].as.dict == dict)
        return sdg_pickle_refuse(m, "a dict holds itself; " SDG_PICKLE_HOSTILE);
    SDG_TRY(take_in(&dict->depth, m, &pair[0]));
    SDG_TRY(take_in(&dict->depth, m, &pair[1]));
    if (pair[0].kind != SDG_PICKLE_TEXT) {
        dict->others++;
        return SDGEN_OK;
    }
    SDG_TRY(more_room(&pairs, m, dict->count, sizeof *dict->pairs));
    dict->pairs = pairs;
    dict->pairs[dict->count++] = (struct sdg_pickle_pair) {pair[0], pair[1]};
fail:
    return status;
}

sdgen_status sdg_pickle_set_items(struct sdg_pickle_machine *m, size_t n)
{
    sdgen_status status;
    SDG_TRY(sdg_pickle_need(m, n + 1));
    if (n % 2) return sdg_pickle_refuse(m, "a key has no value; " SDG_PICKLE_DAMAGED);
    m->count -= n;
    const struct sdg_pickle_value *dict = &m->stack[m->count - 1];
    if (dict->kind != SDG_PICKLE_DICT)
        return sdg_pickle_refuse(m, "items are set in what is no dict; " SDG_PICKLE_HOSTILE);
    for (size_t i = 0; i < n; i += 2)
        SDG_TRY(sdg_pickle_set_item(dict->as.dict, m, &m->stack[m->count + i]));
fail:
    return status;
}

sdgen_status sdg_pickle_add_members(struct sdg_pickle_machine *m, size_t n)
{
    sdgen_status status;
    SDG_TRY(sdg_pickle_need(m, n + 1));
    m->count -= n;
    if (m->stack[m->count - 1].kind != SDG_PICKLE_INERT)
        return sdg_pickle_refuse(m, "members are added to what is no set; " SDG_PICKLE_HOSTILE);
fail:
    return status;
}

sdgen_status sdg_pickle_frozen_set(struct sdg_pickle_machine *m, size_t n)
{
    sdgen_status status;
    SDG_TRY(sdg_pickle_need(m, n));
    m->count -= n;
    return sdg_pickle_push(m, (struct sdg_pickle_value) {.kind = SDG_PICKLE_INERT});
fail:
    return status;
}

sdgen_status sdg_pickle_marked(struct sdg_pickle_machine *m,
                               sdgen_status (*use)(struct sdg_pickle_machine *, size_t))
{
    size_t n = 0;
    const sdgen_status status = pop_mark(&n, m);
    return status == SDGEN_OK ? use(m, n) : status;
}

/* ---- the memo ---- */

sdgen_status sdg_pickle_put(struct sdg_pickle_machine *m, uint64_t id)
{
    sdgen_status status;
    SDG_TRY(sdg_pickle_need(m, 1));
    if (id >= MEMO_MAX)
        return sdg_pickle_refuse(m, "more than %d remembered values; " SDG_PICKLE_HOSTILE,
                                 MEMO_MAX);
    if (id > 2 * m->memo_set + MEMO_AHEAD)
        return sdg_pickle_refuse(
            m, "value %u is remembered after only %zu others; " SDG_PICKLE_HOSTILE, (unsigned)id,
            m->memo_set);
    if (id >= m->memo_room) {
        size_t room = m->memo_room ? m->memo_room : 256;
        while (room <= id) room *= 2;
        struct sdg_pickle_memo *more = realloc(m->memo, room * sizeof *more);
        if (!more) return sdg_pickle_no_memory(m);
        memset(more + m->memo_room, 0, (room - m->memo_room) * sizeof *more);
        m->memo = more;
        m->memo_room = room;
    }
    m->memo_set += !m->memo[id].set;
    m->memo[id] = (struct sdg_pickle_memo) {m->stack[m->count - 1], true};
fail:
    return status;
}

/* The id is how many there are. */
sdgen_status sdg_pickle_memoize(struct sdg_pickle_machine *m)
{
    return sdg_pickle_put(m, m->memo_set);
}

sdgen_status sdg_pickle_get(struct sdg_pickle_machine *m, uint64_t id)
{
    if (id >= m->memo_room || !m->memo[id].set)
        return sdg_pickle_refuse(m, "value %u was never remembered; " SDG_PICKLE_DAMAGED,
                                 (unsigned)id);
    return sdg_pickle_push(m, m->memo[id].value);
}

void sdg_pickle_clear(struct sdg_pickle_machine *m)
{
    free(m->stack);
    free(m->marks);
    free(m->memo);
}
