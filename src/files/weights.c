/* weights.c - see weights.h: tells the form of a file, hands it to its reader, finds names.
 *
 * Names are found by binary search in a sorted list: unlike a hash table it needs no secret to stay
 * fast on names that were chosen to collide, and sorting shows duplicates. */
#define _GNU_SOURCE
#include "files/weights.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "files/bundle.h"
#include "files/foreign.h"
#include "files/gguf.h"
#include "files/pool.h"
#include "files/read.h"
#include "files/safetensors.h"
#include "files/torchforms.h"

sdgen_status sdg_weights_no_memory(const struct sdg_weights *w, sdgen_error *err)
{
    return sdg_fail(err, SDGEN_ERR_MEMORY, "%s: not enough memory to read it", w->path);
}

sdgen_status sdg_weights_add(struct sdg_entry **entry, char **name, struct sdg_weights *w,
                             size_t name_size, sdgen_error *err)
{
    const size_t n = w->count;
    if (n == SDG_MAX_TENSORS)
        return sdg_fail(err, SDGEN_ERR_FORMAT, "%s: holds more than %d tensors; no model does",
                        w->path, SDG_MAX_TENSORS);
    if ((n & (n - 1)) == 0) { /* the room doubles at every power of two */
        void *more = realloc(w->entries, (n ? 2 * n : 1) * sizeof *w->entries);
        if (!more) return sdg_weights_no_memory(w, err);
        w->entries = more;
    }
    *name = sdg_pool_alloc(&w->owned, name_size + 1);
    if (!*name) return sdg_weights_no_memory(w, err);
    (*name)[name_size] = 0;
    *entry = &w->entries[n];
    **entry = (struct sdg_entry) {.name = *name, .stored = *name, .part = ""};
    w->count++;
    return SDGEN_OK;
}

static int compare_names(const void *a, const void *b, void *entries)
{
    const struct sdg_entry *e = entries;
    return strcmp(e[*(const uint32_t *)a].name, e[*(const uint32_t *)b].name);
}

sdgen_status sdg_weights_sort(struct sdg_weights *w, sdgen_error *err)
{
    if (w->count == 0) return SDGEN_OK;
    void *index = realloc(w->index, w->count * sizeof *w->index);
    if (!index) return sdg_weights_no_memory(w, err);
    w->index = index;
    w->index_size = w->count;
    for (size_t i = 0; i < w->count; i++) w->index[i] = (uint32_t)i;
    qsort_r(w->index, w->count, sizeof *w->index, compare_names, w->entries);
    for (size_t i = 1; i < w->count; i++) {
        const char *name = w->entries[w->index[i]].name;
        if (strcmp(w->entries[w->index[i - 1]].name, name) == 0)
            return sdg_fail(err, SDGEN_ERR_FORMAT,
                            "%s: tensor %.200s is there twice; the file is damaged, download it "
                            "again",
                            w->path, name);
    }
    return SDGEN_OK;
}

static int compare_places(const void *a, const void *b, void *entries)
{
    const struct sdg_entry *e = entries;
    const struct sdg_tensor *x = &e[*(const uint32_t *)a].tensor;
    const struct sdg_tensor *y = &e[*(const uint32_t *)b].tensor;
    const uintptr_t p = (uintptr_t)x->data, q = (uintptr_t)y->data;
    const size_t n = sdg_tensor_bytes(x), m = sdg_tensor_bytes(y);
    if (p != q) return p < q ? -1 : 1;
    return n < m ? -1 : n > m;
}

uint32_t *sdg_weights_by_place(const struct sdg_weights *w, size_t first)
{
    const size_t count = w->count - first;
    uint32_t *order = malloc(count * sizeof *order);
    if (!order) return NULL;
    for (size_t i = 0; i < count; i++) order[i] = (uint32_t)(first + i);
    qsort_r(order, count, sizeof *order, compare_places, w->entries);
    return order;
}

sdgen_status sdg_weights_add_metadata(struct sdg_metadata **m, struct sdg_weights *w,
                                      sdgen_error *err)
{
    const size_t n = w->metadata_count;
    if (n == SDG_MAX_TENSORS)
        return sdg_fail(err, SDGEN_ERR_FORMAT, "%s: holds more than %d metadata; no model does",
                        w->path, SDG_MAX_TENSORS);
    if ((n & (n - 1)) == 0) { /* the room doubles at every power of two */
        void *more = realloc(w->metadata, (n ? 2 * n : 1) * sizeof *w->metadata);
        if (!more) return sdg_weights_no_memory(w, err);
        w->metadata = more;
    }
    *m = &w->metadata[w->metadata_count++];
    **m = (struct sdg_metadata) {"", ""};
    return SDGEN_OK;
}

