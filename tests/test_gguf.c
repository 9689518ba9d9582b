/* test_gguf.c - the GGUF form and its quantised types: a file of the gguf package with every type
 * of metadata and tensor, whose numbers must come out to the bit in both directions; then files
 * that are wrong. */
#define _GNU_SOURCE
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/support/hostile.h"
#include "files/tensor_values.h"
#include "files/read.h"

#define GOLDEN "tests/golden/gguf/types.gguf"

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

static void open_golden(struct sdg_weights *w)
{
    sdgen_error err = {0};
    if (sdg_weights_open(w, GOLDEN, &err) != SDGEN_OK) fail_msg("%s", err.text);
    assert_int_equal(w->form, SDG_FORM_GGUF);
    (void)test_touch(w);
}

static const struct sdg_tensor *tensor(const struct sdg_weights *w, const char *kind,
                                       const char *name)
{
    char full[64];
    snprintf(full, sizeof full, "%s.%s", kind, name);
    const struct sdg_entry *e = sdg_weights_find(w, full);
    if (!e) fail_msg("%s is missing", full);
    return &e->tensor;
}

static const enum sdg_dtype quantised[] = {SDG_Q4_0, SDG_Q4_1, SDG_Q5_0, SDG_Q5_1, SDG_Q8_0,
                                           SDG_Q2_K, SDG_Q3_K, SDG_Q4_K, SDG_Q5_K, SDG_Q6_K};
enum { QUANTISED = sizeof quantised / sizeof *quantised, WRITABLE = 5 };

/* ---- a file of the original ---- */

static void test_metadata(void **state)
{
    static const char *const pairs[][2] = {
        {"general.architecture", "sd1"},
        {"general.alignment", "64"},
        {"general.name", "na\xc3\xafve \xf0\x9f\x90\xb1"},
        {"value.u8", "200"},
        {"value.i8", "-100"},
        {"value.u16", "60000"},
        {"value.i16", "-30000"},
        {"value.u32", "4000000000"},
        {"value.i32", "-2000000000"},
        {"value.f32", "0.100000001"},
        {"value.u64", "18446744073709551615"},
        {"value.i64", "-9223372036854775808"},
        {"value.f64", "0.10000000000000001"},
        {"value.yes", "true"},
        {"value.no", "false"},
        {"list.i32", "[1, -2, 3]"},
        {"list.f32", "[0.5, 0.25]"},
        {"list.long", "[100 values]"},
        {"list.texts", "[3 values]"},
    };
    struct sdg_weights w;
    (void)state;
    open_golden(&w);
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        const char *value = sdg_weights_metadata(&w, pairs[i][0]);
        assert_non_null(value);
        assert_string_equal(value, pairs[i][1]);
    }
    sdg_weights_close(&w);
}

static void test_plain_types(void **state)
{
    static const struct {
        const char *name;
        enum sdg_dtype dtype;
    } types[] = {{"float32", SDG_F32}, {"float16", SDG_F16},  {"float64", SDG_F64},
                 {"int8", SDG_I8},     {"int16", SDG_I16},    {"int32", SDG_I32},
                 {"int64", SDG_I64},   {"bfloat16", SDG_BF16}};
    struct sdg_weights w;
    (void)state;
    open_golden(&w);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        const struct sdg_tensor *t = tensor(&w, "plain", types[i].name);
        float y[6];
        assert_int_equal(t->dtype, types[i].dtype);
        assert_int_equal(t->rank, 2);
        assert_int_equal(t->shape[0], 2);
        assert_int_equal(t->shape[1], 3);
        sdg_tensor_widen(y, t, 0, 6);
        for (int k = 0; k < 6; k++) {
            const float whole = (float)(k % 2 ? -k - 1 : k + 1);
            assert_true(y[k] == (sdg_dtype_is_float(t->dtype) ? whole / 4 : whole));
        }
    }
    sdg_weights_close(&w);
}

