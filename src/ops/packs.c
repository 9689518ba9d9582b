/* packs.c - see packs.h. */
#define _GNU_SOURCE
#include "ops/packs.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/arena.h"
#include "base/parallel.h"
#include "kernels.h"
#include "ops/work.h"

enum { SLOTS = 1 << 14, GROUP_BYTES = 64 << 20 };

struct pack {
    struct sdg_tensor weight;
    const struct sdg_matmul *mul;
    size_t out, in, taps, depth, panels;
    enum sdg_dtype dtype;
    size_t offset, bytes; /* in the block */
};

struct sdg_packs {
    struct pack *list;
    size_t count, capacity;
    bool broken;           /* a note was lost to lack of memory */
    uint32_t slots[SLOTS]; /* 1 + index into list; 0: free. By address and product */
    char *block;
    size_t bytes;
};

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
    return *packs ? SDGEN_OK : sdg_fail(err, SDGEN_ERR_MEMORY, "out of memory");
}

void sdg_packs_destroy(struct sdg_packs *packs)
{
    if (!packs) return;
    if (packs->block) munmap(packs->block, packs->bytes);
    free(packs->list);
    free(packs);
}

/* ---- the list -------------------------------------------------------------------------------- */

/* Index of the pair's slot, or of the free slot where it would go. */
static size_t slot_of(const struct sdg_packs *packs, const void *data, const struct sdg_matmul *mul)
{
    const uint64_t h = ((uint64_t)(uintptr_t)data ^ (uint64_t)(uintptr_t)mul) * 0x9E3779B97F4A7C15u;
    for (size_t i = (size_t)(h >> 50);; i = (i + 1) % SLOTS) {
        if (packs->slots[i] == 0) return i;
        const struct pack *p = &packs->list[packs->slots[i] - 1];
        if (p->weight.data == data && p->mul == mul) return i;
    }
}

/* What is smaller than f32 and exact in it stays as it is. */
static enum sdg_dtype packed_type(const struct sdg_tensor *weight, const struct sdg_matmul *mul)
{
    if (mul->input == SDG_INPUT_BF16) return SDG_BF16;
    return weight->dtype == SDG_F16 || weight->dtype == SDG_BF16 ? weight->dtype : SDG_F32;
}

void sdg_packs_note(struct sdg_packs *packs, const struct sdg_tensor *weight,
                    const struct sdg_matmul *mul)
{
    uint32_t *slot = &packs->slots[slot_of(packs, weight->data, mul)];
    if (*slot || packs->block || packs->count >= SLOTS / 2) return;
    if (packs->count == packs->capacity) {
        const size_t capacity = packs->capacity ? 2 * packs->capacity : 256;
        struct pack *grown = realloc(packs->list, capacity * sizeof *grown);
        if (!grown) {
            packs->broken = true;
            return;
        }
        packs->list = grown;
        packs->capacity = capacity;
    }
    struct pack p = {.weight = *weight, .mul = mul, .taps = 1};
    p.out = (size_t)weight->shape[0];
    p.in = (size_t)weight->shape[1];
    for (int i = 2; i < weight->rank; i++) p.taps *= (size_t)weight->shape[i];
    p.depth = sdg_matmul_depth(mul, p.in);
    p.panels = (p.out + mul->nr - 1) / mul->nr;
    p.dtype = packed_type(weight, mul);
    p.bytes = p.panels * p.taps * p.depth * mul->nr * sdg_dtype_size(p.dtype);
    p.offset = packs->bytes;
    packs->bytes += (p.bytes + SDG_ARENA_ALIGN - 1) / SDG_ARENA_ALIGN * SDG_ARENA_ALIGN;
    packs->list[packs->count++] = p;
    *slot = (uint32_t)packs->count;
}

size_t sdg_packs_bytes(const struct sdg_packs *packs)
{
    return packs->bytes;
}

struct sdg_packed sdg_packs_find(const struct sdg_packs *packs, const struct sdg_tensor *weight,
                                 const struct sdg_matmul *mul)
{
    if (!packs->block) return (struct sdg_packed) {0};
    const uint32_t at = packs->slots[slot_of(packs, weight->data, mul)];
    if (!at) return (struct sdg_packed) {0};
    const struct pack *p = &packs->list[at - 1];
    return (struct sdg_packed) {packs->block + p->offset, p->dtype};
}

/* ---- packing --------------------------------------------------------------------------------- */

