/* twins.c - see twins.h. A checksum sorts the tensors, so that only those are compared that are
 * likely to be equal. */
#define _GNU_SOURCE
#include "files/twins.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/parallel.h"

/* Smaller ones are equal by chance: biases of zeros, gains of ones. */
enum { LEAST_BYTES = 1 << 16 };

struct mark {
    uint32_t entry, crc;
    uint64_t bytes;
};

struct job {
    const struct sdg_weights *w;
    struct mark *marks;
};

static void mark_one(void *arg, size_t task, int worker)
{
    const struct job *job = arg;
    const struct sdg_tensor *t = &job->w->entries[task].tensor;
    (void)worker;
    job->marks[task] = (struct mark) {.entry = (uint32_t)task, .bytes = sdg_tensor_bytes(t)};
    if (job->marks[task].bytes >= LEAST_BYTES)
        job->marks[task].crc = (uint32_t)crc32_z(0, t->data, job->marks[task].bytes);
}

/* By size and checksum, then in the order of the file. */
static int compare(const void *a, const void *b)
{
    const struct mark *x = a, *y = b;
    if (x->bytes != y->bytes) return x->bytes < y->bytes ? -1 : 1;
    if (x->crc != y->crc) return x->crc < y->crc ? -1 : 1;
    return x->entry < y->entry ? -1 : x->entry > y->entry;
}

static bool are_equal(const struct sdg_tensor *a, const struct sdg_tensor *b, size_t bytes)
{
    if (a->dtype != b->dtype || a->rank != b->rank) return false;
    for (int d = 0; d < a->rank; d++)
        if (a->shape[d] != b->shape[d]) return false;
    return a->data == b->data || memcmp(a->data, b->data, bytes) == 0;
}

sdgen_status sdg_twins_find(struct sdg_twins *t, const struct sdg_weights *w, int threads,
                            sdgen_error *err)
{
    const size_t n = w->count;
    struct mark *marks = calloc(n + 1, sizeof *marks);
    *t = (struct sdg_twins) {.of = calloc(n + 1, sizeof *t->of)};
    if (!marks || !t->of) {
        free(marks);
        sdg_twins_free(t);
        return sdg_fail(err, SDGEN_ERR_MEMORY, "%s: out of memory", w->path);
    }
    struct job job = {w, marks};
    sdg_parallel_for(threads, n, mark_one, &job);
    qsort(marks, n, sizeof *marks, compare);
    for (size_t i = 0; i < n; i++) t->of[i] = (uint32_t)i;
    for (size_t i = 1, first = 0; i < n; i++) { /* first: of those with one checksum */
        const struct mark *a = &marks[first], *b = &marks[i];
        if (a->bytes != b->bytes || a->crc != b->crc || b->bytes < LEAST_BYTES) {
            first = i;
            continue;
        }
        if (!are_equal(&w->entries[a->entry].tensor, &w->entries[b->entry].tensor, b->bytes))
            continue;
        t->of[b->entry] = a->entry;
        t->count++;
        t->bytes += b->bytes;
    }
    free(marks);
    return SDGEN_OK;
}

void sdg_twins_free(struct sdg_twins *t)
{
    free(t->of);
    *t = (struct sdg_twins) {0};
}
