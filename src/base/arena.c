/* arena.c - see arena.h. */
#define _GNU_SOURCE
#include "base/arena.h"

#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

/* Where a measuring arena pretends to begin: aligned, not NULL, and in the page no one maps. */
#define MEASURE_BASE ((char *)(uintptr_t)SDG_ARENA_ALIGN)

void sdg_arena_measure(struct sdg_arena *a)
{
    *a = (struct sdg_arena) {.base = MEASURE_BASE, .size = SIZE_MAX / 4, .measure = true};
}

sdgen_status sdg_arena_create(struct sdg_arena *a, size_t size, sdgen_error *err)
{
    *a = (struct sdg_arena) {0};
    if (size == 0) size = SDG_ARENA_ALIGN;
    if (size > SIZE_MAX / 4)
        return sdg_fail(err, SDGEN_ERR_MEMORY, "a work area of %zu bytes is absurd", size);
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return sdg_fail(err, SDGEN_ERR_MEMORY,
                        "cannot get %zu MiB of memory; choose a smaller picture or batch",
                        size >> 20);
    a->base = p;
    a->size = size;
    return SDGEN_OK;
}

void sdg_arena_destroy(struct sdg_arena *a)
{
    if (a->base && !a->measure) munmap(a->base, a->size);
    *a = (struct sdg_arena) {0};
}

void *sdg_arena_alloc(struct sdg_arena *a, size_t count, size_t item)
{
    if (item && count > SIZE_MAX / 8 / item) return NULL;
    const size_t bytes = (count * item + SDG_ARENA_ALIGN - 1) & ~(size_t)(SDG_ARENA_ALIGN - 1);
    if (bytes > a->size - a->used) return NULL;
    char *p = a->base + a->used;
    a->used += bytes;
    if (a->used > a->peak) a->peak = a->used;
    return p;
}

float *sdg_arena_floats(struct sdg_arena *a, size_t count)
{
    return sdg_arena_alloc(a, count, sizeof(float));
}

size_t sdg_arena_mark(const struct sdg_arena *a)
{
    return a->used;
}

void sdg_arena_release(struct sdg_arena *a, size_t mark)
{
    a->used = mark;
}

void sdg_arena_give_back(struct sdg_arena *a)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), from = (a->used + page - 1) / page * page;
    if (!a->measure && a->base && from < a->size)
        madvise(a->base + from, a->size - from, MADV_DONTNEED);
}