static void test_dequantised(void **state)
{
    struct sdg_weights w;
    (void)state;
    open_golden(&w);
    for (int i = 0; i < QUANTISED; i++) {
        const char *name = sdg_dtype_name(quantised[i]);
        const struct sdg_tensor *t = tensor(&w, "blocks", name), *want = tensor(&w, "want", name);
        float y[512], piece[512];
        assert_int_equal(t->dtype, quantised[i]);
        assert_int_equal(sdg_tensor_count(t), 512);
        assert_true(sdg_dtype_is_float(t->dtype));
        sdg_tensor_widen(y, t, 0, 512);
        if (memcmp(y, want->data, sizeof y) != 0) fail_msg("%s: other bits", name);
        for (size_t first = 0; first < 512; first += 37) /* from and to the middle of blocks */
            for (size_t count = 0; first + count <= 512; count += 61) {
                sdg_tensor_widen(piece, t, first, count);
                if (memcmp(piece, y + first, count * sizeof *y) != 0)
                    fail_msg("%s: %zu from %zu on", name, count, first);
            }
    }
    sdg_weights_close(&w);
}

static void test_quantised(void **state)
{
    struct sdg_weights w;
    (void)state;
    open_golden(&w);
    const struct sdg_tensor *in = &sdg_weights_find(&w, "in")->tensor;
    const size_t count = sdg_tensor_count(in);
    float *x = malloc(count * sizeof *x);
    uint8_t *y = malloc(count * sizeof *x);
    assert_true(x && y);
    sdg_tensor_widen(x, in, 0, count);
    for (int i = 0; i < QUANTISED; i++) {
        assert_int_equal(sdg_dtype_is_narrowed(quantised[i]), i < WRITABLE);
        if (i >= WRITABLE) continue;
        const char *name = sdg_dtype_name(quantised[i]);
        const struct sdg_tensor *want = tensor(&w, "quantised", name);
        const size_t size = sdg_dtype_size(quantised[i]);
        sdg_tensor_narrow(y, quantised[i], x, count);
        for (size_t b = 0; b < count / 32; b++)
            if (memcmp(y + b * size, (const uint8_t *)want->data + b * size, size) != 0)
                fail_msg("%s: block %zu has other bits", name, b);
    }
    free(x);
    free(y);
    sdg_weights_close(&w);
}

/* Rows of whole blocks in the file, and the shape that metadata give it. */
static void test_unfolded(void **state)
{
    struct sdg_weights w;
    float y[512], in[512];
    (void)state;
    open_golden(&w);
    const struct sdg_tensor *t = &sdg_weights_find(&w, "reshaped")->tensor;
    assert_int_equal(t->rank, 4);
    assert_int_equal(t->shape[0], 4);
    assert_int_equal(t->shape[1], 8);
    assert_int_equal(t->shape[3], 4);
    sdg_tensor_widen(y, t, 0, 512);
    sdg_tensor_widen(in, &sdg_weights_find(&w, "in")->tensor, 0, 512);
    for (int i = 0; i < 512; i++) /* to a step of an eighth bit of the block's largest number */
        assert_true(fabsf(y[i] - in[i]) <= 0.51f * fabsf(in[i / 32 * 32]) + 400.0f);
    sdg_weights_close(&w);
}

/* ---- halves ---- */

