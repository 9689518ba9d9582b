/* zip.c - see zip.h. Layout of the records: PKWARE APPNOTE.TXT 6.3.10, sections 4.3 and 4.5.3; how
 * torch.save fills them: caffe2/serialize/inline_container.cc (local headers without sizes,
 * payloads padded to 64 bytes by a local extra field "FB", zip64 end records always there). Sizes
 * come from the central directory, a payload's place from its local header. */
#include "files/zip.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AGAIN "the file is damaged, download it again"

enum {
    END_SIZE = 22,     /* end of central directory record, without comment */
    LOCATOR_SIZE = 20, /* zip64 end of central directory locator */
    END64_SIZE = 56,   /* zip64 end of central directory record, without extension */
    CENTRAL_SIZE = 46, /* central directory header, without name, extra field and comment */
    LOCAL_SIZE = 30,   /* local file header, without name and extra field */
    COMMENT_MAX = 65535,
    ENTRIES_MAX = 100000,
    NAME_MAX_SIZE = 1024,
    FLAG_ENCRYPTED = 1 | 1 << 6 | 1 << 13, /* plain, strong, and masked headers */
    FLAG_DESCRIPTOR = 1 << 3,              /* sizes follow the payload */
    EXTRA_ZIP64 = 1
};

static const uint32_t max32 = 0xffffffff;

static uint32_t get16(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8;
}

static uint32_t get32(const uint8_t *p)
{
    return get16(p) | get16(p + 2) << 16;
}

static uint64_t get64(const uint8_t *p)
{
    return get32(p) | (uint64_t)get32(p + 4) << 32;
}

static bool is_record(const uint8_t *p, char kind, char version)
{
    return p[0] == 'P' && p[1] == 'K' && p[2] == kind && p[3] == version;
}

__attribute__((format(printf, 4, 5))) static sdgen_status
refuse(const struct sdg_zip *z, sdgen_error *err, uint64_t at, const char *format, ...)
{
    char what[512];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    return sdg_fail(err, SDGEN_ERR_FORMAT, "%s: zip container, byte %llu: %s", z->path,
                    (unsigned long long)at, what);
}

#define NAME(e) (int)((e)->name_size < 200 ? (e)->name_size : 200), (const char *)(e)->name

/* ---- the end records ---- */

/* Offset of the end record: the last one in the file, whose comment must reach the end exactly. */
static sdgen_status find_end(uint64_t *end, const struct sdg_zip *z, sdgen_error *err)
{
    const uint64_t furthest =
        z->size > END_SIZE + COMMENT_MAX ? z->size - END_SIZE - COMMENT_MAX : 0;
    for (uint64_t at = z->size < END_SIZE ? 0 : z->size - END_SIZE + 1; at-- > furthest;) {
        if (!is_record(z->data + at, 5, 6)) continue;
        if (at + END_SIZE + get16(z->data + at + 20) != z->size)
            return refuse(z, err, at, "something follows the end of the archive; " AGAIN);
        *end = at;
        return SDGEN_OK;
    }
    return refuse(z, err, z->size,
                  "the directory of the archive is missing: the file was cut short, download it "
                  "again");
}

/* One value of the classic end record must be the zip64 one's, or full of ones. */
static bool agrees(uint64_t classic, uint64_t all_ones, uint64_t wide)
{
    return classic == all_ones || classic == wide;
}

/* Reads place, size and number of entries of the central directory, from the zip64 record where
 * there is one. */
static sdgen_status read_end(struct sdg_zip *z, uint64_t *count, uint64_t end, sdgen_error *err)
{
    const uint8_t *p = z->data + end;
    uint64_t last = end; /* the directory must end here */
    if (get16(p + 4) != 0 || get16(p + 6) != 0 || get16(p + 8) != get16(p + 10))
        return refuse(z, err, end, "the archive is split over several files: join them");
    *count = get16(p + 10);
    z->directory_size = get32(p + 12);
    z->directory = get32(p + 16);
    if (end >= LOCATOR_SIZE && is_record(p - LOCATOR_SIZE, 6, 7)) {
        const uint8_t *locator = p - LOCATOR_SIZE;
        const uint64_t at = get64(locator + 8), room = end - LOCATOR_SIZE;
        if (get32(locator + 4) != 0 || get32(locator + 16) > 1)
            return refuse(z, err, end - LOCATOR_SIZE,
                          "the archive is split over several files: join them");
        if (room < END64_SIZE || at > room - END64_SIZE || !is_record(z->data + at, 6, 6) ||
            get64(z->data + at + 4) != room - at - 12)
            return refuse(z, err, at, "the zip64 end record is not where it should be; " AGAIN);
        const uint8_t *wide = z->data + at;
        if (get32(wide + 16) != 0 || get32(wide + 20) != 0 || get64(wide + 24) != get64(wide + 32))
            return refuse(z, err, at, "the archive is split over several files: join them");
        if (!agrees(*count, 0xffff, get64(wide + 32)) ||
            !agrees(z->directory_size, max32, get64(wide + 40)) ||
            !agrees(z->directory, max32, get64(wide + 48)))
            return refuse(z, err, at, "the two end records contradict each other; " AGAIN);
        *count = get64(wide + 32);
        z->directory_size = get64(wide + 40);
        z->directory = get64(wide + 48);
        last = at;
    }
    if (z->directory > last || z->directory_size != last - z->directory)
        return refuse(z, err, end,
                      "the directory (byte %llu, %llu bytes) does not lie before its end record; "
                      "the file was cut or changed, download it again",
                      (unsigned long long)z->directory, (unsigned long long)z->directory_size);
    return SDGEN_OK;
}

