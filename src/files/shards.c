/* shards.c - see shards.h. */
#include "files/shards.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "files/jsonstream.h"
#include "files/pool.h"
#include "files/read.h"

#define DAMAGED "the index is damaged, download it again"

enum { NAME_SIZE = 256 };

/* ---- the index ---- */

struct parser {
    struct sdg_shards *s;
    struct sdg_json json;
    const char *path;
    sdgen_error *err;
};

static sdgen_status json_failure(const struct parser *p)
{
    return sdg_fail(p->err, SDGEN_ERR_FORMAT, "%s: byte %zu: %s; " DAMAGED, p->path, p->json.at,
                    p->json.problem);
}

static sdgen_status no_memory(const struct parser *p)
{
    return sdg_fail(p->err, SDGEN_ERR_MEMORY, "%s: not enough memory to read it", p->path);
}

static char *decode(struct parser *p, const struct sdg_json_text *text)
{
    char *copy = sdg_pool_alloc(&p->s->pool, text->size + 1);
    if (copy) sdg_json_decode(copy, &p->json, text);
    return copy;
}

/* A file of the same folder, on any system. */
static bool is_plain(const char *name)
{
    if (name[0] == 0 || name[0] == '.') return false;
    for (const char *c = name; *c; c++)
        if (*c == '/' || *c == '\\' || *c == ':' || (unsigned char)*c < 0x20 || *c == 0x7f)
            return false;
    return true;
}

/* Finds name among the files, or gives it a place. */
static sdgen_status intern(const char **file, struct parser *p, const char *name)
{
    struct sdg_shards *s = p->s;
    size_t low = 0, high = s->file_count;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        const int order = strcmp(name, s->files[middle]);
        *file = s->files[middle];
        if (order == 0) return SDGEN_OK;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    if (s->file_count == SDG_SHARDS_MAX)
        return sdg_fail(p->err, SDGEN_ERR_FORMAT,
                        "%s: names more than %d files; no model has as many", p->path,
                        SDG_SHARDS_MAX);
    if (!s->files) s->files = malloc(SDG_SHARDS_MAX * sizeof *s->files);
    char *copy = sdg_pool_alloc(&s->pool, strlen(name) + 1);
    if (!s->files || !copy) return no_memory(p);
    memmove(s->files + low + 1, s->files + low, (s->file_count - low) * sizeof *s->files);
    *file = s->files[low] = strcpy(copy, name);
    s->file_count++;
    return SDGEN_OK;
}

static sdgen_status add_tensor(struct parser *p, const struct sdg_json_text *key,
                               const struct sdg_json_text *value)
{
    struct sdg_shards *s = p->s;
    const size_t n = s->count;
    char name[NAME_SIZE] = "";
    if (key->has_nul) {
        sdg_json_wrong(&p->json, "a tensor's name holds a zero byte");
        return json_failure(p);
    }
    if (value->size < sizeof name && !value->has_nul) sdg_json_decode(name, &p->json, value);
    if (!is_plain(name))
        return sdg_fail(p->err, SDGEN_ERR_FORMAT,
                        "%s: byte %zu: \"%.100s\" is not the name of a file beside the index; do "
                        "not trust it",
                        p->path, p->json.at, name);
    if (n == SDG_MAX_TENSORS)
        return sdg_fail(p->err, SDGEN_ERR_FORMAT, "%s: names more than %d tensors; no model does",
                        p->path, SDG_MAX_TENSORS);
    if ((n & (n - 1)) == 0) { /* the room doubles at every power of two */
        void *more = realloc(s->tensors, (n ? 2 * n : 1) * sizeof *s->tensors);
        if (!more) return no_memory(p);
        s->tensors = more;
    }
    s->tensors[n].name = decode(p, key);
    if (!s->tensors[n].name) return no_memory(p);
    s->count++;
    return intern(&s->tensors[n].file, p, name);
}

static sdgen_status read_map(struct parser *p)
{
    sdgen_status status = SDGEN_OK;
    bool first = true;
    struct sdg_json_text key, value;
    sdg_json_open(&p->json, '{');
    while (!p->json.problem && sdg_json_more(&p->json, &first, '}')) {
        if (!sdg_json_key(&p->json, &key) || !sdg_json_string(&p->json, &value)) break;
        SDG_TRY(add_tensor(p, &key, &value));
    }
    if (p->json.problem) return json_failure(p);
fail:
    return status;
}

static int compare_tensors(const void *a, const void *b)
{
    return strcmp(((const struct sdg_shard_tensor *)a)->name,
                  ((const struct sdg_shard_tensor *)b)->name);
}

static sdgen_status check_index(struct parser *p, bool has_map)
{
    struct sdg_shards *s = p->s;
    if (!has_map || s->count == 0)
        return sdg_fail(p->err, SDGEN_ERR_FORMAT, "%s: names no tensors (weight_map); " DAMAGED,
                        p->path);
    qsort(s->tensors, s->count, sizeof *s->tensors, compare_tensors);
    for (size_t i = 1; i < s->count; i++)
        if (compare_tensors(&s->tensors[i - 1], &s->tensors[i]) == 0)
            return sdg_fail(p->err, SDGEN_ERR_FORMAT, "%s: tensor %.200s is there twice; " DAMAGED,
                            p->path, s->tensors[i].name);
    return SDGEN_OK;
}

