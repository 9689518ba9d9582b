/* folder.c - a model in a folder: diffusers' layout, one component of it, or the cache in which
 * huggingface_hub keeps what it downloads (huggingface_hub, file_download.py):
 *
 *     models--ORGANISATION--NAME/refs/main                  the name of a snapshot
 *     models--ORGANISATION--NAME/snapshots/SNAPSHOT/unet/...   links to files in ../blobs
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "files/bundle.h"
#include "files/jsonstream.h"
#include "files/pool.h"
#include "files/read.h"
#include "files/shards.h"

enum { NAME_SIZE = 256, REVISION_MAX = 128, TOP_NAME = 24 };

/* "a/b" in memory that w owns; NULL without memory. */
static char *join(struct sdg_weights *w, const char *a, const char *b)
{
    const size_t size = strlen(a) + strlen(b) + 2;
    char *path = sdg_pool_alloc(&w->owned, size);
    if (path) snprintf(path, size, "%s/%s", a, b);
    return path;
}

static bool is_folder(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static bool ends_with(const char *name, const char *end)
{
    const size_t n = strlen(name), m = strlen(end);
    return n >= m && strcmp(name + n - m, end) == 0;
}

/* ---- listing ---- */

static bool is_single_file(const char *name)
{
    static const char *const ends[] = {".safetensors", ".sft",  ".ckpt", ".pt",
                                       ".pth",         ".gguf", ".dduf"};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (ends_with(name, ends[i])) return true;
    return false;
}

/* The files of root/folder that may be of interest. A folder that is not there has none. */
static sdgen_status list(struct sdg_bundle *b, const char *folder, sdgen_error *err)
{
    sdgen_status status = SDGEN_OK;
    struct dirent *d;
    char name[2 * NAME_SIZE + 32];
    char *path = join(b->w, b->root, folder);
    if (!path) return sdg_weights_no_memory(b->w, err);
    DIR *dir = opendir(path);
    if (!dir && (errno == ENOENT || errno == ENOTDIR) && folder[0]) return SDGEN_OK;
    if (!dir)
        return sdg_fail(err, SDGEN_ERR_IO, "%s: cannot look into it: %s", path, strerror(errno));
    while ((d = readdir(dir))) {
        if (d->d_name[0] == '.') continue;
        if (!ends_with(d->d_name, ".json") && !ends_with(d->d_name, ".bin") &&
            !is_single_file(d->d_name))
            continue;
        snprintf(name, sizeof name, "%s%s%s", folder, folder[0] ? "/" : "", d->d_name);
        SDG_TRY(sdg_bundle_add(b, name, strlen(name), NULL, 0, err));
    }
fail:
    closedir(dir);
    return status;
}

static sdgen_status list_all(struct sdg_bundle *b, sdgen_error *err)
{
    sdgen_status status;
    SDG_TRY(list(b, "", err));
    for (int i = 0; i < SDG_BUNDLE_PARTS; i++) SDG_TRY(list(b, sdg_bundle_parts[i], err));
    SDG_TRY(list(b, "scheduler", err));
    sdg_bundle_sort(b);
fail:
    return status;
}

/* ---- the cache of the model hub ---- */

/* The first word of a small text file, a name without a path; false when there is none. */
static bool read_word(char word[REVISION_MAX], const char *path)
{
    struct sdg_filemap map;
    size_t n = 0;
    if (sdg_filemap_open(&map, path, NULL) != SDGEN_OK) return false;
    while (n < map.size && n + 1 < REVISION_MAX && map.data[n] > ' ') n++;
    if (n) memcpy(word, map.data, n);
    word[n] = 0;
    sdg_filemap_close(&map);
    return n > 0 && word[0] != '.' && !strchr(word, '/');
}

/* How many things in a folder have a name that begins so, and the name of one of them. */
static int count_names(char name[NAME_SIZE], const char *path, const char *begin)
{
    DIR *dir = opendir(path);
    struct dirent *d;
    int count = 0;
    while (dir && (d = readdir(dir))) {
        if (d->d_name[0] == '.' || strlen(d->d_name) >= NAME_SIZE) continue;
        if (strncmp(d->d_name, begin, strlen(begin)) != 0) continue;
        strcpy(name, d->d_name);
        count++;
    }
    if (dir) closedir(dir);
    return count;
}

/* From the folder that the user named to the one with the files. */
static sdgen_status find_snapshot(const char **root, struct sdg_weights *w, const char *path,
                                  sdgen_error *err)
{
    char revision[REVISION_MAX], name[NAME_SIZE];
    *root = path;
    char *snapshots = join(w, path, "snapshots"), *main = join(w, path, "refs/main");
    if (!snapshots || !main) return sdg_weights_no_memory(w, err);
    if (count_names(name, path, "models--") > 0)
        return sdg_fail(err, SDGEN_ERR_ARG,
                        "%s: is a cache of models: name one of them, such as %s/%s", path, path,
                        name);
    if (!is_folder(snapshots)) return SDGEN_OK;
    if (read_word(revision, main)) {
        char *named = join(w, snapshots, revision);
        if (!named) return sdg_weights_no_memory(w, err);
        if (is_folder(named)) {
            *root = named;
            return SDGEN_OK;
        }
    }
    const int count = count_names(name, snapshots, "");
    if (count != 1)
        return sdg_fail(err, SDGEN_ERR_ARG,
                        "%s: holds %d snapshots, and refs/main names none of them: name one of "
                        "the folders in it",
                        snapshots, count);
    *root = join(w, snapshots, name);
    return *root ? SDGEN_OK : sdg_weights_no_memory(w, err);
}

/* ---- reading ---- */

/* A folder without a layout that holds one checkpoint, whatever its name: that is meant. */
static sdgen_status read_only_file(bool *done, struct sdg_bundle *b, sdgen_error *err)
{
    const struct sdg_bundle_file *only = NULL;
    bool is_index;
    size_t count = 0;
    *done = false;
    for (int i = 0; i < SDG_BUNDLE_PARTS; i++)
        if (sdg_bundle_holds(b, sdg_bundle_parts[i])) return SDGEN_OK;
    if (sdg_bundle_choose(&is_index, b, "")) return SDGEN_OK;
    for (size_t i = 0; i < b->count; i++) {
        if (!is_single_file(b->files[i].name)) continue;
        only = &b->files[i];
        count++;
    }
    if (count > 1)
        return sdg_fail(err, SDGEN_ERR_ARG, "%s: holds %zu weight files, such as %.200s: name one",
                        b->root, count, only->name);
    if (count == 0) return SDGEN_OK; /* what there is not is told later */
    *done = true;
    return sdg_bundle_weights(b, only, "", err);
}

sdgen_status sdg_folder_read(struct sdg_weights *w, const char *path, const char *variant,
                             sdgen_error *err)
{
    sdgen_status status;
    bool done;
    struct sdg_bundle b = {.w = w, .root = path, .variant = variant};
    SDG_TRY(find_snapshot(&b.root, w, path, err));
    SDG_TRY(list_all(&b, err));
    SDG_TRY(read_only_file(&done, &b, err));
    if (!done) {
        SDG_TRY(sdg_bundle_read(&b, err));
        w->form = SDG_FORM_FOLDER;
    }
fail:
    sdg_bundle_free(&b);
    return status;
}

/* What the members of a JSON object say that it is. */
static void look_at(bool *is_index, bool *is_pipeline, const uint8_t *data, size_t size)
{
    struct sdg_json j = {.data = data, .size = size};
    struct sdg_json_text key;
    char name[TOP_NAME];
    bool first = true;
    *is_index = *is_pipeline = false;
    sdg_json_open(&j, '{');
    while (!j.problem && sdg_json_more(&j, &first, '}')) {
        if (!sdg_json_key(&j, &key)) return;
        name[0] = 0;
        if (key.size < sizeof name && !key.has_nul) sdg_json_decode(name, &j, &key);
        *is_index |= strcmp(name, "weight_map") == 0;
        *is_pipeline |= strcmp(name, "_diffusers_version") == 0;
        if (*is_index) return;
        sdg_json_skip(&j);
    }
}

sdgen_status sdg_folder_read_from(bool *taken, struct sdg_weights *w, const uint8_t *data,
                                  size_t size, const char *variant, sdgen_error *err)
{
    sdgen_status status;
    bool is_index, is_pipeline;
    const char *slash = strrchr(w->path, '/'), *name = slash ? slash + 1 : w->path;
    struct sdg_bundle b = {.w = w, .root = ".", .variant = variant};
    *taken = false;
    if (size > SDG_SHARDS_INDEX_MAX) return SDGEN_OK;
    look_at(&is_index, &is_pipeline, data, size);
    is_pipeline = is_pipeline && strcmp(name, "model_index.json") == 0;
    if (!is_index && !is_pipeline) return SDGEN_OK;
    *taken = true;
    if (slash) {
        char *folder = join(w, w->path, ""); /* with room enough */
        if (!folder) return sdg_weights_no_memory(w, err);
        folder[slash > w->path ? slash - w->path : 1] = 0;
        b.root = folder;
    }
    if (!is_index) return sdg_folder_read(w, b.root, variant, err);
    SDG_TRY(list(&b, "", err));
    sdg_bundle_sort(&b);
    SDG_TRY(sdg_shards_read(&b, "", "", w->path, (const char *)data, size, err));
    w->form = SDG_FORM_SHARDS;
fail:
    sdg_bundle_free(&b);
    return status;
}
