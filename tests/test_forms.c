/* test_forms.c - models of several files: what diffusers, transformers and huggingface_hub wrote
 * (tools/golden_forms.py), each file of which is filled with a number of its own; and folders,
 * indexes and archives that are wrong or mean harm. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/support/hostile.h"
#include "files/read.h"

#define GOLDEN "tests/golden/forms/"

/* ---- what the originals wrote ---- */

static void open_model(struct sdg_weights *w, const char *path, const char *variant)
{
    sdgen_error err = {0};
    if (sdg_weights_open_variant(w, path, variant, &err) != SDGEN_OK) fail_msg("%s", err.text);
    assert_string_equal(w->path, path);
    (void)test_touch(w);
}

/* Fails unless all numbers of a component are the given one, and there are `tensors` of it. */
static void expect_part(const struct sdg_weights *w, const char *part, float number, size_t tensors)
{
    size_t count = 0;
    for (size_t i = 0; i < w->count; i++) {
        const struct sdg_entry *e = &w->entries[i];
        float y;
        if (strcmp(e->part, part) != 0) continue;
        char name[300];
        snprintf(name, sizeof name, "%s%s%s", part, part[0] ? "." : "", e->stored);
        assert_string_equal(e->name, name);
        count++;
        if (strstr(e->stored, "position_ids")) continue;
        sdg_tensor_widen(&y, &e->tensor, 0, 1);
        if (y != number) fail_msg("%s is %g, not %g", e->name, (double)y, (double)number);
    }
    assert_int_equal(count, tensors);
}

static void expect_model(const char *path, const char *variant, enum sdg_form form,
                         const float numbers[4])
{
    struct sdg_weights w;
    open_model(&w, path, variant);
    assert_int_equal(w.form, form);
    expect_part(&w, "unet", numbers[0], 6);
    expect_part(&w, "vae", numbers[1], 6);
    expect_part(&w, "text_encoder", numbers[2], 20);
    expect_part(&w, "text_encoder_2", numbers[3], 6);
    assert_int_equal(w.count, 38);
    assert_non_null(strstr(sdg_weights_text(&w, "model_index.json"), "StableDiffusionXLPipeline"));
    assert_non_null(strstr(sdg_weights_text(&w, "unet/config.json"), "\"width\": 16"));
    assert_non_null(strstr(sdg_weights_text(&w, "text_encoder/config.json"), "CLIPTextModel"));
    assert_non_null(strstr(sdg_weights_text(&w, "scheduler/scheduler_config.json"), "PNDM"));
    assert_null(sdg_weights_text(&w, "config.json"));
    assert_string_equal(sdg_weights_metadata(&w, "format"), "pt");
    assert_int_equal(w.metadata_count, 1);
    sdg_weights_close(&w);
}

static void test_variants(void **state)
{
    (void)state;
    expect_model(GOLDEN "model", NULL, SDG_FORM_FOLDER, (const float[]) {1, 4, 6, 8});
    expect_model(GOLDEN "model/", NULL, SDG_FORM_FOLDER, (const float[]) {1, 4, 6, 8});
    expect_model(GOLDEN "model", "fp16", SDG_FORM_FOLDER, (const float[]) {2, 4, 7, 10});
    expect_model(GOLDEN "model", "non_ema", SDG_FORM_FOLDER, (const float[]) {3, 5, 6, 8});
    expect_model(GOLDEN "model/model_index.json", NULL, SDG_FORM_FOLDER,
                 (const float[]) {1, 4, 6, 8});
    expect_model(GOLDEN "model.dduf", NULL, SDG_FORM_DDUF, (const float[]) {1, 4, 6, 10});
    expect_model(GOLDEN "model.dduf", "fp16", SDG_FORM_DDUF, (const float[]) {2, 4, 7, 10});
    struct sdg_weights w;
    sdgen_error err = {0};
    assert_int_equal(sdg_weights_open_variant(&w, GOLDEN "model", "fp8", &err), SDGEN_ERR_ARG);
    assert_non_null(strstr(err.text, "no component has files of the variant \"fp8\""));
}

