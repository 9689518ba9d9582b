/* test_keys.c - canonical names (weights/keys.h): against diffusers' and transformers' own
 * converters (tests/golden/keys.tsv, from tools/golden_keys.py), from every spelling back to
 * themselves, and what happens to fused tensors, duplicates, and files that are something else. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/support/families.h"
#include "weights/arch_names.h"
#include "weights/keys.h"
#include "weights/read.h"
#include "weights/sha256.h"

/* ---- lists of names ---- */

struct names {
    char **text;
    size_t count, room;
};

static void names_add(struct names *n, const char *name)
{
    if (n->count == n->room) {
        n->room = n->room ? 2 * n->room : 256;
        n->text = realloc(n->text, n->room * sizeof *n->text);
        assert_non_null(n->text);
    }
    n->text[n->count] = strdup(name);
    assert_non_null(n->text[n->count++]);
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void names_sort(struct names *n)
{
    if (n->count) qsort(n->text, n->count, sizeof *n->text, compare);
}

static void names_free(struct names *n)
{
    for (size_t i = 0; i < n->count; i++) free(n->text[i]);
    free(n->text);
    *n = (struct names) {0};
}

static void names_of(struct names *n, const struct sdg_weights *w)
{
    for (size_t i = 0; i < w->count; i++) names_add(n, w->entries[i].name);
    names_sort(n);
}

static void expect_same(const struct names *found, const struct names *wanted, const char *what)
{
    for (size_t i = 0; i < found->count && i < wanted->count; i++)
        if (strcmp(found->text[i], wanted->text[i]) != 0)
            fail_msg("%s: found %s, want %s", what, found->text[i], wanted->text[i]);
    if (found->count != wanted->count)
        fail_msg("%s: %zu names, want %zu", what, found->count, wanted->count);
}

/* ---- files ---- */

typedef bool spell_fn(char *spelt, size_t size, const char *name);

static void open_as(struct sdg_weights *w, struct test_blank *b, const struct test_family *f,
                    spell_fn *spell, const char *only)
{
    sdgen_error err = {0};
    test_blank_begin(b);
    b->spell = spell;
    b->only = only;
    test_family_add(b, f);
    test_blank_write(b);
    if (sdg_weights_open(w, b->path, &err) != SDGEN_OK) fail_msg("%s", err.text);
}

static void close_both(struct sdg_weights *w, struct test_blank *b)
{
    sdg_weights_close(w);
    test_blank_remove(b);
}

/* ---- against the originals ---- */

/* The lines that golden_keys.py hashes, for the tensors below one prefix. */
static void list_spelt(struct names *n, const struct sdg_weights *w, const char *prefix,
                       bool with_single)
{
    struct sdg_speller *s;
    sdgen_error err = {0};
    assert_int_equal(sdg_speller_create(&s, w, &err), SDGEN_OK);
    for (size_t i = 0; i < w->count; i++) {
        struct sdg_spelt single, folder;
        char line[2 * SDG_KEY_SIZE + 2];
        const char *name = w->entries[i].name, *rest = sdg_name_after(name, prefix);
        if (!rest) continue;
        assert_true(sdg_speller_spell(&single, s, name, SDG_SPELL_SINGLE));
        assert_true(sdg_speller_spell(&folder, s, name, SDG_SPELL_FOLDER));
        const char *below = sdg_name_after(single.name, "conditioner.embedders.1.model.");
        if (!below) below = sdg_name_after(single.name, prefix);
        assert_non_null(below);
        snprintf(line, sizeof line, "%s%s%s", with_single ? below : "", with_single ? "\t" : "",
                 folder.name);
        names_add(n, line);
    }
    sdg_speller_destroy(s);
    names_sort(n);
}

static void hash_of(char hex[SDG_SHA256_HEX], const struct names *n)
{
    struct sdg_sha256 hash;
    sdg_sha256_init(&hash);
    for (size_t i = 0; i < n->count; i++) {
        sdg_sha256_update(&hash, n->text[i], strlen(n->text[i]));
        sdg_sha256_update(&hash, "\n", 1);
    }
    sdg_sha256_hex(hex, &hash);
}

static void test_originals(void **state)
{
    char kind[8], family[32], component[8], want[SDG_SHA256_HEX], found[SDG_SHA256_HEX];
    size_t count, rows = 0;
    FILE *golden = fopen("tests/golden/keys.tsv", "r");
    (void)state;
    assert_non_null(golden);
    while (fscanf(golden, "%7s %31s %7s %zu %64s", kind, family, component, &count, want) == 5) {
        const char *prefix = strcmp(component, "unet") == 0  ? SDG_KEY_UNET
                             : strcmp(component, "vae") == 0 ? SDG_KEY_VAE
                                                             : SDG_KEY_CLIP_1;
        struct test_family f;
        struct test_blank b;
        struct sdg_weights w;
        struct names n = {0};
        test_family_named(&f, family, true);
        for (int i = 0; i < f.clip_count; i++) f.clips[i].layers = 3;
        open_as(&w, &b, &f, NULL, NULL);
        list_spelt(&n, &w, prefix, strcmp(kind, "pairs") == 0);
        hash_of(found, &n);
        if (n.count != count || strcmp(found, want) != 0)
            fail_msg("%s %s: %zu names with hash %s, want %zu with %s", family, component, n.count,
                     found, count, want);
        names_free(&n);
        close_both(&w, &b);
        rows++;
    }
    fclose(golden);
    assert_int_equal(rows, 14);
}

/* Parameters and tensors of the stock models (Stability AI's checkpoints, as published). */
static void test_counts(void **state)
{
    static const struct {
        const char *family, *only;
        size_t parameters, tensors;
    } known[] = {
        {"sd15", SDG_KEY_UNET, 859520964, 686},      {"sd15-inpaint", SDG_KEY_UNET, 859535364, 686},
        {"sd15-edit", SDG_KEY_UNET, 859532484, 686}, {"sd21", SDG_KEY_UNET, 865910724, 686},
        {"sdxl", SDG_KEY_UNET, 2567463684, 1680},    {"refiner", SDG_KEY_UNET, 2259526660, 1220},
        {"sd15", SDG_KEY_VAE, 83653863, 248},        {"sd15", SDG_KEY_CLIP, 123060480, 196},
        {"sd21", SDG_KEY_CLIP, 354032640, 389},      {"sdxl", SDG_KEY_CLIP_0, 123060480, 196},
        {"sdxl", SDG_KEY_CLIP_1, 694659840, 517},
    };
    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        struct test_family f;
        struct test_blank b;
        test_family_named(&f, known[i].family, false);
        test_blank_begin(&b);
        b.only = known[i].only;
        test_family_add(&b, &f);
        if (b.parameters != known[i].parameters || b.count != known[i].tensors)
            fail_msg("%s %s: %zu parameters in %zu tensors", known[i].family, known[i].only,
                     b.parameters, b.count);
        test_blank_remove(&b);
    }
}

