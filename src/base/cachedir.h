/* cachedir.h - where sdgen remembers things between runs: $XDG_CACHE_HOME/sdgen, or ~/.cache/sdgen
 * (XDG Base Directory Specification; a relative $XDG_CACHE_HOME is ignored, as it says). */
#ifndef SDG_BASE_CACHEDIR_H
#define SDG_BASE_CACHEDIR_H

#include <stdbool.h>

enum {
    SDG_CACHEDIR_PATH = 4096, /* Linux's PATH_MAX */
    SDG_CACHEDIR_ROOM = 128,  /* that a file's name still finds behind the folder's */
};

/* The folder `leaf` in there; `make`: makes it, for its owner alone. False where there is none. */
bool sdg_cachedir(char out[SDG_CACHEDIR_PATH], const char *leaf, bool make);

#endif
