/* test_writers.c - weight files that are written: safetensors must be the very bytes of the
 * original library, GGUF must read back as it was meant, and what fails must leave nothing behind.
 *
 * With SDGEN_TEST_KEEP=FOLDER the good files stay there, for tools/check_writers.py, which reads
 * them with the original libraries. */
#define _GNU_SOURCE
#include <dirent.h>
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
#include "files/tensor_write.h"

static char folder[512], path[600];

static int set_up(void **state)
{
    const char *top = getenv("TMPDIR");
    (void)state;
    snprintf(folder, sizeof folder, "%s/sdgen-writers-XXXXXX", top ? top : "/tmp");
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/x", folder);
    return 0;
}

/* Number of files in the folder. */
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

static int tear_down(void **state)
{
    (void)state;
    unlink(path);
    assert_int_equal(rmdir(folder), 0);
    return 0;
}

/* Keeps a copy of the file where the environment asks for it. */
static void keep(const char *name)
{
    const char *top = getenv("SDGEN_TEST_KEEP");
    if (!top) return;
    struct test_bytes b = {0};
    char to[700];
    snprintf(to, sizeof to, "%s/%s", top, name);
    test_bytes_read(&b, path);
    test_file_write(to, &b);
    test_bytes_free(&b);
}

static void open_file(struct sdg_weights *w, const char *name)
{
    sdgen_error err = {0};
    if (sdg_weights_open(w, name, &err) != SDGEN_OK) fail_msg("%s", err.text);
}

/* The tensors of a file, last first, to be written in another order. */
static struct sdg_write_tensor *tensors_of(const struct sdg_weights *w)
{
    struct sdg_write_tensor *t = calloc(w->count + 1, sizeof *t);
    assert_non_null(t);
    for (size_t i = 0; i < w->count; i++) {
        const struct sdg_entry *e = &w->entries[w->count - 1 - i];
        t[i].name = e->name;
        t[i].dtype = e->tensor.dtype;
        t[i].rank = e->tensor.rank;
        memcpy(t[i].shape, e->tensor.shape, sizeof t[i].shape);
        t[i].user = e;
    }
    return t;
}

/* Every tensor in pieces of the given size. */
static void write_all(struct sdg_writer *w, size_t piece)
{
    sdgen_error err = {0};
    for (size_t i = 0; i < w->count; i++) {
        const struct sdg_entry *e = w->tensors[i].user;
        const size_t bytes = (size_t)w->tensors[i].bytes;
        assert_int_equal(bytes, sdg_tensor_bytes(&e->tensor));
        for (size_t at = 0; at < bytes; at += piece) {
            const size_t n = bytes - at < piece ? bytes - at : piece;
            if (sdg_write_numbers(w, (const char *)e->tensor.data + at, n, &err) != SDGEN_OK)
                fail_msg("%s", err.text);
        }
    }
    if (sdg_write_commit(w, 0, &err) != SDGEN_OK) fail_msg("%s", err.text);
}

/* ---- safetensors ---- */

static void test_the_same_bytes(void **state)
{
    static const char *const names[] = {"floats", "integers", "lightning", "mixed",    "module",
                                        "newer",  "ordered",  "views",     "only_dict"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct sdg_weights in;
        struct sdg_writer w;
        struct test_bytes a = {0}, b = {0};
        struct sdg_write_pair pairs[8];
        sdgen_error err = {0};
        char name[100];
        snprintf(name, sizeof name, "tests/golden/torch/%s.safetensors", names[i]);
        open_file(&in, name);
        assert_true(in.metadata_count <= 8);
        for (size_t k = 0; k < in.metadata_count; k++)
            pairs[k] = (struct sdg_write_pair) {in.metadata[k].key, in.metadata[k].value, 0};
        struct sdg_write_tensor *t = tensors_of(&in);
        if (sdg_write_safetensors(&w, path, t, in.count, pairs, in.metadata_count, &err) !=
            SDGEN_OK)
            fail_msg("%s", err.text);
        write_all(&w, i % 2 ? 5 : 1000);
        test_bytes_read(&a, name);
        test_bytes_read(&b, path);
        if (a.size != b.size || memcmp(a.data, b.data, a.size) != 0)
            fail_msg("%s: other bytes than the original library's", names[i]);
        snprintf(name, sizeof name, "%s.safetensors", names[i]);
        keep(name);
        test_bytes_free(&a);
        test_bytes_free(&b);
        unlink(path);
        free(t);
        sdg_weights_close(&in);
    }
}

