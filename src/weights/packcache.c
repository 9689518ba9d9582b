/* packcache.c - see packcache.h. */
#define _GNU_SOURCE
#include "weights/packcache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/atomicfile.h"
#include "base/cachedir.h"
#include "weights/packcache_key.h"

enum { MOST_TRIES = 100 };

struct place {
    const struct sdg_packcache_way *way;
    struct sdg_packs *packs;
    char path[SDG_CACHEDIR_PATH], folder[SDG_CACHEDIR_PATH], name[SDG_PACKCACHE_NAME];
    char *header;
    size_t image_at, bytes; /* of the file */
};

/* ---- reading --------------------------------------------------------------------------------- */

static bool open_right(struct sdg_packcache *c, const struct place *p)
{
    if (access(p->path, F_OK) != 0) return false;
    sdgen_error error;
    if (sdg_filemap_open(&c->map, p->path, &error) != SDGEN_OK) {
        sdg_log(p->way->log, SDGEN_LOG_VERBOSE, "%s", error.text);
        return false;
    }
    const struct sdg_packcache_bytes bytes = {c->map.data, c->map.size, c->map.fd};
    const char *why = sdg_packcache_examine(p->packs, p->header, &bytes);
    if (!why) return true;
    sdg_log(p->way->log, SDGEN_LOG_VERBOSE, "%s: cannot be used: %s; making it anew", p->path, why);
    sdg_filemap_close(&c->map);
    return false;
}

/* ---- writing --------------------------------------------------------------------------------- */

static sdgen_status write_at(int fd, size_t at, const void *data, size_t bytes)
{
    const char *from = data;
    while (bytes) {
        const ssize_t n = pwrite(fd, from, bytes, (off_t)at);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return SDGEN_ERR_IO;
        from += n;
        at += (size_t)n;
        bytes -= (size_t)n;
    }
    return SDGEN_OK;
}

struct sink {
    const struct place *place;
    int fd;
};

static sdgen_status take(void *user, size_t at, const void *data, size_t bytes, sdgen_error *err)
{
    const struct sink *s = user;
    const size_t to = s->place->image_at + at;
    if (write_at(s->fd, to, data, bytes) != SDGEN_OK)
        return sdg_fail(err, SDGEN_ERR_IO, "%s: cannot be written: %s", s->place->path,
                        strerror(errno));
    sync_file_range(s->fd, (off_t)to, (off_t)bytes, SYNC_FILE_RANGE_WRITE); /* begin already */
    return SDGEN_OK;
}

/* Room for the whole file, so that a full disk is known before the work. */
static sdgen_status reserve(const struct place *p, int fd, sdgen_error *err)
{
    const int reason = posix_fallocate(fd, 0, (off_t)p->bytes);
    if (reason == 0) return SDGEN_OK;
    if ((reason == EOPNOTSUPP || reason == EINVAL) && ftruncate(fd, (off_t)p->bytes) == 0)
        return SDGEN_OK;
    return sdg_fail(err, SDGEN_ERR_IO, "%s: no room for %zu MiB: %s", p->path, p->bytes >> 20,
                    strerror(reason));
}

static sdgen_status write_header(const struct place *p, int fd, sdgen_error *err)
{
    char line[SDG_SHA256_HEX];
    const struct sdg_packcache_bytes file = {NULL, p->bytes, fd};
    sdg_packcache_samples(line, p->packs, &file, p->image_at);
    line[SDG_SHA256_HEX - 1] = '\n';
    const size_t known = strlen(p->header);
    if (write_at(fd, 0, p->header, known) == SDGEN_OK &&
        write_at(fd, known, line, sizeof line) == SDGEN_OK)
        return SDGEN_OK;
    return sdg_fail(err, SDGEN_ERR_IO, "%s: cannot be written: %s", p->path, strerror(errno));
}

