/* checkpoint.c - see checkpoint.h. Keep in step with tools/checkpoints/spelling.py and forms.py.
 */
#define _GNU_SOURCE
#include "tests/support/checkpoint.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/support/hashweights.h"
#include "tests/support/testmodel.h"

enum { NAME = 256 };

/* ---- tests/checkpoints.json ------------------------------------------------------------------ */

static const cJSON *child(const cJSON *o, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(o, key);
    if (!item) fail_msg("tests/checkpoints.json: no \"%s\"", key);
    return item;
}

/* A row of "unets" with what it is like filled in; the caller deletes it. */
static cJSON *unet_row(const cJSON *rows, const char *name)
{
    const cJSON *row = child(rows, name), *item;
    const cJSON *like = cJSON_GetObjectItemCaseSensitive(row, "like");
    cJSON *whole = like ? unet_row(rows, like->valuestring) : cJSON_CreateObject();
    cJSON_ArrayForEach(item, row)
    {
        cJSON_DeleteItemFromObjectCaseSensitive(whole, item->string);
        cJSON_AddItemToObject(whole, item->string, cJSON_Duplicate(item, true));
    }
    return whole;
}

static void read_unet(struct test_checkpoint *f, const cJSON *all, const cJSON *family,
                      const char *size)
{
    static const char *const changes[] = {"in", "time_cond"};
    cJSON *row = unet_row(child(child(all, "unets"), size), child(family, "unet")->valuestring);
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        const cJSON *item = cJSON_GetObjectItemCaseSensitive(family, changes[i]);
        if (!item) continue;
        cJSON_DeleteItemFromObjectCaseSensitive(row, changes[i]);
        cJSON_AddItemToObject(row, changes[i], cJSON_Duplicate(item, true));
    }
    test_unet_read(&f->unet, row);
    cJSON_Delete(row);
}

static void read_texts(struct test_checkpoint *f, const cJSON *parts, const cJSON *family)
{
    static const char *const one[] = {"cond_stage_model.transformer."},
                             *const xl[] = {"conditioner.embedders.0.transformer.",
                                            "conditioner.embedders.1.transformer."};
    const cJSON *item;
    cJSON_ArrayForEach(item, child(family, "text"))
    {
        const int i = f->clip_count++;
        assert_true(i < TEST_CLIPS);
        const cJSON *part = child(parts, item->valuestring);
        test_clip_read(&f->clips[i], part);
        const cJSON *projection = cJSON_GetObjectItemCaseSensitive(part, "projection");
        f->clips[i].projection = projection ? projection->valueint : 0;
        f->prefixes[i] = f->unet.label ? xl[i] : one[i];
        f->openclip[i] = strcmp(item->valuestring, "clip_l") != 0;
    }
}

void test_checkpoint_read(struct test_checkpoint *f, const char *name, const char *size)
{
    char *text = test_read_text("tests/checkpoints.json");
    cJSON *all = cJSON_Parse(text);
    assert_non_null(all);
    const cJSON *family = child(child(all, "families"), name), *item;
    const cJSON *parts = child(child(all, "parts"), size);
    *f = (struct test_checkpoint) {0};
    read_unet(f, all, family, size);
    read_texts(f, parts, family);
    test_vae_read(&f->vae, child(parts, "vae"));
    f->v = cJSON_GetObjectItemCaseSensitive(family, "prediction") != NULL;
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(family, "keys"))
    {
        assert_true(f->key_count < TEST_KEYS);
        snprintf(f->keys[f->key_count++], sizeof f->keys[0], "%s", item->valuestring);
    }
    cJSON_Delete(all);
    free(text);
}

/* ---- walks ----------------------------------------------------------------------------------- */

/* A binder that knows which network is walking past. */
struct walker {
    struct sdg_binder binder;
    const char *prefix;
    struct test_listing listing;
    const struct sdg_weights *file; /* lookup only */
    FILE *header, *data;            /* writing only, */
    size_t offset;                  /* as are these: of the next tensor in the file's data */
    bool openclip;                  /* the network is to be spelled as OpenCLIP does */
};

static void walk_all(struct test_checkpoint_model *m, const struct test_checkpoint *f,
                     struct walker *k, bool openclip)
{
    sdgen_error err;
    for (int i = 0; i < f->clip_count; i++) {
        k->prefix = f->prefixes[i];
        k->openclip = openclip && f->openclip[i];
        sdg_clip_bind(&m->clips[i], &f->clips[i], &k->binder);
    }
    k->openclip = false;
    k->prefix = TEST_UNET_PREFIX;
    if (sdg_unet_arena_create(&m->arena, &err) != SDGEN_OK ||
        sdg_unet_bind(&m->unet, &f->unet, &k->binder, &m->arena, &err) != SDGEN_OK)
        fail_msg("%s", err.text);
    k->prefix = TEST_VAE_PREFIX;
    sdg_vae_bind(&m->vae, &f->vae, &k->binder);
}

static struct test_checkpoint_model *new_model(void)
{
    struct test_checkpoint_model *m = calloc(1, sizeof *m);
    assert_non_null(m);
    return m;
}

