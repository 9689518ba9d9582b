/* packs_parts.h - between packs.c (which weights, and where they are), packing.c (how they are
 * packed) and stream.c (pages of what is not). */
#ifndef SDG_OPS_PACKS_PARTS_H
#define SDG_OPS_PACKS_PARTS_H

#include <stdint.h>

#include "ops/packs.h"

enum { SDG_PACKS_SLOTS = 1 << 14, SDG_PACKS_HELD = 64 };

struct sdg_pack {
    struct sdg_tensor weight;
    const struct sdg_matmul *mul;
    size_t out, in, taps, depth, panels;
    enum sdg_dtype dtype;
    int group;
    size_t rows, bytes;
    size_t at;       /* in the image of all packs */
    size_t block_at; /* in the block of its group, when chosen */
    bool chosen;
};

struct sdg_pack_group {
    bool decided; /* something was chosen, if only nothing */
    char *block;  /* what is built, else NULL */
    size_t bytes; /* of what is chosen */
};

struct sdg_packs {
    struct sdg_pack *list; /* in the order of the dry run */
    size_t count, capacity;
    bool broken;                     /* a note was lost to lack of memory */
    uint32_t slots[SDG_PACKS_SLOTS]; /* 1 + index into list; 0: free. By address and product */
    int group;                       /* of the next note */
    struct sdg_pack_group groups[SDG_PACKS_GROUPS];
    size_t bytes;      /* of the image */
    const char *image; /* all packs in a mapped file, or NULL */
    struct sdg_pages pages;
    const volatile int *cancel;
    /* Streaming: indices of the weights whose pages are there, a ring, oldest first; and up to
     * where pages have been asked for. */
    uint32_t held[SDG_PACKS_HELD];
    size_t window, held_first, held_count, held_bytes;
    size_t asked;
};

size_t sdg_packing_panel_bytes(const struct sdg_pack *p);

/* Has the whole image fetched. */
void sdg_stream_ask_for_all(const struct sdg_packs *packs);

/* Gives back the pages that the weight at `index` was read from. */
void sdg_stream_let_go(const struct sdg_packs *packs, size_t index);

/* The weight at `index` is streamed and about to be read. */
void sdg_stream_turn(struct sdg_packs *packs, size_t index);

/* Gives back the pages of all streamed weights of a group (-1: of all groups). */
void sdg_stream_rest(struct sdg_packs *packs, int group);

#endif
