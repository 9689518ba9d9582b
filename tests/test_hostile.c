/* test_hostile.c - weight files that mean harm or arrived broken: every one is refused in one line,
 * without a crash, and in little memory. The small ones are listed in support/hostile_*.c; here
 * follow those that are made: cut at every byte, every bit turned, and large ones that are bombs.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/support/hostile_corpus.h"
#include "files/read.h"

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

/* ---- the lists ---- */

static void refuse_all(bool (*corpus)(struct test_hostile *, size_t), size_t at_least)
{
    struct test_hostile h;
    size_t i = 0;
    for (; corpus(&h, i); i++) {
        test_file_write(path, &h.b);
        test_refused(h.what, path, h.wanted);
        test_bytes_free(&h.b);
    }
    assert_true(i >= at_least);
}

static void test_safetensors_corpus(void **state)
{
    (void)state;
    refuse_all(test_hostile_safetensors, 60);
}

static void test_pickle_corpus(void **state)
{
    (void)state;
    refuse_all(test_hostile_pickle, 40);
}

static void test_zip_corpus(void **state)
{
    (void)state;
    refuse_all(test_hostile_zip, 40);
}

/* The frame in which the hostile pickles lie is itself a right one. */
static void test_good_frame(void **state)
{
    struct test_bytes b = {0};
    (void)state;
    test_torch(&b, test_good_pickle.data, test_good_pickle.size, 16);
    test_file_write(path, &b);
    const struct test_opened o = test_open_apart(path);
    assert_false(o.crashed);
    if (o.status != SDGEN_OK) fail_msg("%s", o.text);
    test_bytes_free(&b);
}

/* ---- files that arrived broken ---- */

static const char *const whole_files[] = {
    "tests/golden/torch/mixed.safetensors", "tests/golden/torch/integers.safetensors",
    "tests/golden/torch/mixed.ckpt",        "tests/golden/torch/views.ckpt",
    "tests/golden/torch/legacy_mixed.pt",   "tests/golden/torch/tar_views.pt",
};

/* Opens bytes that lie alone in memory, so that a sanitizer sees one step outside. */
static sdgen_status parse(const uint8_t *data, size_t size, sdgen_error *err)
{
    struct sdg_weights w = {.path = strdup("memory")};
    uint8_t *copy = malloc(size ? size : 1);
    assert_non_null(copy);
    if (size) memcpy(copy, data, size);
    const sdgen_status status = sdg_weights_parse(&w, copy, size, err);
    if (status == SDGEN_OK) (void)test_touch(&w);
    sdg_weights_close(&w);
    free(copy);
    return status;
}

static void test_cut_everywhere(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof whole_files / sizeof *whole_files; i++) {
        struct test_bytes b = {0};
        test_bytes_read(&b, whole_files[i]);
        for (size_t size = 0; size < b.size; size++) {
            sdgen_error err = {0};
            if (parse(b.data, size, &err) == SDGEN_OK)
                fail_msg("%s: cut to %zu bytes was read", whole_files[i], size);
            assert_int_equal(strncmp(err.text, "memory: ", 8), 0);
        }
        test_bytes_free(&b);
    }
}

/* The same for files, every 16th length: the mapping ends where the file does. */
static void test_cut_files(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof whole_files / sizeof *whole_files; i++) {
        struct test_bytes b = {0};
        test_bytes_read(&b, whole_files[i]);
        const struct test_bytes all = b;
        for (b.size = 0; b.size < all.size; b.size += 16) {
            struct sdg_weights w;
            sdgen_error err = {0};
            test_file_write(path, &b);
            assert_int_not_equal(sdg_weights_open(&w, path, &err), SDGEN_OK);
            assert_int_equal(strncmp(err.text, path, strlen(path)), 0);
        }
        test_bytes_free(&b);
    }
}

/* Checksums of zip entries count as not computed: a turned bit would go no further. */
static void forget_checksums(struct test_bytes *b)
{
    for (size_t i = 0; i + 46 <= b->size; i++)
        if (memcmp(b->data + i, "PK\1\2", 4) == 0) memset(b->data + i + 16, 0, 4);
}

/* Inside of padding one byte in 16 is enough. */
static bool is_padding(const struct test_bytes *b, size_t at)
{
    static const uint8_t zero[64];
    return at >= 32 && at + 32 <= b->size && at % 16 != 0 &&
           memcmp(b->data + at - 32, zero, sizeof zero) == 0;
}

