/* test_forms_draw.c - the smallest model that draws, in other forms and types: the picture must be,
 * bit for bit, that of one safetensors file in f32 with the same numbers. Files are written with
 * files/tensor_write.h; quantised and narrow types are widened for the twin. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "sdgen.h"
#include "tests/support/npy.h"
#include "tests/support/testmodel.h"
#include "files/tensor_write.h"

enum { SIDE = 64, BYTES = SIDE * SIDE * 3, SHARDS = 3 };

static char *folder, path[4][512];
static struct sdg_weights model;

static int set_up(void **state)
{
    static const char *const names[] = {"f32.safetensors", "twin.safetensors", "other",
                                        "model.safetensors.index.json"};
    sdgen_error err = {0};
    (void)state;
    folder = test_folder_make();
    for (int i = 0; i < 4; i++) snprintf(path[i], sizeof path[i], "%s/%s", folder, names[i]);
    test_micro_write(path[0], SDG_F32);
    if (sdg_weights_open(&model, path[0], &err) != SDGEN_OK) fail_msg("%s", err.text);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sdg_weights_close(&model);
    test_folder_remove(folder);
    return 0;
}

/* ---- drawing ---- */

static int keep(void *user, const sdgen_image *image)
{
    assert_int_equal(image->width * image->height * 3, BYTES);
    memcpy(user, image->rgb, BYTES);
    return 0;
}

static void draw(uint8_t *rgb, const char *file)
{
    sdgen_engine *engine;
    sdgen_error error;
    sdgen_load_params load = sdgen_load_defaults();
    sdgen_image_params p = sdgen_image_defaults();
    load.model_path = file;
    load.threads = 1;
    p.prompt = "a fox on a blue background";
    p.width = p.height = SIDE;
    p.steps = 2;
    p.seed = 7;
    if (sdgen_load(&engine, &load, &error) != SDGEN_OK) fail_msg("%s", error.text);
    memset(rgb, 0, BYTES);
    if (sdgen_generate(engine, &p, keep, rgb, &error) != SDGEN_OK) fail_msg("%s", error.text);
    sdgen_free(engine);
}

/* Of `one` and `other`, which may not be a picture of one colour; whether f32.safetensors draws
 * another. */
static bool expect_same(const char *what, const char *one, const char *other)
{
    static uint8_t a[BYTES], b[BYTES], f32[BYTES];
    int unlike = 0;
    draw(a, one);
    draw(b, other);
    draw(f32, path[0]);
    if (memcmp(a, b, BYTES) != 0) fail_msg("%s: another picture", what);
    for (int i = 0; i < BYTES; i += 3) unlike += memcmp(a + i, a, 3) != 0;
    assert_true(unlike > SIDE * SIDE / 2);
    return memcmp(a, f32, BYTES) != 0;
}

/* ---- writing ---- */

/* Which type a tensor gets. */
typedef enum sdg_dtype (*type_fn)(const struct sdg_tensor *t, size_t number, enum sdg_dtype d);

static enum sdg_dtype all_alike(const struct sdg_tensor *t, size_t number, enum sdg_dtype d)
{
    (void)t;
    (void)number;
    return d;
}

/* Matrices whose rows are whole blocks, tables among them. */
static enum sdg_dtype matrices(const struct sdg_tensor *t, size_t number, enum sdg_dtype d)
{
    (void)number;
    return t->rank == 2 && t->shape[1] % (int64_t)sdg_dtype_block(d) == 0 ? d : SDG_F32;
}

static enum sdg_dtype mixed(const struct sdg_tensor *t, size_t number, enum sdg_dtype d)
{
    static const enum sdg_dtype types[] = {SDG_F32, SDG_F16, SDG_BF16, SDG_F8_E4M3};
    (void)d;
    return types[(number + (size_t)t->rank) % 4];
}

/* A binary8 number of four exponent and three fraction bits near x, |x| < 256. */
static uint8_t to_e4m3(float x)
{
    int e = 0;
    (void)frexpf(fabsf(x), &e);
    const int step = e - 4 > -9 ? e - 4 : -9; /* 2^-9: the smallest number */
    const long units = lrintf(ldexpf(fabsf(x), -step)), bits = (step + 9) * 8 + units;
    return (uint8_t)(bits | (x < 0 ? 0x80 : 0));
}

