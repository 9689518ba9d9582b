/* stream.c - pages of weights that are read from a file each time (packs.h): those of the last few
 * stay, those of the next few are asked for.
 *
 * Networks read their weights in the order in which the dry run noted them, step after step; so
 * what comes next is known. A walk in another order costs speed and nothing else. */
#define _GNU_SOURCE
#include <sys/mman.h>
#include <unistd.h>

#include "ops/packs_parts.h"

/* Bytes of the file that reading the weight maps. */
static size_t bytes_of(const struct sdg_packs *packs, const struct sdg_pack *p)
{
    if (packs->image) return p->bytes;
    return sdg_tensor_bytes(&p->weight);
}

/* Advice on the pages of a pack in the image. Those of the system may be larger than an image's:
 * then the ones it shares with its neighbours count when they are asked for. What is let go takes
 * the end of the pack before along: Linux maps the whole folio around a page that is read, up to
 * 2 MiB, and so reading this one brought that back. */
enum { FOLIO = 2 << 20 };
static void advise(const struct sdg_packs *packs, const struct sdg_pack *p, int advice)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), at = (uintptr_t)packs->image + p->at;
    uintptr_t first = at / page * page, end = (at + p->bytes + page - 1) / page * page;
    if (advice == MADV_DONTNEED) {
        first = (at - (p->at < FOLIO ? p->at : FOLIO) + page - 1) / page * page;
        end = (at + p->bytes) / page * page;
    }
    if (end > first) madvise((void *)first, end - first, advice);
}

void sdg_stream_let_go(const struct sdg_packs *packs, size_t index)
{
    const struct sdg_pack *p = &packs->list[index];
    if (packs->image)
        advise(packs, p, MADV_DONTNEED);
    else if (packs->pages.done)
        packs->pages.done(packs->pages.user, &p->weight);
}

static void ask_for(const struct sdg_packs *packs, const struct sdg_pack *p)
{
    if (packs->image)
        advise(packs, p, MADV_WILLNEED);
    else if (packs->pages.ahead)
        packs->pages.ahead(packs->pages.user, &p->weight);
}

void sdg_stream_ask_for_all(const struct sdg_packs *packs)
{
    for (size_t i = 0; i < packs->count; i++) ask_for(packs, &packs->list[i]);
}

static void let_go_oldest(struct sdg_packs *packs)
{
    const uint32_t index = packs->held[packs->held_first];
    sdg_stream_let_go(packs, index);
    packs->held_bytes -= bytes_of(packs, &packs->list[index]);
    packs->held_first = (packs->held_first + 1) % SDG_PACKS_HELD;
    packs->held_count--;
}

/* Asks for the pages of the next weights of the group, once each. */
static void read_ahead(struct sdg_packs *packs, size_t index)
{
    const int group = packs->list[index].group;
    if (packs->asked <= index || packs->asked > packs->count) packs->asked = index + 1;
    size_t bytes = 0;
    for (size_t i = index + 1; i < packs->count && bytes < packs->window; i++) {
        const struct sdg_pack *p = &packs->list[i];
        if (p->group != group || p->chosen) continue;
        bytes += bytes_of(packs, p);
        if (i < packs->asked) continue;
        ask_for(packs, p);
        packs->asked = i + 1;
    }
}

void sdg_stream_turn(struct sdg_packs *packs, size_t index)
{
    const size_t last = (packs->held_first + packs->held_count - 1) % SDG_PACKS_HELD;
    if (packs->held_count && packs->held[last] > index) packs->asked = 0; /* the next step */
    for (size_t i = 0; i < packs->held_count; i++)
        if (packs->held[(packs->held_first + i) % SDG_PACKS_HELD] == index) return;
    const size_t bytes = bytes_of(packs, &packs->list[index]);
    while (packs->held_count &&
           (packs->held_count == SDG_PACKS_HELD || packs->held_bytes + bytes > packs->window))
        let_go_oldest(packs);
    packs->held[(packs->held_first + packs->held_count++) % SDG_PACKS_HELD] = (uint32_t)index;
    packs->held_bytes += bytes;
    read_ahead(packs, index);
}

void sdg_stream_rest(struct sdg_packs *packs, int group)
{
    packs->asked = 0;
    for (size_t n = packs->held_count; n > 0; n--) {
        const uint32_t index = packs->held[packs->held_first];
        const struct sdg_pack *p = &packs->list[index];
        if (group < 0 || p->group == group) {
            let_go_oldest(packs);
            continue;
        }
        packs->held[(packs->held_first + packs->held_count) % SDG_PACKS_HELD] = index;
        packs->held_first = (packs->held_first + 1) % SDG_PACKS_HELD;
    }
}