static void expect_component(const char *path, enum sdg_form form, float number)
{
    struct sdg_weights w;
    open_model(&w, path, NULL);
    assert_int_equal(w.form, form);
    assert_int_equal(w.count, 6);
    expect_part(&w, "", number, 6);
    sdg_weights_close(&w);
}

static void test_components(void **state)
{
    static const char *const revision =
        GOLDEN "hub/models--somebody--tiny/snapshots/0123456789abcdef0123456789abcdef01234567";
    (void)state;
    expect_component(GOLDEN "model/unet", SDG_FORM_FOLDER, 1);
    expect_component(GOLDEN "model/vae", SDG_FORM_FOLDER, 4);
    expect_component(GOLDEN "legacy", SDG_FORM_FOLDER, 1);
    expect_component(GOLDEN "hub/models--somebody--tiny", SDG_FORM_FOLDER, 9);
    expect_component(revision, SDG_FORM_FOLDER, 9);
    expect_component(GOLDEN "model/unet/diffusion_pytorch_model.safetensors.index.json",
                     SDG_FORM_SHARDS, 1);
    expect_component(GOLDEN "model/unet/diffusion_pytorch_model.safetensors.index.fp16.json",
                     SDG_FORM_SHARDS, 2);
    expect_component(GOLDEN "legacy/diffusion_pytorch_model.safetensors.fp16.index.json",
                     SDG_FORM_SHARDS, 1);
    struct sdg_weights w;
    open_model(&w, GOLDEN "hub/models--somebody--tiny", NULL);
    assert_non_null(strstr(sdg_weights_text(&w, "config.json"), "\"width\": 16"));
    sdg_weights_close(&w);
}

/* ---- folders of our own ---- */

static char *top;

static int set_up(void **state)
{
    const char *folder = getenv("TMPDIR");
    (void)state;
    assert_true(asprintf(&top, "%s/sdgen-forms-XXXXXX", folder ? folder : "/tmp") > 0);
    assert_non_null(mkdtemp(top));
    return 0;
}

static int tear_down(void **state)
{
    char command[600];
    (void)state;
    snprintf(command, sizeof command, "rm -rf '%s'", top);
    assert_int_equal(system(command), 0);
    free(top);
    return 0;
}

/* top/name, good until the next call but one. */
static const char *at(const char *name)
{
    static char paths[2][700];
    static int next;
    next = !next;
    snprintf(paths[next], sizeof paths[next], "%s/%s", top, name);
    return paths[next];
}

static void put_bytes(const char *name, const struct test_bytes *b)
{
    for (const char *slash = name; (slash = strchr(slash, '/')); slash++) {
        char folder[300];
        snprintf(folder, sizeof folder, "%.*s", (int)(slash - name), name);
        (void)mkdir(at(folder), 0777);
    }
    test_file_write(at(name), b);
}

static void put_text(const char *name, const char *text)
{
    put_bytes(name, &(const struct test_bytes) {(uint8_t *)(uintptr_t)text, strlen(text), 0});
}

/* A safetensors file with one tensor of a byte. */
static void one_tensor(struct test_bytes *b, const char *tensor)
{
    char header[200];
    snprintf(header, sizeof header,
             "{\"%s\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", tensor);
    test_safetensors(b, header, 1);
}

static void put_weights(const char *name, const char *tensor)
{
    struct test_bytes b = {0};
    one_tensor(&b, tensor);
    put_bytes(name, &b);
    test_bytes_free(&b);
}

static void refuse(const char *what, const char *name, const char *wanted)
{
    const struct test_opened o = test_open_apart(at(name));
    if (o.crashed) fail_msg("%s: crashed", what);
    if (o.status == SDGEN_OK) fail_msg("%s: was not refused", what);
    if (strncmp(o.text, top, strlen(top)) != 0) fail_msg("%s: names no file: %s", what, o.text);
    if (!strstr(o.text, wanted)) fail_msg("%s: want \"%s\": %s", what, wanted, o.text);
}

