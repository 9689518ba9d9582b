/* merge.c - byte-pair encoding of one piece of text (Sennrich et al. 2016, algorithm 1).
 *
 * The ids of the piece form a doubly linked list; a heap holds the pairs of neighbours that can be
 * joined, lowest rank on top and the leftmost of equals before the others. A pair whose parts have
 * changed since it was put there is recognised when it comes out, and dropped. So a piece of n
 * bytes costs n log n, where searching it all for every merge would cost n^2. */
#include "text/vocabulary.h"

#include <stdlib.h>

/* Stands in for the id of a symbol that was joined to its left neighbour. No merge contains it. */
enum { GONE = SDG_NO_MERGE };

struct pair {
    uint32_t merged; /* id of the result, which is in the order of ranks */
    size_t at;       /* left part */
};

struct piece {
    const struct sdg_vocabulary *vocabulary;
    uint32_t *ids;
    size_t n, *next, *previous; /* [n] each; n ends the list */
    struct pair *heap;
    size_t pairs;
};

static bool before(struct pair a, struct pair b)
{
    return a.merged < b.merged || (a.merged == b.merged && a.at < b.at);
}

static void heap_push(struct piece *p, struct pair pair)
{
    size_t i = p->pairs++;
    for (; i > 0 && before(pair, p->heap[(i - 1) / 2]); i = (i - 1) / 2)
        p->heap[i] = p->heap[(i - 1) / 2];
    p->heap[i] = pair;
}

static struct pair heap_pop(struct piece *p)
{
    struct pair top = p->heap[0], moved = p->heap[--p->pairs];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < p->pairs; i = child) {
        if (child + 1 < p->pairs && before(p->heap[child + 1], p->heap[child])) child++;
        if (!before(p->heap[child], moved)) break;
        p->heap[i] = p->heap[child];
    }
    p->heap[i] = moved;
    return top;
}

/* What the symbol at `at` and its right neighbour make, or SDG_NO_MERGE. */
static uint32_t merged_at(const struct piece *p, size_t at)
{
    if (p->next[at] == p->n) return SDG_NO_MERGE;
    return sdg_vocabulary_merge(p->vocabulary, p->ids[at], p->ids[p->next[at]]);
}

static void offer(struct piece *p, size_t at)
{
    uint32_t merged = merged_at(p, at);
    if (merged != SDG_NO_MERGE) heap_push(p, (struct pair) {merged, at});
}

/* Joins the symbol at `at` with its right neighbour and offers the two new pairs. */
static void join(struct piece *p, size_t at, uint32_t merged)
{
    size_t right = p->next[at];
    p->ids[at] = merged;
    p->ids[right] = GONE;
    p->next[at] = p->next[right];
    if (p->next[at] < p->n) p->previous[p->next[at]] = at;
    offer(p, at);
    if (at > 0) offer(p, p->previous[at]);
}

bool sdg_merge_piece(uint32_t *ids, size_t *count, size_t n, const struct sdg_vocabulary *v)
{
    *count = n;
    if (n == 0) return true;
    ids[n - 1] += SDG_BYTES; /* the byte that ends the word */
    if (n == 1) return true;
    /* Each merge takes one pair from the heap and brings at most two: never more than 2n there. */
    struct piece p = {.vocabulary = v, .ids = ids, .n = n};
    p.next = calloc(n, 2 * sizeof *p.next);
    p.heap = calloc(n, 2 * sizeof *p.heap);
    bool fine = p.next && p.heap;
    if (!fine) goto done;
    p.previous = p.next + n;
    for (size_t i = 0; i < n; i++) {
        p.next[i] = i + 1;
        p.previous[i] = i - 1; /* of the first one never read */
    }
    for (size_t i = 0; i < n; i++) offer(&p, i);
    while (p.pairs > 0) {
        struct pair pair = heap_pop(&p);
        if (p.ids[pair.at] != GONE && merged_at(&p, pair.at) == pair.merged)
            join(&p, pair.at, pair.merged);
    }
    *count = 0;
    for (size_t i = 0; i < n; i = p.next[i]) ids[(*count)++] = ids[i];
done:
    free(p.next);
    free(p.heap);
    return fine;
}
