/* test_keys_rules.c - canonical names (weights/keys.h) one by one: folders, odd files, fused and
 * transposed tensors, duplicates, and what a missing tensor would be called in the file. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "weights/keys.h"
#include "files/read.h"

/* In memory: a name, a folder, a shape; the values are numbers from 0. */
struct item {
    const char *part, *stored;
    int64_t shape[2];
    int rank;
};

static float counting[4096];

static void add_items(struct sdg_weights *w, const struct item *items, size_t count)
{
    sdgen_error err = {0};
    *w = (struct sdg_weights) {.path = strdup("in memory")};
    for (size_t i = 0; i < 4096; i++) counting[i] = (float)i;
    for (size_t i = 0; i < count; i++) {
        struct sdg_entry *e;
        char *name, full[256];
        snprintf(full, sizeof full, "%s%s%s", items[i].part, items[i].part[0] ? "/" : "",
                 items[i].stored);
        assert_int_equal(sdg_weights_add(&e, &name, w, strlen(full), &err), SDGEN_OK);
        strcpy(name, full);
        e->stored = items[i].stored;
        e->part = items[i].part;
        e->tensor = (struct sdg_tensor) {
            counting, SDG_F32, items[i].rank, {items[i].shape[0], items[i].shape[1]}};
    }
    assert_int_equal(sdg_weights_sort(w, &err), SDGEN_OK);
}

static void expect_names(struct sdg_weights *w, const char *const *want, size_t count)
{
    sdgen_error err = {0};
    if (sdg_keys_canonical(w, &err) != SDGEN_OK) fail_msg("%s", err.text);
    assert_int_equal(w->count, count);
    for (size_t i = 0; i < count; i++)
        if (!sdg_weights_find(w, want[i])) fail_msg("no %s", want[i]);
    sdg_weights_close(w);
}

#define EXPECT(items, want)                                        \
    do {                                                           \
        struct sdg_weights w_;                                     \
        add_items(&w_, items, sizeof(items) / sizeof((items)[0])); \
        expect_names(&w_, want, sizeof(want) / sizeof((want)[0])); \
    } while (0)

static void test_folders(void **state)
{
    (void)state;
    const struct item sdxl[] = {
        {"unet", "down_blocks.0.resnets.0.norm1.bias", {4}, 1},
        {"unet", "add_embedding.linear_1.bias", {4}, 1},
        {"unet", "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.weight", {4, 6}, 2},
        {"vae", "decoder.up_blocks.0.resnets.0.norm1.bias", {4}, 1},
        {"vae", "decoder.up_blocks.3.resnets.0.norm1.bias", {4}, 1},
        {"text_encoder", "text_model.final_layer_norm.bias", {2}, 1},
        {"text_encoder_2", "embeddings.token_embedding.weight", {9, 4}, 2},
        {"safety_checker", "vision_model.x", {4}, 1},
        {"scheduler", "odd", {4}, 1}};
    static const char *const sdxl_names[] = {
        SDG_KEY_UNET "input_blocks.1.0.in_layers.0.bias", SDG_KEY_UNET "label_emb.0.0.bias",
        /* one resnet was seen in the first level, and no downsampler: 1 + 1 */
        SDG_KEY_UNET "input_blocks.2.1.transformer_blocks.0.attn2.to_k.weight",
        SDG_KEY_VAE "decoder.up.3.block.0.norm1.bias",
        SDG_KEY_VAE "decoder.up.0.block.0.norm1.bias",
        SDG_KEY_CLIP_0 "text_model.final_layer_norm.bias",
        SDG_KEY_CLIP_1 "text_model.embeddings.token_embedding.weight",
        "safety_checker/vision_model.x", "scheduler/odd"};
    EXPECT(sdxl, sdxl_names);
    /* the refiner has the second encoder only, as wide as what its UNet attends to */
    const struct item refiner[] = {
        {"unet", "add_embedding.linear_1.bias", {4}, 1},
        {"unet", "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.weight", {4, 4}, 2},
        {"text_encoder_2", "text_model.embeddings.token_embedding.weight", {9, 4}, 2}};
    static const char *const refiner_names[] = {
        SDG_KEY_UNET "label_emb.0.0.bias",
        SDG_KEY_UNET "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight",
        SDG_KEY_CLIP_0 "text_model.embeddings.token_embedding.weight"};
    EXPECT(refiner, refiner_names);
    const struct item tiny[] = {{"vae", "encoder.layers.0.weight", {4}, 1},
                                {"vae", "decoder.layers.2.conv.0.weight", {4}, 1}};
    static const char *const tiny_names[] = {"taesd.encoder.0.weight",
                                             "taesd.decoder.3.conv.0.weight"};
    EXPECT(tiny, tiny_names);
}