static void test_shard_counts(void **state)
{
    struct sdg_weights w;
    (void)state;
#define INDEX(a, b) "{\"weight_map\":{\"a\":\"" a "\",\"b\":\"" b "\"}}"
#define ONE "m-00001-of-00002.safetensors"
#define TWO "m-00002-of-00002.safetensors"
    put_text("good.index.json", INDEX(ONE, TWO));
    refuse("no shard", "good.index.json", ONE ", one of the 2 files that it names, is missing");
    put_weights(ONE, "a");
    refuse("one shard", "good.index.json", TWO ", one of the 2 files that it names, is missing");
    put_weights(TWO, "other");
    refuse("another tensor", "good.index.json", "tensor b is not in " TWO);
    put_weights(TWO, "b");
    open_model(&w, at("good.index.json"), NULL);
    assert_int_equal(w.count, 2);
    sdg_weights_close(&w);
    put_text("swapped.index.json", INDEX(TWO, ONE));
    refuse("swapped", "swapped.index.json", "tensor a is not in " TWO);
    put_text("less.index.json", INDEX(ONE, ONE));
    refuse("a shard less", "less.index.json", "names 1 shards of the 2");
    put_text("mixed.index.json", INDEX(ONE, "m-00002-of-00003.safetensors"));
    refuse("of two models", "mixed.index.json", "do not belong together");
    put_weights(TWO, "a");
    put_text("twice.index.json", "{\"weight_map\":{\"a\":\"" ONE "\"}}");
    refuse("half an index", "twice.index.json", "names 1 shards of the 2");
    put_text("both.index.json",
             "{\"weight_map\":{\"a\":\"x.safetensors\",\"b\":\"y.safetensors\"}}");
    put_weights("x.safetensors", "a");
    put_bytes("y.safetensors", &(const struct test_bytes) {(uint8_t *)"xx", 2, 0});
    refuse("a damaged shard", "both.index.json", "y.safetensors: ");
}

/* Names that lead elsewhere, and JSON that is none. */
static void test_hostile_indexes(void **state)
{
    static const struct {
        const char *what, *text, *wanted;
    } cases[] = {
        {"upward", INDEX("../m.safetensors", "x"), "not the name of a file beside the index"},
        {"absolute", INDEX("/etc/passwd", "x"), "not the name of a file"},
        {"downward", INDEX("a/b.safetensors", "x"), "not the name of a file"},
        {"a folder", INDEX(".", "x"), "not the name of a file"},
        {"two dots", INDEX("..", "x"), "not the name of a file"},
        {"nothing", INDEX("", "x"), "not the name of a file"},
        {"backslash", INDEX("..\\\\m.safetensors", "x"), "not the name of a file"},
        {"a drive", INDEX("c:m.safetensors", "x"), "not the name of a file"},
        {"a zero byte", INDEX("m\\u0000.safetensors", "x"), "not the name of a file"},
        {"a line end", INDEX("m\\n.safetensors", "x"), "not the name of a file"},
        {"itself", INDEX("hostile.index.json", "hostile.index.json"), "JSON text"},
        {"a folder beside it", INDEX("sub.json", "sub.json"), "is a directory"},
        {"no map", "{\"weight_map\":{}}", "names no tensors"},
        {"a list", "{\"weight_map\":[]}", "an object should begin"},
        {"a number as file", "{\"weight_map\":{\"a\":1}}", "a string should begin"},
        {"two maps", "{\"weight_map\":{\"a\":\"x\"},\"weight_map\":{\"a\":\"x\"}}", "there twice"},
        {"a tensor twice", "{\"weight_map\":{\"a\":\"x\",\"a\":\"x\"}}", "there twice"},
        {"a zero byte in a name", "{\"weight_map\":{\"a\\u0000\":\"x\"}}", "zero byte"},
        {"cut", "{\"weight_map\":{\"a\":\"x\"", "ends too early"},
        {"more behind it", "{\"weight_map\":{\"a\":\"x\"}} {}", "more text behind"},
        {"other JSON", "{\"error\":\"weight_map\"}", "JSON text"},
    };
    (void)state;
    (void)mkdir(at("sub.json"), 0777);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        put_text("hostile.index.json", cases[i].text);
        refuse(cases[i].what, "hostile.index.json", cases[i].wanted);
    }
    char *text = NULL; /* more files than any model has */
    size_t size;
    FILE *f = open_memstream(&text, &size);
    assert_non_null(f);
    fputs("{\"weight_map\":{", f);
    for (int i = 0; i < 5000; i++) fprintf(f, "%s\"%d\":\"f%d\"", i ? "," : "", i, i);
    fputs("}}", f);
    fclose(f);
    put_text("hostile.index.json", text);
    free(text);
    refuse("5000 files", "hostile.index.json", "more than 4096 files");
}

