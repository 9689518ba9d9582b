/* torchkeys.c - see torchkeys.h. */
#include "files/torchkeys.h"

#include <stdlib.h>

bool sdg_torchkeys_add(struct sdg_torchkeys *k, uint64_t key, void *value)
{
    if (k->count == k->room) {
        const size_t room = k->room ? 2 * k->room : 64;
        struct sdg_torchkey *more = realloc(k->items, room * sizeof *more);
        if (!more) return false;
        k->items = more;
        k->room = room;
    }
    k->items[k->count] = (struct sdg_torchkey) {.key = key, .order = k->count, .value = value};
    k->count++;
    return true;
}

static int compare(const void *a, const void *b)
{
    const struct sdg_torchkey *x = a, *y = b;
    if (x->key != y->key) return x->key < y->key ? -1 : 1;
    return x->order < y->order ? -1 : x->order > y->order;
}

void sdg_torchkeys_sort(struct sdg_torchkeys *k)
{
    if (k->count) qsort(k->items, k->count, sizeof *k->items, compare);
}

struct sdg_torchkey *sdg_torchkeys_find(const struct sdg_torchkeys *k, uint64_t key)
{
    size_t low = 0, high = k->count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (k->items[middle].key < key)
            low = middle + 1;
        else
            high = middle;
    }
    return low < k->count && k->items[low].key == key ? &k->items[low] : NULL;
}

void sdg_torchkeys_free(struct sdg_torchkeys *k)
{
    free(k->items);
    *k = (struct sdg_torchkeys) {0};
}

bool sdg_torchkeys_read(uint64_t *key, const struct sdg_pickle_value *v)
{
    if (v->kind == SDG_PICKLE_INT) {
        *key = (uint64_t)v->as.number;
        return v->as.number >= 0;
    }
    if (v->kind != SDG_PICKLE_TEXT || v->size == 0) return false;
    if (v->as.text[0] == '0' && v->size > 1) return false; /* one spelling for each */
    *key = 0;
    for (uint32_t i = 0; i < v->size; i++) {
        const uint8_t c = v->as.text[i];
        if (c < '0' || c > '9' || *key > (UINT64_MAX - 9) / 10) return false;
        *key = 10 * *key + (c - '0');
    }
    return true;
}
