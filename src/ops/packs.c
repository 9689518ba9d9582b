/* packs.c - see packs.h. */
#define _GNU_SOURCE
#include "ops/packs.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/arena.h"
#include "kernels.h"
#include "ops/packs_parts.h"

size_t sdg_matmul_element(const struct sdg_matmul *mul)
{
    return mul->input == SDG_INPUT_BF16 ? 2 : 4;
}

size_t sdg_matmul_depth(const struct sdg_matmul *mul, size_t in)
{
    return (in + mul->k_step - 1) / mul->k_step * mul->k_step;
}

sdgen_status sdg_packs_create(struct sdg_packs **packs, sdgen_error *err)
{
    *packs = calloc(1, sizeof **packs);
    if (!*packs) return sdg_fail(err, SDGEN_ERR_MEMORY, "out of memory");
    (*packs)->window = SDG_PACKS_WINDOW;
    return SDGEN_OK;
}

void sdg_packs_destroy(struct sdg_packs *packs)
{
    if (!packs) return;
    for (int g = 0; g < SDG_PACKS_GROUPS; g++)
        if (packs->groups[g].block) munmap(packs->groups[g].block, packs->groups[g].bytes);
    free(packs->list);
    free(packs);
}

void sdg_packs_pages(struct sdg_packs *packs, const struct sdg_pages *pages)
{
    packs->pages = *pages;
}

void sdg_packs_cancel(struct sdg_packs *packs, const volatile int *cancel)
{
    packs->cancel = cancel;
}

/* ---- notes ----------------------------------------------------------------------------------- */

/* The same weight: some are views of rows of others, and begin where those do. */
static bool is_weight(const struct sdg_pack *p, const struct sdg_tensor *weight)
{
    return p->weight.data == weight->data && p->out == (size_t)weight->shape[0] &&
           p->in == (size_t)weight->shape[1];
}

/* Index of the pair's slot, or of the free slot where it would go. */
static size_t slot_of(const struct sdg_packs *packs, const struct sdg_tensor *weight,
                      const struct sdg_matmul *mul)
{
    const uint64_t h =
        ((uint64_t)(uintptr_t)weight->data ^ (uint64_t)(uintptr_t)mul) * 0x9E3779B97F4A7C15u;
    for (size_t i = (size_t)(h >> 50);; i = (i + 1) % SDG_PACKS_SLOTS) {
        if (packs->slots[i] == 0) return i;
        const struct sdg_pack *p = &packs->list[packs->slots[i] - 1];
        if (is_weight(p, weight) && p->mul == mul) return i;
    }
}

/* Index into the list; SIZE_MAX: not there. */
static size_t find(const struct sdg_packs *packs, const struct sdg_tensor *weight,
                   const struct sdg_matmul *mul)
{
    return (size_t)packs->slots[slot_of(packs, weight, mul)] - 1;
}

void sdg_packs_group(struct sdg_packs *packs, int group)
{
    packs->group = group;
}

/* What is smaller than f32 and exact in it stays as it is. */
static enum sdg_dtype packed_type(const struct sdg_tensor *weight, const struct sdg_matmul *mul)
{
    if (mul->input == SDG_INPUT_BF16) return SDG_BF16;
    return weight->dtype == SDG_F16 || weight->dtype == SDG_BF16 ? weight->dtype : SDG_F32;
}

static size_t round_up(size_t bytes, size_t unit)
{
    return (bytes + unit - 1) / unit * unit;
}

static struct sdg_pack pack_of(const struct sdg_tensor *weight, const struct sdg_matmul *mul)
{
    struct sdg_pack p = {.weight = *weight, .mul = mul, .taps = 1};
    p.out = (size_t)weight->shape[0];
    p.in = (size_t)weight->shape[1];
    for (int i = 2; i < weight->rank; i++) p.taps *= (size_t)weight->shape[i];
    p.depth = sdg_matmul_depth(mul, p.in);
    p.panels = (p.out + mul->nr - 1) / mul->nr;
    p.dtype = packed_type(weight, mul);
    p.bytes = p.panels * sdg_packing_panel_bytes(&p);
    return p;
}

static bool decided(const struct sdg_packs *packs)
{
    for (int g = 0; g < SDG_PACKS_GROUPS; g++)
        if (packs->groups[g].decided) return true;
    return false;
}

void sdg_packs_note(struct sdg_packs *packs, const struct sdg_tensor *weight,
                    const struct sdg_matmul *mul, size_t rows)
{
    uint32_t *slot = &packs->slots[slot_of(packs, weight, mul)];
    if (decided(packs)) return;
    if (*slot) {
        struct sdg_pack *known = &packs->list[*slot - 1];
        if (known->rows < rows) known->rows = rows;
        return;
    }
    if (packs->count >= SDG_PACKS_SLOTS / 2) return;
    if (packs->count == packs->capacity) {
        const size_t capacity = packs->capacity ? 2 * packs->capacity : 256;
        struct sdg_pack *grown = realloc(packs->list, capacity * sizeof *grown);
        if (!grown) {
            packs->broken = true;
            return;
        }
        packs->list = grown;
        packs->capacity = capacity;
    }
    struct sdg_pack *p = &packs->list[packs->count++];
    *p = pack_of(weight, mul);
    p->group = packs->group;
    p->rows = rows;
    p->at = packs->bytes;
    packs->bytes += round_up(p->bytes, SDG_PACKS_PAGE);
    *slot = (uint32_t)packs->count;
}