/* ---- spellings ---- */

static const struct sdg_speller *speller; /* of the family that is being written */

static bool spell_single(char *spelt, size_t size, const char *name)
{
    struct sdg_spelt s;
    sdg_speller_spell(&s, speller, name, SDG_SPELL_SINGLE);
    snprintf(spelt, size, "%s", s.name);
    return s.third <= 0; /* the fused tensor once */
}

static void spell_with(char *spelt, size_t size, const char *name, const char *const prefixes[4])
{
    static const char *const folders[] = {"unet", "vae", "text_encoder", "text_encoder_2"};
    struct sdg_spelt s;
    int i = 0;
    sdg_speller_spell(&s, speller, name, SDG_SPELL_FOLDER);
    while (strcmp(folders[i], s.folder) != 0) i++;
    snprintf(spelt, size, "%s%s", prefixes[i], s.name);
}

/* Components of diffusers as prefixes. */
static bool spell_flat(char *spelt, size_t size, const char *name)
{
    static const char *const prefixes[] = {"unet.", "vae.", "text_encoder.", "text_encoder_2."};
    spell_with(spelt, size, name, prefixes);
    return true;
}

/* diffusers' names below the prefixes of single files and ComfyUI's. */
static bool spell_mixed(char *spelt, size_t size, const char *name)
{
    static const char *const prefixes[] = {SDG_KEY_UNET, SDG_KEY_VAE,
                                           "text_encoders.clip_l.transformer.", "clip_g."};
    spell_with(spelt, size, name, prefixes);
    return true;
}

static bool is_middle_attention(const char *name)
{
    return strstr(name, "mid.attn_1.") != NULL;
}

/* Before diffusers 0.17 the VAE's attention was named otherwise; and text encoders of transformers
 * 5 have no "text_model.". */
static bool spell_old_and_new(char *spelt, size_t size, const char *name)
{
    static const char *const swaps[][2] = {
        {"to_q.", "query."}, {"to_k.", "key."}, {"to_v.", "value."}, {"to_out.0.", "proj_attn."}};
    char *at;
    spell_flat(spelt, size, name);
    for (int i = 0; i < 4 && is_middle_attention(name); i++)
        if ((at = strstr(spelt, swaps[i][0]))) {
            sprintf(at, "%s%s", swaps[i][1], strrchr(name, '.') + 1);
            break;
        }
    if ((at = strstr(spelt, "text_model."))) memmove(at, at + 11, strlen(at + 11) + 1);
    return true;
}

