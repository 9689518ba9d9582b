/* blankfile.c - see blankfile.h. */
#define _GNU_SOURCE
#include "tests/support/blankfile.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const struct sdg_clip_config test_sd15_clip = {.vocab = 49408,
                                               .positions = 77,
                                               .width = 768,
                                               .layers = 12,
                                               .heads = 12,
                                               .mlp = 3072,
                                               .activation = SDG_QUICK_GELU};
const struct sdg_unet_config test_sd15_unet = {.in_channels = 4,
                                               .out_channels = 4,
                                               .model_channels = 320,
                                               .levels = 4,
                                               .blocks = {2, 2, 2, 2},
                                               .channels = {320, 640, 1280, 1280},
                                               .depth_in = {{1, 1}, {1, 1}, {1, 1}},
                                               .depth_out = {{1, 1, 1}, {1, 1, 1}, {1, 1, 1}},
                                               .middle = 2,
                                               .middle_depth = 1,
                                               .context = 768,
                                               .time_width = 1280,
                                               .heads = {8, 8, 8, 8},
                                               .middle_heads = 8};
const struct sdg_vae_config test_sd15_vae = {.levels = 4,
                                             .channels = {128, 256, 512, 512},
                                             .blocks = 2,
                                             .z_channels = 4,
                                             .image_channels = 3,
                                             .has_encoder = true};

const struct sdg_clip_config test_small_clip = {.vocab = 49408,
                                                .positions = 77,
                                                .width = 64,
                                                .layers = 2,
                                                .heads = 1,
                                                .mlp = 96,
                                                .activation = SDG_QUICK_GELU};
const struct sdg_unet_config test_small_unet = {.in_channels = 4,
                                                .out_channels = 4,
                                                .model_channels = 32,
                                                .levels = 2,
                                                .blocks = {1, 1},
                                                .channels = {64, 96},
                                                .depth_in = {{0}, {1}},
                                                .depth_out = {{0, 0}, {1, 1}},
                                                .middle = 2,
                                                .middle_depth = 1,
                                                .context = 64,
                                                .time_width = 128,
                                                .heads = {8, 8},
                                                .middle_heads = 8};
const struct sdg_vae_config test_small_vae = {.levels = 2,
                                              .channels = {32, 64},
                                              .blocks = 1,
                                              .z_channels = 4,
                                              .image_channels = 3,
                                              .has_encoder = true};

static void want(struct sdg_binder *self, const char *name, const int64_t *shape, int rank,
                 unsigned flags, struct sdg_tensor *slot)
{
    struct test_blank *b = (struct test_blank *)self;
    char full[256], spelt[256];
    int64_t bent[SDG_MAX_DIMS];
    (void)flags;
    *slot = (struct sdg_tensor) {0};
    snprintf(full, sizeof full, "%s%s", b->prefix, name);
    memcpy(bent, shape, (size_t)rank * sizeof *shape);
    if (b->drop && strcmp(full, b->drop) == 0) return;
    if (b->bend && strcmp(full, b->bend) == 0) bent[b->bend_at]++;
    if (b->spell && !b->spell(spelt, sizeof spelt, full)) return;
    if (b->only && !strstr(full, b->only)) return;
    if (b->spell && strstr(spelt, ".in_proj_")) bent[0] *= 3;
    test_blank_add(b, b->spell ? spelt : full, b->dtype, bent, rank);
}

void test_blank_begin(struct test_blank *b)
{
    *b = (struct test_blank) {.binder = {.want = want}, .prefix = "", .dtype = SDG_F16};
    b->stream = open_memstream(&b->header, &b->header_size);
    if (!b->stream) abort();
    fputc('{', b->stream);
}

void test_blank_add(struct test_blank *b, const char *name, enum sdg_dtype dtype,
                    const int64_t *shape, int rank)
{
    char text[128];
    size_t bytes;
    if (!sdg_shape_bytes(&bytes, shape, rank, sdg_dtype_size(dtype))) abort();
    fprintf(b->stream, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":%s,\"data_offsets\":[%zu,%zu]}",
            ftell(b->stream) > 1 ? "," : "", name, sdg_dtype_name(dtype),
            sdg_shape_text(text, sizeof text, shape, rank), b->bytes, b->bytes + bytes);
    b->bytes += bytes;
    b->count++;
    b->parameters += bytes / sdg_dtype_size(dtype);
}

void test_blank_metadata(struct test_blank *b, const char *key, const char *value)
{
    fprintf(b->stream, "\"__metadata__\":{\"%s\":\"%s\"}", key, value);
}

/* Where the walks may lay their blocks out; what lands there is not looked at. */
struct slots {
    struct sdg_clip clip;
    struct sdg_unet unet;
    struct sdg_vae vae;
    struct sdg_arena arena;
};

void test_blank_model(struct test_blank *b, const struct sdg_clip_config *clip,
                      const struct sdg_unet_config *unet, const struct sdg_vae_config *vae)
{
    struct slots *s = calloc(1, sizeof *s);
    if (!s || sdg_arena_create(&s->arena, (size_t)1 << 26, NULL) != SDGEN_OK) abort();
    b->prefix = "cond_stage_model.transformer.";
    if (clip) sdg_clip_bind(&s->clip, clip, &b->binder);
    b->prefix = "model.diffusion_model.";
    if (unet && sdg_unet_bind(&s->unet, unet, &b->binder, &s->arena, NULL) != SDGEN_OK) abort();
    b->prefix = "first_stage_model.";
    if (vae) sdg_vae_bind(&s->vae, vae, &b->binder);
    sdg_arena_destroy(&s->arena);
    free(s);
}

void test_blank_text(struct test_blank *b, const char *prefix, const struct sdg_clip_config *clip)
{
    struct sdg_clip *slots = calloc(1, sizeof *slots);
    if (!slots) abort();
    b->prefix = prefix;
    sdg_clip_bind(slots, clip, &b->binder);
    free(slots);
}

void test_blank_write(struct test_blank *b)
{
    fputc('}', b->stream);
    fclose(b->stream);
    b->stream = NULL;
    const char *directory = getenv("TMPDIR");
    snprintf(b->path, sizeof b->path, "%s/sdgen-blank-XXXXXX", directory ? directory : "/tmp");
    const int fd = mkstemp(b->path);
    const uint64_t size = b->header_size; /* little-endian, as the format wants it */
    if (fd < 0 || write(fd, &size, 8) != 8 ||
        write(fd, b->header, b->header_size) != (ssize_t)b->header_size ||
        ftruncate(fd, (off_t)(8 + b->header_size + b->bytes)) != 0 || close(fd) != 0)
        abort();
}

void test_blank_remove(struct test_blank *b)
{
    if (b->stream) fclose(b->stream);
    if (b->path[0]) unlink(b->path);
    free(b->header);
}
