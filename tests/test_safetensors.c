/* test_safetensors.c - safetensors files that are right: those of the original library, and every
 * liberty that the format allows; then files that are wrong, each refused for its own reason. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/support/hostile.h"

static char *path;

static int set_up(void **state)
{
    (void)state;
    path = test_file_make();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    test_file_remove(path);
    return 0;
}

static void open_golden(struct sdg_weights *w, const char *name)
{
    sdgen_error err = {0};
    if (sdg_weights_open(w, name, &err) != SDGEN_OK) fail_msg("%s", err.text);
    assert_int_equal(w->form, SDG_FORM_SAFETENSORS);
    (void)test_touch(w);
}

static void open_text(struct sdg_weights *w, const char *header, size_t body)
{
    struct test_bytes b = {0};
    sdgen_error err = {0};
    test_safetensors(&b, header, body);
    test_file_write(path, &b);
    test_bytes_free(&b);
    if (sdg_weights_open(w, path, &err) != SDGEN_OK) fail_msg("%s: %s", header, err.text);
    (void)test_touch(w);
}

/* ---- files of the original library ---- */

/* Each file holds 1/4, 2/4, ... 6/4 as [2,3] in every type of a group; integers were cut. */
static void test_every_type(void **state)
{
    static const struct {
        const char *file, *tensor;
        enum sdg_dtype dtype;
        int fraction;
    } kinds[] = {
        {"floats", "kind.float32", SDG_F32, 1},
        {"floats", "kind.float16", SDG_F16, 1},
        {"floats", "kind.bfloat16", SDG_BF16, 1},
        {"floats", "kind.float64", SDG_F64, 1},
        {"newer", "kind.float8_e4m3fn", SDG_F8_E4M3, 1},
        {"newer", "kind.float8_e5m2", SDG_F8_E5M2, 1},
        {"newer", "kind.uint64", SDG_U64, 0},
        {"newer", "kind.uint32", SDG_U32, 0},
        {"newer", "kind.uint16", SDG_U16, 0},
        {"integers", "kind.int64", SDG_I64, 0},
        {"integers", "kind.int32", SDG_I32, 0},
        {"integers", "kind.int16", SDG_I16, 0},
        {"integers", "kind.int8", SDG_I8, 0},
        {"integers", "kind.uint8", SDG_U8, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        char name[64];
        struct sdg_weights w;
        float y[6];
        snprintf(name, sizeof name, "tests/golden/torch/%s.safetensors", kinds[i].file);
        open_golden(&w, name);
        const struct sdg_entry *e = sdg_weights_find(&w, kinds[i].tensor);
        assert_non_null(e);
        assert_int_equal(e->tensor.dtype, kinds[i].dtype);
        assert_int_equal(e->tensor.rank, 2);
        assert_int_equal(e->tensor.shape[0], 2);
        assert_int_equal(e->tensor.shape[1], 3);
        sdg_tensor_widen(y, &e->tensor, 0, 6);
        for (int k = 0; k < 6; k++) {
            const float want = (float)(k + 1) / 4;
            if (y[k] != (kinds[i].fraction ? want : (float)(int)want))
                fail_msg("%s[%d] is %g", kinds[i].tensor, k, (double)y[k]);
        }
        sdg_weights_close(&w);
    }
}

static void test_views_of_the_original(void **state)
{
    struct sdg_weights w;
    float y[24];
    (void)state;
    open_golden(&w, "tests/golden/torch/views.safetensors");
    assert_int_equal(w.count, 24);
    const struct sdg_entry *e = sdg_weights_find(&w, "transposed");
    assert_non_null(e);
    assert_int_equal(e->tensor.shape[0], 6);
    sdg_tensor_widen(y, &e->tensor, 0, 24);
    for (int i = 0; i < 24; i++) { /* element (i / 4, i % 4) is element (i % 4, i / 4) of [4,6] */
        const int from = i % 4 * 6 + i / 4;
        assert_true(y[i] == (from % 2 ? 1.0f : -1.0f) * (float)(from + 1) / 4);
    }
    assert_int_equal(sdg_weights_find(&w, "one")->tensor.rank, 0);
    assert_int_equal(sdg_tensor_count(&sdg_weights_find(&w, "empty")->tensor), 0);
    assert_non_null(sdg_weights_find(&w, "na\xc3\xafve.\xf0\x9f\x90\xb1"));
    assert_non_null(sdg_weights_find(&w, ""));
    assert_null(sdg_weights_find(&w, "transpose"));
    assert_null(sdg_weights_find(&w, "transposed "));
    sdg_weights_close(&w);
    sdg_weights_close(&w);
    assert_null(sdg_weights_find(&w, "one"));
}

static void test_demo_model(void **state)
{
    struct sdg_weights w;
    (void)state;
    open_golden(&w, "models/data/sdgen-emoji.safetensors");
    assert_int_equal(w.count, 545);
    assert_non_null(sdg_weights_find(&w, "model.diffusion_model.out.2.weight"));
    assert_string_equal(sdg_form_name(w.form), "safetensors");
    sdg_weights_close(&w);
}

/* ---- liberties of the format ---- */

#define ENTRY(name, rest) "\"" name "\":{\"dtype\":\"U8\"," rest "}"

static void test_liberties(void **state)
{
    static const struct {
        const char *header;
        size_t body, tensors, metadata;
    } good[] = {
        {"{}", 0, 0, 0},
        {"{}      ", 0, 0, 0},
        {" \t\r\n{ } \t\r\n", 0, 0, 0},
        {"{\"__metadata__\":{}}", 0, 0, 0},
        {"{" ENTRY("a", "\"shape\":[],\"data_offsets\":[0,1]") "}", 1, 1, 0},
        {"{" ENTRY("a", "\"shape\":[0],\"data_offsets\":[0,0]") "}", 0, 1, 0},
        {"{" ENTRY("a", "\"shape\":[4,0,9223372036854775807],\"data_offsets\":[0,0]") "}", 0, 1, 0},
        {"{" ENTRY("a", "\"data_offsets\":[0,6],\"shape\":[1,2,3]") "}", 6, 1, 0},
        {"{\"a\":{\"shape\":[2],\"data_offsets\":[0,8],\"dtype\":\"F32\"}}", 8, 1, 0},
        {"{ \"a\" : { \"dtype\" : \"U8\" , \"shape\" : [ 1 , 1 ] , \"data_offsets\" : [ 0 , 1 ] } "
         "}",
         1, 1, 0},
        /* a later tensor may lie first, and empty ones anywhere between */
        {"{" ENTRY("b", "\"shape\":[2],\"data_offsets\":[3,5]") "," ENTRY(
             "e", "\"shape\":[0],\"data_offsets\":[3,3]") "," ENTRY("a",
                                                                    "\"shape\":[3],"
                                                                    "\"data_offsets\":[0,3]") "}",
         5, 3, 0},
        /* unknown fields mean nothing, whatever they hold */
        {"{" ENTRY("a",
                   "\"x\":{\"dtype\":[1,-2.5e+3,0.1E-2,null,true,false,{}]},\"y\":[],\"shape\":"
                   "[1],\"data_offsets\":[0,1],\"z\":\"\\\"}\"") "}",
         1, 1, 0},
        /* names in other spellings */
        {"{\"\\u0061\\ud83d\\uDE00\\n\":{\"dtyp\\u0065\":\"\\u00558\",\"shape\":[1],\"data_"
         "offsets\":"
         "[0,1]}}",
         1, 1, 0},
        {"{\"__metadata__\":{\"format\":\"pt\",\"\":\"\",\"x\":\"\\u00e9\\\"\\\\\\/"
         "\\b\\f\\r\\t\"}}",
         0, 0, 3},
        {"{" ENTRY("a", "\"shape\":[1],\"data_offsets\":[0,1]") ",\"__metadata__\":{\"k\":\"v\"}}",
         1, 1, 1},
    };
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct sdg_weights w;
        open_text(&w, good[i].header, good[i].body);
        assert_int_equal(w.count, good[i].tensors);
        assert_int_equal(w.metadata_count, good[i].metadata);
        sdg_weights_close(&w);
    }
}