static void test_folders(void **state)
{
    struct sdg_weights w;
    (void)state;
    (void)mkdir(at("empty"), 0777);
    refuse("empty", "empty", "holds neither a model in the layout of diffusers");
    put_text("m/model_index.json", "{\"_class_name\":\"StableDiffusionPipeline\"}");
    refuse("an index alone", "m", "holds neither a model");
    put_text("m/unet/config.json", "{}");
    refuse("no weights", "m", "unet holds no weights under a name of diffusers");
    put_weights("m/unet/diffusion_pytorch_model-00001-of-00002.safetensors", "a");
    refuse("shards without index", "m", "the index that names them");
    put_weights("m/unet/diffusion_pytorch_model.ema.safetensors", "a");
    put_weights("m/unet/diffusion_pytorch_model.non_ema.safetensors", "b");
    put_weights("m/safety_checker/model.safetensors", "c");
    put_weights("m/text_encoder/pytorch_model.fp16.bin", "d"); /* told by content */
    open_model(&w, at("m"), NULL);
    assert_int_equal(w.count, 2);
    assert_non_null(sdg_weights_find(&w, "unet.a"));
    assert_non_null(sdg_weights_find(&w, "text_encoder.d"));
    sdg_weights_close(&w);
    put_weights("m/unet/diffusion_pytorch_model.bf16.safetensors", "e");
    put_weights("m/unet/diffusion_pytorch_model.fp16.bin", "f");
    put_weights("m/unet/diffusion_pytorch_model.fp16.safetensors.bak", "g");
    put_weights("m/unet/other.safetensors", "h");
    put_weights("m/text_encoder/model.fp16.safetensors", "d"); /* before .bin */
    open_model(&w, at("m"), NULL);
    assert_non_null(sdg_weights_find(&w, "unet.f"));
    sdg_weights_close(&w);
    put_text("m/unet/config.json", "");
    put_bytes("m/vae/config.json", &(const struct test_bytes) {(uint8_t *)"{\0}", 3, 0});
    refuse("a zero byte in a text", "m", "vae/config.json: is no text: it holds a zero byte");
    struct test_bytes large = {0};
    for (int i = 0; i < (1 << 20) / 16 + 1; i++) test_bytes_add(&large, "{\"a\": 1}        ", 16);
    put_bytes("m/vae/config.json", &large);
    test_bytes_free(&large);
    refuse("a huge text", "m", "where 1048576 are allowed");
}

static void test_one_file_in_a_folder(void **state)
{
    struct sdg_weights w;
    (void)state;
    put_weights("only/any name.safetensors", "a");
    put_text("only/readme.json", "{}");
    open_model(&w, at("only"), NULL);
    assert_non_null(sdg_weights_find(&w, "a"));
    assert_int_equal(w.form, SDG_FORM_SAFETENSORS);
    sdg_weights_close(&w);
    put_weights("only/another.ckpt", "a");
    refuse("two models", "only", "holds 2 weight files");
}

