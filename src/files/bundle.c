/* bundle.c - see bundle.h: the list of files, texts, and the tensors of each component. */
#include "files/bundle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "files/pool.h"
#include "files/read.h"
#include "files/shards.h"

enum { TEXT_MAX = 1 << 20, FILES_MAX = 100000, FOLDER_MAX = 64 };

const char *const sdg_bundle_parts[SDG_BUNDLE_PARTS] = {"unet", "vae", "text_encoder",
                                                        "text_encoder_2"};

/* ---- the list ---- */

sdgen_status sdg_bundle_add(struct sdg_bundle *b, const char *name, size_t name_size,
                            const uint8_t *data, size_t size, sdgen_error *err)
{
    const size_t n = b->count;
    if (n == FILES_MAX)
        return sdg_fail(err, SDGEN_ERR_FORMAT, "%s: holds more than %d files; no model does",
                        b->root, FILES_MAX);
    if ((n & (n - 1)) == 0) { /* the room doubles at every power of two */
        void *more = realloc(b->files, (n ? 2 * n : 1) * sizeof *b->files);
        if (!more) return sdg_weights_no_memory(b->w, err);
        b->files = more;
    }
    char *copy = sdg_pool_alloc(&b->w->owned, name_size + 1);
    if (!copy) return sdg_weights_no_memory(b->w, err);
    memcpy(copy, name, name_size);
    copy[name_size] = 0;
    b->files[b->count++] = (struct sdg_bundle_file) {copy, data, size};
    return SDGEN_OK;
}

static int compare_files(const void *a, const void *b)
{
    return strcmp(((const struct sdg_bundle_file *)a)->name,
                  ((const struct sdg_bundle_file *)b)->name);
}

void sdg_bundle_sort(struct sdg_bundle *b)
{
    if (b->count) qsort(b->files, b->count, sizeof *b->files, compare_files);
}

void sdg_bundle_free(struct sdg_bundle *b)
{
    free(b->files);
    b->files = NULL;
    b->count = 0;
}

/* The order of `name` to "folder/rest". */
static int compare_path(const char *folder, const char *rest, const char *name)
{
    const size_t n = strlen(folder);
    if (n == 0) return strcmp(rest, name);
    const int order = strncmp(folder, name, n);
    if (order != 0) return order;
    if (name[n] != '/') return '/' < (unsigned char)name[n] ? -1 : 1;
    return strcmp(rest, name + n + 1);
}

