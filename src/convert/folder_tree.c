/* folder_tree.c - see folder_tree.h. */
#define _GNU_SOURCE
#include "convert/folder_tree.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OPEN_FOLDERS = 16 };

static sdgen_status failed(sdgen_error *err, const char *path, const char *what)
{
    return sdg_fail(err, SDGEN_ERR_IO, "%s: %s: %s", path, what, strerror(errno));
}

/* path without slashes at its end, and room for more */
static char *trimmed(const char *path, const char *more)
{
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/') n--;
    char *copy = malloc(n + strlen(more) + 1);
    if (!copy) return NULL;
    memcpy(copy, path, n);
    strcpy(copy + n, more);
    return copy;
}

static int folder_mode(void)
{
    const mode_t mask = umask(0);
    umask(mask);
    return (int)(0777 & ~mask);
}

sdgen_status sdg_tree_begin(char **root, const char *path, sdgen_error *err)
{
    *root = trimmed(path, ".XXXXXX");
    if (!*root) return sdg_fail(err, SDGEN_ERR_MEMORY, "%s: out of memory", path);
    if (mkdtemp(*root) && chmod(*root, (mode_t)folder_mode()) == 0) return SDGEN_OK;
    const sdgen_status status = failed(err, path, "cannot write there");
    free(*root);
    *root = NULL;
    return status;
}

char *sdg_tree_path(const char *root, const char *folder, const char *name, sdgen_error *err)
{
    char *path = NULL;
    if (asprintf(&path, "%s/%s", root, folder) < 0) goto no_memory;
    if (folder[0] && mkdir(path, 0777) != 0 && errno != EEXIST) {
        (void)failed(err, path, "cannot make the folder");
        free(path);
        return NULL;
    }
    free(path);
    if (asprintf(&path, "%s/%s%s%s", root, folder, folder[0] ? "/" : "", name) >= 0) return path;
no_memory:
    (void)sdg_fail(err, SDGEN_ERR_MEMORY, "%s: out of memory", root);
    return NULL;
}

/* ---- removing ---- */

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st, (void)kind, (void)at;
    return remove(path);
}

void sdg_tree_remove(const char *root)
{
    (void)nftw(root, remove_one, OPEN_FOLDERS, FTW_DEPTH | FTW_PHYS);
}

/* What is found in folders of models; anything else is somebody's. */
static int is_stranger(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    static const char *const ends[] = {".json", ".safetensors", ".bin", ".txt", ".model", ".md"};
    (void)st;
    const size_t n = strlen(path);
    if (kind == FTW_D || kind == FTW_DP || at->level == 0) return 0;
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
        if (n > strlen(ends[i]) && strcmp(path + n - strlen(ends[i]), ends[i]) == 0) return 0;
    return 1;
}

/* ---- putting in place ---- */

/* The old folder steps aside and is removed when the new one is there. */
static sdgen_status replace(const char *root, const char *path, sdgen_error *err)
{
    if (nftw(path, is_stranger, OPEN_FOLDERS, FTW_PHYS) != 0)
        return sdg_fail(err, SDGEN_ERR_IO,
                        "%s: holds more than a model; remove it, or name another folder", path);
    char *aside = trimmed(path, ".XXXXXX");
    if (!aside) return sdg_fail(err, SDGEN_ERR_MEMORY, "%s: out of memory", path);
    sdgen_status status = SDGEN_OK;
    if (!mkdtemp(aside) || rename(path, aside) != 0)
        status = failed(err, path, "cannot be replaced");
    else if (rename(root, path) != 0) {
        status = failed(err, path, "cannot put the finished folder there");
        if (rename(aside, path) != 0) { /* it stays where it is; the message names the place */
        }
    } else
        sdg_tree_remove(aside);
    free(aside);
    return status;
}

sdgen_status sdg_tree_commit(const char *root, const char *path, int overwrite, sdgen_error *err)
{
    char *place = trimmed(path, "");
    struct stat st;
    if (!place) return sdg_fail(err, SDGEN_ERR_MEMORY, "%s: out of memory", path);
    sdgen_status status = SDGEN_OK;
    if (stat(place, &st) != 0) {
        if (rename(root, place) != 0)
            status = failed(err, path, "cannot put the finished folder there");
    } else if (overwrite)
        status = replace(root, place, err);
    else
        status = sdg_fail(err, SDGEN_ERR_IO, "%s: is there already", path);
    free(place);
    return status;
}
