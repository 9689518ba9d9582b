/* dduf.c - a model of diffusers in one file: a zip archive of its folder, nothing compressed.
 *
 * Rules: huggingface_hub, serialization/_dduf.py. The container is read by zip.c, the files in it
 * are views into the mapped archive. */
#include <string.h>

#include "files/bundle.h"
#include "files/jsonstream.h"
#include "files/read.h"
#include "files/zip.h"

enum { FOLDERS_MAX = 64, SHOWN = 200, NAME_SIZE = 256 };

#define SHOW(e) (int)((e)->name_size < SHOWN ? (e)->name_size : SHOWN), (const char *)(e)->name

static bool ends_with(const struct sdg_zip_entry *e, const char *end)
{
    const size_t n = strlen(end);
    return e->name_size >= n && memcmp(e->name + e->name_size - n, end, n) == 0;
}

bool sdg_dduf_is(const uint8_t *data, size_t size)
{
    struct sdg_zip z;
    bool is = false;
    if (size < 4 || memcmp(data, "PK\x03\x04", 4) != 0) return false;
    if (sdg_zip_open(&z, "", data, size, NULL) != SDGEN_OK) return false;
    for (size_t i = 0; i < z.count && !is; i++)
        is = ends_with(&z.entries[i], ".safetensors") ||
             ends_with(&z.entries[i], "model_index.json");
    sdg_zip_close(&z);
    return is;
}

/* ---- the rules ---- */

/* At most one folder deep, and only kinds of files that cannot be programs. */
static sdgen_status check_entry(const struct sdg_zip_entry *e, const char *path, sdgen_error *err)
{
    const uint8_t *slash = memchr(e->name, '/', e->name_size);
    if (e->method != 0)
        return sdg_fail(err, SDGEN_ERR_FORMAT,
                        "%s: %.*s is compressed, which a DDUF file may not be: unpack it", path,
                        SHOW(e));
    if (!ends_with(e, ".json") && !ends_with(e, ".model") && !ends_with(e, ".safetensors") &&
        !ends_with(e, ".txt"))
        return sdg_fail(err, SDGEN_ERR_FORMAT,
                        "%s: %.*s is of a kind that a DDUF file may not hold: unpack it", path,
                        SHOW(e));
    if (slash && memchr(slash + 1, '/', e->name_size - (size_t)(slash + 1 - e->name)))
        return sdg_fail(err, SDGEN_ERR_FORMAT,
                        "%s: %.*s lies in a folder of a folder, which a DDUF file may not have: "
                        "unpack it",
                        path, SHOW(e));
    return SDGEN_OK;
}

/* Whether the object that a JSON text is has such a member; *problem when it is no object. */
static bool has_member(const char **problem, const char *text, size_t size, const char *member)
{
    struct sdg_json j = {.data = (const uint8_t *)text, .size = size};
    struct sdg_json_text key;
    char name[NAME_SIZE];
    bool first = true, found = false;
    sdg_json_open(&j, '{');
    while (!j.problem && sdg_json_more(&j, &first, '}')) {
        if (!sdg_json_key(&j, &key)) break;
        name[0] = 0;
        if (key.size < sizeof name && !key.has_nul) sdg_json_decode(name, &j, &key);
        found |= strcmp(name, member) == 0;
        sdg_json_skip(&j);
    }
    sdg_json_end(&j);
    *problem = j.problem;
    return found;
}

/* A folder must be a component, and say by a configuration what it is. */
static sdgen_status check_folder(const struct sdg_bundle *b, const char *folder, const char *index,
                                 size_t size, sdgen_error *err)
{
    static const char *const configs[] = {"config.json", "tokenizer_config.json",
                                          "preprocessor_config.json", "scheduler_config.json"};
    const char *problem;
    const bool listed = has_member(&problem, index, size, folder);
    if (problem)
        return sdg_fail(err, SDGEN_ERR_FORMAT, "%s: model_index.json: %s; download the file again",
                        b->root, problem);
    if (!listed)
        return sdg_fail(err, SDGEN_ERR_FORMAT,
                        "%s: has a folder %.100s that its model_index.json does not name", b->root,
                        folder);
    for (size_t i = 0; i < sizeof configs / sizeof *configs; i++)
        if (sdg_bundle_find(b, folder, configs[i])) return SDGEN_OK;
    return sdg_fail(err, SDGEN_ERR_FORMAT, "%s: folder %.100s has no config.json or the like",
                    b->root, folder);
}

static sdgen_status check_structure(struct sdg_bundle *b, sdgen_error *err)
{
    sdgen_status status;
    const struct sdg_bundle_file *f = sdg_bundle_find(b, "", "model_index.json");
    char folder[NAME_SIZE] = "";
    const char *index, *problem = NULL;
    size_t size;
    int folders = 0;
    if (!f)
        return sdg_fail(err, SDGEN_ERR_FORMAT,
                        "%s: has no model_index.json, which every DDUF file has: unpack it",
                        b->root);
    SDG_TRY(sdg_bundle_text(&index, &size, b, f, 1 << 20, err));
    (void)has_member(&problem, index, size, "");
    if (problem)
        return sdg_fail(err, SDGEN_ERR_FORMAT, "%s: model_index.json: %s; download the file again",
                        b->root, problem);
    for (size_t i = 0; i < b->count; i++) {
        const char *name = b->files[i].name, *slash = strchr(name, '/');
        const size_t n = slash ? (size_t)(slash - name) : 0;
        if (!slash || (strncmp(name, folder, n) == 0 && folder[n] == 0)) continue;
        if (n >= sizeof folder || ++folders > FOLDERS_MAX)
            return sdg_fail(err, SDGEN_ERR_FORMAT, "%s: has folders that no model has", b->root);
        memcpy(folder, name, n);
        folder[n] = 0;
        SDG_TRY(check_folder(b, folder, index, size, err));
    }
fail:
    return status;
}

sdgen_status sdg_dduf_read(struct sdg_weights *w, const uint8_t *data, size_t size,
                           const char *variant, sdgen_error *err)
{
    sdgen_status status;
    struct sdg_zip z = {0};
    struct sdg_bundle b = {.w = w, .root = w->path, .is_archive = true, .variant = variant};
    SDG_TRY(sdg_zip_open(&z, w->path, data, size, err));
    for (size_t i = 0; i < z.count; i++) {
        const struct sdg_zip_entry *e = &z.entries[i];
        SDG_TRY(check_entry(e, w->path, err));
        SDG_TRY(
            sdg_bundle_add(&b, (const char *)e->name, e->name_size, e->data, (size_t)e->size, err));
    }
    sdg_bundle_sort(&b);
    SDG_TRY(check_structure(&b, err));
    SDG_TRY(sdg_bundle_read(&b, err));
    w->form = SDG_FORM_DDUF;
fail:
    sdg_bundle_free(&b);
    sdg_zip_close(&z);
    return status;
}