static void test_snapshots(void **state)
{
    struct sdg_weights w;
    (void)state;
    put_weights("cache/snapshots/one/model.safetensors", "a");
    open_model(&w, at("cache"), NULL); /* the only one, without refs */
    assert_non_null(sdg_weights_find(&w, "a"));
    sdg_weights_close(&w);
    put_weights("cache/snapshots/two/model.safetensors", "b");
    refuse("which of two", "cache", "holds 2 snapshots");
    put_text("cache/refs/main", "two\n");
    open_model(&w, at("cache"), NULL);
    assert_non_null(sdg_weights_find(&w, "b"));
    sdg_weights_close(&w);
    put_weights("hub/models--a--b/snapshots/one/model.safetensors", "a");
    refuse("a cache of models", "hub", "name one of them, such as ");
    put_text("cache/refs/main", "../../../etc");
    refuse("a revision that leads away", "cache", "holds 2 snapshots");
    unlink(at("cache/refs/main")); /* nobody will ever write into it */
    assert_int_equal(mkfifo(at("cache/refs/main"), 0600), 0);
    refuse("a pipe as revision", "cache", "holds 2 snapshots");
    unlink(at("cache/refs/main"));
    put_text("cache/refs/main", "three");
    refuse("a revision that is gone", "cache", "holds 2 snapshots");
    assert_int_equal(symlink("/nonexistent", at("cache/snapshots/two/diffusion_pytorch_model."
                                                "safetensors")),
                     0);
    refuse("a dangling link", "cache/snapshots/two", "No such file");
}

/* ---- archives ---- */

/* Adds an entry as Python's zipfile does for DDUF: sizes in a zip64 field of the local header. */
static void zip_text(struct test_zip *z, const char *name, const char *text)
{
    test_zip_add(z, &(const struct test_zip_entry) {
                        .name = name, .data = text, .size = strlen(text), .sizes = true});
}

static void zip_weights(struct test_zip *z, const char *name, const char *tensor)
{
    struct test_bytes b = {0};
    one_tensor(&b, tensor);
    test_zip_add(z,
                 &(const struct test_zip_entry) {
                     .name = name, .data = b.data, .size = b.size, .sizes = true, .zip64 = true});
    test_bytes_free(&b);
}

/* An archive of a UNet, and one entry more. */
static void put_archive(const char *index, const char *config, const struct test_zip_entry *more)
{
    struct test_zip z = {0};
    if (index) zip_text(&z, "model_index.json", index);
    if (config) zip_text(&z, config, "{}");
    zip_weights(&z, "unet/diffusion_pytorch_model.safetensors", "a");
    if (more) test_zip_add(&z, more);
    test_zip_end(&z, &(struct test_zip_end) {0});
    put_bytes("x.dduf", &z.out);
    test_zip_free(&z);
}

#define UNET "{\"unet\":[\"diffusers\",\"UNet2DConditionModel\"]}"