size_t sdg_packs_bytes(const struct sdg_packs *packs, int group)
{
    size_t bytes = 0;
    for (size_t i = 0; i < packs->count; i++)
        if (group < 0 || packs->list[i].group == group)
            bytes += round_up(packs->list[i].bytes, SDG_ARENA_ALIGN);
    return bytes;
}

/* ---- what is packed -------------------------------------------------------------------------- */

/* More rows first; in the order of the list among equals. */
static int compare_use(const void *a, const void *b, void *list)
{
    const uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;
    const struct sdg_pack *p = list;
    if (p[i].rows != p[j].rows) return p[i].rows > p[j].rows ? -1 : 1;
    return i < j ? -1 : 1;
}

/* Indices of a group's packs by use; NULL without memory. */
static uint32_t *by_use(const struct sdg_packs *packs, int group, size_t *count)
{
    uint32_t *order = malloc((packs->count ? packs->count : 1) * sizeof *order);
    *count = 0;
    if (!order) return NULL;
    for (size_t i = 0; i < packs->count; i++)
        if (packs->list[i].group == group) order[(*count)++] = (uint32_t)i;
    qsort_r(order, *count, sizeof *order, compare_use, packs->list);
    return order;
}

size_t sdg_packs_choose(struct sdg_packs *packs, int group, size_t budget)
{
    struct sdg_pack_group *g = &packs->groups[group];
    size_t count, bytes = 0;
    sdg_packs_drop(packs, group);
    uint32_t *order = by_use(packs, group, &count);
    if (!order) packs->broken = true; /* the build says so */
    for (size_t i = 0; order && i < count; i++) {
        struct sdg_pack *p = &packs->list[order[i]];
        const size_t room = round_up(p->bytes, SDG_ARENA_ALIGN);
        p->chosen = room <= budget - bytes;
        if (p->chosen) bytes += room;
    }
    free(order);
    g->bytes = 0;
    for (size_t i = 0; i < packs->count; i++) { /* in the block they lie in the order of use */
        struct sdg_pack *p = &packs->list[i];
        if (p->group != group || !p->chosen) continue;
        p->block_at = g->bytes;
        g->bytes += round_up(p->bytes, SDG_ARENA_ALIGN);
    }
    g->decided = true;
    return bytes;
}

void sdg_packs_window(struct sdg_packs *packs, size_t bytes)
{
    packs->window = bytes;
}

size_t sdg_packs_streamed(const struct sdg_packs *packs, int group)
{
    size_t largest = 0, all = 0;
    for (size_t i = 0; i < packs->count; i++) {
        const struct sdg_pack *p = &packs->list[i];
        if (p->group != group || p->chosen) continue;
        const size_t bytes = packs->image ? p->bytes : sdg_tensor_bytes(&p->weight);
        if (bytes > largest) largest = bytes;
        all += bytes;
    }
    const size_t window = largest > packs->window ? largest : packs->window;
    return all < window ? all : window;
}

void sdg_packs_drop(struct sdg_packs *packs, int group)
{
    struct sdg_pack_group *g = &packs->groups[group];
    sdg_stream_rest(packs, group);
    for (size_t i = 0; packs->image && i < packs->count; i++)
        if (packs->list[i].group == group) sdg_stream_let_go(packs, i);
    if (g->block) munmap(g->block, g->bytes);
    g->block = NULL;
}

/* ---- finding --------------------------------------------------------------------------------- */

struct sdg_packed sdg_packs_plan(const struct sdg_packs *packs, const struct sdg_tensor *weight,
                                 const struct sdg_matmul *mul)
{
    const size_t i = find(packs, weight, mul);
    if (i == SIZE_MAX) return (struct sdg_packed) {0};
    const struct sdg_pack *p = &packs->list[i];
    if (!packs->image && !p->chosen) return (struct sdg_packed) {0};
    return (struct sdg_packed) {(const void *)(uintptr_t)SDG_ARENA_ALIGN, p->dtype};
}

struct sdg_packed sdg_packs_use(struct sdg_packs *packs, const struct sdg_tensor *weight,
                                const struct sdg_matmul *mul)
{
    const size_t i = find(packs, weight, mul);
    if (i == SIZE_MAX) return (struct sdg_packed) {0};
    const struct sdg_pack *p = &packs->list[i];
    const struct sdg_pack_group *g = &packs->groups[p->group];
    if (!p->chosen) sdg_stream_turn(packs, i);
    if (packs->image) return (struct sdg_packed) {packs->image + p->at, p->dtype};
    if (!p->chosen || !g->block) return (struct sdg_packed) {0};
    return (struct sdg_packed) {g->block + p->block_at, p->dtype};
}

/* ---- all of them in one image ---------------------------------------------------------------- */

size_t sdg_packs_count(const struct sdg_packs *packs)
{
    return packs->count;
}

struct sdg_pack_row sdg_packs_row(const struct sdg_packs *packs, size_t i)
{
    const struct sdg_pack *p = &packs->list[i];
    return (struct sdg_pack_row) {.weight = &p->weight,
                                  .dtype = p->dtype,
                                  .at = p->at,
                                  .bytes = p->bytes,
                                  .nr = p->mul->nr,
                                  .k_step = p->mul->k_step,
                                  .layout = (int)p->mul->layout};
}

size_t sdg_packs_image_bytes(const struct sdg_packs *packs)
{
    return packs->bytes;
}

void sdg_packs_adopt(struct sdg_packs *packs, const void *image)
{
    packs->image = image;
    sdg_stream_ask_for_all(packs);
}
