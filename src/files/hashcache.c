/* hashcache.c - see hashcache.h.
 *
 * The cache is one small text file per hashed path, in CACHE/sdgen/sha256/, named by the hash of
 * the path, so processes that hash different models never meet, and a changed model overwrites its
 * own entry. Content, one line each: a format tag, "size mtime_ns inode device", the hash, the
 * path. */
#define _GNU_SOURCE
#include "files/hashcache.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/atomicfile.h"
#include "base/cachedir.h"

enum {
    BUFFER_SIZE = 1 << 20,
    IDENTITY_SIZE = 4 * 21 + 1 /* four 64-bit numbers with a blank each */
};
static const char format_tag[] = "sdgen-sha256 1";

static void identity_text(char text[IDENTITY_SIZE], const struct stat *st)
{
    const int64_t mtime = (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
    snprintf(text, IDENTITY_SIZE, "%" PRIu64 " %" PRId64 " %" PRIu64 " %" PRIu64,
             (uint64_t)st->st_size, mtime, (uint64_t)st->st_ino, (uint64_t)st->st_dev);
}

/* Where the entry of `path` (absolute) lives, with its directories made when `make` says so. False
 * where there is no place. */
static bool entry_path(char out[SDG_CACHEDIR_PATH], const char *path, bool make)
{
    if (!sdg_cachedir(out, "sha256", make)) return false;
    char key[SDG_SHA256_HEX];
    struct sdg_sha256 s;
    sdg_sha256_init(&s);
    sdg_sha256_update(&s, path, strlen(path));
    sdg_sha256_hex(key, &s);
    const size_t used = strlen(out);
    snprintf(out + used, SDG_CACHEDIR_PATH - used, "/%.32s", key);
    return true;
}

static bool is_hex_digest(const char *s)
{
    return strspn(s, "0123456789abcdef") == SDG_SHA256_HEX - 1 && s[SDG_SHA256_HEX - 1] == 0;
}

/* True when the cache knows this very file. Anything unexpected in the entry means no. */
static bool recall(char hex[SDG_SHA256_HEX], const char *path, const char *identity)
{
    char name[SDG_CACHEDIR_PATH];
    if (!entry_path(name, path, false)) return false;
    const int fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return false;
    char text[SDG_CACHEDIR_PATH + 512];
    const ssize_t size = read(fd, text, sizeof text - 1);
    close(fd);
    if (size <= 0) return false;
    text[size] = 0;
    char *rest = text;
    const char *tag = strsep(&rest, "\n"), *id = strsep(&rest, "\n"), *hash = strsep(&rest, "\n");
    const size_t length = strlen(path); /* the path comes last: it may hold newlines */
    if (!id || !hash || !rest || strcmp(tag, format_tag) != 0 || strcmp(id, identity) != 0 ||
        !is_hex_digest(hash) || strncmp(rest, path, length) != 0 ||
        strcmp(rest + length, "\n") != 0)
        return false;
    memcpy(hex, hash, SDG_SHA256_HEX);
    return true;
}

static void remember(const char *hex, const char *path, const char *identity)
{
    char name[SDG_CACHEDIR_PATH];
    struct sdg_atomicfile f;
    if (!entry_path(name, path, true) || sdg_atomic_begin(&f, name, NULL) != SDGEN_OK) return;
    fprintf(f.stream, "%s\n%s\n%s\n%s\n", format_tag, identity, hex, path);
    if (sdg_atomic_commit(&f, 1, NULL) != SDGEN_OK) return; /* commit has cleaned up */
}

/* Reads with read(2), not through a mapping: the pages must not count as this process's memory. */
static sdgen_status hash_stream(char hex[SDG_SHA256_HEX], int fd, const char *path,
                                const atomic_bool *stop, sdgen_error *err)
{
    uint8_t *buffer = malloc(BUFFER_SIZE);
    if (!buffer) return sdg_fail(err, SDGEN_ERR_MEMORY, "%s: out of memory", path);
    struct sdg_sha256 s;
    sdg_sha256_init(&s);
    sdgen_status status = SDGEN_OK;
    for (;;) {
        if (stop && atomic_load(stop)) {
            status = sdg_fail(err, SDGEN_ERR_CANCELLED, "%s: hashing was stopped", path);
            break;
        }
        const ssize_t n = read(fd, buffer, BUFFER_SIZE);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0)
            status = sdg_fail(err, SDGEN_ERR_IO, "%s: cannot read: %s", path, strerror(errno));
        if (n <= 0) break;
        sdg_sha256_update(&s, buffer, (size_t)n);
    }
    free(buffer);
    if (status == SDGEN_OK) sdg_sha256_hex(hex, &s);
    return status;
}