static void test_escapes_and_metadata(void **state)
{
    struct sdg_weights w;
    (void)state;
    open_text(&w,
              "{\"__metadata__\":{\"modelspec.title\":\"caf\\u00e9 \\ud83d\\ude00\",\"a\\tb\":\"\\/"
              "\\\\\\\"\"},\"x\\u00e9\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}",
              1);
    assert_string_equal(sdg_weights_metadata(&w, "modelspec.title"),
                        "caf\xc3\xa9 \xf0\x9f\x98\x80");
    assert_string_equal(sdg_weights_metadata(&w, "a\tb"), "/\\\"");
    assert_null(sdg_weights_metadata(&w, "format"));
    assert_non_null(sdg_weights_find(&w, "x\xc3\xa9"));
    sdg_weights_close(&w);
}

/* Views lie where the header says, at any alignment, and byte values arrive. */
static void test_places(void **state)
{
    static const char header[] =
        "{" ENTRY("a", "\"shape\":[3],\"data_offsets\":[0,3]") ",\"b\":{"
                                                               "\"dtype\":\"F32\",\"shape\":[1],"
                                                               "\"data_offsets\":[3,7]}} ";
    struct sdg_weights w;
    struct test_bytes b = {0};
    float y = 0;
    (void)state;
    test_bytes_number(&b, strlen(header), 8);
    test_bytes_add(&b, header, strlen(header));
    test_bytes_add(&b, "\1\2\3\0\0\x80\x3f", 7);
    test_file_write(path, &b);
    assert_int_equal(sdg_weights_open(&w, path, NULL), SDGEN_OK);
    const uint8_t *a = sdg_weights_find(&w, "a")->tensor.data;
    assert_memory_equal(a, "\1\2\3", 3);
    assert_ptr_equal(a, w.maps[0].data + 8 + strlen(header));
    sdg_tensor_widen(&y, &sdg_weights_find(&w, "b")->tensor, 0, 1);
    assert_true(y == 1.0f);
    assert_string_equal(w.entries[0].name, "a");
    assert_string_equal(w.entries[1].name, "b");
    assert_string_equal(w.path, path);
    sdg_weights_close(&w);
    test_bytes_free(&b);
}