sdgen_status sdg_shards_parse(struct sdg_shards *s, const char *path, const char *text, size_t size,
                              sdgen_error *err)
{
    sdgen_status status;
    struct parser p = {.s = s, .path = path, .err = err};
    struct sdg_json_text key;
    bool first = true, has_map = false;
    char field[16];
    *s = (struct sdg_shards) {0};
    p.json = (struct sdg_json) {.data = (const uint8_t *)text, .size = size};
    sdg_json_open(&p.json, '{');
    while (!p.json.problem && sdg_json_more(&p.json, &first, '}')) {
        if (!sdg_json_key(&p.json, &key)) break;
        field[0] = 0;
        if (key.size < sizeof field && !key.has_nul) sdg_json_decode(field, &p.json, &key);
        if (strcmp(field, "weight_map") != 0) {
            sdg_json_skip(&p.json);
            continue;
        }
        if (has_map) sdg_json_wrong(&p.json, "weight_map is there twice");
        has_map = true;
        if (!p.json.problem) SDG_TRY(read_map(&p));
    }
    sdg_json_end(&p.json);
    status = SDGEN_ERR_FORMAT;
    if (p.json.problem)
        (void)json_failure(&p);
    else
        status = check_index(&p, has_map);
    if (status == SDGEN_OK) return SDGEN_OK;
fail:
    sdg_shards_free(s);
    return status;
}

void sdg_shards_free(struct sdg_shards *s)
{
    free(s->tensors);
    free(s->files);
    sdg_pool_free(&s->pool);
    *s = (struct sdg_shards) {0};
}

/* ---- the shards ---- */

/* "...-00001-of-00003...": how many there are of them, 0 when the name does not say. */
static unsigned long stated_count(const char *name)
{
    const char *of = strstr(name, "-of-");
    return of ? strtoul(of + 4, NULL, 10) : 0;
}

static sdgen_status check_count(const struct sdg_shards *s, const char *path, sdgen_error *err)
{
    const unsigned long stated = stated_count(s->files[0]);
    for (size_t i = 0; stated && i < s->file_count; i++)
        if (stated_count(s->files[i]) != stated)
            return sdg_fail(
                err, SDGEN_ERR_FORMAT,
                "%s: names shards that do not belong together: %.100s and %.100s; " DAMAGED, path,
                s->files[0], s->files[i]);
    if (stated && stated != s->file_count)
        return sdg_fail(err, SDGEN_ERR_FORMAT,
                        "%s: names %zu shards of the %lu that %.100s is one of; " DAMAGED, path,
                        s->file_count, stated, s->files[0]);
    return SDGEN_OK;
}

static int compare_name(const void *key, const void *item)
{
    return strcmp(key, ((const struct sdg_shard_tensor *)item)->name);
}

/* Marks the tensors of one file, entries [first, count), as found where the index has them there.
 */
static void mark_found(unsigned char *found, const struct sdg_shards *s,
                       const struct sdg_weights *w, size_t first, const char *file)
{
    for (size_t i = first; i < w->count; i++) {
        const struct sdg_shard_tensor *t =
            bsearch(w->entries[i].stored, s->tensors, s->count, sizeof *t, compare_name);
        if (t && t->file == file) found[t - s->tensors] = 1;
    }
}

static sdgen_status read_files(struct sdg_bundle *b, const struct sdg_shards *s,
                               unsigned char *found, const char *folder, const char *part,
                               const char *path, sdgen_error *err)
{
    sdgen_status status = SDGEN_OK;
    for (size_t i = 0; i < s->file_count; i++) {
        const size_t first = b->w->count;
        const struct sdg_bundle_file *f = sdg_bundle_find(b, folder, s->files[i]);
        if (!f)
            return sdg_fail(err, SDGEN_ERR_IO,
                            "%s: %.200s, one of the %zu files that it names, is missing: download "
                            "it to the same folder",
                            path, s->files[i], s->file_count);
        SDG_TRY(sdg_bundle_weights(b, f, part, err));
        mark_found(found, s, b->w, first, s->files[i]);
    }
    for (size_t i = 0; i < s->count; i++)
        if (!found[i])
            return sdg_fail(err, SDGEN_ERR_FORMAT,
                            "%s: tensor %.200s is not in %.200s, where the index has it: they are "
                            "not of the same download",
                            path, s->tensors[i].name, s->tensors[i].file);
fail:
    return status;
}

sdgen_status sdg_shards_read(struct sdg_bundle *b, const char *folder, const char *part,
                             const char *path, const char *text, size_t size, sdgen_error *err)
{
    sdgen_status status;
    struct sdg_shards s = {0};
    unsigned char *found = NULL;
    SDG_TRY(sdg_shards_parse(&s, path, text, size, err));
    SDG_TRY(check_count(&s, path, err));
    found = calloc(s.count, 1);
    status = found ? read_files(b, &s, found, folder, part, path, err)
                   : sdg_fail(err, SDGEN_ERR_MEMORY, "%s: not enough memory to read it", path);
fail:
    free(found);
    sdg_shards_free(&s);
    return status;
}