static int compare_keys(const void *a, const void *b)
{
    return strcmp(((const struct sdg_metadata *)a)->key, ((const struct sdg_metadata *)b)->key);
}

sdgen_status sdg_weights_sort_metadata(struct sdg_weights *w, size_t first, sdgen_error *err)
{
    const size_t count = w->metadata_count - first;
    if (count == 0) return SDGEN_OK;
    qsort(w->metadata + first, count, sizeof *w->metadata, compare_keys);
    for (size_t i = first + 1; i < w->metadata_count; i++)
        if (strcmp(w->metadata[i - 1].key, w->metadata[i].key) == 0)
            return sdg_fail(err, SDGEN_ERR_FORMAT,
                            "%s: metadata key %.200s is there twice; the file is damaged, download "
                            "it again",
                            w->path, w->metadata[i].key);
    return SDGEN_OK;
}

/* ---- opening --------------------------------------------------------------------------------- */

sdgen_status sdg_weights_read(struct sdg_weights *w, const uint8_t *data, size_t size,
                              sdgen_error *err)
{
    const char *foreign = NULL;
    if (size == 0)
        return sdg_fail(err, SDGEN_ERR_FORMAT, "%s: is empty; download it again", w->path);
    if (size >= 4 && memcmp(data, "PK\x03\x04", 4) == 0)
        return sdg_torchfile_read(w, data, size, err);
    if (sdg_torchlegacy_is(data, size)) return sdg_torchlegacy_read(w, data, size, err);
    if (sdg_torchtar_is(data, size)) return sdg_torchtar_read(w, data, size, err);
    if (size >= 4 && memcmp(data, SDG_GGUF_MAGIC, 4) == 0) return sdg_gguf_read(w, data, size, err);
    if (sdg_safetensors_is(data, size)) return sdg_safetensors_read(w, data, size, err);
    if ((foreign = sdg_foreign_form(data, size)))
        return sdg_fail(err, SDGEN_ERR_FORMAT, "%s: %s", w->path, foreign);
    if (sdg_safetensors_was(data, size)) return sdg_safetensors_read(w, data, size, err);
    return sdg_fail(err, SDGEN_ERR_FORMAT,
                    "%s: its %zu bytes are neither safetensors nor GGUF nor a torch.save file; is "
                    "it the right file, and whole?",
                    w->path, size);
}

static sdgen_status parse(struct sdg_weights *w, const uint8_t *data, size_t size,
                          const char *variant, sdgen_error *err)
{
    sdgen_status status;
    if (sdg_dduf_is(data, size))
        SDG_TRY(sdg_dduf_read(w, data, size, variant, err));
    else
        SDG_TRY(sdg_weights_read(w, data, size, err));
    SDG_TRY(sdg_weights_sort(w, err));
fail:
    return status;
}

sdgen_status sdg_weights_parse(struct sdg_weights *w, const uint8_t *data, size_t size,
                               sdgen_error *err)
{
    return parse(w, data, size, NULL, err);
}

sdgen_status sdg_weights_map(struct sdg_weights *w, const char *path, sdgen_error *err)
{
    struct sdg_filemap *more = realloc(w->maps, (w->map_count + 1) * sizeof *w->maps);
    if (!more) return sdg_weights_no_memory(w, err);
    w->maps = more;
    const sdgen_status status = sdg_filemap_open(&w->maps[w->map_count], path, err);
    w->map_count += status == SDGEN_OK;
    return status;
}

