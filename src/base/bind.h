/* bind.h - how a network says which weights it wants, as data.
 *
 * A network (models/) describes each kind of block by a table of rows; a walk over its blocks calls
 * sdg_bind_rows once per block with the block's name prefix and its dimensions. What happens to
 * each wanted tensor is the binder's business: src/weights/binder.c looks it up in a checkpoint,
 * checks the shape and fills the slot; others only count or list. So one description serves
 * loading, `inspect`, error messages and documentation.
 *
 *     enum { C_IN, C_OUT, EMB };
 *     static const struct sdg_bind_row resblock_rows[] = {
 *         {"in_layers.2.weight", offsetof(struct sdg_resblock, conv1.weight), 4,
 *          {C_OUT, C_IN, SDG_LITERAL(3), SDG_LITERAL(3)}, 0},
 *         ...
 *     };
 *     const int64_t dims[] = {320, 640, 1280};
 *     sdg_bind_rows(binder, "input_blocks.4.0.", resblock_rows, SDG_ROWS(resblock_rows), dims,
 * block); */
#ifndef SDG_BASE_BIND_H
#define SDG_BASE_BIND_H

#include "base/tensor.h"

#define SDG_LITERAL(n) (-(n)) /* a fixed extent, where a row wants one */
#define SDG_ROWS(table) (sizeof(table) / sizeof((table)[0]))

enum {
    SDG_OPTIONAL = 1, /* may be missing: the slot's data stays NULL */
    SDG_SQUEEZE = 2   /* a stored [o,i,1,1] may stand for [o,i] and the other way round */
};

struct sdg_bind_row {
    const char *name; /* appended to the block's prefix */
    size_t slot;      /* offsetof the struct sdg_tensor in the block */
    int rank;
    int dims[4]; /* index into the dims of the call, or SDG_LITERAL(n) */
    unsigned flags;
};

/* want is called once per tensor, with its full name (network prefix not included). It fills *slot
 * or leaves it zeroed; it collects its own errors and never stops the walk. */
struct sdg_binder {
    void (*want)(struct sdg_binder *self, const char *name, const int64_t *shape, int rank,
                 unsigned flags, struct sdg_tensor *slot);
};

void sdg_bind_rows(struct sdg_binder *b, const char *prefix, const struct sdg_bind_row *rows,
                   size_t count, const int64_t *dims, void *block);

#endif
