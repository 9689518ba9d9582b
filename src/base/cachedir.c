/* cachedir.c - see cachedir.h. */
#define _GNU_SOURCE
#include "base/cachedir.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

bool sdg_cachedir(char out[SDG_CACHEDIR_PATH], const char *leaf, bool make)
{
    const char *base = getenv("XDG_CACHE_HOME"), *below = "";
    if (!base || base[0] != '/') {
        base = getenv("HOME");
        below = "/.cache";
    }
    const size_t taken = sizeof "/sdgen/" + SDG_CACHEDIR_ROOM;
    if (!base || base[0] != '/' ||
        strlen(base) + strlen(below) + strlen(leaf) + taken >= SDG_CACHEDIR_PATH)
        return false;
    const char *const parts[] = {"", "/sdgen/", leaf};
    int used = snprintf(out, SDG_CACHEDIR_PATH, "%s%s", base, below);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        used += snprintf(out + used, SDG_CACHEDIR_PATH - (size_t)used, "%s", parts[i]);
        if (make && mkdir(out, 0700) != 0 && errno != EEXIST) return false;
    }
    return true;
}
