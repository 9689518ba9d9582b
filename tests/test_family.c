/* test_family.c - every kind of weight file is known by the names and shapes that the real ones
 * have, and refused by name where it does not run; then what sdg_model_open makes of whole models.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/support/blankfile.h"
#include "tests/support/families.h"
#include "weights/family.h"
#include "weights/keys.h"
#include "weights/model.h"

#define UNET "model.diffusion_model."
#define CONTEXT UNET "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"
#define CONV_IN UNET "input_blocks.0.0.weight"
#define LABEL UNET "label_emb.0.0.weight"
#define CLIP_L "cond_stage_model.transformer.text_model.final_layer_norm.weight"
#define OPENCLIP "cond_stage_model.model.ln_final.weight"

struct named {
    const char *name;
    int64_t a, b; /* shape [a,b]; b is 0 where it does not matter */
};

struct specimen {
    enum sdg_kind kind;
    const char *words; /* in the refusal; of what runs, in the name */
    struct named has[6];
};

static const struct specimen specimens[] = {
    {SDG_KIND_CHECKPOINT,
     "Stable Diffusion 1.x checkpoint",
     {{CONV_IN, 320, 4}, {CONTEXT, 320, 768}, {CLIP_L, 1, 0}}},
    {SDG_KIND_CHECKPOINT,
     "Stable Diffusion 1.x checkpoint",
     {{CONV_IN, 64, 4},
      {CONTEXT, 64, 128},
      {"cond_stage_model.transformer.encoder.layers.0.layer_norm1.bias", 1, 0}}},
    /* an old full ControlNet file holds the checkpoint it was trained on */
    {SDG_KIND_CHECKPOINT,
     "1.x",
     {{CONV_IN, 320, 4}, {CONTEXT, 320, 768}, {CLIP_L, 1, 0}, {"control_model.x", 1, 0}}},
    {SDG_KIND_CHECKPOINT,
     "1.x inpainting",
     {{CONV_IN, 320, 9}, {CONTEXT, 320, 768}, {CLIP_L, 1, 0}}},
    {SDG_KIND_CHECKPOINT,
     "1.x InstructPix2Pix",
     {{CONV_IN, 320, 8}, {CONTEXT, 320, 768}, {CLIP_L, 1, 0}}},
    {SDG_KIND_FOREIGN,
     "extra input channels",
     {{CONV_IN, 320, 6}, {CONTEXT, 320, 768}, {CLIP_L, 1, 0}}},
    {SDG_KIND_CHECKPOINT,
     "Stable Diffusion 2.x checkpoint",
     {{CONV_IN, 320, 4}, {CONTEXT, 320, 1024}, {OPENCLIP, 1, 0}}},
    /* shrunk: OpenCLIP's names tell */
    {SDG_KIND_CHECKPOINT,
     "Stable Diffusion 2.x checkpoint",
     {{CONV_IN, 32, 4},
      {CONTEXT, 32, 64},
      {"cond_stage_model.model.transformer.resblocks.0.ln_1.weight", 64, 0}}},
    {SDG_KIND_CHECKPOINT,
     "2.x inpainting",
     {{CONV_IN, 320, 9}, {CONTEXT, 320, 1024}, {OPENCLIP, 1, 0}}},
    {SDG_KIND_CHECKPOINT, "2.x depth", {{CONV_IN, 320, 5}, {CONTEXT, 320, 1024}, {OPENCLIP, 1, 0}}},
    {SDG_KIND_FOREIGN, "x4 upscaler", {{CONV_IN, 256, 7}, {CONTEXT, 256, 1024}, {OPENCLIP, 1, 0}}},
    {SDG_KIND_FOREIGN,
     "unCLIP",
     {{CONV_IN, 320, 4}, {CONTEXT, 320, 1024}, {LABEL, 1280, 2048}, {OPENCLIP, 1, 0}}},
    {SDG_KIND_CHECKPOINT,
     "Stable Diffusion XL checkpoint",
     {{CONV_IN, 320, 4},
      {CONTEXT, 640, 2048},
      {LABEL, 1280, 2816},
      {"conditioner.embedders.1.model.ln_final.weight", 1, 0}}},
    /* shrunk: what is left of label_emb's width beside the pooled text */
    {SDG_KIND_CHECKPOINT,
     "Stable Diffusion XL checkpoint",
     {{CONV_IN, 32, 4},
      {CONTEXT, 64, 192},
      {LABEL, 128, 128 + 6 * 256},
      {"conditioner.embedders.0.transformer.text_model.final_layer_norm.weight", 64, 0},
      {"conditioner.embedders.1.model.ln_final.weight", 128, 0}}},
    {SDG_KIND_CHECKPOINT,
     "refiner checkpoint",
     {{CONV_IN, 32, 4},
      {CONTEXT, 64, 128},
      {LABEL, 128, 128 + 5 * 256},
      {"conditioner.embedders.0.model.ln_final.weight", 128, 0}}},
    {SDG_KIND_CHECKPOINT,
     "XL inpainting",
     {{CONV_IN, 320, 9},
      {CONTEXT, 640, 2048},
      {LABEL, 1280, 2816},
      {"conditioner.embedders.1.model.ln_final.weight", 1, 0}}},
    {SDG_KIND_CHECKPOINT,
     "XL InstructPix2Pix",
     {{CONV_IN, 320, 8},
      {CONTEXT, 640, 2048},
      {LABEL, 1280, 2816},
      {"conditioner.embedders.1.model.ln_final.weight", 1, 0}}},
    {SDG_KIND_UNET,
     "XL inpainting UNet",
     {{CONV_IN, 320, 9}, {CONTEXT, 640, 2048}, {LABEL, 1280, 2816}}},
    {SDG_KIND_CHECKPOINT,
     "XL refiner",
     {{CONV_IN, 384, 4},
      {CONTEXT, 768, 1280},
      {LABEL, 1536, 2560},
      {"conditioner.embedders.0.model.ln_final.weight", 1, 0}}},
    {SDG_KIND_FOREIGN,
     "Stable Diffusion 3",
     {{UNET "joint_blocks.0.context_block.attn.qkv.bias", 1, 0}}},
    {SDG_KIND_FOREIGN, "Flux", {{"double_blocks.0.img_attn.norm.key_norm.scale", 1, 0}}},
    {SDG_KIND_FOREIGN,
     "Stable Video",
     {{UNET "input_blocks.1.1.time_stack.0.norm1.bias", 1, 0}, {CONTEXT, 320, 1024}}},
    {SDG_KIND_FOREIGN,
     "AnimateDiff",
     {{"down_blocks.0.motion_modules.0.temporal_transformer.norm.bias", 1, 0}}},
    {SDG_KIND_FOREIGN, "Cascade", {{"clip_txt_mapper.weight", 1, 0}, {"x", 1, 0}}},
    {SDG_KIND_FOREIGN, "PixArt", {{"adaln_single.emb.timestep_embedder.linear_1.bias", 1, 0}}},
    {SDG_KIND_FOREIGN, "Wan", {{UNET "head.modulation", 1, 0}, {UNET "x", 1, 0}}},
    {SDG_KIND_FOREIGN, "IP-Adapter", {{"ip_adapter.1.to_k_ip.weight", 1, 2}, {"x", 1, 0}}},
    {SDG_KIND_UNET,
     "1.x UNet",
     {{CONV_IN, 320, 4}, {CONTEXT, 320, 768}, {"first_stage_model.decoder.conv_in.bias", 1, 0}}},
    {SDG_KIND_UNET, "--clip-l", {{"input_blocks.0.0.weight", 320, 4}}},
    {SDG_KIND_UNET,
     "1.x UNet",
     {{"down_blocks.0.resnets.0.conv1.bias", 1, 0}, {"conv_in.weight", 320, 4}}},
    {SDG_KIND_VAE, "--vae", {{"first_stage_model.decoder.conv_in.bias", 1, 0}}},
    {SDG_KIND_VAE, "--vae", {{"decoder.up.0.block.0.norm1.bias", 1, 0}}},
    {SDG_KIND_VAE, "--vae", {{"decoder.up_blocks.0.resnets.0.conv1.bias", 1, 0}}},
    {SDG_KIND_TEXT_ENCODER, "text encoder", {{"text_model.encoder.layers.0.mlp.fc1.bias", 1, 0}}},
    {SDG_KIND_TEXT_ENCODER, "--clip-l", {{"encoder.layers.0.self_attn.k_proj.bias", 1, 0}}},
    {SDG_KIND_TEXT_ENCODER, "--clip-l", {{"transformer.resblocks.0.ln_1.bias", 1, 0}}},
    {SDG_KIND_CONTROLNET, "ControlNet", {{"control_model.input_hint_block.0.bias", 1, 0}}},
    {SDG_KIND_CONTROLNET,
     "ControlNet",
     {{"controlnet_cond_embedding.conv_in.bias", 1, 0},
      {"down_blocks.0.resnets.0.conv1.bias", 1, 0}}},
    {SDG_KIND_LORA,
     "LoRA",
     {{"lora_unet_mid_block_attentions_0_proj_in.lora_down.weight", 4, 320},
      {"lora_unet_mid_block_attentions_0_proj_in.lora_up.weight", 320, 4}}},
    {SDG_KIND_LORA, "LoRA", {{"unet.mid_block.attentions.0.proj_in.lora_A.weight", 4, 320}}},
    {SDG_KIND_LORA, "LoRA", {{"lora_unet_mid_block_attentions_0_proj_in.hada_w1_a", 4, 320}}},
    {SDG_KIND_EMBEDDING, "embedding", {{"emb_params", 4, 768}}},
    {SDG_KIND_EMBEDDING, "embedding", {{"<cat-toy>", 1, 768}}},
    {SDG_KIND_EMBEDDING, "embedding", {{"clip_l", 4, 768}, {"clip_g", 4, 1280}}},
    {SDG_KIND_TAESD, "TAESD", {{"3.conv.0.weight", 64, 64}, {"1.weight", 64, 4}}},
    {SDG_KIND_TAESD, "TAESD", {{"decoder.layers.2.conv.0.weight", 64, 64}}},
    {SDG_KIND_ESRGAN, "ESRGAN", {{"model.1.sub.0.RDB1.conv1.0.weight", 32, 64}, {"x", 1, 0}}},
    {SDG_KIND_ESRGAN, "ESRGAN", {{"body.0.rdb1.conv1.weight", 32, 64}, {"conv_first.bias", 1, 0}}},
    {SDG_KIND_UNKNOWN, "bert.encoder", {{"bert.encoder", 2, 3}, {"cls", 1, 0}}},
    {SDG_KIND_UNKNOWN, "0 tensors", {{NULL, 0, 0}}},
    /* conditioned on a label of unknown meaning */
    {SDG_KIND_UNKNOWN,
     "label_emb",
     {{CONV_IN, 320, 4}, {CONTEXT, 320, 555}, {LABEL, 320, 777}, {CLIP_L, 1, 0}}},
};

