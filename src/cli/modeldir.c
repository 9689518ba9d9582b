/* modeldir.c - see modeldir.h.
 *
 * A model's hash is the beginning of the SHA-256 of its file: ten digits in A1111 since 2023
 * (modules/sd_models.py), twelve or all 64 elsewhere. Before, A1111 hashed 64 KiB at 1 MiB and kept
 * eight digits (model_hash): cheap, so it is computed whenever eight digits are wanted. */
#define _GNU_SOURCE
#include "cli/modeldir.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/message.h"
#include "files/hashcache.h"

enum { DEEPEST = 12, MOST_FILES = 20000, OLD_DIGITS = 8, OLD_AT = 0x100000, OLD_SIZE = 0x10000 };

struct files {
    char **paths;
    size_t count;
};

/* ---- names ---- */

static const char *weight_extension(const char *name)
{
    static const char *const known[] = {".safetensors", ".ckpt", ".pt", ".pth",
                                        ".bin",         ".gguf", ".sft"};
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot && i < sizeof known / sizeof known[0]; i++)
        if (strcasecmp(dot, known[i]) == 0) return dot;
    return NULL;
}

char *sdg_modeldir_stem(const char *name)
{
    for (const char *c = name; *c; c++)
        if (*c == '/' || *c == '\\') name = c + 1;
    const char *dot = weight_extension(name);
    return strndup(name, dot ? (size_t)(dot - name) : strlen(name));
}

static bool has_stem(const char *path, const char *stem)
{
    char *own = sdg_modeldir_stem(path);
    const bool same = own && strcasecmp(own, stem) == 0;
    free(own);
    return same;
}

/* ---- the folders ---- */

static void collect(struct files *f, const char *folder, int depth)
{
    DIR *dir = opendir(folder);
    if (!dir) {
        if (depth == 0) sdg_say("--model-dir %s: cannot be read", folder);
        return;
    }
    for (struct dirent *e; (e = readdir(dir)) != NULL && f->count < MOST_FILES;) {
        struct stat st;
        char *path = NULL;
        if (e->d_name[0] == '.' || asprintf(&path, "%s/%s", folder, e->d_name) < 0) continue;
        if (stat(path, &st) != 0) {
            free(path);
            continue;
        }
        char **more = NULL;
        if (S_ISDIR(st.st_mode) && depth < DEEPEST)
            collect(f, path, depth + 1);
        else if (S_ISREG(st.st_mode) && weight_extension(path))
            more = realloc(f->paths, (f->count + 1) * sizeof *more);
        if (more) {
            f->paths = more;
            f->paths[f->count++] = path;
        } else {
            free(path);
        }
    }
    closedir(dir);
}

static int by_path(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* ---- hashes ---- */

static bool is_hex(const char *s)
{
    return strspn(s, "0123456789abcdefABCDEF") == strlen(s);
}

/* The digits of a hash that sdgen can compute, or NULL ("blake3:..."). */
static const char *digits_of(const char *hash)
{
    if (!hash) return NULL;
    if (strncasecmp(hash, "sha256:", 7) == 0) hash += 7;
    const size_t length = strlen(hash);
    return length >= OLD_DIGITS && length < SDG_SHA256_HEX && is_hex(hash) ? hash : NULL;
}

static bool begins(const char *hex, const char *digits)
{
    return strncasecmp(hex, digits, strlen(digits)) == 0;
}

static bool has_old_hash(const char *path, const char *digits)
{
    uint8_t *piece = malloc(OLD_SIZE);
    char hex[SDG_SHA256_HEX];
    struct sdg_sha256 s;
    bool same = false;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    const ssize_t n = piece && fd >= 0 ? pread(fd, piece, OLD_SIZE, OLD_AT) : -1;
    if (n >= 0) {
        sdg_sha256_init(&s);
        sdg_sha256_update(&s, piece, (size_t)n);
        sdg_sha256_hex(hex, &s);
        same = begins(hex, digits);
    }
    if (fd >= 0) close(fd);
    free(piece);
    return same;
}

static bool has_hash(const char *path, const char *digits)
{
    char hex[SDG_SHA256_HEX];
    sdgen_error error;
    if (strlen(digits) == OLD_DIGITS && has_old_hash(path, digits)) return true;
    if (sdg_hash_file(hex, path, NULL, &error) == SDGEN_OK) return begins(hex, digits);
    sdg_say("%s", error.text);
    return false;
}

bool sdg_modeldir_matches(const char *path, const char *hash)
{
    const char *digits = digits_of(hash);
    return !digits || has_hash(path, digits);
}

/* ---- the search ---- */

static const char *find_by_hash(const struct files *f, const char *digits, const char *stem)
{
    char hex[SDG_SHA256_HEX];
    size_t unknown = 0;
    for (size_t i = 0; i < f->count; i++)
        if (has_stem(f->paths[i], stem) && has_hash(f->paths[i], digits)) return f->paths[i];
    for (size_t i = 0; i < f->count; i++) {
        if (!sdg_hash_known(hex, f->paths[i]))
            unknown++;
        else if (begins(hex, digits))
            return f->paths[i];
    }
    if (unknown > 0)
        sdg_say("looking for %s among %zu files; their hashes are remembered", digits, unknown);
    for (size_t i = 0; i < f->count; i++)
        if (!sdg_hash_known(hex, f->paths[i]) && has_hash(f->paths[i], digits)) return f->paths[i];
    /* Files whose hash is remembered may still have the older one. */
    for (size_t i = 0; i < f->count && strlen(digits) == OLD_DIGITS; i++)
        if (has_old_hash(f->paths[i], digits)) return f->paths[i];
    return NULL;
}

enum sdg_found sdg_modeldir_find(char **path, const struct sdg_wanted *wanted,
                                 const char *const *folders, size_t count)
{
    struct files f = {0};
    const char *digits = digits_of(wanted->hash), *found = NULL;
    char *stem = sdg_modeldir_stem(wanted->name ? wanted->name : "");
    for (size_t i = 0; i < count; i++) collect(&f, folders[i], 0);
    if (f.count) qsort(f.paths, f.count, sizeof *f.paths, by_path);
    if (digits)
        found = find_by_hash(&f, digits, stem ? stem : "");
    else
        for (size_t i = 0; i < f.count && !found && stem && stem[0]; i++)
            if (has_stem(f.paths[i], stem)) found = f.paths[i];
    *path = found ? strdup(found) : NULL;
    for (size_t i = 0; i < f.count; i++) free(f.paths[i]);
    free(f.paths);
    free(stem);
    if (!*path) return SDG_FOUND_NOT;
    return digits ? SDG_FOUND_BY_HASH : SDG_FOUND_BY_NAME;
}