/* ---- the central directory ---- */

/* A relative path that cannot leave its folder and means the same on every system. */
static bool is_good_name(const uint8_t *name, size_t size)
{
    size_t part = 0; /* where the current part of the path begins */
    if (size == 0 || size > NAME_MAX_SIZE || name[0] == '/') return false;
    if (size >= 2 && name[1] == ':') return false;
    for (size_t i = 0; i <= size; i++) {
        if (i < size && (name[i] < 0x20 || name[i] == 0x7f || name[i] == '\\')) return false;
        if (i < size && name[i] != '/') continue;
        if (i == part && i < size) return false; /* a//b */
        if (i - part == 2 && name[part] == '.' && name[part + 1] == '.') return false;
        if (i - part == 1 && name[part] == '.') return false;
        part = i + 1;
    }
    return true;
}

/* The zip64 extra field replaces those of the 32-bit values that are all ones, in this order. */
static bool read_zip64(uint64_t *const values[3], const uint8_t *extra, size_t size)
{
    bool wanted = false, found = false;
    for (int i = 0; i < 3; i++) wanted |= *values[i] == max32;
    for (size_t at = 0; at + 4 <= size;) {
        const size_t id = get16(extra + at), length = get16(extra + at + 2);
        if (length > size - at - 4) return false;
        if (id == EXTRA_ZIP64) {
            size_t used = 0;
            if (found) return false;
            found = true;
            for (int i = 0; i < 3; i++) {
                if (*values[i] != max32) continue;
                if (length - used < 8) return false;
                *values[i] = get64(extra + at + 4 + used);
                used += 8;
            }
        }
        at += 4 + length;
    }
    return found || !wanted;
}

/* The header at `at` of the directory, which ends at `end`; *next is the one behind it. */
static sdgen_status read_central(struct sdg_zip_entry *e, uint64_t *next, const struct sdg_zip *z,
                                 uint64_t at, uint64_t end, sdgen_error *err)
{
    const uint8_t *p = z->data + at;
    if (end - at < CENTRAL_SIZE || !is_record(p, 1, 2))
        return refuse(z, err, at, "an entry of the directory is missing; " AGAIN);
    const uint32_t name_size = get16(p + 28), extra = get16(p + 30), comment = get16(p + 32);
    if (end - at - CENTRAL_SIZE < (uint64_t)name_size + extra + comment)
        return refuse(z, err, at, "an entry reaches beyond the directory; " AGAIN);
    uint64_t unpacked = get32(p + 24);
    *e = (struct sdg_zip_entry) {.name = p + CENTRAL_SIZE,
                                 .name_size = name_size,
                                 .size = get32(p + 20),
                                 .method = get16(p + 10),
                                 .crc = get32(p + 16),
                                 .local = get32(p + 42)};
    *next = at + CENTRAL_SIZE + name_size + extra + comment;
    if (!is_good_name(e->name, name_size))
        return refuse(z, err, at, "an entry has an unsafe name, \"%.*s\"; do not trust this file",
                      NAME(e));
    if (get16(p + 8) & FLAG_ENCRYPTED)
        return refuse(z, err, at, "%.*s is encrypted: unpack the archive", NAME(e));
    uint64_t *const wide[] = {&unpacked, &e->size, &e->local};
    if (!read_zip64(wide, e->name + name_size, extra) || get16(p + 34) != 0)
        return refuse(z, err, at, "%.*s: its zip64 values are malformed; " AGAIN, NAME(e));
    if (e->method == 0 && unpacked != e->size)
        return refuse(z, err, at, "%.*s is stored as it is but has two sizes; " AGAIN, NAME(e));
    return SDGEN_OK;
}

static sdgen_status read_directory(struct sdg_zip *z, uint64_t count, sdgen_error *err)
{
    sdgen_status status = SDGEN_OK;
    const uint64_t end = z->directory + z->directory_size;
    uint64_t at = z->directory;
    if (count > ENTRIES_MAX || count > z->directory_size / CENTRAL_SIZE)
        return refuse(z, err, z->directory, "%llu entries cannot be; " AGAIN,
                      (unsigned long long)count);
    z->entries = calloc(count ? count : 1, sizeof *z->entries);
    if (!z->entries)
        return sdg_fail(err, SDGEN_ERR_MEMORY, "%s: not enough memory to read it", z->path);
    for (; z->count < count; z->count++)
        SDG_TRY(read_central(&z->entries[z->count], &at, z, at, end, err));
    if (at != end) return refuse(z, err, at, "the directory is longer than its entries; " AGAIN);
fail:
    return status;
}

/* ---- the local headers ---- */

