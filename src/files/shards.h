/* shards.h - tensors that lie in several files, and the index that says which is where:
 *
 *     {"metadata": {"total_size": 5}, "weight_map": {"a.weight":
 * "model-00001-of-00002.safetensors"}}
 *
 * as transformers and diffusers write it (diffusers utils/hub_utils.py,
 * _get_checkpoint_shard_files). */
#ifndef SDG_FILES_SHARDS_H
#define SDG_FILES_SHARDS_H

#include <stddef.h>
#include "files/bundle.h"

enum { SDG_SHARDS_MAX = 4096, SDG_SHARDS_INDEX_MAX = 64 << 20 /* bytes of the index */ };

struct sdg_shards {
    struct sdg_shard_tensor {
        const char *name;
        const char *file; /* one of files */
    } * tensors;          /* [count], sorted by name */
    size_t count;
    const char **files; /* [file_count], sorted: plain names, no paths */
    size_t file_count;
    void *pool; /* the texts */
};

/* Reads an index. path is for messages. Errors: SDGEN_ERR_FORMAT, also for file names that could
 * lead out of the folder; SDGEN_ERR_MEMORY. Then nothing needs freeing, though it may be. */
SDGEN_MUST_CHECK sdgen_status sdg_shards_parse(struct sdg_shards *s, const char *path,
                                               const char *text, size_t size, sdgen_error *err);
void sdg_shards_free(struct sdg_shards *s);

/* Reads the index, path in messages, and all files it names in a folder of the bundle, as tensors
 * of a component. A file that is missing, and a tensor that is not where the index says, are
 * refused.
 */
SDGEN_MUST_CHECK sdgen_status sdg_shards_read(struct sdg_bundle *b, const char *folder,
                                              const char *part, const char *path, const char *text,
                                              size_t size, sdgen_error *err);

#endif
