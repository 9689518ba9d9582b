/* blankfile.h - safetensors files whose tensors are all zeros, for tests that look at names and
 * shapes. The data is a hole in the file: a full-size model takes no disk and no time. */
#ifndef SDG_TESTS_SUPPORT_BLANKFILE_H
#define SDG_TESTS_SUPPORT_BLANKFILE_H

#include <stdio.h>
#include "models/clip_text.h"
#include "models/unet.h"
#include "models/vae.h"

struct test_blank {
    struct sdg_binder binder; /* give it to a network's walk: every wanted tensor is added */
    const char *prefix;       /* of what the walk adds */
    const char *drop;         /* the tensor of this full name is left out, or NULL */
    const char *bend;         /* this one's extent number bend_at is one more, or NULL */
    int bend_at;
    /* How the file spells the full name of what the walk adds; false: it has no such tensor. NULL:
     * as it is. What is spelt as a fused projection has three times the rows. */
    bool (*spell)(char *spelt, size_t size, const char *name);
    const char *only;     /* the walk adds what has this in its full name, or NULL */
    enum sdg_dtype dtype; /* of what the walk adds */
    char path[256], *header;
    size_t header_size, bytes, count, parameters;
    FILE *stream;
};

void test_blank_begin(struct test_blank *b);
void test_blank_add(struct test_blank *b, const char *name, enum sdg_dtype dtype,
                    const int64_t *shape, int rank);
void test_blank_metadata(struct test_blank *b, const char *key, const char *value); /* at most one,
                                                                                before any tensor */

/* All tensors of a checkpoint in SD1 layout; any of the three may be NULL. */
void test_blank_model(struct test_blank *b, const struct sdg_clip_config *clip,
                      const struct sdg_unet_config *unet, const struct sdg_vae_config *vae);

/* A text encoder at a canonical prefix. */
void test_blank_text(struct test_blank *b, const char *prefix, const struct sdg_clip_config *clip);

/* Writes the file under a new name in $TMPDIR or /tmp: b->path. */
void test_blank_write(struct test_blank *b);
void test_blank_remove(struct test_blank *b);

/* Stable Diffusion 1.5, and a model of the same layout that is small enough to have many of. */
extern const struct sdg_clip_config test_sd15_clip, test_small_clip;
extern const struct sdg_unet_config test_sd15_unet, test_small_unet;
extern const struct sdg_vae_config test_sd15_vae, test_small_vae;

#endif