static void open_blank(struct sdg_weights *w, struct test_blank *b)
{
    sdgen_error err = {0};
    test_blank_write(b);
    if (sdg_weights_open(w, b->path, &err) != SDGEN_OK) fail_msg("%s", err.text);
    if (sdg_keys_canonical(w, &err) != SDGEN_OK) fail_msg("%s", err.text);
}

static void test_specimens(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof specimens / sizeof specimens[0]; i++) {
        const struct specimen *s = &specimens[i];
        struct test_blank b;
        struct sdg_weights w;
        struct sdg_finding f;
        sdgen_error err = {0};
        test_blank_begin(&b);
        for (int t = 0; t < 6 && s->has[t].name; t++)
            test_blank_add(&b, s->has[t].name, SDG_F16,
                           (const int64_t[]) {s->has[t].a, s->has[t].b}, s->has[t].b ? 2 : 1);
        open_blank(&w, &b);
        sdg_family_find(&f, &w);
        const sdgen_status status = sdg_family_check(&f, &w, &err);
        if (f.kind != s->kind)
            fail_msg("specimen %zu is of kind %d, found %d: %s", i, (int)s->kind, (int)f.kind,
                     err.text);
        const bool runs = s->kind == SDG_KIND_CHECKPOINT;
        assert_int_equal(status, runs                          ? SDGEN_OK
                                 : s->kind == SDG_KIND_UNKNOWN ? SDGEN_ERR_MODEL
                                                               : SDGEN_ERR_ARG);
        assert_true(f.evidence_count > 0);
        if (!strstr(runs ? f.name : err.text, s->words) || (!runs && !strstr(err.text, b.path)))
            fail_msg("specimen %zu: no '%s' in: %s%s", i, s->words, f.name, err.text);
        sdg_weights_close(&w);
        test_blank_remove(&b);
    }
}