static void test_many_names(void **state)
{
    struct test_bytes b = {0};
    struct sdg_weights w;
    char text[96];
    enum { COUNT = 3000 };
    (void)state;
    test_bytes_add(&b, "{", 1);
    for (int i = 0; i < COUNT; i++) {
        snprintf(text, sizeof text,
                 "%s\"t%d\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[%d,%d]}",
                 i ? "," : "", i, i, i + 1);
        test_bytes_add(&b, text, strlen(text));
    }
    test_bytes_add(&b, "}", 2);
    open_text(&w, (char *)b.data, COUNT);
    assert_int_equal(w.count, COUNT);
    for (int i = 0; i < COUNT; i++) {
        snprintf(text, sizeof text, "t%d", i);
        const struct sdg_entry *e = sdg_weights_find(&w, text);
        assert_ptr_equal(e, &w.entries[i]);
        assert_ptr_equal(e->tensor.data, (const char *)w.entries[0].tensor.data + i);
    }
    assert_null(sdg_weights_find(&w, "t3000"));
    sdg_weights_close(&w);
    test_bytes_free(&b);
}

/* ---- what is no weight file ---- */

static void test_other_files(void **state)
{
    static const struct {
        const char *bytes;
        size_t size;
        const char *wanted;
    } others[] = {
#define OTHER(bytes, wanted) {bytes, sizeof bytes - 1, wanted}
        OTHER("", "is empty"),
        OTHER("x", "neither safetensors"),
        OTHER("\0", "neither safetensors"),
        OTHER("\0\0\0\0\0\0\0", "neither safetensors"),
        OTHER("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 4\n", "Git LFS"),
        OTHER("<!DOCTYPE HTML><title>404</title>", "web page"),
        OTHER("\n  <html><body>", "web page"),
        OTHER("<?xml version=\"1.0\"?><Error/>", "XML"),
        OTHER("{\"error\":\"Access to model is restricted\"}", "JSON"),
        OTHER("GGUF\3\0\0\0\0\0\0\0", "GGUF"),
        OTHER("7z\xbc\xaf\x27\x1c\0\4aaaaaaaa", "7z"),
        OTHER("Rar!\x1a\7\1\0aaaaaaaaa", "RAR"),
        OTHER("\x1f\x8b\10\10aaaaaaaaaaaaaaa", "gzip"),
        OTHER("\x80\2\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", "ends too early"),
        OTHER("\x80\4\x95\x10\0\0\0\0\0\0\0}.", "bare pickle"),
        OTHER("PYTORCH1\0\0\0\0\0\0", "PyTorch container"),
        OTHER("PK\5\6\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", "empty zip"),
        OTHER("\x93NUMPY\1\0v\0{'descr'", "NumPy"),
        OTHER("\x89PNG\r\n\x1a\n\0\0\0\15IHDR", "PNG"),
        OTHER("\x89HDF\r\n\x1a\n\0\0\0\0\0\0\0", "HDF5"),
        OTHER("just some text that is long enough", "neither safetensors"),
    };
    struct test_bytes tar = {0};
    (void)state;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        const struct test_bytes b = {(uint8_t *)(uintptr_t)others[i].bytes, others[i].size, 0};
        test_file_write(path, &b);
        test_refused(others[i].wanted, path, others[i].wanted);
    }
    for (int i = 0; i < 512; i++) test_bytes_number(&tar, i < 257 ? 'a' : 0, 1);
    memcpy(tar.data + 257, "ustar", 5);
    test_file_write(path, &tar);
    test_refused("tar", path, "tar archive");
    test_bytes_free(&tar);
}

static void test_no_file(void **state)
{
    struct sdg_weights w;
    sdgen_error err;
    (void)state;
    assert_int_equal(sdg_weights_open(&w, "tests/golden", &err), SDGEN_ERR_ARG);
    assert_non_null(strstr(err.text, "tests/golden: holds"));
    assert_int_equal(sdg_weights_open(&w, "tests/golden/none.safetensors", &err), SDGEN_ERR_IO);
    assert_non_null(strstr(err.text, "No such file"));
    assert_int_equal(sdg_weights_open(&w, "tests/golden/none.safetensors", NULL), SDGEN_ERR_IO);
    sdg_weights_close(&w);
    memset(&w, 0, sizeof w);
    sdg_weights_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_type), cmocka_unit_test(test_views_of_the_original),
        cmocka_unit_test(test_demo_model), cmocka_unit_test(test_liberties),
        cmocka_unit_test(test_places),     cmocka_unit_test(test_escapes_and_metadata),
        cmocka_unit_test(test_many_names), cmocka_unit_test(test_other_files),
        cmocka_unit_test(test_no_file),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