/* Refused or read, never worse. */
static void test_turned_bits(void **state)
{
    static const uint8_t masks[] = {1, 2, 4, 8, 16, 32, 64, 128, 255};
    (void)state;
    for (size_t i = 0; i < sizeof whole_files / sizeof *whole_files; i++) {
        struct test_bytes b = {0};
        size_t refused = 0, turned = 0;
        test_bytes_read(&b, whole_files[i]);
        forget_checksums(&b);
        for (size_t at = 0; at < b.size; at++) {
            if (is_padding(&b, at)) continue;
            turned++;
            for (size_t k = 0; k < sizeof masks; k++) {
                sdgen_error err = {0};
                b.data[at] ^= masks[k];
                if (parse(b.data, b.size, &err) != SDGEN_OK) {
                    assert_int_equal(strncmp(err.text, "memory: ", 8), 0);
                    refused++;
                }
                b.data[at] ^= masks[k];
            }
        }
        assert_true(refused > turned); /* most bits matter */
        test_bytes_free(&b);
    }
}

/* ---- bombs ---- */

enum { HEADER_LIMIT = 100000000, LARGE = 90000000, MEDIUM = 10000000 };

/* begin, then `text`, with the number of the turn in place of '#', until the header has `wanted`
 * bytes, then end. */
static void write_header(size_t wanted, const char *begin, const char *text, const char *end)
{
    FILE *f = fopen(path, "wb");
    const char *number = strchr(text, '#');
    char piece[256];
    uint64_t size = 0;
    assert_non_null(f);
    assert_int_equal(fwrite(&size, 1, 8, f), 8);
    size += (uint64_t)fprintf(f, "%s", begin);
    for (unsigned turn = 0; size < wanted; turn++) {
        int n = (int)strlen(text);
        if (number)
            n = snprintf(piece, sizeof piece, "%.*s%07u%s", (int)(number - text), text, turn,
                         number + 1);
        assert_int_equal(fwrite(number ? piece : text, 1, (size_t)n, f), n);
        size += (uint64_t)n;
    }
    size += (uint64_t)fprintf(f, "%s", end);
    assert_true(size <= HEADER_LIMIT);
    rewind(f);
    for (int i = 0; i < 8; i++) fputc((int)(size >> 8 * i & 255), f);
    assert_int_equal(fclose(f), 0);
}

#define EMPTY_TENSOR ":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}"

