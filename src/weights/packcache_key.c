/* packcache_key.c - see packcache_key.h. */
#define _GNU_SOURCE
#include "weights/packcache_key.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { HEAD_BYTES = 1 << 20, TAIL_BYTES = 1 << 16, SAMPLED_PAGES = 64, PAGE = SDG_PACKS_PAGE };

/* ---- samples --------------------------------------------------------------------------------- */

/* Adds bytes [at, at + count) to the digest: of the file where there is one, else of memory. Pages
 * of a mapping that are read here and there bring their neighbours into memory, up to 2 MiB of them
 * each; what is read from the file does not. */
static void sample(struct sdg_sha256 *s, const struct sdg_packcache_bytes *from, size_t at,
                   size_t count)
{
    uint8_t buffer[PAGE];
    if (from->fd < 0) {
        sdg_sha256_update(s, from->data + at, count);
        return;
    }
    while (count) {
        const size_t piece = count < PAGE ? count : PAGE;
        size_t got = 0;
        for (ssize_t n = 1; got < piece && n > 0; got += n > 0 ? (size_t)n : 0)
            n = pread(from->fd, buffer + got, piece - got, (off_t)(at + got));
        if (got == 0) return; /* another digest than the right one */
        sdg_sha256_update(s, buffer, got);
        at += got;
        count -= got;
    }
}

/* Head and end, where file formats keep their directories, and pages evenly between. */
static void sample_digest(char hex[SDG_SHA256_HEX], const struct sdg_packcache_bytes *from)
{
    struct sdg_sha256 s;
    sdg_sha256_init(&s);
    if (from->size <= HEAD_BYTES + TAIL_BYTES) {
        if (from->size) sample(&s, from, 0, from->size);
    } else {
        const size_t step = (from->size - HEAD_BYTES - TAIL_BYTES) / SAMPLED_PAGES;
        sample(&s, from, 0, HEAD_BYTES);
        for (size_t i = 0; i < SAMPLED_PAGES; i++)
            sample(&s, from, HEAD_BYTES + i * step, step < PAGE ? step : PAGE);
        sample(&s, from, from->size - TAIL_BYTES, TAIL_BYTES);
    }
    sdg_sha256_hex(hex, &s);
}

/* A page of every pack, another one in each. */
void sdg_packcache_samples(char hex[SDG_SHA256_HEX], const struct sdg_packs *packs,
                           const struct sdg_packcache_bytes *file, size_t image_at)
{
    struct sdg_sha256 s;
    sdg_sha256_init(&s);
    for (size_t i = 0; i < sdg_packs_count(packs); i++) {
        const struct sdg_pack_row row = sdg_packs_row(packs, i);
        const size_t pages = (row.bytes + PAGE - 1) / PAGE, at = i * 7919 % pages * PAGE;
        const size_t left = row.bytes - at;
        sample(&s, file, image_at + row.at + at, left < PAGE ? left : PAGE);
    }
    sdg_sha256_hex(hex, &s);
}

/* ---- the header ------------------------------------------------------------------------------ */

static void write_source(FILE *f, const struct sdg_weights *w)
{
    char hex[SDG_SHA256_HEX], *absolute = realpath(w->path, NULL);
    for (size_t i = 0; i < w->map_count; i++) {
        const struct sdg_filemap *map = &w->maps[i];
        const struct sdg_packcache_bytes bytes = {map->data, map->size, map->data ? map->fd : -1};
        sample_digest(hex, &bytes);
        fprintf(f, "source %zu %" PRId64 " %" PRIu64 " %s %s\n", map->size, map->mtime_ns,
                map->inode, hex, absolute ? absolute : w->path);
    }
    free(absolute);
}

/* Where a weight was read from: number of the file and offset; for one that had to be made from
 * what the file holds, its content. */