static void test_odds_and_ends(void **state)
{
    (void)state;
    const struct item tiny_decoder[] = {{"", "1.weight", {4}, 1}, {"", "3.conv.0.weight", {4}, 1}};
    static const char *const tiny_decoder_names[] = {"taesd.decoder.1.weight",
                                                     "taesd.decoder.3.conv.0.weight"};
    EXPECT(tiny_decoder, tiny_decoder_names);
    const struct item tiny_encoder[] = {{"", "0.weight", {4}, 1}, {"", "3.conv.0.weight", {4}, 1}};
    static const char *const tiny_encoder_names[] = {"taesd.encoder.0.weight",
                                                     "taesd.encoder.3.conv.0.weight"};
    EXPECT(tiny_encoder, tiny_encoder_names);
    const struct item tiny_prefixed[] = {{"", "taesd_decoder.3.conv.0.weight", {4}, 1},
                                         {"", "taesd_encoder.0.bias", {4}, 1}};
    static const char *const tiny_prefixed_names[] = {"taesd.decoder.3.conv.0.weight",
                                                      "taesd.encoder.0.bias"};
    EXPECT(tiny_prefixed, tiny_prefixed_names);
    /* SD-Turbo: one encoder below the prefixes of SDXL's first */
    const struct item turbo[] = {{"", SDG_KEY_UNET "out.2.bias", {4}, 1},
                                 {"", "conditioner.embedders.0.model.ln_final.bias", {4}, 1},
                                 {"", "conditioner.embedders.0.model.logit_scale", {0}, 0}};
    static const char *const turbo_names[] = {SDG_KEY_UNET "out.2.bias",
                                              SDG_KEY_CLIP "text_model.final_layer_norm.bias",
                                              "conditioner.embedders.0.model.logit_scale"};
    EXPECT(turbo, turbo_names);
    const struct item playground[] = {
        {"", "conditioner.embedders.0.transformer.text_model.final_layer_norm.bias", {4}, 1},
        {"", "conditioner.embedders.1.model.text_projection.weight.weight", {4, 4}, 2}};
    static const char *const playground_names[] = {
        SDG_KEY_CLIP_0 "text_model.final_layer_norm.bias", SDG_KEY_CLIP_1 "text_projection.weight"};
    EXPECT(playground, playground_names);
    /* factors of a LoRA and the copies in a ControlNet are no weights of a UNet */
    const struct item lora[] = {{"", "unet.down_blocks.0.resnets.0.conv1.lora_A.weight", {4}, 1},
                                {"", "text_encoder.text_model.x.lora_B.weight", {4}, 1}};
    static const char *const lora_names[] = {"unet.down_blocks.0.resnets.0.conv1.lora_A.weight",
                                             "text_encoder.text_model.x.lora_B.weight"};
    EXPECT(lora, lora_names);
    const struct item control[] = {{"", "controlnet_cond_embedding.conv_in.bias", {4}, 1},
                                   {"", "down_blocks.0.resnets.0.conv1.bias", {4}, 1}};
    static const char *const control_names[] = {"controlnet_cond_embedding.conv_in.bias",
                                                "down_blocks.0.resnets.0.conv1.bias"};
    EXPECT(control, control_names);
    /* numbers that no UNet has stay as they are */
    const struct item absurd[] = {{"", "unet.down_blocks.99.resnets.0.conv1.bias", {4}, 1},
                                  {"", "unet.up_blocks.0.resnets.99999999.conv1.bias", {4}, 1}};
    static const char *const absurd_names[] = {SDG_KEY_UNET "down_blocks.99.resnets.0.conv1.bias",
                                               SDG_KEY_UNET
                                               "up_blocks.0.resnets.99999999.conv1.bias"};
    EXPECT(absurd, absurd_names);
}

/* ---- values ---- */

static void test_fused_and_transposed(void **state)
{
    const struct item items[] = {
        {"", "cond_stage_model.model.transformer.resblocks.0.attn.in_proj_weight", {6, 5}, 2},
        {"", "cond_stage_model.model.transformer.resblocks.0.attn.in_proj_bias", {6}, 1},
        {"", "cond_stage_model.model.transformer.resblocks.1.attn.in_proj_bias", {5}, 1},
        {"", "cond_stage_model.model.text_projection", {2, 3}, 2}};
    static const char *const thirds[] = {"q", "k", "v"};
    struct sdg_weights w;
    sdgen_error err = {0};
    (void)state;
    add_items(&w, items, 4);
    assert_int_equal(sdg_keys_canonical(&w, &err), SDGEN_OK);
    for (int i = 0; i < 3; i++) {
        char name[128];
        snprintf(name, sizeof name,
                 SDG_KEY_CLIP "text_model.encoder.layers.0.self_attn.%s_proj.weight", thirds[i]);
        const struct sdg_entry *e = sdg_weights_find(&w, name);
        assert_non_null(e);
        assert_int_equal(e->tensor.shape[0], 2);
        assert_int_equal(e->tensor.shape[1], 5);
        assert_ptr_equal(e->tensor.data, counting + i * 10L);
        assert_string_equal(e->stored, items[0].stored);
        snprintf(name, sizeof name,
                 SDG_KEY_CLIP "text_model.encoder.layers.0.self_attn.%s_proj.bias", thirds[i]);
        e = sdg_weights_find(&w, name);
        assert_non_null(e);
        assert_ptr_equal(e->tensor.data, counting + i * 2L);
    }
    assert_non_null(sdg_weights_find(&w, items[2].stored)); /* 5 rows are no three times anything */
    const struct sdg_entry *e = sdg_weights_find(&w, SDG_KEY_CLIP "text_projection.weight");
    assert_non_null(e);
    assert_int_equal(e->tensor.shape[0], 3);
    static const float turned[] = {0, 3, 1, 4, 2, 5};
    assert_memory_equal(e->tensor.data, turned, sizeof turned);
    sdg_weights_close(&w);
}