/* ---- whole models ---- */

static struct sdg_model *new_model(void)
{
    struct sdg_model *m = calloc(1, sizeof *m);
    assert_non_null(m);
    return m;
}

/* Writes b as the small model with one metadata entry, opens it, and gives the status. */
static sdgen_status open_small(struct sdg_model *m, struct test_blank *b, const char *key,
                               const char *value, sdgen_error *err)
{
    test_blank_begin(b);
    test_blank_metadata(b, key, value);
    test_blank_model(b, &test_small_clip, &test_small_unet, &test_small_vae);
    test_blank_write(b);
    const struct sdg_model_options options = {.path = b->path};
    return sdg_model_open(m, &options, err);
}

static void test_native_size(void **state)
{
    static const struct {
        const char *text;
        int width, height;
    } cases[] = {{"128x128", 128, 128},  {"640x448", 640, 448},  {"512x513", 512, 512},
                 {"128", 512, 512},      {"128x128x", 512, 512}, {"-64x64", 512, 512},
                 {"99999x64", 512, 512}, {"8x8", 512, 512},      {"", 512, 512},
                 {"64x4096", 64, 4096}};
    struct sdg_model *m = new_model();
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct test_blank b;
        sdgen_error err = {0};
        if (open_small(m, &b, "modelspec.resolution", cases[i].text, &err) != SDGEN_OK)
            fail_msg("%s", err.text);
        assert_int_equal(m->facts.native_width, cases[i].width);
        assert_int_equal(m->facts.native_height, cases[i].height);
        sdg_model_close(m);
        test_blank_remove(&b);
    }
    free(m);
}

