/* modeldir.h - finding a weight file by its hash among folders of them. */
#ifndef SDG_CLI_MODELDIR_H
#define SDG_CLI_MODELDIR_H

#include <stdbool.h>
#include <stddef.h>

/* How a picture names a file; either may be NULL. */
struct sdg_wanted {
    const char *hash; /* the first digits of the SHA-256 (8 or more), or A1111's older eight digits
                         of a piece of the file */
    const char *name; /* with or without folder and extension */
};

enum sdg_found { SDG_FOUND_NOT, SDG_FOUND_BY_HASH, SDG_FOUND_BY_NAME };

/* Looks through folders[count] and everything below. Files of the wanted name are hashed first,
 * then those whose hash is remembered are looked at, then the rest is hashed, which is said. By
 * name alone only where there is no hash, or none that sdgen can compute. *path is allocated. */
enum sdg_found sdg_modeldir_find(char **path, const struct sdg_wanted *wanted,
                                 const char *const *folders, size_t count);

/* Does the file have that hash? True, too, where there is none to compare. */
bool sdg_modeldir_matches(const char *path, const char *hash);

/* The name without folder and extension of a weight file; free(). NULL when out of memory. */
char *sdg_modeldir_stem(const char *name);

#endif
