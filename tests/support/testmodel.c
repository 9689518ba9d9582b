/* testmodel.c - see testmodel.h. */
#define _GNU_SOURCE
#include "tests/support/testmodel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cjson/cJSON.h>
#include <cmocka.h>

#include "tests/support/blankfile.h"
#include "tests/support/hashweights.h"

/* ---- layouts --------------------------------------------------------------------------------- */

char *test_read_text(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f) fail_msg("cannot open %s", path);
    fseek(f, 0, SEEK_END);
    const long size = ftell(f);
    rewind(f);
    char *text = calloc(1, (size_t)size + 1);
    assert_non_null(text);
    assert_int_equal(fread(text, 1, (size_t)size, f), size);
    fclose(f);
    return text;
}

static const cJSON *member(const cJSON *object, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    if (!item) fail_msg("tests/layouts.json: no \"%s\" in \"%s\"", key, object->string);
    return item;
}

static int number(const cJSON *object, const char *key)
{
    return member(object, key)->valueint;
}

/* Returns how many there are. */
static int numbers(int *y, int max, const cJSON *object, const char *key)
{
    int count = 0;
    const cJSON *item;
    cJSON_ArrayForEach(item, member(object, key))
    {
        assert_true(count < max);
        y[count++] = item->valueint;
    }
    return count;
}

static void read_clip(struct sdg_clip_config *c, const cJSON *o)
{
    c->vocab = number(o, "vocab");
    c->positions = number(o, "positions");
    c->width = number(o, "width");
    c->layers = number(o, "layers");
    c->mlp = number(o, "mlp");
    c->heads = c->width / 64;
    const char *activation = member(o, "activation")->valuestring;
    c->activation = strcmp(activation, "gelu") == 0 ? SDG_GELU : SDG_QUICK_GELU;
}

/* A member that may be left out. */
static int number_or(int fallback, const cJSON *object, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    return item ? item->valueint : fallback;
}

/* Layers of transformers: of a level a number, for all its `count` blocks, or a list of them. */
static void read_depths(int (*y)[SDG_UNET_MAX_PER_LEVEL], const struct sdg_unet_config *c,
                        const cJSON *levels, int more)
{
    assert_int_equal(cJSON_GetArraySize(levels), c->levels);
    for (int l = 0; l < c->levels; l++) {
        const cJSON *item = cJSON_GetArrayItem(levels, l);
        const int count = c->blocks[l] + more;
        if (cJSON_IsArray(item)) assert_int_equal(cJSON_GetArraySize(item), count);
        for (int i = 0; i < count; i++)
            y[l][i] = cJSON_IsArray(item) ? cJSON_GetArrayItem(item, i)->valueint : item->valueint;
    }
}

static void read_unet(struct sdg_unet_config *c, const cJSON *o)
{
    c->in_channels = number(o, "in");
    c->out_channels = number(o, "out");
    c->model_channels = number(o, "model");
    c->levels = numbers(c->channels, SDG_UNET_MAX_LEVELS, o, "channels");
    for (int i = 0; i < c->levels; i++) c->blocks[i] = number(o, "blocks");
    const cJSON *depth = member(o, "depth");
    const cJSON *depth_out = cJSON_GetObjectItemCaseSensitive(o, "depth_out");
    read_depths(c->depth_in, c, depth, 0);
    read_depths(c->depth_out, c, depth_out ? depth_out : depth, 1);
    c->middle = number_or(2, o, "middle");
    c->middle_depth = number(o, "middle_depth");
    c->context = number(o, "context");
    c->time_width = number(o, "time");
    c->label = number_or(0, o, "label");
    c->time_cond = number_or(0, o, "time_cond");
    c->linear_projection = cJSON_IsTrue(member(o, "linear"));
    const cJSON *only_cross = cJSON_GetObjectItemCaseSensitive(o, "only_cross");
    for (int i = 0; i < c->levels; i++)
        c->only_cross[i] = only_cross && cJSON_IsTrue(cJSON_GetArrayItem(only_cross, i));
    /* as their diffusers configurations say: SD1's kin has 8 heads, all others heads of 64 */
    const bool wide = c->context == 1024 || c->context == 1280 || c->context == 2048 ||
                      (c->context != 768 && c->linear_projection);
    for (int i = 0; i < c->levels; i++) c->heads[i] = wide ? c->channels[i] / 64 : 8;
    c->middle_heads = c->heads[c->levels - 1];
}

