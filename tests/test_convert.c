/* test_convert.c - checkpoints that are written anew: every tensor comes back under its own name
 * with the same bytes, through every form; types, pruning, exchanged networks; and
 * what fails leaves nothing behind.
 *
 * tools/check_convert.py holds the same against the original libraries. */
#define _GNU_SOURCE
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

#include "tests/support/convertcase.h"
#include "text/tokenizer_files.h"
#include "weights/arch.h"
#include "weights/keys.h"
#include "convert/convert.h"

/* Both files have the same tensors, by the names they are stored under. */
static void expect_equal(const char *a_name, const char *b_name)
{
    struct sdg_weights a, b;
    test_open(&a, test_in(a_name));
    test_open(&b, test_in(b_name));
    for (size_t i = 0; i < a.count; i++) {
        const struct sdg_entry *e = sdg_weights_find(&b, a.entries[i].name);
        if (!e) fail_msg("%s is lost", a.entries[i].name);
        test_expect_same(&a.entries[i].tensor, &e->tensor, e->name);
    }
    assert_int_equal(a.count, b.count);
    sdg_weights_close(&a);
    sdg_weights_close(&b);
}

/* ---- forms ---- */

static void test_round_trips(void **state)
{
    static const char *const families[] = {"sd1", "sd2", "sdxl", "refiner"};
    (void)state;
    for (int i = 0; i < 4; i++) {
        test_write_family(families[i], "a.safetensors");
        test_convert_plain("a.safetensors", "folder");
        test_convert_plain("folder", "back.safetensors");
        expect_equal("a.safetensors", "back.safetensors");
        test_convert_plain("a.safetensors", "a.gguf");
        test_convert_plain("a.gguf", "back.safetensors");
        expect_equal("a.safetensors", "back.safetensors");
        test_convert_plain("folder", "again");
        test_convert_plain("again", "a.gguf");
        expect_equal("a.gguf", "back.safetensors");
        test_clear("folder");
        test_clear("again");
    }
    /* Names of diffusers in one file. */
    struct sdg_convert_options o =
        test_options(test_in("a.safetensors"), test_in("keys.safetensors"));
    o.diffusers_keys = true;
    test_convert(&o);
    struct sdg_weights w;
    test_open(&w, test_in("keys.safetensors"));
    assert_non_null(sdg_weights_find(&w, "unet.down_blocks.0.resnets.0.conv1.weight"));
    assert_non_null(sdg_weights_find(&w, "text_encoder_2.text_projection.weight"));
    sdg_weights_close(&w);
    test_convert_plain("keys.safetensors", "back.safetensors");
    expect_equal("a.safetensors", "back.safetensors");
    assert_int_equal(test_file_count(), 4);
}

