/* checkpoint.h - checkpoints of every family, shrunk, with hash weights: the families of
 * tests/checkpoints.json, as tools/checkpoints/ writes them too.
 *
 * Names and shapes come from the networks' own walks, as in testmodel.h. */
#ifndef SDG_TESTS_SUPPORT_CHECKPOINT_H
#define SDG_TESTS_SUPPORT_CHECKPOINT_H

#include "models/clip_text.h"
#include "models/unet.h"
#include "models/vae.h"
#include "files/weights.h"

enum { TEST_CLIPS = 2, TEST_KEYS = 4 };

struct test_checkpoint {
    struct sdg_clip_config clips[TEST_CLIPS];
    const char *prefixes[TEST_CLIPS]; /* of the text encoders' canonical names */
    bool openclip[TEST_CLIPS];        /* published in OpenCLIP's spelling */
    int clip_count;
    struct sdg_unet_config unet;
    struct sdg_vae_config vae;
    bool v;                   /* v-prediction, told by metadata */
    char keys[TEST_KEYS][32]; /* flag tensors */
    int key_count;
};

/* size: "full", as published, or "small". Fails the test when there is no such family. */
void test_checkpoint_read(struct test_checkpoint *f, const char *name, const char *size);

/* How a file spells the text encoders. */
enum test_spelling {
    TEST_CANONICAL, /* transformers' names for all */
    TEST_STOCK /* as published: OpenCLIP's own names and fused tensors where they were trained so */
};

/* Writes the checkpoint as safetensors of f16. */
void test_checkpoint_write(const char *path, const struct test_checkpoint *f,
                           enum test_spelling spelling);

/* What a walk asks for: number of tensors and elements, and a sum over FNV-1a (64 bits) of
 * "name[shape]" of each, which any order gives. */
struct test_listing {
    size_t tensors, elements;
    uint64_t digest;
};
struct test_listing test_list_clip(const struct test_checkpoint *f, int clip);
struct test_listing test_list_unet(const struct test_checkpoint *f);
struct test_listing test_list_vae(const struct test_checkpoint *f);

/* The networks bound to a file of canonical names. */
struct test_checkpoint_model {
    struct sdg_weights file;
    struct sdg_arena arena;
    struct sdg_clip clips[TEST_CLIPS];
    struct sdg_unet unet;
    struct sdg_vae vae;
};

/* Fails the test when a tensor is missing or has another shape. Free with
 * test_checkpoint_model_close. */
struct test_checkpoint_model *test_checkpoint_model_open(const char *path,
                                                         const struct test_checkpoint *f);
void test_checkpoint_model_close(struct test_checkpoint_model *m);

#endif
