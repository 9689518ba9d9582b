/* picklescan_file.c - where the pickles of a file are (picklescan.h). */
#include <stdio.h>
#include <string.h>

#include "files/picklescan.h"
#include "files/torchforms.h"
#include "files/torchtar.h"
#include "files/zip.h"

enum {
    LEGACY_PICKLES = 5, /* then follow the storages (torchlegacy.c) */
    LOOK_MAX = 1 << 20  /* bytes of an entry that is no pickle by name */
};

static bool has_suffix(const struct sdg_zip_entry *e, const char *suffix)
{
    const size_t n = strlen(suffix);
    return e->name_size >= n && memcmp(e->name + e->name_size - n, suffix, n) == 0;
}

/* By its name, or by what it begins with. */
static bool may_be_pickle(const struct sdg_zip_entry *e)
{
    size_t used, names;
    if (has_suffix(e, ".pkl") || has_suffix(e, ".pickle")) return true;
    if (e->size < 2 || e->data[0] != 0x80 || e->data[1] > 5) return false;
    return sdg_scan_is_pickle(&used, &names, e->data, e->size, LOOK_MAX);
}

static bool scan_zip(struct sdg_scan *s, const struct sdg_zip *z)
{
    for (size_t i = 0; i < z->count; i++) {
        const struct sdg_zip_entry *e = &z->entries[i];
        char where[sizeof s->pickles->where];
        size_t used;
        if (e->method != 0 || !may_be_pickle(e)) continue;
        snprintf(where, sizeof where, "%.*s", e->name_size < 100 ? (int)e->name_size : 100,
                 (const char *)e->name);
        if (!sdg_scan_pickle(s, &used, where, e->data, e->size)) return false;
    }
    return true;
}

/* Pickles that follow each other in `part` of the file, at most `most`. What follows the last one,
 * unless it is another, is none. */
static bool scan_row(struct sdg_scan *s, const char *part, const uint8_t *data, size_t size,
                     size_t most)
{
    for (size_t at = 0, i = 0; at < size && i < most; i++) {
        char where[sizeof s->pickles->where];
        const size_t index = s->pickle_count;
        size_t used, names;
        if (i > 0 && data[at] != 0x80 &&
            !sdg_scan_is_pickle(&used, &names, data + at, size - at, LOOK_MAX))
            break;
        snprintf(where, sizeof where, "%s %zu", part, i + 1);
        if (!sdg_scan_pickle(s, &used, where, data + at, size - at)) return false;
        if (s->pickle_count > index) s->pickles[index].begin = at;
        at += used;
    }
    return true;
}

/* What was saved, and the first pickle of what else there is: behind it lie numbers. */
static bool scan_tar(struct sdg_scan *s, const struct sdg_torchstream members[SDG_TAR_MEMBERS])
{
    for (int i = 0; i < SDG_TAR_MEMBERS; i++) {
        const size_t most = i == SDG_TAR_PICKLE || i == SDG_TAR_SYS_INFO ? SIZE_MAX : 1;
        if (members[i].data &&
            !scan_row(s, members[i].part, members[i].data, members[i].size, most))
            return false;
    }
    return true;
}

sdgen_status sdg_scan_file(struct sdg_scan *s, const char *path, const uint8_t *data, size_t size,
                           sdgen_error *err)
{
    sdgen_status status = SDGEN_OK;
    struct sdg_zip z = {0};
    struct sdg_torchstream members[SDG_TAR_MEMBERS] = {{0}};
    struct sdg_torchstream tar = {
        .path = path, .part = "tar archive", .data = data, .size = size, .err = err};
    size_t used, names;
    bool enough = true;
    *s = (struct sdg_scan) {0};
    if (size >= 4 && memcmp(data, "PK\3\4", 4) == 0) {
        SDG_TRY(sdg_zip_open(&z, path, data, size, err));
        enough = scan_zip(s, &z);
    } else if (sdg_torchlegacy_is(data, size)) {
        enough = scan_row(s, "pickle", data, size, LEGACY_PICKLES);
    } else if (sdg_torchtar_is(data, size)) {
        SDG_TRY(sdg_torchtar_open(members, &tar));
        enough = scan_tar(s, members);
    } else if (size >= 2 && ((data[0] == 0x80 && data[1] <= 5) ||
                             sdg_scan_is_pickle(&used, &names, data, size, LOOK_MAX))) {
        enough = scan_row(s, "pickle", data, size, SIZE_MAX);
    }
    if (!enough) status = sdg_fail(err, SDGEN_ERR_MEMORY, "%s: not enough memory to scan it", path);
fail:
    sdg_zip_close(&z);
    return status;
}