/* No tensors, several metadata, names and texts that need escapes. */
static void test_escapes(void **state)
{
    static const char *const odd = "a \"quoted\" \\ path,\n\t\x01 and \xf0\x9f\x90\xb1";
    const struct sdg_write_pair pairs[] = {{"a", odd, 0}, {odd, "", 0}, {"n", NULL, 4000000000u}};
    struct sdg_write_tensor t = {.name = odd, .dtype = SDG_U8, .rank = 1, .shape = {3}};
    struct sdg_writer w;
    struct sdg_weights in;
    sdgen_error err = {0};
    (void)state;
    assert_int_equal(sdg_write_safetensors(&w, path, &t, 1, pairs, 3, &err), SDGEN_OK);
    assert_int_equal(sdg_write_numbers(&w, "xyz", 3, &err), SDGEN_OK);
    assert_int_equal(sdg_write_commit(&w, 0, &err), SDGEN_OK);
    keep("escapes.safetensors");
    open_file(&in, path);
    assert_non_null(sdg_weights_find(&in, odd));
    assert_string_equal(sdg_weights_metadata(&in, "a"), odd);
    assert_string_equal(sdg_weights_metadata(&in, odd), "");
    assert_string_equal(sdg_weights_metadata(&in, "n"), "4000000000");
    sdg_weights_close(&in);
    assert_int_equal(sdg_write_safetensors(&w, path, NULL, 0, NULL, 0, &err), SDGEN_OK);
    assert_int_equal(sdg_write_commit(&w, 1, &err), SDGEN_OK);
    keep("empty.safetensors");
    open_file(&in, path);
    assert_int_equal(in.count, 0);
    sdg_weights_close(&in);
}

/* ---- GGUF ---- */

static void test_gguf_round_trip(void **state)
{
    const struct sdg_write_pair pairs[] = {{"general.architecture", "sd1", 0},
                                           {"general.name", "na\xc3\xafve \xf0\x9f\x90\xb1", 0},
                                           {"general.alignment", "64", 0},
                                           {"comfy.gguf.orig_shape.in", "[1]", 0},
                                           {"general.quantization_version", NULL, 2},
                                           {"general.file_type", NULL, 7}};
    struct sdg_weights in, out;
    struct sdg_writer w;
    sdgen_error err = {0};
    (void)state;
    open_file(&in, "tests/golden/gguf/types.gguf");
    struct sdg_write_tensor *t = tensors_of(&in);
    assert_string_equal(t[0].name, "reshaped");
    if (sdg_write_gguf(&w, path, t, in.count, pairs, 6, &err) == SDGEN_OK)
        fail_msg("rows of no whole blocks were written");
    assert_non_null(strstr(err.text, "[4,8,4,4] cannot be stored as Q8_0"));
    assert_int_equal(file_count(), 0);
    if (sdg_write_gguf(&w, path, t + 1, in.count - 1, pairs, 6, &err) != SDGEN_OK)
        fail_msg("%s", err.text);
    write_all(&w, 77);
    keep("types.gguf");
    open_file(&out, path);
    assert_int_equal(out.count, in.count - 1);
    for (size_t i = 0; i < out.count; i++) {
        const struct sdg_entry *e = &out.entries[i], *was = sdg_weights_find(&in, e->name);
        assert_string_equal(e->name, t[1 + i].name); /* in the order of the list */
        assert_int_equal(e->tensor.dtype, was->tensor.dtype);
        assert_int_equal(e->tensor.rank, was->tensor.rank);
        assert_memory_equal(e->tensor.shape, was->tensor.shape, sizeof was->tensor.shape);
        assert_memory_equal(e->tensor.data, was->tensor.data, sdg_tensor_bytes(&was->tensor));
    }
    assert_int_equal(out.metadata_count, 4);
    assert_string_equal(sdg_weights_metadata(&out, "general.file_type"), "7");
    assert_string_equal(sdg_weights_metadata(&out, "general.name"), pairs[1].text);
    sdg_weights_close(&out);
    sdg_weights_close(&in);
    free(t);
}

/* ---- what cannot be written ---- */

