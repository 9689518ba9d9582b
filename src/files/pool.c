/* pool.c - see pool.h. A list of blocks; the first one is the one being filled. */
#include "files/pool.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

struct block {
    struct block *next;
    size_t used, size; /* of the bytes after the header */
    max_align_t bytes[];
};

enum { BLOCK = 32768, ALIGN = _Alignof(max_align_t) };

void *sdg_pool_alloc(void **pool, size_t size)
{
    if (size > SIZE_MAX / 2) return NULL;
    size = (size + ALIGN - 1) / ALIGN * ALIGN;
    struct block *first = *pool;
    if (!first || first->size - first->used < size) {
        const bool alone = size > BLOCK / 4;
        const size_t room = alone ? size : BLOCK;
        struct block *b = malloc(sizeof *b + room);
        if (!b) return NULL;
        b->used = 0;
        b->size = room;
        if (alone && first) { /* the block being filled stays in front */
            b->next = first->next;
            first->next = b;
        } else {
            b->next = first;
            *pool = b;
        }
        first = b;
    }
    void *piece = (char *)first->bytes + first->used;
    first->used += size;
    return piece;
}

void sdg_pool_free(void **pool)
{
    struct block *next;
    for (struct block *b = *pool; b; b = next) {
        next = b->next;
        free(b);
    }
    *pool = NULL;
}