static void test_checkpoint_of_torch(void **state)
{
    (void)state;
    struct sdg_weights a, b;
    struct sdg_convert_options o =
        test_options("tests/golden/ckpt/nested_f16.ckpt", test_in("torch.safetensors"));
    test_convert(&o);
    test_open(&a, "tests/golden/ckpt/nested_f16.ckpt");
    test_open(&b, test_in("torch.safetensors"));
    assert_int_equal(a.count, b.count);
    for (size_t i = 0; i < a.count; i++)
        test_expect_same(&a.entries[i].tensor, &sdg_weights_find(&b, a.entries[i].name)->tensor,
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
    test_write_family("sdxl", "a.safetensors");
    char *texts[2];
    assert_int_equal(sdg_tokenizer_files(&texts[0], &texts[1], &err), SDGEN_OK);
    struct sdg_sidetext files[] = {{"vocab.json", texts[0]}, {"merges.txt", texts[1]}};
    struct sdg_convert_options o = test_options(test_in("a.safetensors"), test_in("folder/"));
    o.texts = files;
    o.text_count = 2;
    test_convert(&o);
    test_open(&a, test_in("a.safetensors"));
    test_open(&b, test_in("folder"));
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
    assert_int_equal(access(test_in("folder/tokenizer_2/merges.txt"), F_OK), 0);
    sdg_weights_close(&a);
    sdg_weights_close(&b);
    test_clear("folder");
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
    test_write_family("sd1", "a.safetensors");
    struct sdg_convert_options o = test_options(test_in("a.safetensors"), test_in("q.gguf"));
    o.type = "q8_0";
    o.rules = "^first_stage_model\\.=f32,attn2\\.to_(k|v)=q5_1,norm=bf16";
    test_convert(&o);
    test_open(&a, test_in("a.safetensors"));
    test_open(&w, test_in("q.gguf"));
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
    test_convert_plain("q.gguf", "back.safetensors");
    struct sdg_weights back;
    test_open(&back, test_in("back.safetensors"));
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

static void test_pruning(void **state)
{
    (void)state;
    struct sdg_weights a, w;
    test_write_family("sd1", "a.safetensors");
    test_write_leftovers("a.safetensors", "more.safetensors");
    test_convert_plain("more.safetensors", "all.safetensors");
    expect_equal("more.safetensors", "all.safetensors"); /* nothing is dropped unasked */
    struct sdg_convert_options o =
        test_options(test_in("more.safetensors"), test_in("pruned.safetensors"));
    o.join.prune = true;
    test_convert(&o);
    expect_equal("a.safetensors", "pruned.safetensors");
    o = test_options(test_in("more.safetensors"), test_in("ema.safetensors"));
    o.join.prune = o.join.ema = true;
    test_convert(&o);
    test_open(&a, test_in("a.safetensors"));
    test_open(&w, test_in("ema.safetensors"));
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
    o = test_options(test_in("a.safetensors"), test_in("none.safetensors"));
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
    test_write_family("sdxl", "a.safetensors");
    test_write_leftovers("a.safetensors", "more.safetensors");
    struct sdg_convert_options o =
        test_options(test_in("a.safetensors"), test_in("f32.safetensors"));
    o.type = "f32";
    test_convert(&o);
    o = test_options(test_in("a.safetensors"), test_in("mixed.safetensors"));
    o.join.vae_path = o.join.clip_g_path = test_in("f32.safetensors");
    test_convert(&o);
    test_open(&a, test_in("a.safetensors"));
    test_open(&w, test_in("mixed.safetensors"));
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
    test_convert_plain("f32.safetensors", "folder");
    struct sdg_convert_options alone =
        test_options(test_in("folder/vae"), test_in("vae.safetensors"));
    test_convert(&alone);
    test_open(&w, test_in("vae.safetensors"));
    assert_int_equal(sdg_weights_find(&w, "decoder.mid.attn_1.q.weight")->tensor.rank, 4);
    sdg_weights_close(&w);
    o = test_options(test_in("a.safetensors"), test_in("mixed.safetensors"));
    o.join.vae_path = test_in("vae.safetensors");
    o.overwrite = 1;
    test_convert(&o);
    test_open(&w, test_in("mixed.safetensors"));
    assert_int_equal(type_of(&w, "first_stage_model.decoder.conv_in.weight"), SDG_F32);
    sdg_weights_close(&w);
    /* A checkpoint from its parts, begun with a text encoder: it goes where the UNet wants it. */
    o = test_options(test_in("folder/text_encoder"), test_in("parts.safetensors"));
    o.join.unet_path = test_in("folder/unet");
    o.join.vae_path = test_in("vae.safetensors");
    o.join.clip_g_path = test_in("folder/text_encoder_2");
    test_convert(&o);
    expect_equal("f32.safetensors", "parts.safetensors");
    o = test_options(test_in("a.safetensors"), test_in("mixed.safetensors"));
    o.overwrite = 1;
    o.join.vae_path = test_in("folder/unet");
    assert_int_equal(sdg_convert(&r, &o, &err), SDGEN_ERR_MODEL);
    assert_non_null(strstr(err.text, "has no VAE"));
    test_clear("folder");
}

/* ---- what goes wrong ---- */

static void expect_refused(const struct sdg_convert_options *o, sdgen_status status,
                           const char *words)
{
    struct sdg_convert_result r;
    sdgen_error err = {0};
    const int before = test_file_count();
    assert_int_equal(sdg_convert(&r, o, &err), status);
    if (!strstr(err.text, words)) fail_msg("\"%s\" does not say \"%s\"", err.text, words);
    assert_int_equal(test_file_count(), before);
}

static void test_refused(void **state)
{
    (void)state;
    test_write_family("sd1", "a.safetensors");
    struct sdg_convert_options o = test_options(test_in("a.safetensors"), test_in("a.safetensors"));
    expect_refused(&o, SDGEN_ERR_IO, "--overwrite");
    o = test_options(test_in("a.safetensors"), test_in("x.ckpt"));
    expect_refused(&o, SDGEN_ERR_ARG, ".ckpt files are not written");
    o = test_options(test_in("a.safetensors"), test_in("x.safetensors"));
    o.type = "q4_0";
    expect_refused(&o, SDGEN_ERR_ARG, "for .gguf files");
    o.type = NULL;
    o.rules = "a(=f16";
    expect_refused(&o, SDGEN_ERR_ARG, "rule \"a(=f16\"");
    o.rules = "=f16";
    expect_refused(&o, SDGEN_ERR_ARG, "PATTERN=TYPE");
    o.rules = "x=f17";
    expect_refused(&o, SDGEN_ERR_ARG, "\"f17\" is no type");
    o = test_options(test_in("missing"), test_in("x.safetensors"));
    expect_refused(&o, SDGEN_ERR_IO, "No such file");
    o = test_options(test_in("a.safetensors"), test_in("nowhere/x.safetensors"));
    expect_refused(&o, SDGEN_ERR_IO, "cannot write there");
    o = test_options(test_in("a.safetensors"), test_in("nowhere/x"));
    expect_refused(&o, SDGEN_ERR_IO, "cannot write there");
    /* A folder that holds something of somebody's. */
    assert_int_equal(mkdir(test_in("mine"), 0777), 0);
    FILE *f = fopen(test_in("mine/picture.png"), "w");
    assert_non_null(f);
    fclose(f);
    o = test_options(test_in("a.safetensors"), test_in("mine"));
    expect_refused(&o, SDGEN_ERR_IO, "--overwrite");
    o.overwrite = 1;
    expect_refused(&o, SDGEN_ERR_IO, "holds more than a model");
    assert_int_equal(access(test_in("mine/picture.png"), F_OK), 0);
    test_clear("mine");
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
    test_write_family("sd1", "a.safetensors");
    for (int i = 0; i < 3; i++) {
        struct sdg_convert_options o = test_options(test_in("a.safetensors"), test_in(targets[i]));
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
        cmocka_unit_test_setup_teardown(test_round_trips, test_convert_begin, test_convert_end),
        cmocka_unit_test_setup_teardown(test_checkpoint_of_torch, test_convert_begin,
                                        test_convert_end),
        cmocka_unit_test_setup_teardown(test_folder, test_convert_begin, test_convert_end),
        cmocka_unit_test_setup_teardown(test_types, test_convert_begin, test_convert_end),
        cmocka_unit_test_setup_teardown(test_pruning, test_convert_begin, test_convert_end),
        cmocka_unit_test_setup_teardown(test_exchange, test_convert_begin, test_convert_end),
        cmocka_unit_test_setup_teardown(test_refused, test_convert_begin, test_convert_end),
        cmocka_unit_test_setup_teardown(test_broken_off, test_convert_begin, test_convert_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