/* ---- facts ---- */

/* The small model of a family with one metadata entry (key may be NULL) and one scalar more. */
static void open_family(struct sdg_model *m, struct test_blank *b, const char *family,
                        const char *key, const char *value, const char *flag)
{
    struct test_family f;
    sdgen_error err = {0};
    test_family_named(&f, family, true);
    test_blank_begin(b);
    if (key) test_blank_metadata(b, key, value);
    test_family_add(b, &f);
    if (flag) test_blank_add(b, flag, SDG_F32, (const int64_t[]) {1}, 1);
    test_blank_write(b);
    const struct sdg_model_options options = {.path = b->path};
    if (sdg_model_open(m, &options, &err) != SDGEN_OK) fail_msg("%s: %s", family, err.text);
}

static void test_targets(void **state)
{
    static const struct {
        const char *family, *key, *value, *flag;
        enum sdg_target target;
        bool zero_snr;
        const char *evidence;
    } cases[] = {
        {"sd15", NULL, NULL, NULL, SDG_TARGET_EPS, false, "nothing says otherwise"},
        {"sd15", "modelspec.prediction_type", "v", NULL, SDG_TARGET_V, false, "modelspec"},
        {"sd15", "modelspec.prediction_type", "epsilon", "v_pred", SDG_TARGET_V, false, "v_pred"},
        {"sd15", "modelspec.prediction_type", "no word", NULL, SDG_TARGET_EPS, false, "nothing"},
        {"sd15", "modelspec.prediction_type", "v_prediction", NULL, SDG_TARGET_V, false,
         "modelspec"},
        {"sdxl", "ss_v_parameterization", "True", "ztsnr", SDG_TARGET_V, true, "ss_v"},
        {"sdxl", NULL, NULL, "edm_vpred.sigma_max", SDG_TARGET_EDM_V, false, "EDM"},
    };
    struct sdg_model *m = new_model();
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct test_blank b;
        open_family(m, &b, cases[i].family, cases[i].key, cases[i].value, cases[i].flag);
        assert_int_equal(m->facts.target, cases[i].target);
        assert_int_equal(m->facts.zero_terminal_snr, cases[i].zero_snr);
        assert_int_equal(m->unused, 0); /* flags are none */
        assert_non_null(strstr(m->facts.evidence[0], cases[i].evidence));
        if (cases[i].target == SDG_TARGET_EDM_V) { /* the file's 0 makes no sense; CosXL's */
            assert_true(m->facts.sigma_max == 120.0f && m->facts.sigma_min == 0.002f);
            assert_true(m->facts.sigma_data == 1.0f);
        }
        sdg_model_close(m);
        test_blank_remove(&b);
    }
    free(m);
}