void test_checkpoint_model_close(struct test_checkpoint_model *m)
{
    sdg_weights_close(&m->file);
    sdg_arena_destroy(&m->arena);
    free(m);
}

static size_t elements(const int64_t *shape, int rank)
{
    size_t count = 1;
    for (int d = 0; d < rank; d++) count *= (size_t)shape[d];
    return count;
}

/* ---- listing --------------------------------------------------------------------------------- */

static uint64_t fnv1a(uint64_t h, const char *text)
{
    for (; *text; text++) h = (h ^ (unsigned char)*text) * 0x100000001b3u;
    return h;
}

/* Adds to the listing, and gives the slot its shape and an address that nobody may read. */
static void want_listed(struct sdg_binder *self, const char *name, const int64_t *shape, int rank,
                        unsigned flags, struct sdg_tensor *slot)
{
    struct walker *k = (struct walker *)self;
    char dims[128];
    (void)flags;
    *slot = (struct sdg_tensor) {.data = "", .dtype = SDG_F32, .rank = rank};
    memcpy(slot->shape, shape, (size_t)rank * sizeof *shape);
    const uint64_t h = fnv1a(fnv1a(0xcbf29ce484222325u, k->prefix), name);
    k->listing.digest += fnv1a(h, sdg_shape_text(dims, sizeof dims, shape, rank));
    k->listing.tensors++;
    k->listing.elements += elements(shape, rank);
}

struct test_listing test_list_clip(const struct test_checkpoint *f, int clip)
{
    struct walker k = {.binder = {want_listed}, .prefix = f->prefixes[clip]};
    struct sdg_clip m;
    sdg_clip_bind(&m, &f->clips[clip], &k.binder);
    return k.listing;
}

struct test_listing test_list_unet(const struct test_checkpoint *f)
{
    struct walker k = {.binder = {want_listed}, .prefix = TEST_UNET_PREFIX};
    struct sdg_unet m;
    struct sdg_arena arena;
    sdgen_error err;
    if (sdg_unet_arena_create(&arena, &err) != SDGEN_OK ||
        sdg_unet_bind(&m, &f->unet, &k.binder, &arena, &err) != SDGEN_OK)
        fail_msg("%s", err.text);
    sdg_arena_destroy(&arena);
    return k.listing;
}

struct test_listing test_list_vae(const struct test_checkpoint *f)
{
    struct walker k = {.binder = {want_listed}, .prefix = TEST_VAE_PREFIX};
    struct sdg_vae m;
    sdg_vae_bind(&m, &f->vae, &k.binder);
    return k.listing;
}

/* ---- OpenCLIP's spelling --------------------------------------------------------------------- */

static const struct {
    const char *ours, *theirs;
} ends[] = {{"text_model.embeddings.token_embedding.weight", "token_embedding.weight"},
            {"text_model.embeddings.position_embedding.weight", "positional_embedding"},
            {"text_model.final_layer_norm.weight", "ln_final.weight"},
            {"text_model.final_layer_norm.bias", "ln_final.bias"},
            {"text_projection.weight", "text_projection"}},
  leaves[] = {{"layer_norm1", "ln_1"},
              {"layer_norm2", "ln_2"},
              {"self_attn.out_proj", "attn.out_proj"},
              {"mlp.fc1", "mlp.c_fc"},
              {"mlp.fc2", "mlp.c_proj"}};

/* What a tensor of transformers' name becomes: its stored name; how many of ours stand in it (3: q,
 * k, v; 0: it stands in another); whether it is transposed. */
struct spelt {
    char name[NAME];
    int sources;
    bool transposed;
};

static void spell_openclip(struct spelt *s, const char *prefix, const char *name)
{
    char root[NAME / 2], part[64], kind[8];
    int layer;
    /* "....transformer." becomes "....model." */
    snprintf(root, sizeof root, "%.*smodel.", (int)(strlen(prefix) - strlen("transformer.")),
             prefix);
    *s = (struct spelt) {.sources = 1, .transposed = strcmp(name, "text_projection.weight") == 0};
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
        if (strcmp(name, ends[i].ours) == 0)
            snprintf(s->name, sizeof s->name, "%s%s", root, ends[i].theirs);
    if (s->name[0]) return;
    assert_int_equal(sscanf(name, "text_model.encoder.layers.%d.%63s", &layer, part), 2);
    char *dot = strrchr(part, '.');
    snprintf(kind, sizeof kind, "%s", dot + 1);
    *dot = 0;
    s->sources = strcmp(part, "self_attn.q_proj") == 0 ? 3 : 1;
    if (s->sources == 3)
        snprintf(s->name, sizeof s->name, "%stransformer.resblocks.%d.attn.in_proj_%s", root, layer,
                 kind);
    for (size_t i = 0; i < sizeof leaves / sizeof leaves[0]; i++)
        if (strcmp(part, leaves[i].ours) == 0)
            snprintf(s->name, sizeof s->name, "%stransformer.resblocks.%d.%s.%s", root, layer,
                     leaves[i].theirs, kind);
    if (!s->name[0]) s->sources = 0; /* k_proj, v_proj */
}

