/* packing.c - from the layout of a file to panels, in parallel (packs.h). */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/arena.h"
#include "base/parallel.h"
#include "kernels.h"
#include "ops/packs_parts.h"
#include "ops/work.h"

/* Weights go in batches: enough panels for all threads, few enough bytes that the pages of what is
 * done can go before the next are read. */
enum { BATCH_BYTES = 64 << 20 };

struct item {
    const struct sdg_pack *pack;
    char *to;
};

struct job {
    const struct sdg_packs *packs;
    const struct sdg_kernels *k;
    int threads;
    struct item *items; /* [packs->count]: the batch at work */
    size_t count, bytes;
    float *scratch; /* [threads][scratch_floats] */
    size_t scratch_floats;
};

/* ---- a panel --------------------------------------------------------------------------------- */

size_t sdg_packing_panel_bytes(const struct sdg_pack *p)
{
    return p->taps * p->depth * p->mul->nr * sdg_dtype_size(p->dtype);
}

/* to [tap][depth][nr] of 16-bit numbers, whatever they mean, from n rows [in][taps]. Eight places
 * of a row at a time, so that a cache line of it is read once. */
static void transpose_16(uint16_t *to, const char *rows, const struct sdg_pack *p, size_t n)
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

/* Channels that are widened at a time: f32 rows that stay in the second cache while they are read
 * tap by tap. A multiple of every product's step, so that pieces of a panel join. */
static size_t channels_at_once(const struct sdg_tensor *weight, size_t taps)
{
    if (taps == 1) return 512;
    return sdg_dtype_is_quantised(weight->dtype) ? 256 : 64; /* 256: few blocks are cut */
}

static size_t taps_of(const struct sdg_tensor *weight)
{
    size_t taps = 1;
    for (int i = 2; i < weight->rank; i++) taps *= (size_t)weight->shape[i];
    return taps;
}

size_t sdg_pack_scratch(const struct sdg_matmul *mul, const struct sdg_tensor *weight)
{
    const size_t in = (size_t)weight->shape[1], taps = taps_of(weight);
    const size_t most = channels_at_once(weight, taps);
    return mul->nr * (in < most ? in : most) * taps;
}

void sdg_pack_panel(void *to, const struct sdg_kernels *k, const struct sdg_matmul *mul,
                    const struct sdg_tensor *weight, size_t panel, float *scratch)
{
    const size_t out = (size_t)weight->shape[0], in = (size_t)weight->shape[1];
    const size_t taps = taps_of(weight), nr = mul->nr, first = panel * nr, row = in * taps;
    const size_t n = out - first < nr ? out - first : nr, most = channels_at_once(weight, taps);
    const size_t element = sdg_matmul_element(mul), tap = sdg_matmul_depth(mul, in) * nr * element;
    for (size_t i = 0; i < in; i += most) {
        const size_t count = in - i < most ? in - i : most, piece = count * taps;
        for (size_t j = 0; j < n; j++)
            sdg_widen(k, scratch + j * piece, weight, (first + j) * row + i * taps, piece);
        for (size_t t = 0; t < taps; t++)
            mul->pack((char *)to + t * tap + i * nr * element, nr, scratch + t, piece, taps, n,
                      count);
    }
}

/* What is kept as f16 or bf16 for a product of f32 only changes its place. */
static void pack_one(char *to, const struct sdg_kernels *k, const struct sdg_pack *p, size_t panel,
                     float *scratch)
{
    const size_t nr = p->mul->nr, first = panel * nr, row = p->in * p->taps;
    const size_t n = p->out - first < nr ? p->out - first : nr;
    const char *rows = p->weight.data;
    if (p->mul->input == SDG_INPUT_F32 && p->dtype != SDG_F32)
        transpose_16((uint16_t *)(void *)to, rows + first * row * sizeof(uint16_t), p, n);
    else
        sdg_pack_panel(to, k, p->mul, &p->weight, panel, scratch);
}

/* ---- a batch --------------------------------------------------------------------------------- */

static void pack_task(void *arg, size_t task, int worker)
{
    const struct job *job = arg;
    const struct item *item = job->items;
    while (task >= item->pack->panels) task -= item++->pack->panels;
    pack_one(item->to + task * sdg_packing_panel_bytes(item->pack), job->k, item->pack, task,
             job->scratch + (size_t)worker * job->scratch_floats);
}

static sdgen_status run_batch(struct job *job, sdgen_error *err)
{
    const volatile int *cancel = job->packs->cancel;
    if (cancel && *cancel) return sdg_fail(err, SDGEN_ERR_CANCELLED, "cancelled");
    const struct sdg_pages *pages = &job->packs->pages;
    size_t panels = 0;
    for (size_t i = 0; i < job->count; i++) panels += job->items[i].pack->panels;
    sdg_parallel_for(job->threads, panels, pack_task, job);
    for (size_t i = 0; pages->done && i < job->count; i++)
        pages->done(pages->user, &job->items[i].pack->weight);
    return SDGEN_OK;
}

