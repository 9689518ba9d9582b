/* testmodel.h - small models of the layouts in tests/layouts.json with hashed weights.
 *
 * Names and shapes come from the networks' own walks (sdg_*_bind) past a binder that lists them, so
 * a test model has exactly the tensors that the networks ask for; tools/golden_models.py lists them
 * a second time, and the original libraries check that list. */
#ifndef SDG_TESTS_SUPPORT_TESTMODEL_H
#define SDG_TESTS_SUPPORT_TESTMODEL_H

#include <stdio.h>
#include <cjson/cJSON.h>

#include "models/clip_text.h"
#include "models/taesd.h"
#include "models/unet.h"
#include "models/vae.h"
#include "files/weights.h"

#define TEST_CLIP_PREFIX "cond_stage_model.transformer."
#define TEST_UNET_PREFIX "model.diffusion_model."
#define TEST_VAE_PREFIX "first_stage_model."

struct test_layout {
    bool unet_only;            /* the other two have no configuration */
    int numbers, number_width; /* in the UNet's label, behind the text; 0: it takes none */
    struct sdg_clip_config clip;
    struct sdg_unet_config unet;
    struct sdg_vae_config vae;
};

/* Fails the test when tests/layouts.json has no such layout. */
void test_layout_read(struct test_layout *l, const char *name);

/* The UNet of each family in tests/checkpoints.json, full size. Returns how many there are. */
struct test_family {
    char name[32];
    struct sdg_unet_config unet;
};
int test_families_read(struct test_family *families, int max);

/* The parts of a layout. */
void test_clip_read(struct sdg_clip_config *c, const cJSON *o);
void test_unet_read(struct sdg_unet_config *c, const cJSON *o);
void test_vae_read(struct sdg_vae_config *c, const cJSON *o);

/* A file as a string; the caller frees it. Fails the test when there is none. */
char *test_read_text(const char *path);

/* The three networks of Stable Diffusion 1.5. */
void test_layout_sd15(struct test_layout *l);

/* Writes the model as f32 safetensors, in single-file names. */
void test_model_write(const char *path, const struct test_layout *l);

/* y [product of shape]: the tensor `name` (full single-file name), as test_hash_weight makes it. */
typedef void (*test_values_fn)(float *y, const char *name, const int64_t *shape, int rank);

/* A safetensors file of a header, without its length, and the data behind it. */
void test_join_safetensors(const char *path, const char *header, FILE *data);

/* The same in f32 or f16 (rounded to nearest, ties to even) with values of the caller's own. */
void test_model_write_as(const char *path, const struct test_layout *l, enum sdg_dtype dtype,
                         test_values_fn values);

/* The smallest model that draws, 64x64 pixels in milliseconds: what whole runs are tested with
 * where the picture does not matter. 3 MB in f16. */
void test_micro_write(const char *path, enum sdg_dtype dtype);

/* TAESD, as published but for the weights: both halves in one file, f16. */
#define TEST_TAESD_PREFIX "taesd."
void test_taesd_write(const char *path, const struct sdg_taesd_config *config);

/* Bound to such a file, which the caller closes after the last use. */
void test_taesd_open(struct sdg_taesd *m, struct sdg_weights *file, const char *path,
                     const struct sdg_taesd_config *config);

/* The three networks bound to a file, or to nothing. */
struct test_model {
    struct sdg_weights file;
    struct sdg_arena arena;
    struct sdg_clip clip;
    struct sdg_unet unet;
    struct sdg_vae vae;
};

/* Fails the test when a tensor is missing or has another shape. The caller frees with
 * test_model_close. */
struct test_model *test_model_open(const char *path, const struct test_layout *l);

/* Networks with shapes and no data: for dry runs. */
struct test_model *test_model_blank(const struct test_layout *l);
void test_model_close(struct test_model *m);

/* Number of tensors and of their elements that a network asks for. */
struct test_count {
    size_t tensors, elements;
};
struct test_layout_count {
    struct test_count clip, unet, vae;
};
struct test_layout_count test_layout_count(const struct test_layout *l);

#endif