static void test_large_headers(void **state)
{
    static const struct {
        size_t size;
        const char *what, *wanted, *begin, *text, *end;
    } bombs[] = {
        {LARGE, "a million tensors and more", "more than 1048576 tensors", "{",
         "\"#\"" EMPTY_TENSOR ",", "}"},
        {LARGE, "nearly a million tensors, then an end that is wrong", "string should begin", "{",
         "\"t#................................\"" EMPTY_TENSOR ",", "}"},
        {LARGE, "one name", "dtype is missing", "{\"", "\\u0041bcdefghijklmnopqrstuvwxyz",
         "\":{}}"},
        {LARGE, "one text of metadata", "more text", "{\"__metadata__\":{\"k\":\"",
         "abcdefghijklmnopqrstuvwxyz", "\"}} x"},
        {LARGE, "millions of metadata", "metadata; no model", "{\"__metadata__\":{", "\"#\":\"\",",
         "\"\":\"\"}}"},
        {LARGE, "one field of millions of values", "dtype is missing", "{\"a\":{\"x\":[",
         "-1.5e+3,[],{\"\":null},", "0]}}"},
        {MEDIUM, "tensors of one name", "is there twice", "{", "\"t\"" EMPTY_TENSOR ",",
         "\"u\"" EMPTY_TENSOR "}"},
        {MEDIUM, "one field nested without end", "nested too deep",
         "{\"a\":{\"x\":", "[[[[[[[[[[[[", "0]}}"},
        {MEDIUM, "one number without end", "64 bits", "{\"a\":{\"shape\":[", "99999999999999999999",
         "]}}"},
        {MEDIUM, "white space without end", "too early", "", "    \t\t\t\t\r\r\n\n", ""},
        {MEDIUM, "white space, then no header", "object should begin", "", "            ", "[]"},
        {MEDIUM, "a text without end", "no end", "{\"", "abcdefghijklmnopqrstuvwxyz", ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof bombs / sizeof *bombs; i++) {
        write_header(bombs[i].size, bombs[i].begin, bombs[i].text, bombs[i].end);
        test_refused(bombs[i].what, path, bombs[i].wanted);
    }
}

/* begin, `turns` times text, end as the pickle of a checkpoint. */
static void pickle_bomb(const char *what, const char *wanted, const char *const parts[3],
                        const size_t sizes[3], size_t turns)
{
    struct test_bytes pickle = {0}, b = {0};
    test_bytes_add(&pickle, "\200\2}", 3);
    test_bytes_add(&pickle, parts[0], sizes[0]);
    for (size_t i = 0; i < turns; i++) test_bytes_add(&pickle, parts[1], sizes[1]);
    test_bytes_add(&pickle, parts[2], sizes[2]);
    test_torch(&b, pickle.data, pickle.size, 16);
    test_file_write(path, &b);
    test_refused(what, path, wanted);
    test_bytes_free(&pickle);
    test_bytes_free(&b);
}

#define BOMB_OF(what, wanted, begin, text, end, turns)                  \
    pickle_bomb(what, wanted, (const char *const[]) {begin, text, end}, \
                (const size_t[]) {sizeof begin - 1, sizeof text - 1, sizeof end - 1}, turns)

#define REBUILD "ctorch._utils\n_rebuild_tensor_v2\n"
#define FLOATS "(X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0000X\3\0\0\0cpuK\4tQ"

static void test_pickle_bombs(void **state)
{
    (void)state;
    BOMB_OF("operations without end", "operations", "", "X\1\0\0\0aNs", "", 1000000);
    BOMB_OF("values without end", "stack holds", "", "}", "", 1000000);
    BOMB_OF("marks without end", "open marks", "", "(", "", 1000000);
    BOMB_OF("dicts without end", "operations", "]", "(}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}e", "", 100000);
    BOMB_OF("tuples without end", "operations", "]", "(NNNNNNNNNNNNNNNNNNNNNNNNNNNNNNta", "",
            100000);
    BOMB_OF("tensors without end", "operations",
            "](" REBUILD "q\1(" FLOATS "K\0K\4\205K\1\205tq\2e", "h\1h\2Ra", "", 600000);
    BOMB_OF("storages without end", "operations",
            "](X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0000X\3\0\0\0cpuK\4tq\1a", "h\1Qa", "",
            700000);
    BOMB_OF("tensors of one name", "is there twice",
            "X\1\0\0\0n" REBUILD "(" FLOATS "K\0K\4\205K\1\205tRq\1s", "X\1\0\0\0nh\1s", ".",
            500000);
}

/* One text of 40 MB is the name of many tensors: names are not copied without end. */
static void test_one_long_name(void **state)
{
    struct test_bytes pickle = {0}, b = {0};
    enum { LENGTH = 40000000 };
    (void)state;
    test_bytes_add(&pickle, "\200\2}X", 4);
    test_bytes_number(&pickle, LENGTH, 4);
    char *name = malloc(LENGTH);
    assert_non_null(name);
    memset(name, 'n', LENGTH);
    test_bytes_add(&pickle, name, LENGTH);
    free(name);
    static const char once[] = "q\1" REBUILD "(" FLOATS "K\0K\4\205K\1\205tRq\2s",
                      more[] = "h\1h\2s";
    test_bytes_add(&pickle, once, sizeof once - 1);
    for (int i = 0; i < 1000; i++) test_bytes_add(&pickle, more, sizeof more - 1);
    test_bytes_add(&pickle, ".", 1);
    test_torch(&b, pickle.data, pickle.size, 16);
    test_file_write(path, &b);
    test_refused("one long name", path, "is there twice");
    test_bytes_free(&pickle);
    test_bytes_free(&b);
}

/* An archive of as many entries as there is room for, and then some. */
static void test_many_entries(void **state)
{
    struct test_zip z = {0};
    char name[32];
    (void)state;
    for (int i = 0; i < 100001; i++) {
        snprintf(name, sizeof name, "archive/data/%d", i);
        test_zip_add(&z, &(struct test_zip_entry) {.name = name, .data = "", .size = 0});
    }
    test_zip_end(&z, &(struct test_zip_end) {.all_ones = true});
    test_file_write(path, &z.out);
    test_refused("many entries", path, "100001 entries");
    test_zip_free(&z);
}

/* As many tensors as are allowed, with little memory. */
static void test_many_tensors(void **state)
{
    (void)state;
    write_header(LARGE, "{", "\"t#.................................\"" EMPTY_TENSOR ",",
                 "\"u\"" EMPTY_TENSOR "}");
    const struct test_opened o = test_open_apart(path);
    assert_false(o.crashed);
    if (o.status != SDGEN_OK) fail_msg("%s", o.text);
    if (test_is_plain_build()) assert_in_range(o.peak, 1 << 20, 200 * 1000 * 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_safetensors_corpus), cmocka_unit_test(test_pickle_corpus),
        cmocka_unit_test(test_zip_corpus),         cmocka_unit_test(test_good_frame),
        cmocka_unit_test(test_cut_everywhere),     cmocka_unit_test(test_cut_files),
        cmocka_unit_test(test_turned_bits),        cmocka_unit_test(test_large_headers),
        cmocka_unit_test(test_pickle_bombs),       cmocka_unit_test(test_one_long_name),
        cmocka_unit_test(test_many_entries),       cmocka_unit_test(test_many_tensors),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
