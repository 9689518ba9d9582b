/* pickle_machine.h - between the parts of the pickle machine: pickle.c, which reads operations,
 * pickle_stack.c, which keeps values, and pickle_objects.c, which knows what PyTorch means by them.
 */
#ifndef SDG_FILES_PICKLE_MACHINE_H
#define SDG_FILES_PICKLE_MACHINE_H

#include "files/pickle.h"

/* What to do, at the end of a message. */
#define SDG_PICKLE_DAMAGED "the file is damaged, download it again"
#define SDG_PICKLE_HOSTILE "torch.save does not write this, do not trust the file"

struct sdg_pickle_memo {
    struct sdg_pickle_value value;
    bool set;
};

struct sdg_pickle_machine {
    struct sdg_pickle *p;
    sdgen_error *err;
    size_t at, begin;               /* next byte; first byte of the operation at work */
    struct sdg_pickle_value *stack; /* [count of room] */
    size_t count, room;
    uint32_t *marks; /* [mark_count]: height of the stack at each open mark */
    size_t mark_count, mark_room;
    struct sdg_pickle_memo *memo; /* [memo_room], of which memo_set are set */
    size_t memo_room, memo_set;
};

/* What the persistent id ('storage', class, key, location, count[, view]) says. */
struct sdg_pickle_storage {
    const struct sdg_pickle_global *class;
    const uint8_t *key; /* [key_size] */
    uint32_t key_size;
    size_t item;                         /* bytes of an element, 1 of an untyped storage */
    uint64_t count, bytes;               /* elements; bytes = count * item */
    const struct sdg_pickle_tuple *view; /* (key, offset, count), or NULL */
};

/* An error with file and byte of the operation at work. */
sdgen_status sdg_pickle_refuse(const struct sdg_pickle_machine *m, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
sdgen_status sdg_pickle_refuse_global(const struct sdg_pickle_machine *m,
                                      const struct sdg_pickle_value *module,
                                      const struct sdg_pickle_value *name);
sdgen_status sdg_pickle_no_memory(const struct sdg_pickle_machine *m);

/* ---- stack and memo (pickle_stack.c) ---- */

SDGEN_MUST_CHECK sdgen_status sdg_pickle_push(struct sdg_pickle_machine *m,
                                              struct sdg_pickle_value value);
SDGEN_MUST_CHECK sdgen_status sdg_pickle_push_mark(struct sdg_pickle_machine *m);
SDGEN_MUST_CHECK sdgen_status sdg_pickle_push_list(struct sdg_pickle_machine *m);
SDGEN_MUST_CHECK sdgen_status sdg_pickle_push_dict(struct sdg_pickle_machine *m);
SDGEN_MUST_CHECK sdgen_status sdg_pickle_new_dict(struct sdg_pickle_value *v,
                                                  struct sdg_pickle_machine *m);

/* Sets one pair of a dict: key, value. */
SDGEN_MUST_CHECK sdgen_status sdg_pickle_set_item(struct sdg_pickle_dict *dict,
                                                  struct sdg_pickle_machine *m,
                                                  const struct sdg_pickle_value *pair);

/* Fails unless that many values lie above the last mark: no operation reaches further down. */
SDGEN_MUST_CHECK sdgen_status sdg_pickle_need(struct sdg_pickle_machine *m, size_t values);

/* The topmost value is remembered as `id`; a remembered value is pushed again. */
SDGEN_MUST_CHECK sdgen_status sdg_pickle_put(struct sdg_pickle_machine *m, uint64_t id);
SDGEN_MUST_CHECK sdgen_status sdg_pickle_get(struct sdg_pickle_machine *m, uint64_t id);
SDGEN_MUST_CHECK sdgen_status sdg_pickle_memoize(struct sdg_pickle_machine *m);

/* The topmost n values become a tuple; go into the list below them; or go, keys and values in turn,
 * into the dict below them. Or they are members of a set, of which only that it is there is kept:
 * they go into the set below them, or become one that cannot change. */
SDGEN_MUST_CHECK sdgen_status sdg_pickle_tuple(struct sdg_pickle_machine *m, size_t n);
SDGEN_MUST_CHECK sdgen_status sdg_pickle_append(struct sdg_pickle_machine *m, size_t n);
SDGEN_MUST_CHECK sdgen_status sdg_pickle_set_items(struct sdg_pickle_machine *m, size_t n);
SDGEN_MUST_CHECK sdgen_status sdg_pickle_add_members(struct sdg_pickle_machine *m, size_t n);
SDGEN_MUST_CHECK sdgen_status sdg_pickle_frozen_set(struct sdg_pickle_machine *m, size_t n);

/* Takes the last mark away and does one of them to the values above it. */
SDGEN_MUST_CHECK sdgen_status sdg_pickle_marked(struct sdg_pickle_machine *m,
                                                sdgen_status (*use)(struct sdg_pickle_machine *,
                                                                    size_t));

void sdg_pickle_clear(struct sdg_pickle_machine *m); /* frees stack, marks and memo */

/* ---- objects (pickle_objects.c) ---- */

/* Takes a storage's persistent id apart; `items` is 5 (zip form) or 6 (older). A view, which only
 * the older has, is a tuple (text, number, number), or not there. */
SDGEN_MUST_CHECK sdgen_status sdg_pickle_storage_id(struct sdg_pickle_storage *s,
                                                    struct sdg_pickle_machine *m,
                                                    const struct sdg_pickle_value *id,
                                                    uint32_t items);

/* What becomes of the operands o of the operation of that name. */
SDGEN_MUST_CHECK sdgen_status sdg_pickle_persistent(struct sdg_pickle_value *result,
                                                    struct sdg_pickle_machine *m,
                                                    const struct sdg_pickle_value *o); /* [1] */
SDGEN_MUST_CHECK sdgen_status sdg_pickle_stack_global(struct sdg_pickle_value *result,
                                                      struct sdg_pickle_machine *m,
                                                      const struct sdg_pickle_value *o); /* [2] */
SDGEN_MUST_CHECK sdgen_status sdg_pickle_reduce(struct sdg_pickle_value *result,
                                                struct sdg_pickle_machine *m,
                                                const struct sdg_pickle_value *o); /* [2] */
SDGEN_MUST_CHECK sdgen_status sdg_pickle_new_object(struct sdg_pickle_value *result,
                                                    struct sdg_pickle_machine *m,
                                                    const struct sdg_pickle_value *o); /* [2] */
SDGEN_MUST_CHECK sdgen_status sdg_pickle_build(struct sdg_pickle_value *result,
                                               struct sdg_pickle_machine *m,
                                               const struct sdg_pickle_value *o); /* [2] */

#endif