static void test_refused_headers(void **state)
{
    struct sdg_write_tensor two[] = {{.name = "a", .dtype = SDG_F32, .rank = 1, .shape = {1}},
                                     {.name = "a", .dtype = SDG_F16, .rank = 1, .shape = {1}}};
    struct sdg_writer w;
    sdgen_error err = {0};
    (void)state;
    assert_int_equal(sdg_write_safetensors(&w, path, two, 2, NULL, 0, &err), SDGEN_ERR_ARG);
    assert_non_null(strstr(err.text, "two tensors would be called a"));
    assert_int_equal(sdg_write_gguf(&w, path, two, 2, NULL, 0, &err), SDGEN_ERR_ARG);
    two[1].name = "b";
    two[1].dtype = SDG_Q8_0;
    two[1].shape[0] = 32;
    assert_int_equal(sdg_write_safetensors(&w, path, two, 2, NULL, 0, &err), SDGEN_ERR_ARG);
    assert_non_null(strstr(err.text, "type Q8_0"));
    two[1].shape[0] = 48;
    assert_int_equal(sdg_write_gguf(&w, path, two, 2, NULL, 0, &err), SDGEN_ERR_ARG);
    assert_non_null(strstr(err.text, "[48] cannot be stored"));
    two[1].dtype = SDG_F8_E4M3;
    assert_int_equal(sdg_write_gguf(&w, path, two, 2, NULL, 0, &err), SDGEN_ERR_ARG);
    two[1].dtype = SDG_F32;
    two[1].rank = 5;
    assert_int_equal(sdg_write_gguf(&w, path, two, 2, NULL, 0, &err), SDGEN_ERR_ARG);
    two[1].rank = 2;
    two[1].shape[0] = two[1].shape[1] = INT64_MAX;
    assert_int_equal(sdg_write_safetensors(&w, path, two, 2, NULL, 0, &err), SDGEN_ERR_ARG);
    assert_int_equal(
        sdg_write_safetensors(&w, "/nowhere/at/all.safetensors", two, 1, NULL, 0, &err),
        SDGEN_ERR_IO);
    sdg_write_abort(&w);
    assert_int_equal(file_count(), 0);
}

static void test_wrong_amounts(void **state)
{
    struct sdg_write_tensor t[] = {{.name = "a", .dtype = SDG_U8, .rank = 1, .shape = {3}},
                                   {.name = "empty", .dtype = SDG_U8, .rank = 1, .shape = {0}}};
    struct sdg_writer w;
    sdgen_error err = {0};
    (void)state;
    assert_int_equal(sdg_write_safetensors(&w, path, t, 2, NULL, 0, &err), SDGEN_OK);
    assert_int_equal(file_count(), 1); /* under another name */
    assert_int_not_equal(access(path, F_OK), 0);
    assert_int_equal(sdg_write_numbers(&w, "wxyz", 4, &err), SDGEN_ERR_INTERNAL);
    assert_int_equal(file_count(), 0);
    assert_int_equal(sdg_write_safetensors(&w, path, t, 2, NULL, 0, &err), SDGEN_OK);
    assert_int_equal(sdg_write_numbers(&w, "xy", 2, &err), SDGEN_OK);
    assert_int_equal(sdg_write_commit(&w, 0, &err), SDGEN_ERR_INTERNAL);
    assert_int_equal(file_count(), 0);
    assert_int_equal(sdg_write_safetensors(&w, path, t, 2, NULL, 0, &err), SDGEN_OK);
    assert_int_equal(sdg_write_numbers(&w, "xyz", 3, &err), SDGEN_OK);
    assert_int_equal(sdg_write_numbers(&w, "", 0, &err), SDGEN_OK);
    assert_int_equal(sdg_write_commit(&w, 0, &err), SDGEN_OK);
    assert_int_equal(sdg_write_safetensors(&w, path, t, 2, NULL, 0, &err), SDGEN_OK);
    assert_int_equal(sdg_write_numbers(&w, "abc", 3, &err), SDGEN_OK);
    assert_int_equal(sdg_write_commit(&w, 0, &err), SDGEN_ERR_IO); /* it is there */
    assert_int_equal(file_count(), 1);
    assert_int_equal(sdg_write_safetensors(&w, path, t, 2, NULL, 0, &err), SDGEN_OK);
    sdg_write_abort(&w);
    sdg_write_abort(&w);
    assert_int_equal(file_count(), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_the_same_bytes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_escapes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_gguf_round_trip, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_refused_headers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_wrong_amounts, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
