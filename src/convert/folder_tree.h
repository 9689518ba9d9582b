/* folder_tree.h - a folder appears under its name only when it is complete, as single files do
 * (base/atomicfile.h). */
#ifndef SDG_CONVERT_FOLDER_TREE_H
#define SDG_CONVERT_FOLDER_TREE_H

#include "base/status.h"

/* Makes a temporary folder beside `path`; *root is its name, to be freed. Errors: SDGEN_ERR_IO. */
SDGEN_MUST_CHECK sdgen_status sdg_tree_begin(char **root, const char *path, sdgen_error *err);

/* "root/folder/name", to be freed; makes the folder. folder may be "". NULL: error. */
char *sdg_tree_path(const char *root, const char *folder, const char *name, sdgen_error *err);

/* Gives the folder its name. A folder that is there is replaced if overwrite says so and it holds
 * nothing but what models consist of. On failure the temporary one is still there. */
SDGEN_MUST_CHECK sdgen_status sdg_tree_commit(const char *root, const char *path, int overwrite,
                                              sdgen_error *err);

/* Removes a folder and all in it; links are removed, not followed. */
void sdg_tree_remove(const char *root);

#endif