sdgen_status sdg_hash_file(char hex[SDG_SHA256_HEX], const char *path, const atomic_bool *stop,
                           sdgen_error *err)
{
    sdgen_status status = SDGEN_OK;
    struct stat before, after;
    char identity[IDENTITY_SIZE], now[IDENTITY_SIZE];
    char *absolute = NULL;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &before) != 0) {
        status = sdg_fail(err, SDGEN_ERR_IO, "%s: cannot open: %s", path, strerror(errno));
        goto done;
    }
    if (!S_ISREG(before.st_mode)) {
        status = sdg_fail(err, SDGEN_ERR_IO, "%s: not a plain file, so it has no hash", path);
        goto done;
    }
    identity_text(identity, &before);
    absolute = realpath(path, NULL);
    if (absolute && recall(hex, absolute, identity)) goto done;
    status = hash_stream(hex, fd, path, stop, err);
    if (status != SDGEN_OK || !absolute || fstat(fd, &after) != 0) goto done;
    identity_text(now, &after);
    if (strcmp(identity, now) == 0)
        remember(hex, absolute, identity); /* else: it changed under us */
done:
    if (fd >= 0) close(fd);
    free(absolute);
    return status;
}

bool sdg_hash_known(char hex[SDG_SHA256_HEX], const char *path)
{
    struct stat st;
    char identity[IDENTITY_SIZE];
    char *absolute = realpath(path, NULL);
    bool known = false;
    if (absolute && stat(absolute, &st) == 0 && S_ISREG(st.st_mode)) {
        identity_text(identity, &st);
        known = recall(hex, absolute, identity);
    }
    free(absolute);
    return known;
}

struct sdg_hashjob {
    pthread_t thread;
    bool joined;
    atomic_bool stop;
    char *path;
    char hex[SDG_SHA256_HEX]; /* written by the thread, read after it is joined; "" on failure */
};

static void *hashjob_main(void *arg)
{
    struct sdg_hashjob *job = arg;
    if (sdg_hash_file(job->hex, job->path, &job->stop, NULL) != SDGEN_OK) job->hex[0] = 0;
    return NULL;
}

struct sdg_hashjob *sdg_hashjob_start(const char *path)
{
    struct sdg_hashjob *job = calloc(1, sizeof *job);
    if (!job) return NULL;
    job->path = strdup(path);
    sigset_t all, saved; /* signals are for the threads that know what to do with them */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &saved);
    const bool running = job->path && pthread_create(&job->thread, NULL, hashjob_main, job) == 0;
    pthread_sigmask(SIG_SETMASK, &saved, NULL);
    if (running) return job;
    free(job->path);
    free(job);
    return NULL;
}

void sdg_hashjob_wait(struct sdg_hashjob *job, char hex[SDG_SHA256_HEX])
{
    hex[0] = 0;
    if (!job) return;
    if (!job->joined) pthread_join(job->thread, NULL);
    job->joined = true;
    memcpy(hex, job->hex, SDG_SHA256_HEX);
}

void sdg_hashjob_free(struct sdg_hashjob *job)
{
    if (!job) return;
    atomic_store(&job->stop, true);
    if (!job->joined) pthread_join(job->thread, NULL);
    free(job->path);
    free(job);
}