/* y, bytes as a file of type d holds them, of the numbers x. */
static void encode(uint8_t *y, enum sdg_dtype d, const float *x, size_t count)
{
    if (d == SDG_F8_E4M3)
        for (size_t i = 0; i < count; i++) y[i] = to_e4m3(x[i]);
    else
        sdg_tensor_narrow(y, d, x, count);
}

/* Entries with number % of == part, in the types that `type` gives them, or those widened to f32.
 */
static void write_model(const char *to, bool gguf, bool widened, type_fn type, enum sdg_dtype d,
                        size_t part, size_t of)
{
    struct sdg_write_tensor *t = calloc(model.count, sizeof *t);
    struct sdg_writer w;
    sdgen_error err = {0};
    size_t n = 0;
    assert_non_null(t);
    for (size_t i = part; i < model.count; i += of) {
        const struct sdg_entry *e = &model.entries[i];
        t[n].name = e->name;
        t[n].dtype = widened ? SDG_F32 : type(&e->tensor, i, d);
        t[n].rank = e->tensor.rank;
        memcpy(t[n].shape, e->tensor.shape, sizeof t[n].shape);
        t[n++].user = e;
    }
    if ((gguf ? sdg_write_gguf : sdg_write_safetensors)(&w, to, t, n, NULL, 0, &err) != SDGEN_OK)
        fail_msg("%s", err.text);
    for (size_t i = 0; i < n; i++) {
        const struct sdg_entry *e = t[i].user;
        const size_t count = sdg_tensor_count(&e->tensor);
        struct sdg_tensor stored = e->tensor;
        stored.dtype = type(&e->tensor, (size_t)(e - model.entries), d);
        float *x = malloc(count * sizeof *x);
        uint8_t *y = malloc(count * sizeof *x);
        assert_true(x && y);
        sdg_tensor_widen(x, &e->tensor, 0, count);
        encode(y, stored.dtype, x, count);
        stored.data = y;
        if (widened) sdg_tensor_widen(x, &stored, 0, count);
        const void *data = widened ? (const void *)x : y;
        if (sdg_write_numbers(&w, data, (size_t)t[i].bytes, &err) != SDGEN_OK)
            fail_msg("%s", err.text);
        free(x);
        free(y);
    }
    if (sdg_write_commit(&w, 1, &err) != SDGEN_OK) fail_msg("%s", err.text);
    free(t);
}

/* ---- tests ---- */

static void gguf_in_f32(void **state)
{
    (void)state;
    write_model(path[2], true, false, all_alike, SDG_F32, 0, 1);
    assert_false(expect_same("GGUF in f32", path[2], path[0]));
}

static void gguf_quantised(void **state)
{
    static const enum sdg_dtype types[] = {SDG_Q8_0, SDG_Q4_0, SDG_Q5_1};
    (void)state;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        write_model(path[2], true, false, matrices, types[i], 0, 1);
        write_model(path[1], false, true, matrices, types[i], 0, 1);
        assert_true(expect_same(sdg_dtype_name(types[i]), path[2], path[1]));
    }
}

static void types_mixed(void **state)
{
    (void)state;
    write_model(path[2], false, false, mixed, SDG_F32, 0, 1);
    write_model(path[1], false, true, mixed, SDG_F32, 0, 1);
    assert_true(expect_same("types mixed", path[2], path[1]));
}

static void shards(void **state)
{
    FILE *f = fopen(path[3], "w");
    (void)state;
    assert_non_null(f);
    fputs("{\"weight_map\":{", f);
    for (size_t i = 0; i < model.count; i++)
        fprintf(f, "%s\"%s\":\"%zu.safetensors\"", i ? "," : "", model.entries[i].name, i % SHARDS);
    fputs("}}", f);
    fclose(f);
    for (size_t i = 0; i < SHARDS; i++) {
        char name[600];
        snprintf(name, sizeof name, "%s/%zu.safetensors", folder, i);
        write_model(name, false, false, all_alike, SDG_F32, i, SHARDS);
    }
    assert_false(expect_same("shards", path[3], path[0]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(gguf_in_f32, set_up, tear_down),
        cmocka_unit_test_setup_teardown(gguf_quantised, set_up, tear_down),
        cmocka_unit_test_setup_teardown(types_mixed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(shards, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