struct job {
    const struct sdg_packs *packs;
    const struct sdg_kernels *k;
    const struct pack *first; /* of the group at work */
    size_t count;
    float *scratch; /* [threads][scratch_floats] */
    size_t scratch_floats;
    bool failed;
};

/* to [tap][depth][nr] of 16-bit numbers, whatever they mean, from n rows [in][taps]. Eight places
 * of a row at a time, so that a cache line of it is read once. */
static void transpose_16(uint16_t *to, const char *rows, const struct pack *p, size_t n)
{
    const size_t nr = p->mul->nr, row = p->in * p->taps;
    if (n < nr) memset(to, 0, p->taps * p->depth * nr * sizeof *to);
    for (size_t i = 0; i < p->in; i += 8) {
        const size_t last = i + 8 < p->in ? i + 8 : p->in;
        for (size_t j = 0; j < n; j++)
            for (size_t at = i; at < last; at++)
                for (size_t t = 0; t < p->taps; t++)
                    memcpy(&to[(t * p->depth + at) * nr + j],
                           rows + (j * row + at * p->taps + t) * sizeof *to, sizeof *to);
    }
}

static void pack_panel(const struct job *job, const struct pack *p, size_t panel, float *scratch)
{
    const size_t nr = p->mul->nr, row = p->in * p->taps, first = panel * nr;
    const size_t n = p->out - first < nr ? p->out - first : nr;
    const size_t tap_bytes = p->depth * nr * sdg_dtype_size(p->dtype);
    char *to = job->packs->block + p->offset + panel * p->taps * tap_bytes;
    if (p->mul->input == SDG_INPUT_F32 && p->dtype != SDG_F32) {
        transpose_16((uint16_t *)(void *)to,
                     (const char *)p->weight.data + first * row * sizeof(uint16_t), p, n);
        return;
    }
    sdg_widen(job->k, scratch, &p->weight, first * row, n * row);
    for (size_t t = 0; t < p->taps; t++)
        p->mul->pack(to + t * tap_bytes, nr, scratch + t, row, p->taps, n, p->in);
}

static void pack_task(void *arg, size_t task, int worker)
{
    const struct job *job = arg;
    const struct pack *p = job->first;
    while (task >= p->panels) task -= p++->panels;
    pack_panel(job, p, task, job->scratch + (size_t)worker * job->scratch_floats);
}

/* Weights in groups of about GROUP_BYTES: enough for all threads, few enough that the pages of what
 * is done can go before the next are read. */
static void pack_all(struct job *job, int threads, void (*done)(void *, const struct sdg_tensor *),
                     void *user)
{
    const struct sdg_packs *packs = job->packs;
    for (size_t i = 0; i < packs->count; i += job->count) {
        size_t bytes = 0, panels = 0;
        job->first = packs->list + i;
        for (job->count = 0; i + job->count < packs->count && bytes < GROUP_BYTES; job->count++) {
            bytes += job->first[job->count].bytes;
            panels += job->first[job->count].panels;
        }
        sdg_parallel_for(threads, panels, pack_task, job);
        for (size_t j = 0; done && j < job->count; j++) done(user, &job->first[j].weight);
    }
}

sdgen_status sdg_packs_build(struct sdg_packs *packs, const struct sdg_kernels *k, int threads,
                             void (*done)(void *user, const struct sdg_tensor *weight), void *user,
                             sdgen_error *err)
{
    struct job job = {.packs = packs, .k = k};
    if (packs->count == 0) return SDGEN_OK;
    for (size_t i = 0; i < packs->count; i++) {
        const struct pack *p = &packs->list[i];
        const size_t floats = p->mul->nr * p->in * p->taps;
        if (floats > job.scratch_floats) job.scratch_floats = floats;
    }
    job.scratch = malloc(job.scratch_floats * (size_t)(threads > 0 ? threads : 1) * sizeof(float));
    void *block = MAP_FAILED;
    if (job.scratch && !packs->broken)
        block =
            mmap(NULL, packs->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (block == MAP_FAILED) {
        free(job.scratch);
        return sdg_fail(err, SDGEN_ERR_MEMORY, "out of memory for %zu MiB of packed weights",
                        packs->bytes >> 20);
    }
    madvise(block, packs->bytes, MADV_HUGEPAGE); /* a wish: long linear reads, fewer TLB misses */
    packs->block = block;
    pack_all(&job, threads, done, user);
    free(job.scratch);
    return SDGEN_OK;
}