static void test_duplicates(void **state)
{
    const struct item same[] = {{"", "vae.quant_conv.bias", {4}, 1},
                                {"", "first_stage_model.quant_conv.bias", {4}, 1}};
    static const char *const same_names[] = {"first_stage_model.quant_conv.bias",
                                             "vae.quant_conv.bias"};
    struct sdg_weights w;
    sdgen_error err = {0};
    (void)state;
    add_items(&w, same, 2);
    assert_int_equal(sdg_keys_canonical(&w, &err), SDGEN_OK);
    assert_non_null(sdg_weights_find(&w, same_names[0]));
    sdg_weights_close(&w);
    const struct item other[] = {{"", "vae.quant_conv.bias", {4}, 1},
                                 {"", "first_stage_model.quant_conv.bias", {5}, 1}};
    add_items(&w, other, 2);
    assert_int_equal(sdg_keys_canonical(&w, &err), SDGEN_ERR_FORMAT);
    assert_non_null(strstr(err.text, "vae.quant_conv.bias and first_stage_model.quant_conv.bias"));
    sdg_weights_close(&w);
}

/* ---- names of what is missing ---- */

static void test_stored_names(void **state)
{
    static const struct {
        struct item neighbour;
        const char *missing, *want;
    } cases[] = {
        {{"unet", "down_blocks.0.resnets.0.norm1.bias", {4}, 1},
         SDG_KEY_UNET "input_blocks.1.0.in_layers.2.weight",
         "unet/down_blocks.0.resnets.0.conv1.weight"},
        {{"", "unet.down_blocks.0.resnets.0.norm1.bias", {4}, 1},
         SDG_KEY_UNET "time_embed.0.bias",
         "unet.time_embedding.linear_1.bias"},
        {{"", "input_blocks.1.0.in_layers.0.bias", {4}, 1},
         SDG_KEY_UNET "time_embed.0.bias",
         "time_embed.0.bias"},
        {{"", "cond_stage_model.model.ln_final.bias", {4}, 1},
         SDG_KEY_CLIP "text_model.encoder.layers.3.self_attn.k_proj.bias",
         "cond_stage_model.model.transformer.resblocks.3.attn.in_proj_bias"},
        {{"text_encoder", "final_layer_norm.bias", {4}, 1},
         SDG_KEY_CLIP "text_model.final_layer_norm.weight",
         "text_encoder/final_layer_norm.weight"},
        {{"vae", "decoder.conv_norm_out.bias", {4}, 1},
         SDG_KEY_VAE "decoder.mid.attn_1.q.weight",
         "vae/decoder.mid_block.attentions.0.to_q.weight"},
        {{"", "first_stage_model.decoder.norm_out.bias", {4}, 1},
         SDG_KEY_VAE "decoder.mid.attn_1.q.weight",
         "first_stage_model.decoder.mid.attn_1.q.weight"},
        /* nobody to learn from */
        {{"", "first_stage_model.decoder.norm_out.bias", {4}, 1},
         SDG_KEY_UNET "time_embed.0.bias",
         SDG_KEY_UNET "time_embed.0.bias"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sdg_weights w;
        sdgen_error err = {0};
        char stored[SDG_KEY_SIZE];
        add_items(&w, &cases[i].neighbour, 1);
        assert_int_equal(sdg_keys_canonical(&w, &err), SDGEN_OK);
        struct sdg_speller *s;
        assert_int_equal(sdg_speller_create(&s, &w, &err), SDGEN_OK);
        sdg_speller_stored(stored, s, cases[i].missing);
        sdg_speller_destroy(s);
        assert_string_equal(stored, cases[i].want);
        sdg_weights_close(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_folders),
        cmocka_unit_test(test_odds_and_ends),
        cmocka_unit_test(test_fused_and_transposed),
        cmocka_unit_test(test_duplicates),
        cmocka_unit_test(test_stored_names),
    };
    return cmocka_run_group_tests_name("keys_rules", tests, NULL, NULL);
}