static bool is_folder(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

sdgen_status sdg_weights_open_variant(struct sdg_weights *w, const char *path, const char *variant,
                                      sdgen_error *err)
{
    sdgen_status status;
    bool taken = false; /* a text that leads to other files */
    *w = (struct sdg_weights) {.path = strdup(path)};
    if (!w->path) {
        status = sdg_fail(err, SDGEN_ERR_MEMORY, "%s: not enough memory to read it", path);
        goto fail;
    }
    if (is_folder(path)) {
        SDG_TRY(sdg_folder_read(w, path, variant, err));
        SDG_TRY(sdg_weights_sort(w, err));
        return SDGEN_OK;
    }
    SDG_TRY(sdg_weights_map(w, path, err));
    const uint8_t *data = w->maps[0].data;
    const size_t size = w->maps[0].size;
    if (!sdg_safetensors_is(data, size))
        SDG_TRY(sdg_folder_read_from(&taken, w, data, size, variant, err));
    if (taken)
        SDG_TRY(sdg_weights_sort(w, err));
    else
        SDG_TRY(parse(w, data, size, variant, err));
    return SDGEN_OK;
fail:
    sdg_weights_close(w);
    return status;
}

sdgen_status sdg_weights_open(struct sdg_weights *w, const char *path, sdgen_error *err)
{
    return sdg_weights_open_variant(w, path, NULL, err);
}

void sdg_weights_close(struct sdg_weights *w)
{
    for (size_t i = 0; i < w->map_count; i++) sdg_filemap_close(&w->maps[i]);
    free(w->maps);
    sdg_pool_free(&w->owned);
    free(w->entries);
    free(w->index);
    free(w->metadata);
    free(w->texts);
    free(w->path);
    *w = (struct sdg_weights) {0};
}

const struct sdg_entry *sdg_weights_find(const struct sdg_weights *w, const char *name)
{
    size_t low = 0, high = w->index_size;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const struct sdg_entry *e = &w->entries[w->index[middle]];
        const int order = strcmp(name, e->name);
        if (order == 0) return e;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

const char *sdg_weights_metadata(const struct sdg_weights *w, const char *key)
{
    for (size_t i = 0; i < w->metadata_count; i++)
        if (strcmp(w->metadata[i].key, key) == 0) return w->metadata[i].value;
    return NULL;
}

const char *sdg_weights_text(const struct sdg_weights *w, const char *name)
{
    for (size_t i = 0; i < w->text_count; i++)
        if (strcmp(w->texts[i].name, name) == 0) return w->texts[i].text;
    return NULL;
}

size_t sdg_weights_bytes(const struct sdg_weights *w)
{
    size_t bytes = 0;
    for (size_t i = 0; i < w->map_count; i++) bytes += w->maps[i].size;
    return bytes;
}

const char *sdg_form_name(enum sdg_form form)
{
    switch (form) {
    case SDG_FORM_SAFETENSORS: return "safetensors";
    case SDG_FORM_TORCH_ZIP: return "torch zip";
    case SDG_FORM_TORCH_LEGACY: return "torch legacy";
    case SDG_FORM_TORCH_TAR: return "torch tar";
    case SDG_FORM_GGUF: return "GGUF";
    case SDG_FORM_DDUF: return "DDUF";
    case SDG_FORM_SHARDS: return "shards";
    case SDG_FORM_FOLDER: return "folder";
    }
    return "unknown";
}

bool sdg_weights_is_mapped(const struct sdg_weights *w, const void *data)
{
    const uintptr_t p = (uintptr_t)data;
    for (size_t i = 0; i < w->map_count; i++) {
        const uintptr_t base = (uintptr_t)w->maps[i].data;
        if (p >= base && p < base + w->maps[i].size) return true;
    }
    return false;
}

void sdg_weights_let_go(const struct sdg_weights *w, const struct sdg_tensor *t)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), first = (uintptr_t)t->data;
    if (!sdg_weights_is_mapped(w, t->data)) return; /* memory of our own */
    const size_t bytes = sdg_tensor_bytes(t);
    const uintptr_t start = (first + page - 1) / page * page, end = (first + bytes) / page * page;
    if (end > start) madvise((void *)start, end - start, MADV_DONTNEED);
}

void sdg_weights_let_go_all(const struct sdg_weights *w)
{
    for (size_t i = 0; i < w->map_count; i++)
        if (w->maps[i].data)
            madvise((void *)(uintptr_t)w->maps[i].data, w->maps[i].size, MADV_DONTNEED);
}

void sdg_weights_ask_for(const struct sdg_weights *w, const struct sdg_tensor *t)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), first = (uintptr_t)t->data;
    if (!sdg_weights_is_mapped(w, t->data)) return;
    const uintptr_t start = first / page * page;
    madvise((void *)start, first + sdg_tensor_bytes(t) - start, MADV_WILLNEED);
}
