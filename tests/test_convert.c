/* test_convert.c - checkpoints that are written anew and mixed: every tensor comes back under its
 * own name with the same bytes, through every form; types, pruning, exchanged networks, sums; and
 * what fails leaves nothing behind.
 *
 * tools/check_convert.py and tools/check_merge.py hold the same against the original libraries. */
#define _GNU_SOURCE
#include <dirent.h>
#include <ftw.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/support/checkpoint.h"
#include "text/tokenizer_files.h"
#include "weights/arch.h"
#include "weights/keys.h"
#include "weights/merging.h"

static char folder[512];

static char *in(const char *name)
{
    static char paths[8][600];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st, (void)kind, (void)at;
    return remove(path);
}

static void clear(const char *name)
{
    nftw(in(name), remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static int set_up(void **state)
{
    const char *top = getenv("TMPDIR");
    (void)state;
    snprintf(folder, sizeof folder, "%s/sdgen-convert-XXXXXX", top ? top : "/tmp");
    return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    return nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* Number of entries in the folder. */
static int file_count(void)
{
    DIR *d = opendir(folder);
    struct dirent *e;
    int count = 0;
    assert_non_null(d);
    while ((e = readdir(d))) count += e->d_name[0] != '.';
    closedir(d);
    return count;
}

static void open_weights(struct sdg_weights *w, const char *path)
{
    sdgen_error err = {0};
    if (sdg_weights_open(w, path, &err) != SDGEN_OK) fail_msg("%s", err.text);
}

static struct sdg_convert_options options(const char *from, const char *to)
{
    return (struct sdg_convert_options) {
        .join = {.path = from}, .out = to, .to = sdg_target_of(to)};
}

static struct sdg_convert_result convert(const struct sdg_convert_options *o)
{
    struct sdg_convert_result r = {0};
    sdgen_error err = {0};
    if (sdg_convert(&r, o, &err) != SDGEN_OK) fail_msg("%s", err.text);
    return r;
}

static void convert_plain(const char *from, const char *to)
{
    struct sdg_convert_options o = options(in(from), in(to));
    o.overwrite = 1;
    convert(&o);
}

static void expect_same(const struct sdg_tensor *a, const struct sdg_tensor *b, const char *name)
{
    if (a->dtype != b->dtype || a->rank != b->rank ||
        memcmp(a->shape, b->shape, (size_t)a->rank * sizeof *a->shape) != 0 ||
        memcmp(a->data, b->data, sdg_tensor_bytes(a)) != 0)
        fail_msg("%s is not what it was", name);
}

/* Both files have the same tensors, by the names they are stored under. */
static void expect_equal(const char *a_name, const char *b_name)
{
    struct sdg_weights a, b;
    open_weights(&a, in(a_name));
    open_weights(&b, in(b_name));
    for (size_t i = 0; i < a.count; i++) {
        const struct sdg_entry *e = sdg_weights_find(&b, a.entries[i].name);
        if (!e) fail_msg("%s is lost", a.entries[i].name);
        expect_same(&a.entries[i].tensor, &e->tensor, e->name);
    }
    assert_int_equal(a.count, b.count);
    sdg_weights_close(&a);
    sdg_weights_close(&b);
}

static void write_family(const char *name, const char *to)
{
    struct test_checkpoint f;
    test_checkpoint_read(&f, name, "small");
    test_checkpoint_write(in(to), &f, TEST_STOCK);
}

/* ---- forms ---- */

static void test_round_trips(void **state)
{
    static const char *const families[] = {"sd1", "sd2", "sdxl", "refiner"};
    (void)state;
    for (int i = 0; i < 4; i++) {
        write_family(families[i], "a.safetensors");
        convert_plain("a.safetensors", "folder");
        convert_plain("folder", "back.safetensors");
        expect_equal("a.safetensors", "back.safetensors");
        convert_plain("a.safetensors", "a.gguf");
        convert_plain("a.gguf", "back.safetensors");
        expect_equal("a.safetensors", "back.safetensors");
        convert_plain("folder", "again");
        convert_plain("again", "a.gguf");
        expect_equal("a.gguf", "back.safetensors");
        clear("folder");
        clear("again");
    }
    /* Names of diffusers in one file. */
    struct sdg_convert_options o = options(in("a.safetensors"), in("keys.safetensors"));
    o.diffusers_keys = true;
    convert(&o);
    struct sdg_weights w;
    open_weights(&w, in("keys.safetensors"));
    assert_non_null(sdg_weights_find(&w, "unet.down_blocks.0.resnets.0.conv1.weight"));
    assert_non_null(sdg_weights_find(&w, "text_encoder_2.text_projection.weight"));
    sdg_weights_close(&w);
    convert_plain("keys.safetensors", "back.safetensors");
    expect_equal("a.safetensors", "back.safetensors");
    assert_int_equal(file_count(), 4);
}

static void test_checkpoint_of_torch(void **state)
{
    (void)state;
    struct sdg_weights a, b;
    struct sdg_convert_options o =
        options("tests/golden/ckpt/nested_f16.ckpt", in("torch.safetensors"));
    convert(&o);
    open_weights(&a, "tests/golden/ckpt/nested_f16.ckpt");
    open_weights(&b, in("torch.safetensors"));
    assert_int_equal(a.count, b.count);
    for (size_t i = 0; i < a.count; i++)
        expect_same(&a.entries[i].tensor, &sdg_weights_find(&b, a.entries[i].name)->tensor,
                    a.entries[i].name);
    sdg_weights_close(&a);
    sdg_weights_close(&b);
}

/* The plans of the networks are the same when they are read from the folder. */
static void test_folder(void **state)
{
    (void)state;
    struct sdg_weights a, b;
    struct sdg_unet_config u, v;
    struct sdg_clip_config c, d;
    sdgen_error err;
    write_family("sdxl", "a.safetensors");
    char *texts[2];
    assert_int_equal(sdg_tokenizer_files(&texts[0], &texts[1], &err), SDGEN_OK);
    struct sdg_sidetext files[] = {{"vocab.json", texts[0]}, {"merges.txt", texts[1]}};
    struct sdg_convert_options o = options(in("a.safetensors"), in("folder/"));
    o.texts = files;
    o.text_count = 2;
    convert(&o);
    open_weights(&a, in("a.safetensors"));
    open_weights(&b, in("folder"));
    assert_int_equal(sdg_keys_canonical(&a, &err), SDGEN_OK);
    assert_int_equal(sdg_keys_canonical(&b, &err), SDGEN_OK);
    assert_int_equal(sdg_arch_unet(&u, &a, SDG_KEY_UNET, &err), SDGEN_OK);
    assert_int_equal(sdg_arch_unet(&v, &b, SDG_KEY_UNET, &err), SDGEN_OK);
    assert_memory_equal(&u, &v, sizeof u);
    assert_int_equal(sdg_arch_clip(&c, &a, SDG_KEY_CLIP_1, true, &err), SDGEN_OK);
    assert_int_equal(sdg_arch_clip(&d, &b, SDG_KEY_CLIP_1, true, &err), SDGEN_OK);
    assert_memory_equal(&c, &d, sizeof c);
    assert_non_null(strstr(sdg_weights_text(&b, "model_index.json"), "StableDiffusionXLPipeline"));
    assert_non_null(strstr(sdg_weights_text(&b, "vae/config.json"), "0.13025"));
    assert_int_equal(access(in("folder/tokenizer_2/merges.txt"), F_OK), 0);
    sdg_weights_close(&a);
    sdg_weights_close(&b);
    clear("folder");
    /* Known ids of the vocabulary, and its first merge. */
    assert_non_null(strstr(texts[0], "\"cat</w>\":2368,"));
    assert_non_null(strstr(texts[0], "\"<|endoftext|>\":49407}"));
    assert_memory_equal(texts[1], "#version: 0.2\ni n\n", 18);
    free(texts[0]);
    free(texts[1]);
}

/* ---- types ---- */

static enum sdg_dtype type_of(const struct sdg_weights *w, const char *name)
{
    const struct sdg_entry *e = sdg_weights_find(w, name);
    if (!e) fail_msg("no %s", name);
    return e->tensor.dtype;
}

#define BLOCK "model.diffusion_model.input_blocks.1.1.transformer_blocks.0."
#define LAYER "cond_stage_model.transformer.text_model.encoder.layers.0."

static void test_types(void **state)
{
    (void)state;
    struct sdg_weights a, w;
    write_family("sd1", "a.safetensors");
    struct sdg_convert_options o = options(in("a.safetensors"), in("q.gguf"));
    o.type = "q8_0";
    o.rules = "^first_stage_model\\.=f32,attn2\\.to_(k|v)=q5_1,norm=bf16";
    convert(&o);
    open_weights(&a, in("a.safetensors"));
    open_weights(&w, in("q.gguf"));
    assert_int_equal(type_of(&w, BLOCK "attn1.to_q.weight"), SDG_Q8_0);
    assert_int_equal(type_of(&w, BLOCK "attn2.to_v.weight"), SDG_Q5_1);
    assert_int_equal(type_of(&w, BLOCK "norm1.bias"), SDG_BF16);
    assert_int_equal(type_of(&w, BLOCK "attn1.to_out.0.bias"), SDG_F16);
    assert_int_equal(type_of(&w, LAYER "mlp.fc1.weight"), SDG_Q8_0);
    assert_int_equal(type_of(&w, "cond_stage_model.transformer.text_model.embeddings."
                                 "token_embedding.weight"),
                     SDG_F16);
    assert_int_equal(type_of(&w, "model.diffusion_model.time_embed.0.weight"), SDG_F16);
    assert_int_equal(type_of(&w, "model.diffusion_model.input_blocks.0.0.weight"), SDG_F16);
    assert_int_equal(type_of(&w, "first_stage_model.encoder.conv_in.weight"), SDG_F32);
    /* The numbers: what quantising the source gives. */
    const struct sdg_tensor *x = &sdg_weights_find(&a, BLOCK "attn1.to_q.weight")->tensor;
    const struct sdg_tensor *y = &sdg_weights_find(&w, BLOCK "attn1.to_q.weight")->tensor;
    const size_t n = sdg_tensor_count(x);
    float *wide = malloc(n * sizeof *wide);
    void *blocks = malloc(sdg_dtype_bytes(SDG_Q8_0, n));
    sdg_tensor_widen(wide, x, 0, n);
    sdg_tensor_narrow(blocks, SDG_Q8_0, wide, n);
    assert_memory_equal(blocks, y->data, sdg_tensor_bytes(y));
    /* Back: safetensors have no blocks, so f32 with the same values. */
    convert_plain("q.gguf", "back.safetensors");
    struct sdg_weights back;
    open_weights(&back, in("back.safetensors"));
    const struct sdg_tensor *z = &sdg_weights_find(&back, BLOCK "attn1.to_q.weight")->tensor;
    assert_int_equal(z->dtype, SDG_F32);
    sdg_tensor_widen(wide, y, 0, n);
    assert_memory_equal(wide, z->data, n * sizeof *wide);
    free(wide);
    free(blocks);
    sdg_weights_close(&back);
    sdg_weights_close(&a);
    sdg_weights_close(&w);
}

/* ---- pruning, averages, exchange ---- */

/* a.safetensors again, with a running average of the UNet (the same bytes, turned over), position
 * numbers, and what training leaves. */
static void write_leftovers(const char *from, const char *to)
{
    enum { MORE = 2 };
    static const int64_t ids[4] = {0, 1, 2, 3};
    static const float betas[4] = {0.1f, 0.2f, 0.3f, 0.4f};
    struct sdg_weights a;
    struct sdg_writer w;
    sdgen_error err = {0};
    open_weights(&a, in(from));
    struct sdg_write_tensor *list = calloc(2 * a.count + MORE, sizeof *list);
    char(*names)[SDG_KEY_SIZE] = calloc(a.count, sizeof *names);
    size_t count = 0;
    for (size_t i = 0; i < a.count; i++) {
        const struct sdg_entry *e = &a.entries[i];
        for (int twin = 0; twin < 2; twin++) {
            struct sdg_write_tensor *t = &list[count];
            if (twin && strncmp(e->name, "model.diffusion_model.", 22) != 0) continue;
            *t = (struct sdg_write_tensor) {
                .name = e->name, .dtype = e->tensor.dtype, .rank = e->tensor.rank, .user = e};
            memcpy(t->shape, e->tensor.shape, sizeof t->shape);
            if (twin) {
                size_t n = (size_t)snprintf(names[i], sizeof names[i], "model_ema.");
                for (const char *c = e->name + 6; *c; c++)
                    if (*c != '.') names[i][n++] = *c;
                t->name = names[i];
            }
            count++;
        }
    }
    list[count++] = (struct sdg_write_tensor) {
        .name = "cond_stage_model.transformer.text_model.embeddings.position_ids",
        .dtype = SDG_I64,
        .rank = 2,
        .shape = {1, 4}};
    list[count++] =
        (struct sdg_write_tensor) {.name = "betas", .dtype = SDG_F32, .rank = 1, .shape = {4}};
    if (sdg_write_safetensors(&w, in(to), list, count, NULL, 0, &err) != SDGEN_OK)
        fail_msg("%s", err.text);
    for (size_t i = 0; i < count; i++) {
        const struct sdg_entry *e = list[i].user;
        const size_t bytes = (size_t)list[i].bytes;
        unsigned char *data = malloc(bytes + 1);
        memcpy(data,
               e                          ? e->tensor.data
               : list[i].dtype == SDG_I64 ? (const void *)ids
                                          : betas,
               bytes);
        for (size_t b = 0; b < bytes && strncmp(list[i].name, "model_ema.", 10) == 0; b++)
            data[b] ^= 0x80;
        assert_int_equal(sdg_write_numbers(&w, data, bytes, &err), SDGEN_OK);
        free(data);
    }
    assert_int_equal(sdg_write_commit(&w, 1, &err), SDGEN_OK);
    free(list);
    free(names);
    sdg_weights_close(&a);
}

static void test_pruning(void **state)
{
    (void)state;
    struct sdg_weights a, w;
    write_family("sd1", "a.safetensors");
    write_leftovers("a.safetensors", "more.safetensors");
    convert_plain("more.safetensors", "all.safetensors");
    expect_equal("more.safetensors", "all.safetensors"); /* nothing is dropped unasked */
    struct sdg_convert_options o = options(in("more.safetensors"), in("pruned.safetensors"));
    o.join.prune = true;
    convert(&o);
    expect_equal("a.safetensors", "pruned.safetensors");
    o = options(in("more.safetensors"), in("ema.safetensors"));
    o.join.prune = o.join.ema = true;
    convert(&o);
    open_weights(&a, in("a.safetensors"));
    open_weights(&w, in("ema.safetensors"));
    assert_int_equal(a.count, w.count);
    const struct sdg_tensor *x = &sdg_weights_find(&a, BLOCK "attn1.to_q.weight")->tensor;
    const struct sdg_tensor *y = &sdg_weights_find(&w, BLOCK "attn1.to_q.weight")->tensor;
    assert_int_equal(((const unsigned char *)x->data)[5] ^ 0x80,
                     ((const unsigned char *)y->data)[5]);
    x = &sdg_weights_find(&a, LAYER "mlp.fc1.weight")->tensor;
    y = &sdg_weights_find(&w, LAYER "mlp.fc1.weight")->tensor;
    assert_memory_equal(x->data, y->data, sdg_tensor_bytes(x));
    sdg_weights_close(&a);
    sdg_weights_close(&w);
    sdgen_error err = {0};
    struct sdg_convert_result r;
    o = options(in("a.safetensors"), in("none.safetensors"));
    o.join.ema = true;
    assert_int_equal(sdg_convert(&r, &o, &err), SDGEN_ERR_MODEL);
    assert_non_null(strstr(err.text, "no running averages"));
}

static void test_exchange(void **state)
{
    (void)state;
    struct sdg_weights a, w;
    sdgen_error err = {0};
    struct sdg_convert_result r;
    write_family("sdxl", "a.safetensors");
    write_leftovers("a.safetensors", "more.safetensors");
    struct sdg_convert_options o = options(in("a.safetensors"), in("f32.safetensors"));
    o.type = "f32";
    convert(&o);
    o = options(in("a.safetensors"), in("mixed.safetensors"));
    o.join.vae_path = o.join.clip_g_path = in("f32.safetensors");
    convert(&o);
    open_weights(&a, in("a.safetensors"));
    open_weights(&w, in("mixed.safetensors"));
    assert_int_equal(a.count, w.count);
    assert_int_equal(type_of(&w, "first_stage_model.decoder.conv_in.weight"), SDG_F32);
    assert_int_equal(type_of(&w, "conditioner.embedders.1.model.ln_final.weight"), SDG_F32);
    assert_int_equal(type_of(&w, "model.diffusion_model.out.2.weight"), SDG_F16);
    assert_int_equal(type_of(&w, "conditioner.embedders.0.transformer.text_model."
                                 "final_layer_norm.weight"),
                     SDG_F16);
    sdg_weights_close(&a);
    sdg_weights_close(&w);
    /* A VAE of its own, without a prefix, and back into a checkpoint. */
    convert_plain("f32.safetensors", "folder");
    struct sdg_convert_options alone = options(in("folder/vae"), in("vae.safetensors"));
    convert(&alone);
    open_weights(&w, in("vae.safetensors"));
    assert_int_equal(sdg_weights_find(&w, "decoder.mid.attn_1.q.weight")->tensor.rank, 4);
    sdg_weights_close(&w);
    o = options(in("a.safetensors"), in("mixed.safetensors"));
    o.join.vae_path = in("vae.safetensors");
    o.overwrite = 1;
    convert(&o);
    open_weights(&w, in("mixed.safetensors"));
    assert_int_equal(type_of(&w, "first_stage_model.decoder.conv_in.weight"), SDG_F32);
    sdg_weights_close(&w);
    o.join.vae_path = in("folder/unet");
    assert_int_equal(sdg_convert(&r, &o, &err), SDGEN_ERR_MODEL);
    assert_non_null(strstr(err.text, "has no VAE"));
    clear("folder");
}

/* ---- merging ---- */

static const struct sdg_tensor *named(const struct sdg_weights *w, const char *name)
{
    const struct sdg_entry *e = sdg_weights_find(w, name);
    if (!e) fail_msg("no %s", name);
    return &e->tensor;
}

static void merge(const struct sdg_merge_options *o)
{
    struct sdg_convert_result r;
    sdgen_error err = {0};
    if (sdg_merge(&r, o, &err) != SDGEN_OK) fail_msg("%s", err.text);
}

/* out = (1-x) a + x b in f32, rounded once to f16. */
static void expect_sum(const char *name, const struct sdg_weights *out, const struct sdg_weights *a,
                       const struct sdg_weights *b, double x)
{
    const struct sdg_tensor *y = named(out, name), *ta = named(a, name), *tb = named(b, name);
    for (size_t i = 0; i < sdg_tensor_count(y); i++) {
        float va, vb, vy;
        sdg_tensor_widen(&va, ta, i, 1);
        sdg_tensor_widen(&vb, tb, i, 1);
        sdg_tensor_widen(&vy, y, i, 1);
        const float want = sdg_half_value(sdg_half_from((float)(1 - x) * va + (float)x * vb));
        if (want != vy) fail_msg("%s[%zu] is %g, not %g", name, i, (double)vy, (double)want);
    }
}

static void test_merging(void **state)
{
    (void)state;
    struct sdg_weights a, b, w;
    write_family("sdxl", "a.safetensors");
    write_leftovers("a.safetensors", "more.safetensors");
    struct sdg_convert_options turn = options(in("more.safetensors"), in("b.safetensors"));
    turn.join.ema = true; /* other numbers under the same names */
    convert(&turn);
    struct sdg_merge_options o = {.to = options(in("a.safetensors"), in("out.safetensors")),
                                  .b = in("b.safetensors"),
                                  .alpha = 0.3};
    merge(&o);
    open_weights(&a, in("a.safetensors"));
    open_weights(&b, in("b.safetensors"));
    open_weights(&w, in("out.safetensors"));
    assert_int_equal(a.count, w.count);
    expect_sum("model.diffusion_model.middle_block.0.in_layers.2.weight", &w, &a, &b, 0.3);
    expect_sum("model.diffusion_model.time_embed.0.weight", &w, &a, &b, 0.3);
    expect_same(named(&a, "first_stage_model.decoder.conv_in.weight"),
                named(&w, "first_stage_model.decoder.conv_in.weight"), "the VAE");
    sdg_weights_close(&w);
    /* Blocks: 0 for all but the middle and OUT00. */
    o.block_weights = "0,0,0,0,0,0,0,0,0,0.5,0.25,0,0,0,0,0,0,0,1";
    o.to.overwrite = 1;
    merge(&o);
    open_weights(&w, in("out.safetensors"));
    expect_sum("model.diffusion_model.middle_block.0.in_layers.2.weight", &w, &a, &b, 0.5);
    expect_sum("model.diffusion_model.output_blocks.0.0.in_layers.2.weight", &w, &a, &b, 0.25);
    expect_sum("model.diffusion_model.out.2.weight", &w, &a, &b, 1);
    expect_same(named(&a, "model.diffusion_model.time_embed.0.weight"),
                named(&w, "model.diffusion_model.time_embed.0.weight"), "time_embed");
    sdg_weights_close(&w);
    /* a + 1 (a - a) */
    o = (struct sdg_merge_options) {.to = options(in("b.safetensors"), in("out.safetensors")),
                                    .b = in("a.safetensors"),
                                    .c = in("a.safetensors"),
                                    .method = SDG_MERGE_ADD,
                                    .alpha = 1};
    o.to.overwrite = 1;
    o.to.join.prune = true;
    merge(&o);
    open_weights(&w, in("out.safetensors"));
    expect_sum("model.diffusion_model.middle_block.0.in_layers.2.weight", &w, &b, &b, 0);
    sdg_weights_close(&w);
    sdg_weights_close(&a);
    sdg_weights_close(&b);
}

static void test_merging_refused(void **state)
{
    (void)state;
    sdgen_error err = {0};
    struct sdg_convert_result r;
    write_family("sdxl", "a.safetensors");
    write_family("sd1", "b.safetensors");
    const int before = file_count();
    struct sdg_merge_options o = {.to = options(in("a.safetensors"), in("no.safetensors")),
                                  .b = in("b.safetensors"),
                                  .alpha = 0.5};
    assert_int_equal(sdg_merge(&r, &o, &err), SDGEN_ERR_MODEL);
    assert_non_null(strstr(err.text, "does not go with"));
    assert_non_null(strstr(err.text, "tensors missing"));
    o.b = in("a.safetensors");
    o.block_weights = "0.5,0.5";
    assert_int_equal(sdg_merge(&r, &o, &err), SDGEN_ERR_ARG);
    assert_non_null(strstr(err.text, "takes 19"));
    o.block_weights = "0.5,x";
    assert_int_equal(sdg_merge(&r, &o, &err), SDGEN_ERR_ARG);
    assert_int_equal(file_count(), before);
}

/* ---- what goes wrong ---- */

static void expect_refused(const struct sdg_convert_options *o, sdgen_status status,
                           const char *words)
{
    struct sdg_convert_result r;
    sdgen_error err = {0};
    const int before = file_count();
    assert_int_equal(sdg_convert(&r, o, &err), status);
    if (!strstr(err.text, words)) fail_msg("\"%s\" does not say \"%s\"", err.text, words);
    assert_int_equal(file_count(), before);
}

static void test_refused(void **state)
{
    (void)state;
    write_family("sd1", "a.safetensors");
    struct sdg_convert_options o = options(in("a.safetensors"), in("a.safetensors"));
    expect_refused(&o, SDGEN_ERR_IO, "--overwrite");
    o = options(in("a.safetensors"), in("x.ckpt"));
    expect_refused(&o, SDGEN_ERR_ARG, ".ckpt files are not written");
    o = options(in("a.safetensors"), in("x.safetensors"));
    o.type = "q4_0";
    expect_refused(&o, SDGEN_ERR_ARG, "for .gguf files");
    o.type = NULL;
    o.rules = "a(=f16";
    expect_refused(&o, SDGEN_ERR_ARG, "rule \"a(=f16\"");
    o.rules = "=f16";
    expect_refused(&o, SDGEN_ERR_ARG, "PATTERN=TYPE");
    o.rules = "x=f17";
    expect_refused(&o, SDGEN_ERR_ARG, "\"f17\" is no type");
    o = options(in("missing"), in("x.safetensors"));
    expect_refused(&o, SDGEN_ERR_IO, "No such file");
    o = options(in("a.safetensors"), in("nowhere/x.safetensors"));
    expect_refused(&o, SDGEN_ERR_IO, "cannot write there");
    o = options(in("a.safetensors"), in("nowhere/x"));
    expect_refused(&o, SDGEN_ERR_IO, "cannot write there");
    /* A folder that holds something of somebody's. */
    assert_int_equal(mkdir(in("mine"), 0777), 0);
    FILE *f = fopen(in("mine/picture.png"), "w");
    assert_non_null(f);
    fclose(f);
    o = options(in("a.safetensors"), in("mine"));
    expect_refused(&o, SDGEN_ERR_IO, "--overwrite");
    o.overwrite = 1;
    expect_refused(&o, SDGEN_ERR_IO, "holds more than a model");
    assert_int_equal(access(in("mine/picture.png"), F_OK), 0);
    clear("mine");
}

/* Stopped, or the disk full, half-way: nothing is left, and what was there stays. */
static void test_broken_off(void **state)
{
    static const volatile int cancelled = 1;
    static const char *const targets[] = {"x.safetensors", "x.gguf", "x"};
    struct rlimit limit, small;
    (void)state;
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &limit);
    small = limit;
    small.rlim_cur = 1000000;
    write_family("sd1", "a.safetensors");
    for (int i = 0; i < 3; i++) {
        struct sdg_convert_options o = options(in("a.safetensors"), in(targets[i]));
        o.cancel = &cancelled;
        expect_refused(&o, SDGEN_ERR_CANCELLED, "nothing was written");
        o.cancel = NULL;
        setrlimit(RLIMIT_FSIZE, &small);
        expect_refused(&o, SDGEN_ERR_IO, "File too large");
        setrlimit(RLIMIT_FSIZE, &limit);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_round_trips, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_checkpoint_of_torch, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_folder, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_types, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_pruning, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_exchange, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_merging, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_merging_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_broken_off, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