static void test_spellings(void **state)
{
    static spell_fn *const spells[] = {NULL, spell_single, spell_flat, spell_mixed,
                                       spell_old_and_new};
    (void)state;
    for (int i = 0; i < TEST_FAMILIES; i++) {
        struct test_family f;
        struct test_blank b;
        struct sdg_weights w;
        struct names want = {0};
        struct sdg_speller *s;
        sdgen_error err = {0};
        test_family_make(&f, i, true);
        for (int k = 0; k < f.clip_count; k++) f.clips[k].layers = 2;
        open_as(&w, &b, &f, NULL, NULL);
        names_of(&want, &w);
        assert_int_equal(sdg_speller_create(&s, &w, &err), SDGEN_OK);
        speller = s;
        close_both(&w, &b);
        for (size_t k = 0; k < sizeof spells / sizeof spells[0]; k++) {
            struct names found = {0};
            char what[64];
            open_as(&w, &b, &f, spells[k], NULL);
            if (sdg_keys_canonical(&w, &err) != SDGEN_OK) fail_msg("%s", err.text);
            names_of(&found, &w);
            snprintf(what, sizeof what, "%s, spelling %zu", f.name, k);
            expect_same(&found, &want, what);
            names_free(&found);
            close_both(&w, &b);
        }
        sdg_speller_destroy(s);
        names_free(&want);
    }
}

/* ---- single networks, folders ---- */

static bool spell_bare(char *spelt, size_t size, const char *name)
{
    static const char *const none[] = {"", "", "", ""};
    spell_with(spelt, size, name, none);
    return true;
}

static bool spell_bare_single(char *spelt, size_t size, const char *name)
{
    static const char *const prefixes[] = {SDG_KEY_UNET, SDG_KEY_VAE, "cond_stage_model.model.",
                                           "cond_stage_model.transformer.",
                                           "conditioner.embedders.1.model."};
    char full[SDG_KEY_SIZE];
    const bool kept = spell_single(full, sizeof full, name);
    const char *rest = full;
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++)
        if (sdg_name_after(full, prefixes[i])) rest = sdg_name_after(full, prefixes[i]);
    snprintf(spelt, size, "%s", rest);
    return kept;
}

/* Each network alone in a file, with nothing in front of its names. A text encoder alone is one of
 * SD1's kind, wherever it came from. */
static void test_bare(void **state)
{
    static const struct {
        const char *family, *only;
    } alone[] = {{"sd15", SDG_KEY_UNET}, {"sdxl", SDG_KEY_UNET}, {"ssd-1b", SDG_KEY_UNET},
                 {"sd15", SDG_KEY_VAE},  {"sd15", SDG_KEY_CLIP}, {"sd21", SDG_KEY_CLIP}};
    static spell_fn *const spells[] = {spell_bare, spell_bare_single};
    (void)state;
    for (size_t i = 0; i < sizeof alone / sizeof alone[0]; i++) {
        struct test_family f;
        struct test_blank b;
        struct sdg_weights w;
        struct names want = {0};
        struct sdg_speller *s;
        sdgen_error err = {0};
        test_family_named(&f, alone[i].family, true);
        open_as(&w, &b, &f, NULL, alone[i].only);
        names_of(&want, &w);
        assert_int_equal(sdg_speller_create(&s, &w, &err), SDGEN_OK);
        speller = s;
        close_both(&w, &b);
        for (int k = 0; k < 2; k++) {
            struct names found = {0};
            open_as(&w, &b, &f, spells[k], alone[i].only);
            if (sdg_keys_canonical(&w, &err) != SDGEN_OK) fail_msg("%s", err.text);
            names_of(&found, &w);
            expect_same(&found, &want, alone[i].family);
            names_free(&found);
            close_both(&w, &b);
        }
        sdg_speller_destroy(s);
        names_free(&want);
    }
}

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
    static const char *const refiner_names[] = {SDG_KEY_UNET "label_emb.0.0.bias", SDG_KEY_CLIP_0
                                                "text_model.embeddings.token_embedding.weight"};
    struct sdg_weights w;
    add_items(&w, refiner, 3);
    sdgen_error err = {0};
    assert_int_equal(sdg_keys_canonical(&w, &err), SDGEN_OK);
    for (int i = 0; i < 2; i++) assert_non_null(sdg_weights_find(&w, refiner_names[i]));
    sdg_weights_close(&w);
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
    static const char prefix[] = "cond_stage_model.model.transformer.resblocks.0.";
    const struct item items[] = {
        {"", "cond_stage_model.model.transformer.resblocks.0.attn.in_proj_weight", {6, 5}, 2},
        {"", "cond_stage_model.model.transformer.resblocks.0.attn.in_proj_bias", {6}, 1},
        {"", "cond_stage_model.model.transformer.resblocks.1.attn.in_proj_bias", {5}, 1},
        {"", "cond_stage_model.model.text_projection", {2, 3}, 2}};
    static const char *const thirds[] = {"q", "k", "v"};
    struct sdg_weights w;
    sdgen_error err = {0};
    (void)state, (void)prefix;
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
        sdg_keys_stored(stored, &w, cases[i].missing);
        assert_string_equal(stored, cases[i].want);
        sdg_weights_close(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_originals),
        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_spellings),
        cmocka_unit_test(test_bare),
        cmocka_unit_test(test_folders),
        cmocka_unit_test(test_odds_and_ends),
        cmocka_unit_test(test_fused_and_transposed),
        cmocka_unit_test(test_duplicates),
        cmocka_unit_test(test_stored_names),
    };
    return cmocka_run_group_tests_name("keys", tests, NULL, NULL);
}