/* ---- writing --------------------------------------------------------------------------------- */

static void add_header(struct walker *k, const char *name, const char *dtype, const char *dims,
                       size_t bytes)
{
    fprintf(k->header, ",\"%s\":{\"dtype\":\"%s\",\"shape\":%s,\"data_offsets\":[%zu,%zu]}", name,
            dtype, dims, k->offset, k->offset + bytes);
    k->offset += bytes;
}

static void add_values(struct walker *k, const char *full, const int64_t *shape, int rank,
                       bool transposed)
{
    const size_t count = elements(shape, rank), rows = (size_t)shape[0], columns = count / rows;
    float *values = malloc(count * sizeof *values);
    uint16_t *halves = malloc(count * sizeof *halves);
    assert_non_null(values);
    assert_non_null(halves);
    test_hash_weight(values, full, shape, rank);
    for (size_t i = 0; i < count; i++)
        halves[transposed ? i % columns * rows + i / columns : i] = sdg_half_from(values[i]);
    assert_int_equal(fwrite(halves, sizeof *halves, count, k->data), count);
    free(values);
    free(halves);
}

static void want_written(struct sdg_binder *self, const char *name, const int64_t *shape, int rank,
                         unsigned flags, struct sdg_tensor *slot)
{
    static const char *const fused[] = {"q_proj", "k_proj", "v_proj"};
    struct walker *k = (struct walker *)self;
    struct spelt s = {.sources = 1};
    char dims[128], full[NAME];
    int64_t stored[SDG_MAX_DIMS];
    (void)flags, (void)slot;
    snprintf(s.name, sizeof s.name, "%s%s", k->prefix, name);
    if (k->openclip) spell_openclip(&s, k->prefix, name);
    if (s.sources == 0) return;
    memcpy(stored, shape, (size_t)rank * sizeof *shape);
    stored[0] *= s.sources;
    if (s.transposed) stored[0] = shape[1], stored[1] = shape[0];
    add_header(k, s.name, "F16", sdg_shape_text(dims, sizeof dims, stored, rank),
               2 * elements(stored, rank));
    for (int i = 0; i < s.sources; i++) {
        snprintf(full, sizeof full, "%s%s", k->prefix, name);
        if (s.sources > 1) memcpy(strstr(full, fused[0]), fused[i], strlen(fused[i]));
        add_values(k, full, shape, rank, s.transposed);
    }
}

/* CosXL's keys are numbers, the others are empty: that they are there says it. */
static void write_keys(struct walker *k, const struct test_checkpoint *f)
{
    for (int i = 0; i < f->key_count; i++) {
        const bool top = strcmp(f->keys[i], "edm_vpred.sigma_max") == 0;
        const float value = top ? 120.0f : 0.002f;
        if (strncmp(f->keys[i], "edm_", 4) != 0) {
            add_header(k, f->keys[i], "F32", "[0]", 0);
            continue;
        }
        add_header(k, f->keys[i], "F32", "[]", sizeof value);
        assert_int_equal(fwrite(&value, sizeof value, 1, k->data), 1);
    }
}

void test_checkpoint_write(const char *path, const struct test_checkpoint *f,
                           enum test_spelling spelling)
{
    char *header = NULL;
    size_t size = 0;
    struct walker k = {
        .binder = {want_written}, .header = open_memstream(&header, &size), .data = tmpfile()};
    struct test_checkpoint_model *m = new_model();
    assert_non_null(k.header);
    assert_non_null(k.data);
    fprintf(k.header, "{\"__metadata__\":{\"format\":\"pt\"%s}",
            f->v ? ",\"modelspec.prediction_type\":\"v\"" : "");
    walk_all(m, f, &k, spelling == TEST_STOCK);
    write_keys(&k, f);
    fputs("}", k.header);
    fclose(k.header);
    test_join_safetensors(path, header, k.data);
    fclose(k.data);
    free(header);
    test_checkpoint_model_close(m);
}

/* ---- opening --------------------------------------------------------------------------------- */

static void want_lookup(struct sdg_binder *self, const char *name, const int64_t *shape, int rank,
                        unsigned flags, struct sdg_tensor *slot)
{
    const struct walker *k = (const struct walker *)self;
    char full[NAME];
    (void)flags;
    snprintf(full, sizeof full, "%s%s", k->prefix, name);
    const struct sdg_entry *e = sdg_weights_find(k->file, full);
    if (!e) fail_msg("%s: no tensor %s", k->file->path, full);
    assert_int_equal(e->tensor.rank, rank);
    for (int d = 0; d < rank; d++) assert_int_equal(e->tensor.shape[d], shape[d]);
    *slot = e->tensor;
}

struct test_checkpoint_model *test_checkpoint_model_open(const char *path,
                                                         const struct test_checkpoint *f)
{
    struct test_checkpoint_model *m = new_model();
    sdgen_error err;
    if (sdg_weights_open(&m->file, path, &err) != SDGEN_OK) fail_msg("%s", err.text);
    struct walker k = {.binder = {want_lookup}, .file = &m->file};
    walk_all(m, f, &k, false);
    return m;
}