static void read_vae(struct sdg_vae_config *c, const cJSON *o)
{
    c->levels = numbers(c->channels, SDG_VAE_MAX_LEVELS, o, "channels");
    c->blocks = number(o, "blocks");
    c->z_channels = number(o, "z");
    c->image_channels = number(o, "image");
    c->has_encoder = cJSON_IsTrue(member(o, "encoder"));
}

void test_layout_read(struct test_layout *l, const char *name)
{
    char *text = test_read_text("tests/layouts.json");
    cJSON *all = cJSON_Parse(text);
    assert_non_null(all);
    const cJSON *layout = cJSON_GetObjectItemCaseSensitive(all, name);
    if (!layout) fail_msg("tests/layouts.json: no layout \"%s\"", name);
    *l = (struct test_layout) {0};
    l->unet_only = !cJSON_HasObjectItem(layout, "clip");
    if (cJSON_HasObjectItem(layout, "sizes")) {
        l->numbers = cJSON_GetArrayItem(member(layout, "sizes"), 0)->valueint;
        l->number_width = cJSON_GetArrayItem(member(layout, "sizes"), 1)->valueint;
    }
    read_unet(&l->unet, member(layout, "unet"));
    if (!l->unet_only) read_clip(&l->clip, member(layout, "clip"));
    if (!l->unet_only) read_vae(&l->vae, member(layout, "vae"));
    cJSON_Delete(all);
    free(text);
}

/* Members of `more` replace those of `object`. */
static void override(cJSON *object, const cJSON *more)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, more)
    {
        cJSON_DeleteItemFromObjectCaseSensitive(object, item->string);
        cJSON_AddItemToObject(object, item->string, cJSON_Duplicate(item, true));
    }
}

/* A row of the table with what it says to be like; the caller frees. */
static cJSON *whole_row(const cJSON *table, const char *name)
{
    const cJSON *row = member(table, name), *like = cJSON_GetObjectItem(row, "like");
    cJSON *whole = like ? whole_row(table, like->valuestring) : cJSON_CreateObject();
    override(whole, row);
    return whole;
}

int test_families_read(struct test_family *families, int max)
{
    char *text = test_read_text("tests/checkpoints.json");
    cJSON *all = cJSON_Parse(text);
    assert_non_null(all);
    const cJSON *table = member(member(all, "unets"), "full"), *item;
    int count = 0;
    cJSON_ArrayForEach(item, member(all, "families"))
    {
        assert_true(count < max);
        cJSON *row = whole_row(table, member(item, "unet")->valuestring);
        override(row, item); /* "in", "time_cond"; the rest is not looked at */
        families[count] = (struct test_family) {0};
        snprintf(families[count].name, sizeof families[count].name, "%s", item->string);
        test_unet_read(&families[count++].unet, row);
        cJSON_Delete(row);
    }
    cJSON_Delete(all);
    free(text);
    return count;
}

void test_layout_sd15(struct test_layout *l)
{
    *l =
        (struct test_layout) {.clip = test_sd15_clip, .unet = test_sd15_unet, .vae = test_sd15_vae};
}

void test_clip_read(struct sdg_clip_config *c, const cJSON *o)
{
    read_clip(c, o);
}

void test_unet_read(struct sdg_unet_config *c, const cJSON *o)
{
    read_unet(c, o);
}

void test_vae_read(struct sdg_vae_config *c, const cJSON *o)
{
    read_vae(c, o);
}

/* ---- walks ----------------------------------------------------------------------------------- */

/* A binder that knows which network is walking past. */
struct walker {
    struct sdg_binder binder;
    const char *prefix;
    const struct sdg_weights *file; /* lookup only */
    FILE *header, *data;            /* writing only, */
    enum sdg_dtype dtype;           /* as are these: */
    test_values_fn values;
    size_t offset; /* of the next tensor in the file's data */
    struct test_count count;
};

static void room_for_unet(struct sdg_arena *a)
{
    sdgen_error err;
    if (sdg_unet_arena_create(a, &err) != SDGEN_OK) fail_msg("%s", err.text);
}

static struct test_layout_count walk(struct test_model *m, const struct test_layout *l,
                                     struct walker *k)
{
    struct test_layout_count count;
    sdgen_error err;
    k->prefix = TEST_CLIP_PREFIX;
    if (!l->unet_only) sdg_clip_bind(&m->clip, &l->clip, &k->binder);
    count.clip = k->count;
    k->count = (struct test_count) {0};
    k->prefix = TEST_UNET_PREFIX;
    if (sdg_unet_bind(&m->unet, &l->unet, &k->binder, &m->arena, &err) != SDGEN_OK)
        fail_msg("%s", err.text);
    count.unet = k->count;
    k->count = (struct test_count) {0};
    k->prefix = TEST_VAE_PREFIX;
    if (!l->unet_only) sdg_vae_bind(&m->vae, &l->vae, &k->binder);
    count.vae = k->count;
    return count;
}