/* Finds the payload and holds the local header against the directory: what another reader may
 * believe must be the same. */
static sdgen_status read_local(struct sdg_zip_entry *e, const struct sdg_zip *z, sdgen_error *err)
{
    const uint64_t limit = z->directory;
    if (limit < LOCAL_SIZE || e->local > limit - LOCAL_SIZE || !is_record(z->data + e->local, 3, 4))
        return refuse(z, err, e->local, "%.*s is not where the directory says; " AGAIN, NAME(e));
    const uint8_t *p = z->data + e->local;
    const uint32_t flags = get16(p + 6), name_size = get16(p + 26), extra = get16(p + 28);
    const uint64_t room = limit - e->local - LOCAL_SIZE;
    if (room < (uint64_t)name_size + extra || room - name_size - extra < e->size)
        return refuse(z, err, e->local,
                      "%.*s (%llu bytes) reaches into the directory; the file was cut or changed, "
                      "download it again",
                      NAME(e), (unsigned long long)e->size);
    e->data = p + LOCAL_SIZE + name_size + extra;
    if (name_size != e->name_size || memcmp(p + LOCAL_SIZE, e->name, name_size) != 0)
        return refuse(z, err, e->local, "%.*s has another name in its local header; " AGAIN,
                      NAME(e));
    if ((flags & FLAG_ENCRYPTED) || get16(p + 8) != e->method)
        return refuse(z, err, e->local, "%.*s is packed differently in its local header; " AGAIN,
                      NAME(e));
    uint64_t unpacked = get32(p + 22), size = get32(p + 18), none = 0;
    uint64_t *const wide[] = {&unpacked, &size, &none};
    if ((flags & FLAG_DESCRIPTOR) && size == 0 && unpacked == 0) return SDGEN_OK;
    if (!read_zip64(wide, p + LOCAL_SIZE + name_size, extra) || size != e->size ||
        (e->method == 0 && unpacked != e->size))
        return refuse(z, err, e->local, "%.*s has another size in its local header; " AGAIN,
                      NAME(e));
    return SDGEN_OK;
}

static int compare_places(const void *a, const void *b)
{
    const struct sdg_zip_entry *x = a, *y = b;
    return x->local < y->local ? -1 : x->local > y->local;
}

static sdgen_status read_locals(struct sdg_zip *z, sdgen_error *err)
{
    sdgen_status status = SDGEN_OK;
    uint64_t used = 0; /* end of the last payload */
    qsort(z->entries, z->count, sizeof *z->entries, compare_places);
    for (size_t i = 0; i < z->count; i++) {
        struct sdg_zip_entry *e = &z->entries[i];
        SDG_TRY(read_local(e, z, err));
        if (e->local < used)
            return refuse(z, err, e->local, "%.*s overlaps the entry before it; " AGAIN, NAME(e));
        used = (uint64_t)(e->data - z->data) + e->size;
    }
fail:
    return status;
}

/* ---- names ---- */

static int fold(int c)
{
    return c >= 'A' && c <= 'Z' ? c + 'a' - 'A' : c;
}

/* As on a file system that does not tell upper from lower case. */
static int compare_folded(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size)
{
    for (size_t i = 0; i < a_size && i < b_size; i++) {
        const int x = fold(a[i]), y = fold(b[i]);
        if (x != y) return x < y ? -1 : 1;
    }
    return a_size < b_size ? -1 : a_size > b_size;
}

static int compare_names(const void *a, const void *b)
{
    const struct sdg_zip_entry *x = a, *y = b;
    return compare_folded(x->name, x->name_size, y->name, y->name_size);
}

sdgen_status sdg_zip_open(struct sdg_zip *z, const char *path, const uint8_t *data, size_t size,
                          sdgen_error *err)
{
    sdgen_status status;
    uint64_t end = 0, count = 0;
    *z = (struct sdg_zip) {.path = path, .data = data, .size = size};
    SDG_TRY(find_end(&end, z, err));
    SDG_TRY(read_end(z, &count, end, err));
    SDG_TRY(read_directory(z, count, err));
    SDG_TRY(read_locals(z, err));
    qsort(z->entries, z->count, sizeof *z->entries, compare_names);
    for (size_t i = 1; i < z->count; i++) {
        if (compare_names(&z->entries[i - 1], &z->entries[i]) != 0) continue;
        status = refuse(z, err, z->entries[i].local, "%.*s is there twice; do not trust this file",
                        NAME(&z->entries[i]));
        goto fail;
    }
    return SDGEN_OK;
fail:
    sdg_zip_close(z);
    return status;
}

void sdg_zip_close(struct sdg_zip *z)
{
    free(z->entries);
    *z = (struct sdg_zip) {0};
}

struct sdg_zip_entry *sdg_zip_find(const struct sdg_zip *z, const char *name)
{
    const size_t size = strlen(name);
    size_t low = 0, high = z->count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        struct sdg_zip_entry *e = &z->entries[middle];
        const int order = compare_folded((const uint8_t *)name, size, e->name, e->name_size);
        if (order == 0) return memcmp(e->name, name, size) == 0 ? e : NULL;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}
