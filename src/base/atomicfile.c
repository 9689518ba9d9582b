/* atomicfile.c - see atomicfile.h. */
#define _GNU_SOURCE
#include "base/atomicfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

sdgen_status sdg_atomic_begin(struct sdg_atomicfile *f, const char *path, sdgen_error *err)
{
    *f = (struct sdg_atomicfile) {0};
    struct stat st;
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode))
        return sdg_fail(err, SDGEN_ERR_IO, "%s: exists and is not a plain file", path);
    const size_t length = strlen(path);
    f->path = strdup(path);
    f->temporary = malloc(length + sizeof ".XXXXXX");
    if (!f->path || !f->temporary) {
        sdg_atomic_abort(f);
        return sdg_fail(err, SDGEN_ERR_MEMORY, "%s: out of memory", path);
    }
    memcpy(f->temporary, path, length);
    memcpy(f->temporary + length, ".XXXXXX", sizeof ".XXXXXX");
    const int fd = mkostemp(f->temporary, O_CLOEXEC);
    if (fd < 0) {
        const int reason = errno;
        free(f->temporary);
        f->temporary = NULL; /* nothing to unlink */
        sdg_atomic_abort(f);
        return sdg_fail(err, SDGEN_ERR_IO, "%s: cannot write there: %s", path, strerror(reason));
    }
    const mode_t mask = umask(0); /* mkostemp makes 0600: give the file what open(2) would have */
    umask(mask);
    f->stream = fchmod(fd, 0666 & ~mask) == 0 ? fdopen(fd, "wb") : NULL;
    if (!f->stream) {
        const int reason = errno;
        close(fd);
        sdg_atomic_abort(f);
        return sdg_fail(err, SDGEN_ERR_IO, "%s: cannot write there: %s", path, strerror(reason));
    }
    return SDGEN_OK;
}

/* Makes the new directory entry durable. Some file systems refuse to sync a directory: no harm. */
static void sync_directory(char *path)
{
    char *slash = strrchr(path, '/');
    const char saved = slash ? slash[1] : 0;
    if (slash) slash[1] = 0;
    const int fd = open(slash ? path : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (slash) slash[1] = saved;
    if (fd < 0) return;
    (void)fsync(fd);
    close(fd);
}

sdgen_status sdg_atomic_commit(struct sdg_atomicfile *f, int overwrite, sdgen_error *err)
{
    int bad = fflush(f->stream) != 0 || ferror(f->stream);
    bad = bad || fsync(fileno(f->stream)) != 0;
    const int reason = errno;
    if (fclose(f->stream) != 0) bad = 1;
    f->stream = NULL;
    sdgen_status status = SDGEN_OK;
    if (bad) {
        status = sdg_fail(err, SDGEN_ERR_IO, "%s: write failed: %s", f->path, strerror(reason));
        goto done;
    }
    int made = -1;
    if (!overwrite) made = link(f->temporary, f->path);
    if (!overwrite && made != 0 && errno != EEXIST) /* no hard links here: check, then rename */
        overwrite = access(f->path, F_OK) != 0;
    if (overwrite) made = rename(f->temporary, f->path);
    if (made != 0) {
        status = sdg_fail(err, SDGEN_ERR_IO, "%s: cannot put the finished file there: %s", f->path,
                          strerror(errno));
        goto done;
    }
    if (overwrite) {
        free(f->temporary);
        f->temporary = NULL;
    }
    sync_directory(f->path);
done:
    sdg_atomic_abort(f);
    return status;
}

void sdg_atomic_abort(struct sdg_atomicfile *f)
{
    if (f->stream) fclose(f->stream);
    if (f->temporary) unlink(f->temporary);
    free(f->temporary);
    free(f->path);
    *f = (struct sdg_atomicfile) {0};
}