static size_t room_of(const struct sdg_pack *p)
{
    return (p->bytes + SDG_ARENA_ALIGN - 1) / SDG_ARENA_ALIGN * SDG_ARENA_ALIGN;
}

static void add(struct job *job, const struct sdg_pack *p, char *to)
{
    job->items[job->count++] = (struct item) {p, to};
    job->bytes += room_of(p);
}

static sdgen_status begin(struct job *job, const struct sdg_packs *packs,
                          const struct sdg_kernels *k, int threads, sdgen_error *err)
{
    *job = (struct job) {.packs = packs, .k = k, .threads = threads > 0 ? threads : 1};
    if (packs->broken) return sdg_fail(err, SDGEN_ERR_MEMORY, "out of memory");
    for (size_t i = 0; i < packs->count; i++) {
        const struct sdg_pack *p = &packs->list[i];
        const size_t floats = sdg_pack_scratch(p->mul, &p->weight);
        if (floats > job->scratch_floats) job->scratch_floats = floats;
    }
    job->items = malloc(packs->count * sizeof *job->items);
    job->scratch = malloc(job->scratch_floats * (size_t)job->threads * sizeof(float));
    if (job->items && job->scratch) return SDGEN_OK;
    free(job->items);
    free(job->scratch);
    return sdg_fail(err, SDGEN_ERR_MEMORY, "out of memory");
}

static void end(struct job *job)
{
    free(job->items);
    free(job->scratch);
}

static void *map_memory(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) return NULL;
    madvise(p, bytes, MADV_HUGEPAGE); /* a wish: long linear reads, fewer TLB misses */
    return p;
}

/* ---- all of them ----------------------------------------------------------------------------- */

sdgen_status sdg_packs_build(struct sdg_packs *packs, int group, const struct sdg_kernels *k,
                             int threads, sdgen_error *err)
{
    struct sdg_pack_group *g = &packs->groups[group];
    struct job job;
    if (!g->decided) sdg_packs_choose(packs, group, SIZE_MAX);
    if (packs->image || g->block || (g->bytes == 0 && !packs->broken)) return SDGEN_OK;
    sdgen_status status = begin(&job, packs, k, threads, err);
    if (status != SDGEN_OK) return status;
    g->block = map_memory(g->bytes);
    if (!g->block) {
        end(&job);
        return sdg_fail(err, SDGEN_ERR_MEMORY, "out of memory for %zu MiB of packed weights",
                        g->bytes >> 20);
    }
    sdg_parallel_spread(threads, g->block, g->bytes);
    for (size_t i = 0; status == SDGEN_OK && i < packs->count; i++) {
        const struct sdg_pack *p = &packs->list[i];
        if (p->group == group && p->chosen) add(&job, p, g->block + p->block_at);
        if (job.bytes < BATCH_BYTES && i + 1 < packs->count) continue;
        status = run_batch(&job, err);
        job.count = job.bytes = 0;
    }
    end(&job);
    if (status != SDGEN_OK) sdg_packs_drop(packs, group);
    return status;
}

/* The batch in `buffer`, pack after pack, to the sink. */
static sdgen_status write_batch(struct job *job, sdg_packs_sink sink, void *user, sdgen_error *err)
{
    sdgen_status status = run_batch(job, err);
    for (size_t i = 0; status == SDGEN_OK && i < job->count; i++) {
        const struct item *item = &job->items[i];
        status = sink(user, item->pack->at, item->to, item->pack->bytes, err);
    }
    job->count = job->bytes = 0;
    return status;
}

sdgen_status sdg_packs_write(const struct sdg_packs *packs, const struct sdg_kernels *k,
                             int threads, sdg_packs_sink sink, void *user, sdgen_error *err)
{
    struct job job;
    size_t room = BATCH_BYTES;
    if (packs->count == 0) return SDGEN_OK;
    sdgen_status status = begin(&job, packs, k, threads, err);
    if (status != SDGEN_OK) return status;
    for (size_t i = 0; i < packs->count; i++)
        if (room_of(&packs->list[i]) > room) room = room_of(&packs->list[i]);
    char *buffer = map_memory(room);
    if (!buffer) {
        end(&job);
        return sdg_fail(err, SDGEN_ERR_MEMORY, "out of memory for %zu MiB of packed weights",
                        room >> 20);
    }
    for (size_t i = 0; status == SDGEN_OK && i < packs->count; i++) {
        add(&job, &packs->list[i], buffer + job.bytes);
        const bool last = i + 1 == packs->count;
        if (last || job.bytes + room_of(&packs->list[i + 1]) > room)
            status = write_batch(&job, sink, user, err);
    }
    munmap(buffer, room);
    end(&job);
    return status;
}