static struct test_model *new_model(void)
{
    struct test_model *m = calloc(1, sizeof *m);
    assert_non_null(m);
    room_for_unet(&m->arena);
    return m;
}

void test_model_close(struct test_model *m)
{
    sdg_weights_close(&m->file);
    sdg_arena_destroy(&m->arena);
    free(m);
}

/* ---- binders --------------------------------------------------------------------------------- */

static size_t elements(const int64_t *shape, int rank)
{
    size_t count = 1;
    for (int d = 0; d < rank; d++) count *= (size_t)shape[d];
    return count;
}

/* Gives the slot its shape and an address that nobody may read. */
static void want_blank(struct sdg_binder *self, const char *name, const int64_t *shape, int rank,
                       unsigned flags, struct sdg_tensor *slot)
{
    struct walker *k = (struct walker *)self;
    (void)name, (void)flags;
    *slot = (struct sdg_tensor) {.data = "", .dtype = SDG_F32, .rank = rank};
    memcpy(slot->shape, shape, (size_t)rank * sizeof *shape);
    k->count.tensors++;
    k->count.elements += elements(shape, rank);
}

static void want_lookup(struct sdg_binder *self, const char *name, const int64_t *shape, int rank,
                        unsigned flags, struct sdg_tensor *slot)
{
    const struct walker *k = (const struct walker *)self;
    char full[256];
    snprintf(full, sizeof full, "%s%s", k->prefix, name);
    const struct sdg_entry *e = sdg_weights_find(k->file, full);
    (void)flags;
    if (!e) fail_msg("%s: no tensor %s", k->file->path, full);
    assert_int_equal(e->tensor.rank, rank);
    for (int d = 0; d < rank; d++) assert_int_equal(e->tensor.shape[d], shape[d]);
    *slot = e->tensor;
}

static void want_written(struct sdg_binder *self, const char *name, const int64_t *shape, int rank,
                         unsigned flags, struct sdg_tensor *slot)
{
    struct walker *k = (struct walker *)self;
    char full[256], dims[128];
    (void)flags, (void)slot;
    snprintf(full, sizeof full, "%s%s", k->prefix, name);
    const size_t count = elements(shape, rank), item = sdg_dtype_size(k->dtype);
    const size_t end = k->offset + count * item;
    fprintf(k->header, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":%s,\"data_offsets\":[%zu,%zu]}",
            k->offset ? "," : "{", full, sdg_dtype_name(k->dtype),
            sdg_shape_text(dims, sizeof dims, shape, rank), k->offset, end);
    k->offset = end;
    float *values = malloc(count * sizeof *values);
    uint16_t *halves = malloc(count * sizeof *halves);
    assert_non_null(values);
    assert_non_null(halves);
    k->values(values, full, shape, rank);
    for (size_t i = 0; k->dtype == SDG_F16 && i < count; i++) halves[i] = sdg_half_from(values[i]);
    const void *y = k->dtype == SDG_F16 ? (const void *)halves : values;
    assert_int_equal(fwrite(y, item, count, k->data), count);
    free(values);
    free(halves);
}

/* ---- models ---------------------------------------------------------------------------------- */

/* The header's length decides where the data begin, so the data go to a second file first. */
void test_join_safetensors(const char *path, const char *header, FILE *data)
{
    FILE *f = fopen(path, "wb");
    if (!f) fail_msg("cannot write %s", path);
    const uint64_t length = (strlen(header) + 7) / 8 * 8;
    for (int i = 0; i < 8; i++) fputc((int)(length >> 8 * i & 255), f);
    fprintf(f, "%-*s", (int)length, header);
    static char block[1 << 16];
    size_t got;
    rewind(data);
    while ((got = fread(block, 1, sizeof block, data)) > 0)
        assert_int_equal(fwrite(block, 1, got, f), got);
    assert_int_equal(fclose(f), 0);
}

void test_model_write(const char *path, const struct test_layout *l)
{
    test_model_write_as(path, l, SDG_F32, test_hash_weight);
}