/* Whether the models are still what was read when they were opened. */
static bool sources_stand(const struct sdg_packcache_way *way)
{
    for (size_t i = 0; i < way->source_count; i++)
        for (size_t j = 0; j < way->sources[i]->map_count; j++) {
            const struct sdg_filemap *map = &way->sources[i]->maps[j];
            struct stat st;
            if (fstat(map->fd, &st) != 0 || (size_t)st.st_size != map->size ||
                (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec != map->mtime_ns)
                return false;
        }
    return true;
}

/* A writer holds a lock on its unfinished file; what nobody holds was left by one that died. */
static void remove_leftovers(const struct place *p)
{
    DIR *folder = opendir(p->folder);
    if (!folder) return;
    const size_t length = strlen(p->name);
    for (const struct dirent *e; (e = readdir(folder));) {
        if (strncmp(e->d_name, p->name, length) != 0 || e->d_name[length] != '.') continue;
        const int fd = openat(dirfd(folder), e->d_name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        if (fd < 0) continue;
        if (flock(fd, LOCK_EX | LOCK_NB) == 0) unlinkat(dirfd(folder), e->d_name, 0);
        close(fd);
    }
    closedir(folder);
}

/* An unfinished file that is locked. Another writer may have taken it for a leftover before it was:
 * then it is gone, and another one is begun. */
static sdgen_status begin(struct sdg_atomicfile *file, const struct place *p, sdgen_error *err)
{
    for (int i = 0;; i++) {
        struct stat st;
        const sdgen_status status = sdg_atomic_begin(file, p->path, err);
        if (status != SDGEN_OK) return status;
        const int fd = fileno(file->stream);
        const bool locked = flock(fd, LOCK_EX) == 0; /* some file systems know no locks */
        if (i == MOST_TRIES || !locked || (fstat(fd, &st) == 0 && st.st_nlink > 0)) return SDGEN_OK;
        sdg_atomic_abort(file);
    }
}

static sdgen_status make(const struct place *p, const struct sdg_kernels *k, int threads,
                         sdgen_error *err)
{
    sdgen_status status;
    struct sdg_atomicfile file;
    SDG_TRY(begin(&file, p, err));
    const int fd = fileno(file.stream);
    struct sink sink = {p, fd};
    remove_leftovers(p);
    SDG_TRY(reserve(p, fd, err));
    SDG_TRY(sdg_packs_write(p->packs, k, threads, take, &sink, err));
    SDG_TRY(write_header(p, fd, err));
    if (!sources_stand(p->way))
        SDG_TRY(sdg_fail(err, SDGEN_ERR_IO, "%s: the model changed meanwhile", p->path));
    /* Commit closes the file before it renames it: the lock stays until that is done. */
    const int lock = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    status = sdg_atomic_commit(&file, 1, err);
    if (lock >= 0) close(lock);
    return status;
fail:
    sdg_atomic_abort(&file);
    return status;
}

/* ---- both ------------------------------------------------------------------------------------ */

/* The folder, made where it is not there yet. */
static bool find_folder(char folder[SDG_CACHEDIR_PATH], const struct sdg_packcache_way *way)
{
    if (way->folder[0] == 0) {
        if (sdg_cachedir(folder, "packs", true)) return true;
        sdg_log(
            way->log, SDGEN_LOG_WARN,
            "packed weights are not kept: no cache folder ($XDG_CACHE_HOME, $HOME) can be made");
        return false;
    }
    errno = ENAMETOOLONG;
    if (strlen(way->folder) + SDG_CACHEDIR_ROOM < SDG_CACHEDIR_PATH) {
        snprintf(folder, SDG_CACHEDIR_PATH, "%s", way->folder);
        if (mkdir(folder, 0777) == 0 || errno == EEXIST) return true;
    }
    sdg_log(way->log, SDGEN_LOG_WARN, "packed weights are not kept: %.200s: cannot be made: %s",
            way->folder, strerror(errno));
    return false;
}

static bool find_place(struct place *p, struct sdg_packs *packs,
                       const struct sdg_packcache_way *way)
{
    *p = (struct place) {.way = way, .packs = packs};
    if (!find_folder(p->folder, way)) return false;
    sdg_packcache_name(p->name, way);
    const size_t used = strlen(p->folder);
    memcpy(p->path, p->folder, used);
    snprintf(p->path + used, sizeof p->path - used, "/%s", p->name);
    p->header = sdg_packcache_header(packs, way);
    if (!p->header) return false;
    p->image_at = sdg_packcache_image_at(p->header);
    p->bytes = p->image_at + sdg_packs_image_bytes(packs);
    return true;
}

bool sdg_packcache_attach(struct sdg_packcache *c, struct sdg_packs *packs,
                          const struct sdg_packcache_way *way, const struct sdg_kernels *k,
                          int threads)
{
    struct place p;
    *c = (struct sdg_packcache) {.map.fd = -1};
    if (sdg_packs_count(packs) == 0 || !find_place(&p, packs, way)) return false;
    bool there = open_right(c, &p), made = false;
    if (!there) {
        sdgen_error error;
        made = make(&p, k, threads, &error) == SDGEN_OK;
        if (!made && error.status != SDGEN_ERR_CANCELLED)
            sdg_log(way->log, SDGEN_LOG_WARN, "packed weights are not kept: %s", error.text);
        there = made && open_right(c, &p);
    }
    if (there) {
        sdg_packs_adopt(packs, c->map.data + p.image_at);
        sdg_log(way->log, SDGEN_LOG_VERBOSE, "packed weights: %zu MiB %s %s", p.bytes >> 20,
                made ? "written to" : "from", p.path);
    }
    free(p.header);
    return there;
}

void sdg_packcache_close(struct sdg_packcache *c)
{
    if (c->map.data) sdg_filemap_close(&c->map);
    *c = (struct sdg_packcache) {.map.fd = -1};
}
