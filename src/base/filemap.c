/* filemap.c - see filemap.h. */
#define _GNU_SOURCE
#include "base/filemap.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *kind_of(mode_t mode)
{
    if (S_ISDIR(mode)) return "a directory";
    if (S_ISFIFO(mode)) return "a pipe";
    if (S_ISSOCK(mode)) return "a socket";
    return "a device";
}

sdgen_status sdg_filemap_open(struct sdg_filemap *map, const char *path, sdgen_error *err)
{
    *map = (struct sdg_filemap) {.fd = -1};
    struct stat st;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not block us */
    if (fd < 0) return sdg_fail(err, SDGEN_ERR_IO, "%s: cannot open: %s", path, strerror(errno));
    if (fstat(fd, &st) != 0) {
        sdg_fail(err, SDGEN_ERR_IO, "%s: cannot look at it: %s", path, strerror(errno));
        goto fail;
    }
    if (!S_ISREG(st.st_mode)) {
        sdg_fail(err, SDGEN_ERR_IO, "%s: is %s, not a file", path, kind_of(st.st_mode));
        goto fail;
    }
    map->size = (size_t)st.st_size;
    map->mtime_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
    map->inode = (uint64_t)st.st_ino;
    map->device = (uint64_t)st.st_dev;
    if (map->size) {
        void *p = mmap(NULL, map->size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p == MAP_FAILED) {
            sdg_fail(err, SDGEN_ERR_IO, "%s: cannot map %zu bytes: %s", path, map->size,
                     strerror(errno));
            goto fail;
        }
        map->data = p;
    }
    map->fd = fd;
    return SDGEN_OK;
fail:
    close(fd);
    *map = (struct sdg_filemap) {.fd = -1};
    return SDGEN_ERR_IO;
}

void sdg_filemap_close(struct sdg_filemap *map)
{
    if (map->data) {
        munmap((void *)(uintptr_t)map->data, map->size);
        close(map->fd);
    } else if (map->fd > 0) {
        close(map->fd);
    }
    *map = (struct sdg_filemap) {.fd = -1};
}