const struct sdg_bundle_file *sdg_bundle_find(const struct sdg_bundle *b, const char *folder,
                                              const char *name)
{
    size_t low = 0, high = b->count;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        const int order = compare_path(folder, name, b->files[middle].name);
        if (order == 0) return &b->files[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

bool sdg_bundle_holds(const struct sdg_bundle *b, const char *folder)
{
    const size_t n = strlen(folder);
    for (size_t i = 0; i < b->count; i++)
        if (strncmp(b->files[i].name, folder, n) == 0 && b->files[i].name[n] == '/') return true;
    return false;
}

/* ---- one file ---- */

char *sdg_bundle_path(const struct sdg_bundle *b, const char *name)
{
    const size_t size = strlen(b->root) + strlen(name) + 3;
    char *path = sdg_pool_alloc(&b->w->owned, size);
    if (path) snprintf(path, size, "%s%s%s", b->root, b->is_archive ? ": " : "/", name);
    return path;
}

sdgen_status sdg_bundle_text(const char **text, size_t *size, struct sdg_bundle *b,
                             const struct sdg_bundle_file *f, size_t most, sdgen_error *err)
{
    sdgen_status status;
    struct sdg_filemap map = {.fd = -1};
    const char *path = sdg_bundle_path(b, f->name);
    const uint8_t *data = f->data;
    char *copy = NULL;
    if (!path) return sdg_weights_no_memory(b->w, err);
    *size = f->size;
    if (!b->is_archive) {
        SDG_TRY(sdg_filemap_open(&map, path, err));
        data = map.data;
        *size = map.size;
    }
    if (*size > most)
        status = sdg_fail(err, SDGEN_ERR_FORMAT,
                          "%s: a text of %zu bytes, where %zu are allowed; is it the right file?",
                          path, *size, most);
    else if (*size && memchr(data, 0, *size))
        status = sdg_fail(err, SDGEN_ERR_FORMAT,
                          "%s: is no text: it holds a zero byte; download it again", path);
    else if (!(copy = sdg_pool_alloc(&b->w->owned, *size + 1)))
        status = sdg_weights_no_memory(b->w, err);
    else
        status = SDGEN_OK;
    if (status == SDGEN_OK) {
        if (*size) memcpy(copy, data, *size);
        copy[*size] = 0;
        *text = copy;
    }
fail:
    sdg_filemap_close(&map);
    return status;
}

static int compare_key(const void *key, const void *item)
{
    return strcmp(key, ((const struct sdg_metadata *)item)->key);
}

/* Of metadata that several files have, the first stay. [0, before) is sorted, and all is then. */
static void merge_metadata(struct sdg_weights *w, size_t before)
{
    size_t kept = before;
    for (size_t i = before; i < w->metadata_count; i++)
        if (before == 0 ||
            !bsearch(w->metadata[i].key, w->metadata, before, sizeof *w->metadata, compare_key))
            w->metadata[kept++] = w->metadata[i];
    w->metadata_count = kept;
}

/* Entries from number first on are of a component. */
static sdgen_status name_entries(struct sdg_weights *w, size_t first, const char *part,
                                 sdgen_error *err)
{
    for (size_t i = first; i < w->count; i++) {
        struct sdg_entry *e = &w->entries[i];
        const size_t size = strlen(part) + strlen(e->stored) + 2;
        e->part = part;
        if (!part[0]) continue;
        char *name = sdg_pool_alloc(&w->owned, size);
        if (!name) return sdg_weights_no_memory(w, err);
        snprintf(name, size, "%s.%s", part, e->stored);
        e->name = name;
    }
    return SDGEN_OK;
}

sdgen_status sdg_bundle_weights(struct sdg_bundle *b, const struct sdg_bundle_file *f,
                                const char *part, sdgen_error *err)
{
    sdgen_status status;
    struct sdg_weights *w = b->w;
    char *const whole = w->path; /* messages of readers name the file at work */
    const size_t first = w->count, metadata = w->metadata_count;
    const uint8_t *data = f->data;
    size_t size = f->size;
    char *path = sdg_bundle_path(b, f->name);
    if (!path) return sdg_weights_no_memory(w, err);
    if (!b->is_archive) {
        SDG_TRY(sdg_weights_map(w, path, err));
        data = w->maps[w->map_count - 1].data;
        size = w->maps[w->map_count - 1].size;
    }
    w->path = path;
    SDG_TRY(sdg_weights_read(w, data, size, err));
    merge_metadata(w, metadata);
    SDG_TRY(sdg_weights_sort_metadata(w, 0, err));
    SDG_TRY(name_entries(w, first, part, err));
fail:
    w->path = whole;
    return status;
}

/* ---- the whole ---- */

static sdgen_status add_text(struct sdg_bundle *b, const char *folder, const char *name,
                             sdgen_error *err)
{
    const struct sdg_bundle_file *f = sdg_bundle_find(b, folder, name);
    struct sdg_weights *w = b->w;
    const char *text;
    size_t size;
    if (!f) return SDGEN_OK;
    const sdgen_status status = sdg_bundle_text(&text, &size, b, f, TEXT_MAX, err);
    if (status != SDGEN_OK) return status;
    void *more = realloc(w->texts, (w->text_count + 1) * sizeof *w->texts);
    if (!more) return sdg_weights_no_memory(w, err);
    w->texts = more;
    w->texts[w->text_count++] = (struct sdg_sidetext) {f->name, text};
    return SDGEN_OK;
}

/* Says what is missing where no file of a component was chosen. */
static sdgen_status no_weights(const struct sdg_bundle *b, const char *part, sdgen_error *err)
{
    const size_t n = strlen(part);
    for (size_t i = 0; i < b->count; i++)
        if (strncmp(b->files[i].name, part, n) == 0 && strstr(b->files[i].name + n, "-of-"))
            return sdg_fail(
                err, SDGEN_ERR_FORMAT,
                "%s: %.200s is one of several shards, and the index that names them "
                "(....safetensors.index.json) is missing: download it to the same folder",
                b->root, b->files[i].name);
    return sdg_fail(err, SDGEN_ERR_FORMAT,
                    "%s: %s holds no weights under a name of diffusers, such as "
                    "diffusion_pytorch_model.safetensors; download them",
                    b->root, part);
}

/* The component in a folder of the bundle, "" for the bundle's own files. */
static sdgen_status read_part(struct sdg_bundle *b, const char *part, sdgen_error *err)
{
    sdgen_status status;
    bool is_index;
    const char *text;
    size_t size;
    const struct sdg_bundle_file *f = sdg_bundle_choose(&is_index, b, part);
    SDG_TRY(add_text(b, part, "config.json", err));
    if (!f) return no_weights(b, part, err);
    if (!is_index) return sdg_bundle_weights(b, f, part, err);
    const char *path = sdg_bundle_path(b, f->name);
    if (!path) return sdg_weights_no_memory(b->w, err);
    SDG_TRY(sdg_bundle_text(&text, &size, b, f, SDG_SHARDS_INDEX_MAX, err));
    SDG_TRY(sdg_shards_read(b, part, part, path, text, size, err));
fail:
    return status;
}

static sdgen_status no_variant(const struct sdg_bundle *b, sdgen_error *err)
{
    return sdg_fail(err, SDGEN_ERR_ARG, "%s: no component has files of the variant \"%.40s\"",
                    b->root, b->variant);
}

sdgen_status sdg_bundle_read(struct sdg_bundle *b, sdgen_error *err)
{
    sdgen_status status;
    bool any = false, is_index;
    SDG_TRY(add_text(b, "", "model_index.json", err));
    SDG_TRY(add_text(b, "scheduler", "scheduler_config.json", err));
    for (int i = 0; i < SDG_BUNDLE_PARTS; i++) {
        if (!sdg_bundle_holds(b, sdg_bundle_parts[i])) continue;
        any = true;
        SDG_TRY(read_part(b, sdg_bundle_parts[i], err));
    }
    if (!any && !sdg_bundle_choose(&is_index, b, ""))
        return sdg_fail(err, SDGEN_ERR_FORMAT,
                        "%s: holds neither a model in the layout of diffusers (unet, vae, "
                        "text_encoder) nor one component of it",
                        b->root);
    if (!any) SDG_TRY(read_part(b, "", err));
    if (b->variant && !b->variant_found) return no_variant(b, err);
fail:
    return status;
}
