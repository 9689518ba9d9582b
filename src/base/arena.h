/* arena.h - memory that is handed out in order and given back in reverse.
 *
 * Three lives of memory meet in sdgen: the mapped checkpoint, the model arena (what is made once at
 * load) and the work arena (activations of one forward pass). The work arena is sized by a dry run:
 * the same forward code runs over a measuring arena, which counts and hands out addresses that must
 * not be touched, while the ops (src/ops) see ops->dry and compute nothing. The peak of that run is
 * the size of the real arena, so the real run can neither fail nor allocate. */
#ifndef SDG_BASE_ARENA_H
#define SDG_BASE_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include "base/status.h"

enum { SDG_ARENA_ALIGN = 64 }; /* every block starts on a cache line */

struct sdg_arena {
    char *base;
    size_t size, used, peak;
    bool measure; /* counts only; its addresses must not be dereferenced */
};

/* An arena that only counts. Needs no destroy. */
void sdg_arena_measure(struct sdg_arena *a);

/* An arena of `size` bytes, zero pages that the system provides on first touch.
 * Errors: SDGEN_ERR_MEMORY with the size wanted. */
SDGEN_MUST_CHECK sdgen_status sdg_arena_create(struct sdg_arena *a, size_t size, sdgen_error *err);

/* Accepts a zeroed, measuring or destroyed arena. */
void sdg_arena_destroy(struct sdg_arena *a);

/* count items of `item` bytes, 64-byte aligned, contents undefined. Never NULL while the plan
 * holds; NULL on overflow or where a real arena is exhausted. */
void *sdg_arena_alloc(struct sdg_arena *a, size_t count, size_t item);
float *sdg_arena_floats(struct sdg_arena *a, size_t count);

/* release(a, mark(a)) gives back everything allocated between the two. */
size_t sdg_arena_mark(const struct sdg_arena *a);
void sdg_arena_release(struct sdg_arena *a, size_t mark);

/* Gives the system back what lies above the last block for now. It may be used as before, and takes
 * memory again as it is touched. */
void sdg_arena_give_back(struct sdg_arena *a);

#endif
