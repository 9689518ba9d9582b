/* torchkeys.h - what older forms of torch.save number: storages and tensors, found by the addresses
 * they had in the memory of who wrote the file. Collected first, sorted once, then searched:
 * nothing here grows faster than the file, however its numbers were chosen. */
#ifndef SDG_FILES_TORCHKEYS_H
#define SDG_FILES_TORCHKEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "files/pickle.h"

struct sdg_torchkey {
    uint64_t key;
    size_t order; /* of adding */
    void *value;
};

struct sdg_torchkeys {
    struct sdg_torchkey *items; /* [count]; of one key, as they were added, once sorted */
    size_t count, room;
};

/* False without memory. */
bool sdg_torchkeys_add(struct sdg_torchkeys *k, uint64_t key, void *value);

void sdg_torchkeys_sort(struct sdg_torchkeys *k);

/* The first item of that key in sorted keys, or NULL. */
struct sdg_torchkey *sdg_torchkeys_find(const struct sdg_torchkeys *k, uint64_t key);

void sdg_torchkeys_free(struct sdg_torchkeys *k);

/* A number, or a text of its digits. */
bool sdg_torchkeys_read(uint64_t *key, const struct sdg_pickle_value *v);

#endif