void test_model_write_as(const char *path, const struct test_layout *l, enum sdg_dtype dtype,
                         test_values_fn values)
{
    char *header = NULL;
    size_t size = 0;
    struct walker k = {.binder = {want_written},
                       .header = open_memstream(&header, &size),
                       .data = tmpfile(),
                       .dtype = dtype,
                       .values = values};
    assert_non_null(k.header);
    assert_non_null(k.data);
    struct test_model *m = new_model();
    walk(m, l, &k);
    fputs("}", k.header);
    fclose(k.header);
    test_join_safetensors(path, header, k.data);
    fclose(k.data);
    free(header);
    test_model_close(m);
}

void test_taesd_write(const char *path, const struct sdg_taesd_config *config)
{
    char *header = NULL;
    size_t size = 0;
    struct walker k = {.binder = {want_written},
                       .prefix = TEST_TAESD_PREFIX,
                       .header = open_memstream(&header, &size),
                       .data = tmpfile(),
                       .dtype = SDG_F16,
                       .values = test_hash_weight};
    assert_non_null(k.header);
    assert_non_null(k.data);
    struct sdg_taesd m;
    sdg_taesd_bind(&m, config, &k.binder);
    fputs("}", k.header);
    fclose(k.header);
    test_join_safetensors(path, header, k.data);
    fclose(k.data);
    free(header);
}

void test_taesd_open(struct sdg_taesd *m, struct sdg_weights *file, const char *path,
                     const struct sdg_taesd_config *config)
{
    sdgen_error err;
    if (sdg_weights_open(file, path, &err) != SDGEN_OK) fail_msg("%s", err.text);
    struct walker k = {.binder = {want_lookup}, .prefix = TEST_TAESD_PREFIX, .file = file};
    sdg_taesd_bind(m, config, &k.binder);
}

/* ---- micro ----------------------------------------------------------------------------------- */

/* Keep in step with LAYOUT in tools/golden_ckpt.py. */
static const struct test_layout micro = {
    .clip = {.vocab = 49408,
             .positions = 77,
             .width = 64,
             .layers = 1,
             .heads = 1,
             .mlp = 64,
             .activation = SDG_QUICK_GELU},
    .unet = {.in_channels = 4,
             .out_channels = 4,
             .model_channels = 32,
             .levels = 2,
             .blocks = {1, 1},
             .channels = {32, 32},
             .middle = 2,
             .middle_depth = 1,
             .context = 64,
             .time_width = 32,
             .heads = {8, 8},
             .middle_heads = 8},
    .vae = {.levels = 4,
            .channels = {32, 32, 32, 32},
            .blocks = 1,
            .z_channels = 4,
            .image_channels = 3,
            .has_encoder = true},
};

/* The hash with the two exceptions that golden_ckpt.py explains. */
static void micro_values(float *y, const char *name, const int64_t *shape, int rank)
{
    if (strcmp(name, TEST_CLIP_PREFIX "text_model.embeddings.token_embedding.weight") == 0) {
        const size_t rows = (size_t)shape[0], width = (size_t)shape[1];
        float *line = malloc(rows * width * sizeof *line);
        assert_non_null(line);
        test_hash_weight(line, name, shape, rank);
        for (size_t i = 0; i < rows; i++) memcpy(y + i * width, line + i, width * sizeof *y);
        free(line);
    } else if (rank == 4 && shape[2] == 3) {
        char kernel[64];
        test_hash_weight(y, sdg_shape_text(kernel, sizeof kernel, shape, rank), shape, rank);
    } else {
        test_hash_weight(y, name, shape, rank);
    }
}

void test_micro_write(const char *path, enum sdg_dtype dtype)
{
    test_model_write_as(path, &micro, dtype, micro_values);
}

/* ---- opening --------------------------------------------------------------------------------- */

struct test_model *test_model_open(const char *path, const struct test_layout *l)
{
    struct test_model *m = new_model();
    sdgen_error err;
    if (sdg_weights_open(&m->file, path, &err) != SDGEN_OK) fail_msg("%s", err.text);
    struct walker k = {.binder = {want_lookup}, .file = &m->file};
    walk(m, l, &k);
    return m;
}

struct test_model *test_model_blank(const struct test_layout *l)
{
    struct test_model *m = new_model();
    struct walker k = {.binder = {want_blank}};
    walk(m, l, &k);
    return m;
}

struct test_layout_count test_layout_count(const struct test_layout *l)
{
    struct test_model *m = new_model();
    struct walker k = {.binder = {want_blank}};
    const struct test_layout_count count = walk(m, l, &k);
    test_model_close(m);
    return count;
}