static void write_origin(FILE *f, const struct sdg_packcache_way *way,
                         const struct sdg_tensor *weight)
{
    const uintptr_t p = (uintptr_t)weight->data;
    size_t file = 0;
    for (size_t i = 0; i < way->source_count; i++)
        for (size_t j = 0; j < way->sources[i]->map_count; j++, file++) {
            const struct sdg_filemap *map = &way->sources[i]->maps[j];
            const uintptr_t base = (uintptr_t)map->data;
            if (p < base || p >= base + map->size) continue;
            fprintf(f, "from %zu %zu\n", file, (size_t)(p - base));
            return;
        }
    char hex[SDG_SHA256_HEX];
    const struct sdg_packcache_bytes bytes = {weight->data, sdg_tensor_bytes(weight), -1};
    sample_digest(hex, &bytes);
    fprintf(f, "of %s\n", hex);
}

static void write_packs(FILE *f, const struct sdg_packs *packs, const struct sdg_packcache_way *way)
{
    for (size_t i = 0; i < sdg_packs_count(packs); i++) {
        const struct sdg_pack_row row = sdg_packs_row(packs, i);
        char shape[96];
        sdg_shape_text(shape, sizeof shape, row.weight->shape, row.weight->rank);
        fprintf(f, "pack %zu %zu %s %zu %zu %d %s%s ", row.at, row.bytes, sdg_dtype_name(row.dtype),
                row.nr, row.k_step, row.layout, sdg_dtype_name(row.weight->dtype), shape);
        write_origin(f, way, row.weight);
    }
}

char *sdg_packcache_header(const struct sdg_packs *packs, const struct sdg_packcache_way *way)
{
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    if (!f) return NULL;
    fprintf(f, "sdgen %s packed weights, layout %d\n", SDGEN_VERSION, SDG_PACKS_LAYOUT);
    fprintf(f, "way %s %s %s\n", way->tier, way->precision, way->exact_conv ? "exact" : "winograd");
    for (size_t i = 0; i < way->source_count; i++) write_source(f, way->sources[i]);
    write_packs(f, packs, way);
    fprintf(f, "samples ");
    const bool bad = ferror(f) != 0;
    if (fclose(f) == 0 && !bad) return text;
    free(text);
    return NULL;
}

size_t sdg_packcache_image_at(const char *header)
{
    return (strlen(header) + SDG_SHA256_HEX + PAGE - 1) / PAGE * PAGE;
}

/* ---- comparing ------------------------------------------------------------------------------- */

/* Why `found`, as long as `wanted`, is another header. */
static const char *difference(const char *wanted, const uint8_t *found)
{
    const char *line = wanted;
    for (size_t i = 0; wanted[i] && (char)found[i] == wanted[i]; i++)
        if (wanted[i] == '\n') line = wanted + i + 1;
    if (strncmp(line, "sdgen", 5) == 0) return "another version of sdgen wrote it, or none";
    if (strncmp(line, "way", 3) == 0) return "it is for another way of computing";
    if (strncmp(line, "source", 6) == 0) return "the model has changed";
    return "its list of weights is another one";
}

const char *sdg_packcache_examine(const struct sdg_packs *packs, const char *header,
                                  const struct sdg_packcache_bytes *file)
{
    const size_t known = strlen(header), image_at = sdg_packcache_image_at(header);
    if (file->size < image_at) return "it is cut short";
    if (memcmp(file->data, header, known) != 0) return difference(header, file->data);
    if (file->size != image_at + sdg_packs_image_bytes(packs))
        return "it is cut short, or has grown";
    char line[SDG_SHA256_HEX];
    sdg_packcache_samples(line, packs, file, image_at);
    line[SDG_SHA256_HEX - 1] = '\n';
    return memcmp(file->data + known, line, sizeof line) == 0 ? NULL : "it is damaged";
}

/* ---- the name -------------------------------------------------------------------------------- */

void sdg_packcache_name(char name[SDG_PACKCACHE_NAME], const struct sdg_packcache_way *way)
{
    char hex[SDG_SHA256_HEX];
    struct sdg_sha256 s;
    sdg_sha256_init(&s);
    for (size_t i = 0; i < way->source_count; i++) {
        char *absolute = realpath(way->sources[i]->path, NULL);
        const char *path = absolute ? absolute : way->sources[i]->path;
        sdg_sha256_update(&s, path, strlen(path) + 1);
        free(absolute);
    }
    sdg_sha256_hex(hex, &s);
    snprintf(name, SDG_PACKCACHE_NAME, "%.32s-%s-%s%s.packs", hex, way->tier, way->precision,
             way->exact_conv ? "-exact" : "");
}