/* The smaller ones by name. */
static void test_variants(void **state)
{
    static const struct {
        const char *family, *name;
    } cases[] = {{"sd15", "Stable Diffusion 1.x checkpoint"},
                 {"sd15-inpaint", "Stable Diffusion 1.x inpainting checkpoint"},
                 {"sdxl", "Stable Diffusion XL checkpoint"},
                 {"refiner", "Stable Diffusion XL refiner checkpoint"},
                 {"ssd-1b", "Stable Diffusion XL checkpoint (SSD-1B)"},
                 {"vega", "Stable Diffusion XL checkpoint (Segmind-Vega)"},
                 {"koala-700m", "Stable Diffusion XL checkpoint (KOALA-700M)"},
                 {"koala-1b", "Stable Diffusion XL checkpoint (KOALA-1B)"},
                 {"bk-sdm-base", "Stable Diffusion 1.x checkpoint (BK-SDM base)"},
                 {"bk-sdm-small", "Stable Diffusion 1.x checkpoint (BK-SDM small, small-sd)"},
                 {"bk-sdm-tiny", "Stable Diffusion 1.x checkpoint (BK-SDM tiny, tiny-sd)"},
                 {"sdxs-512", "Stable Diffusion 1.x checkpoint (SDXS-512)"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (int small = 0; small < 2; small++) {
            struct test_family family;
            struct test_blank b;
            struct sdg_weights w;
            struct sdg_finding f;
            test_family_named(&family, cases[i].family, small);
            test_blank_begin(&b);
            test_family_add(&b, &family);
            open_blank(&w, &b);
            sdg_family_find(&f, &w);
            assert_string_equal(f.name, cases[i].name);
            sdg_weights_close(&w);
            test_blank_remove(&b);
        }
}

/* A folder of another pipeline has networks that sdgen reads, and says what it is. */
static void test_other_pipeline(void **state)
{
    static struct sdg_sidetext index = {"model_index.json", "{\"_class_name\": \"FluxPipeline\"}"};
    struct test_blank b;
    struct sdg_weights w;
    struct sdg_finding f;
    sdgen_error err = {0};
    (void)state;
    test_blank_begin(&b);
    test_blank_add(&b, "vae.quant_conv.bias", SDG_F16, (const int64_t[]) {8}, 1);
    open_blank(&w, &b);
    w.texts = &index;
    w.text_count = 1;
    sdg_family_find(&f, &w);
    assert_int_equal(sdg_family_check(&f, &w, &err), SDGEN_ERR_ARG);
    assert_non_null(strstr(err.text, "FluxPipeline of diffusers"));
    w.texts = NULL;
    sdg_weights_close(&w);
    test_blank_remove(&b);
}

/* Every family opens, with its encoders, and is told apart with widths of its own. */
static void test_families(void **state)
{
    struct sdg_model *m = new_model();
    (void)state;
    for (int i = 0; i < TEST_FAMILIES; i++) {
        struct test_family f;
        struct test_blank b;
        test_family_make(&f, i, true);
        open_family(m, &b, f.name, NULL, NULL, NULL);
        const struct sdg_facts *facts = &m->facts;
        const bool xl = f.family == SDG_FAMILY_SDXL || f.family == SDG_FAMILY_SDXL_REFINER;
        assert_int_equal(facts->family, f.family);
        assert_int_equal(m->clip_count, f.clip_count);
        assert_int_equal(facts->native_width, xl ? 1024 : 512);
        assert_true(facts->latent_scale == (xl ? 0.13025f : 0.18215f));
        assert_int_equal(facts->extra, f.unet.in_channels == 9   ? SDG_EXTRA_INPAINT
                                       : f.unet.in_channels == 8 ? SDG_EXTRA_EDIT
                                                                 : SDG_EXTRA_NONE);
        assert_int_equal(facts->label, f.family == SDG_FAMILY_SDXL_REFINER ? SDG_LABEL_REFINER
                                       : xl                                ? SDG_LABEL_SIZES
                                                                           : SDG_LABEL_NONE);
        for (int k = 0; k < f.clip_count; k++) {
            assert_int_equal(m->takes[k].plain, xl);
            assert_int_equal(m->takes[k].pooled, xl && k == f.clip_count - 1);
            assert_int_equal(m->clips[k].config.width, f.clips[k].width);
            assert_int_equal(m->clips[k].config.activation, f.clips[k].activation);
            assert_int_equal(m->takes[k].skip, f.family != SDG_FAMILY_SD1);
        }
        assert_int_equal(m->unused, 0);
        assert_int_equal(facts->distilled, strcmp(f.name, "sdxs-512") == 0 ? SDG_DISTILLED_ONE_STEP
                                                                           : SDG_DISTILLED_NO);
        sdg_model_close(m);
        test_blank_remove(&b);
    }
    free(m);
}

static void test_other_vae(void **state)
{
    struct test_blank model, vae, unet;
    struct sdg_model *m = new_model();
    struct sdg_vae_config other = test_small_vae;
    struct sdg_model_options options = {0};
    sdgen_error err = {0};
    (void)state;
    test_blank_begin(&model);
    test_blank_model(&model, &test_small_clip, &test_small_unet, NULL);
    test_blank_write(&model);
    options.path = model.path;
    assert_int_equal(sdg_model_open(m, &options, &err), SDGEN_ERR_MODEL);
    assert_non_null(strstr(err.text, "--vae"));

    other.channels[1] = 96; /* bare names, as VAE files have them */
    test_blank_begin(&vae);
    struct sdg_vae *slots = calloc(1, sizeof *slots);
    sdg_vae_bind(slots, &other, &vae.binder);
    free(slots);
    test_blank_write(&vae);
    options.vae_path = vae.path;
    if (sdg_model_open(m, &options, &err) != SDGEN_OK) fail_msg("%s", err.text);
    assert_int_equal(m->vae.config.channels[1], 96);
    assert_string_equal(m->vae_file.path, vae.path);
    sdg_model_close(m);

    test_blank_begin(&unet); /* no VAE in there either: the message names that file */
    test_blank_model(&unet, NULL, &test_small_unet, NULL);
    test_blank_write(&unet);
    options.vae_path = unet.path;
    assert_int_equal(sdg_model_open(m, &options, &err), SDGEN_ERR_MODEL);
    assert_non_null(strstr(err.text, unet.path));
    test_blank_remove(&model);
    test_blank_remove(&vae);
    test_blank_remove(&unet);
    free(m);
}

/* A checkpoint's own VAE, replaced, is not counted as unused. */
static void test_whole_checkpoint_as_vae(void **state)
{
    struct test_blank a, b;
    struct sdg_model *m = new_model();
    sdgen_error err = {0};
    (void)state;
    assert_int_equal(open_small(m, &a, "k", "v", &err), SDGEN_OK);
    sdg_model_close(m);
    assert_int_equal(open_small(m, &b, "k", "v", &err), SDGEN_OK);
    sdg_model_close(m);
    const struct sdg_model_options options = {.path = a.path, .vae_path = b.path};
    if (sdg_model_open(m, &options, &err) != SDGEN_OK) fail_msg("%s", err.text);
    assert_int_equal(m->unused, 0);
    sdg_model_close(m);
    test_blank_remove(&a);
    test_blank_remove(&b);
    free(m);
}

/* The old naming leaves "text_model." out of the text encoder's names. */
static bool spell_old(char *spelt, size_t size, const char *name)
{
    const char *cut = strstr(name, "text_model.");
    snprintf(spelt, size, "%.*s%s", (int)(cut - name), name, cut + strlen("text_model."));
    return true;
}

static void test_old_text_encoder_names(void **state)
{
    struct test_blank b;
    struct sdg_model *m = new_model();
    struct sdg_clip *slots = calloc(1, sizeof *slots);
    sdgen_error err = {0};
    (void)state;
    test_blank_begin(&b);
    b.prefix = "cond_stage_model.transformer.";
    b.spell = spell_old;
    sdg_clip_bind(slots, &test_small_clip, &b.binder);
    b.spell = NULL;
    test_blank_model(&b, NULL, &test_small_unet, &test_small_vae);
    test_blank_write(&b);
    const struct sdg_model_options options = {.path = b.path};
    if (sdg_model_open(m, &options, &err) != SDGEN_OK) fail_msg("%s", err.text);
    assert_int_equal(m->unused, 0);
    sdg_model_close(m);
    test_blank_remove(&b);
    free(slots);
    free(m);
}

static void test_networks_that_do_not_fit(void **state)
{
    const struct sdg_clip_config clip = test_small_clip;
    struct sdg_clip_config other = clip;
    struct sdg_unet_config unet = test_small_unet;
    const struct sdg_vae_config vae = test_small_vae;
    sdgen_error err = {0};
    (void)state;
    const struct sdg_clip_config *one[] = {&clip}, *another[] = {&other};
    const struct sdg_facts facts = {0};
    assert_int_equal(sdg_model_fits(one, 1, &unet, &vae, &facts, "x", &err), SDGEN_OK);
    assert_int_equal(sdg_model_fits(one, 1, &unet, NULL, &facts, "x", &err), SDGEN_OK);
    other.vocab = 1000;
    assert_int_equal(sdg_model_fits(another, 1, &unet, &vae, &facts, "x", &err), SDGEN_ERR_MODEL);
    other = clip;
    other.positions = 40;
    assert_int_equal(sdg_model_fits(another, 1, &unet, &vae, &facts, "x", &err), SDGEN_ERR_MODEL);
    unet.context = 128;
    assert_int_equal(sdg_model_fits(one, 1, &unet, &vae, &facts, "x", &err), SDGEN_ERR_MODEL);
    assert_non_null(strstr(err.text, "64 wide"));
    unet = test_small_unet;
    unet.out_channels = 8;
    assert_int_equal(sdg_model_fits(one, 1, &unet, &vae, &facts, "x", &err), SDGEN_ERR_MODEL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_specimens),
        cmocka_unit_test(test_native_size),
        cmocka_unit_test(test_targets),
        cmocka_unit_test(test_variants),
        cmocka_unit_test(test_other_pipeline),
        cmocka_unit_test(test_families),
        cmocka_unit_test(test_other_vae),
        cmocka_unit_test(test_whole_checkpoint_as_vae),
        cmocka_unit_test(test_old_text_encoder_names),
        cmocka_unit_test(test_networks_that_do_not_fit),
    };
    return cmocka_run_group_tests_name("family", tests, NULL, NULL);
}