static void test_halves(void **state)
{
    (void)state;
    for (uint32_t bits = 0; bits < 0x10000; bits++) { /* every half survives the way up and down */
        const float x = sdg_half_value((uint16_t)bits);
        if (isnan(x))
            assert_true((sdg_half_from(x) & 0x7e00) == 0x7e00);
        else
            assert_int_equal(sdg_half_from(x), bits);
    }
    static const struct {
        float x;
        uint16_t bits;
    } known[] = {{65519.0f, 0x7bff},        {65520.0f, 0x7c00},     {-1e30f, 0xfc00},
                 {0x1p-25f, 0x0000},        {0x1.002p-25f, 0x0001}, {0x3p-25f, 0x0002},
                 {0x1p-26f, 0x0000},        {-0x1p-140f, 0x8000},   {1.0f + 0x1p-11f, 0x3c00},
                 {1.0f + 0x3p-11f, 0x3c02}, {0x1.ffep-15f, 0x0400}, {-0.0f, 0x8000}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        assert_int_equal(sdg_half_from(known[i].x), known[i].bits);
    const float x[] = {1.0f + 0x1p-8f, 1.0f + 0x3p-8f, INFINITY, NAN, 0x1.ffp127f};
    const uint16_t want[] = {0x3f80, 0x3f82, 0x7f80, 0x7fc0, 0x7f80};
    uint16_t y[5];
    sdg_tensor_narrow(y, SDG_BF16, x, 5);
    for (int i = 0; i < 5; i++) assert_int_equal(y[i], want[i]);
}

static void test_values(void **state)
{
    uint8_t block[3 * 34] = {0};
    struct sdg_value_counts n;
    (void)state;
    memset(block, 1, sizeof block);
    block[34] = 0;
    block[35] = 0x7c; /* a scale of infinity */
    block[36] = 0;    /* which times zero is NaN */
    block[68] = 1;
    block[69] = 0x7c;
    const struct sdg_tensor t = {block, SDG_Q8_0, 2, {1, 96}};
    sdg_count_values(&n, &t);
    assert_int_equal(n.inf, 31);
    assert_int_equal(n.nan, 33);
}

/* ---- files that are wrong ---- */

static void text(struct test_bytes *b, const char *s)
{
    test_bytes_number(b, strlen(s), 8);
    test_bytes_add(b, s, strlen(s));
}

static void head(struct test_bytes *b, uint64_t tensors, uint64_t metadata)
{
    test_bytes_add(b, "GGUF", 4);
    test_bytes_number(b, 3, 4);
    test_bytes_number(b, tensors, 8);
    test_bytes_number(b, metadata, 8);
}

/* A description with two dimensions, the fastest first. */
static void describe(struct test_bytes *b, const char *name, uint64_t fast, uint64_t slow,
                     uint64_t type, uint64_t offset)
{
    text(b, name);
    test_bytes_number(b, 2, 4);
    test_bytes_number(b, fast, 8);
    test_bytes_number(b, slow, 8);
    test_bytes_number(b, type, 4);
    test_bytes_number(b, offset, 8);
}

static void pad(struct test_bytes *b, size_t alignment, size_t body)
{
    while (b->size % alignment) test_bytes_number(b, 0, 1);
    for (size_t i = 0; i < body; i++) test_bytes_number(b, i & 63, 1);
}

/* Two tensors and some metadata: a right file, unless the arguments make it wrong. */
static void small_file(struct test_bytes *b, uint64_t version, uint64_t alignment, uint64_t type,
                       uint64_t offset)
{
    head(b, 2, 3);
    b->data[4] = (uint8_t)version;
    text(b, "general.name");
    test_bytes_number(b, 8, 4);
    text(b, "small");
    text(b, "general.alignment");
    test_bytes_number(b, 4, 4);
    test_bytes_number(b, alignment, 4);
    text(b, "list");
    test_bytes_number(b, 9, 4);
    test_bytes_number(b, 8, 4);
    test_bytes_number(b, 2, 8);
    text(b, "one");
    text(b, "two");
    describe(b, "a", 32, 2, 8, 0); /* 68 bytes */
    describe(b, "b", 3, 2, type, offset);
    pad(b, 16, 80 + 24);
}

static void expect(struct test_bytes *b, const char *what, const char *wanted)
{
    test_file_write(path, b);
    test_refused(what, path, wanted);
    test_bytes_free(b);
}

static void test_small_file(void **state)
{
    struct test_bytes b = {0};
    struct sdg_weights w;
    sdgen_error err = {0};
    (void)state;
    for (int version = 2; version <= 3; version++) {
        small_file(&b, (uint64_t)version, 16, 0, 80);
        test_file_write(path, &b);
        if (sdg_weights_open(&w, path, &err) != SDGEN_OK) fail_msg("%s", err.text);
        (void)test_touch(&w);
        assert_int_equal(w.count, 2);
        const struct sdg_tensor *t = &sdg_weights_find(&w, "b")->tensor;
        assert_int_equal(t->shape[0], 2);
        assert_int_equal(t->shape[1], 3);
        assert_int_equal(((const uint8_t *)t->data)[0], 80 & 63);
        assert_string_equal(sdg_form_name(w.form), "GGUF");
        sdg_weights_close(&w);
        test_bytes_free(&b);
    }
}

static void test_cut_at_every_byte(void **state)
{
    struct test_bytes b = {0};
    sdgen_error err = {0};
    struct sdg_weights w;
    (void)state;
    small_file(&b, 3, 16, 0, 80);
    for (size_t size = 4; size < b.size; size++) {
        uint8_t *exact = malloc(size); /* sanitizers see what is read behind it */
        assert_non_null(exact);
        memcpy(exact, b.data, size);
        w = (struct sdg_weights) {.path = strdup("cut")};
        assert_non_null(w.path);
        if (sdg_weights_parse(&w, exact, size, &err) == SDGEN_OK) fail_msg("%zu bytes", size);
        assert_non_null(strstr(err.text, "cut"));
        sdg_weights_close(&w);
        free(exact);
    }
    test_bytes_free(&b);
}

static void test_every_bit_turned(void **state)
{
    struct test_bytes b = {0};
    sdgen_error err = {0};
    struct sdg_weights w;
    (void)state;
    small_file(&b, 3, 16, 0, 80);
    for (size_t bit = 32; bit < 8 * (b.size - 104); bit++) {
        b.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        w = (struct sdg_weights) {.path = strdup("turned")};
        assert_non_null(w.path);
        if (sdg_weights_parse(&w, b.data, b.size, &err) == SDGEN_OK) (void)test_touch(&w);
        sdg_weights_close(&w);
        b.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    test_bytes_free(&b);
}

static void test_wrong_numbers(void **state)
{
    static const struct {
        const char *what, *wanted;
        uint64_t version, alignment, type, offset;
    } cases[] = {
        {"version 1", "version 1", 1, 16, 0, 80},
        {"version 4", "version 4", 4, 16, 0, 80},
        {"version 0", "big-endian", 0, 16, 0, 80},
        {"alignment 0", "general.alignment is 0", 3, 0, 0, 80},
        {"alignment 24", "general.alignment is 24", 3, 24, 0, 80},
        {"alignment 2^31", "cut short", 3, UINT64_C(1) << 31, 0, 80},
        {"unaligned place", "no multiple of 16", 3, 16, 0, 88},
        {"overlap", "overlaps", 3, 16, 0, 64},
        {"the same place", "overlaps", 3, 16, 0, 0},
        {"beyond the file", "cut short", 3, 16, 0, 96},
        {"far beyond the file", "cut short", 3, 16, 0, UINT64_MAX - 15},
        {"blocks that rows do not fill", "no whole blocks of Q8_0", 3, 16, 8, 80},
        {"a type without numbers", "type IQ2_XXS cannot be used", 3, 16, 16, 80},
        {"a type that was given up", "type 4 is none", 3, 16, 4, 80},
        {"a type of the future", "type 255 is none", 3, 16, 255, 80},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct test_bytes b = {0};
        small_file(&b, cases[i].version, cases[i].alignment, cases[i].type, cases[i].offset);
        expect(&b, cases[i].what, cases[i].wanted);
    }
}

static void test_wrong_shapes(void **state)
{
    static const struct {
        const char *what, *wanted;
        uint64_t fast, slow, type;
    } cases[] = {
        {"negative", "absurd", UINT64_MAX, 1, 0},
        {"2^63", "absurd", 1, UINT64_C(1) << 63, 0},
        {"overflow of elements", "larger than any memory", UINT64_C(1) << 62, 4, 0},
        {"overflow of bytes", "larger than any memory", UINT64_C(1) << 62, 1, 0},
        {"overflow of blocks", "larger than any memory", UINT64_C(1) << 59, 31, 8},
        {"larger than the file", "cut short", 1 << 20, 1 << 10, 1},
        {"blocks larger than the file", "cut short", 1 << 20, 1 << 10, 2},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct test_bytes b = {0};
        head(&b, 1, 0);
        describe(&b, "a", cases[i].fast, cases[i].slow, cases[i].type, 0);
        pad(&b, 32, 64);
        expect(&b, cases[i].what, cases[i].wanted);
    }
    struct test_bytes b = {0};
    head(&b, 1, 0);
    text(&b, "a");
    test_bytes_number(&b, UINT32_MAX, 4);
    pad(&b, 32, 64);
    expect(&b, "absurd rank", "4294967295 dimensions");
    head(&b, 1, 0);
    text(&b, "scalar");
    test_bytes_number(&b, 0, 4);
    test_bytes_number(&b, 8, 4);
    test_bytes_number(&b, 0, 8);
    pad(&b, 32, 64);
    expect(&b, "a quantised scalar", "no whole blocks");
}

static void test_wrong_counts_and_texts(void **state)
{
    struct test_bytes b = {0};
    (void)state;
    head(&b, UINT64_MAX, 0);
    pad(&b, 32, 64);
    expect(&b, "2^64 - 1 tensors", "tensors in a file");
    head(&b, 0, UINT64_MAX);
    pad(&b, 32, 64);
    expect(&b, "2^64 - 1 metadata", "metadata in a file");
    head(&b, 0, 2);
    for (int i = 0; i < 2; i++) {
        text(&b, "twice");
        test_bytes_number(&b, 0, 4);
        test_bytes_number(&b, 1, 1);
    }
    expect(&b, "the same key", "is there twice");
    head(&b, 0, 1);
    test_bytes_number(&b, UINT64_MAX, 8);
    pad(&b, 32, 64);
    expect(&b, "an endless key", "a metadata key of");
    head(&b, 0, 1);
    text(&b, "");
    test_bytes_number(&b, 0, 4);
    pad(&b, 32, 64);
    expect(&b, "an empty key", "key is empty");
    head(&b, 0, 1);
    text(&b, "key");
    test_bytes_number(&b, 13, 4);
    pad(&b, 32, 64);
    expect(&b, "an unknown kind", "type 13, which is none");
    head(&b, 0, 1);
    text(&b, "key");
    test_bytes_number(&b, 8, 4);
    text(&b, "\xff\xfe");
    expect(&b, "no UTF-8", "not UTF-8");
    for (int kind = 0; kind < 13; kind++) { /* lists that claim more than there is */
        head(&b, 0, 1);
        text(&b, "key");
        test_bytes_number(&b, 9, 4);
        test_bytes_number(&b, (uint64_t)kind, 4);
        test_bytes_number(&b, UINT64_MAX / 2, 8);
        pad(&b, 32, 64);
        expect(&b, "an endless list", "a list of");
    }
    head(&b, 0, 1);
    text(&b, "key");
    test_bytes_number(&b, 9, 4);
    for (int i = 0; i < 100; i++) {
        test_bytes_number(&b, 9, 4);
        test_bytes_number(&b, 1, 8);
    }
    expect(&b, "lists in lists", "a list in a list");
    head(&b, 0, 1);
    text(&b, "split.count");
    test_bytes_number(&b, 2, 4);
    test_bytes_number(&b, 3, 2);
    expect(&b, "a part", "one of 3 parts");
    head(&b, 2, 0);
    for (int i = 0; i < 2; i++) describe(&b, "a", 1, 1, 0, (uint64_t)i * 32);
    pad(&b, 32, 64);
    expect(&b, "the same name", "is there twice");
    head(&b, 1, 1);
    text(&b, "comfy.gguf.orig_shape.a");
    test_bytes_number(&b, 9, 4);
    test_bytes_number(&b, 5, 4);
    test_bytes_number(&b, 2, 8);
    test_bytes_number(&b, 3, 4);
    test_bytes_number(&b, 3, 4);
    describe(&b, "a", 2, 4, 0, 0);
    pad(&b, 32, 64);
    expect(&b, "a shape of other size", "do not fill");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_metadata),
        cmocka_unit_test(test_plain_types),
        cmocka_unit_test(test_dequantised),
        cmocka_unit_test(test_quantised),
        cmocka_unit_test(test_unfolded),
        cmocka_unit_test(test_halves),
        cmocka_unit_test(test_values),
        cmocka_unit_test_setup_teardown(test_small_file, set_up, tear_down),
        cmocka_unit_test(test_cut_at_every_byte),
        cmocka_unit_test(test_every_bit_turned),
        cmocka_unit_test_setup_teardown(test_wrong_numbers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_wrong_shapes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_wrong_counts_and_texts, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