static void test_archives(void **state)
{
    static const struct {
        const char *what, *wanted;
        struct test_zip_entry entry;
    } cases[] = {
        {"a pickle", "of a kind that a DDUF file may not hold", {.name = "unet/model.bin"}},
        {"no extension", "of a kind that", {.name = "unet/json"}},
        {"a folder's entry", "of a kind that", {.name = "unet/"}},
        {"two folders deep", "in a folder of a folder", {.name = "unet/a/b.json"}},
        {"compressed", "is compressed", {.name = "unet/x.txt", .method = 8}},
        {"a folder that is no component", "does not name", {.name = "vae/config.json"}},
    };
    struct sdg_weights w;
    (void)state;
    put_archive(UNET, "unet/config.json", NULL);
    open_model(&w, at("x.dduf"), NULL);
    assert_int_equal(w.form, SDG_FORM_DDUF);
    assert_non_null(sdg_weights_find(&w, "unet.a"));
    assert_string_equal(sdg_weights_text(&w, "unet/config.json"), "{}");
    sdg_weights_close(&w);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        put_archive(UNET, "unet/config.json", &cases[i].entry);
        refuse(cases[i].what, "x.dduf", cases[i].wanted);
    }
    put_archive(UNET, NULL, NULL);
    refuse("no configuration", "x.dduf", "folder unet has no config.json");
    put_archive(NULL, "unet/config.json", NULL);
    refuse("no index", "x.dduf", "has no model_index.json");
    put_archive("[]", "unet/config.json", NULL);
    refuse("a list as index", "x.dduf", "model_index.json: an object should begin");
    put_archive("{\"unet\":", "unet/config.json", NULL);
    refuse("half an index", "x.dduf", "model_index.json: the text ends too early");
    put_archive("{}", "unet/config.json", NULL);
    refuse("an index of nothing", "x.dduf", "unet that its model_index.json does not name");
}

/* Shards in an archive: as in a folder, and never from outside. */
static void test_shards_in_archives(void **state)
{
    static const char *const names[] = {"unet/s.safetensors", "vae/s.safetensors"};
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct test_zip z = {0};
        struct sdg_weights w;
        zip_text(&z, "model_index.json", "{\"unet\":[\"\",\"\"],\"vae\":[\"\",\"\"]}");
        zip_text(&z, "unet/config.json", "{}");
        zip_text(&z, "unet/diffusion_pytorch_model.safetensors.index.json",
                 "{\"weight_map\":{\"a\":\"s.safetensors\"}}");
        zip_text(&z, "vae/config.json", "{}");
        zip_weights(&z, "vae/diffusion_pytorch_model.safetensors", "a");
        zip_weights(&z, names[i], "a");
        test_zip_end(&z, &(struct test_zip_end) {0});
        put_bytes("x.dduf", &z.out);
        test_zip_free(&z);
        if (i == 1) {
            refuse("a shard in another folder", "x.dduf", "s.safetensors, one of the 1 files");
            continue;
        }
        open_model(&w, at("x.dduf"), NULL);
        assert_int_equal(w.count, 2);
        sdg_weights_close(&w);
    }
}

/* Cut anywhere, an archive is refused; turned bits may change numbers, but crash nothing. */
static void test_broken_archives(void **state)
{
    struct test_bytes b = {0};
    sdgen_error err = {0};
    (void)state;
    put_archive(UNET, "unet/config.json", NULL);
    test_bytes_read(&b, at("x.dduf"));
    for (size_t size = 0; size < b.size; size++) {
        uint8_t *exact = malloc(size + 1); /* sanitizers see what is read behind it */
        struct sdg_weights w = {.path = strdup("cut")};
        assert_true(exact && w.path);
        memcpy(exact, b.data, size);
        assert_int_not_equal(sdg_weights_parse(&w, exact, size, &err), SDGEN_OK);
        sdg_weights_close(&w);
        free(exact);
    }
    for (size_t bit = 0; bit < 8 * b.size; bit++) {
        struct sdg_weights w = {.path = strdup("turned")};
        assert_non_null(w.path);
        b.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        if (sdg_weights_parse(&w, b.data, b.size, &err) == SDGEN_OK) (void)test_touch(&w);
        sdg_weights_close(&w);
        b.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    test_bytes_free(&b);
}

int main(void)
{
#define FOLDER(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_variants),
        cmocka_unit_test(test_components),
        FOLDER(test_shard_counts),
        FOLDER(test_hostile_indexes),
        FOLDER(test_folders),
        FOLDER(test_one_file_in_a_folder),
        FOLDER(test_snapshots),
        FOLDER(test_archives),
        FOLDER(test_shards_in_archives),
        FOLDER(test_broken_archives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
