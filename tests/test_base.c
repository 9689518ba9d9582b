/* test_base.c - the ground floor: errors, arena, tensor views, atomic files, threads. */
#define _GNU_SOURCE
#include <fenv.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/arena.h"
#include "base/atomicfile.h"
#include "base/filemap.h"
#include "base/parallel.h"
#include "base/tensor.h"

static void error_text_is_one_clean_line(void **state)
{
    (void)state;
    sdgen_error err;
    assert_int_equal(sdg_fail(&err, SDGEN_ERR_IO, "a\nb\x1b[2J%s", "\x7f"), SDGEN_ERR_IO);
    assert_string_equal(err.text, "a?b?[2J?");
    assert_int_equal(sdg_fail(NULL, SDGEN_ERR_ARG, "no one listens"), SDGEN_ERR_ARG);
    char big[5000];
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = 0;
    (void)sdg_fail(&err, SDGEN_ERR_IO, "%s", big);
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
}

/* The same sequence of calls must peak alike in a measuring and in a real arena. */
static void use(struct sdg_arena *a)
{
    assert_non_null(sdg_arena_floats(a, 1));
    const size_t mark = sdg_arena_mark(a);
    assert_non_null(sdg_arena_alloc(a, 1000, 3));
    sdg_arena_release(a, mark);
    assert_non_null(sdg_arena_alloc(a, 7, 1));
}

static void arena_measures_what_it_needs(void **state)
{
    (void)state;
    struct sdg_arena a;
    sdg_arena_measure(&a);
    use(&a);
    assert_int_equal(a.peak, 64 + 3008);
    const size_t peak = a.peak;
    assert_int_equal(sdg_arena_create(&a, peak, NULL), SDGEN_OK);
    use(&a);
    assert_int_equal(a.peak, peak);
    assert_null(sdg_arena_alloc(&a, peak, 1));
    assert_null(sdg_arena_alloc(&a, SIZE_MAX / 2, 16));
    sdg_arena_destroy(&a);
    sdg_arena_destroy(&a);
}

static float widen(enum sdg_dtype dtype, const void *data)
{
    char shifted[9]; /* no alignment may be assumed */
    memcpy(shifted + 1, data, sdg_dtype_size(dtype));
    const struct sdg_tensor t = {.data = shifted + 1, .dtype = dtype};
    float y;
    sdg_tensor_widen(&y, &t, 0, 1);
    return y;
}

static float widen_bits(enum sdg_dtype dtype, unsigned bits)
{
    const uint16_t half = (uint16_t)bits;
    const uint8_t byte = (uint8_t)bits;
    return widen(dtype, sdg_dtype_size(dtype) == 1 ? (const void *)&byte : &half);
}

static void widening_follows_the_formats(void **state)
{
    (void)state;
    assert_true(widen_bits(SDG_F16, 0x3c01) == 1.0f + 0x1p-10f);
    assert_true(widen_bits(SDG_F16, 0x0001) == 0x1p-24f);
    assert_true(widen_bits(SDG_F16, 0x83ff) == -1023 * 0x1p-24f);
    assert_true(widen_bits(SDG_F16, 0xfbff) == -65504.0f);
    assert_true(isinf(widen_bits(SDG_F16, 0x7c00)) && isnan(widen_bits(SDG_F16, 0x7e00)));
    assert_true(widen_bits(SDG_BF16, 0x3f81) == 1.0f + 0x1p-7f);
    assert_true(widen_bits(SDG_F8_E4M3, 0x7e) == 448.0f);
    assert_true(widen_bits(SDG_F8_E4M3, 0x01) == 0x1p-9f);
    assert_true(isnan(widen_bits(SDG_F8_E4M3, 0x7f)) && isnan(widen_bits(SDG_F8_E4M3, 0xff)));
    assert_true(widen_bits(SDG_F8_E5M2, 0x7b) == 57344.0f);
    assert_true(widen_bits(SDG_F8_E5M2, 0x01) == 0x1p-16f);
    assert_true(isinf(widen_bits(SDG_F8_E5M2, 0xfc)) && isnan(widen_bits(SDG_F8_E5M2, 0x7d)));
    const double d = 1.0 / 3;
    const int64_t i = -12345678901;
    assert_true(widen(SDG_F64, &d) == (float)d);
    assert_true(widen(SDG_I64, &i) == (float)i);
}

static void shapes_cannot_overflow(void **state)
{
    (void)state;
    size_t bytes;
    char text[32];
    const int64_t huge[] = {INT64_MAX, 4}, zero[] = {INT64_MAX, 0, 4}, negative[] = {-1};
    assert_false(sdg_shape_bytes(&bytes, huge, 2, 4));
    assert_true(sdg_shape_bytes(&bytes, zero, 3, 1));
    assert_int_equal(bytes, 0);
    assert_false(sdg_shape_bytes(&bytes, negative, 1, 1));
    assert_string_equal(sdg_shape_text(text, sizeof text, (int64_t[]) {320, 4, 3, 3}, 4),
                        "[320,4,3,3]");
    assert_string_equal(sdg_shape_text(text, sizeof text, NULL, 0), "[]");
    assert_int_equal(strlen(sdg_shape_text(text, 5, huge, 2)), 4);
}

/* A directory of its own with a file name in it; the caller removes both. */
static char *new_path(char *directory, const char *name)
{
    strcpy(directory, "/tmp/sdgen-base-XXXXXX");
    assert_non_null(mkdtemp(directory));
    char *path = NULL;
    assert_true(asprintf(&path, "%s/%s", directory, name) > 0);
    return path;
}

static void atomic_file_appears_whole_or_not_at_all(void **state)
{
    (void)state;
    char directory[64];
    char *path = new_path(directory, "out");
    struct sdg_atomicfile f;
    sdgen_error err;
    assert_int_equal(sdg_atomic_begin(&f, path, &err), SDGEN_OK);
    fputs("one", f.stream);
    assert_int_not_equal(access(path, F_OK), 0);
    assert_int_equal(sdg_atomic_commit(&f, 0, &err), SDGEN_OK);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, 3);

    assert_int_equal(sdg_atomic_begin(&f, path, &err), SDGEN_OK);
    fputs("longer", f.stream);
    assert_int_equal(sdg_atomic_commit(&f, 0, &err), SDGEN_ERR_IO); /* there is one already */
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, 3);

    assert_int_equal(sdg_atomic_begin(&f, path, &err), SDGEN_OK);
    fputs("longer", f.stream);
    sdg_atomic_abort(&f);
    sdg_atomic_abort(&f);
    assert_int_equal(sdg_atomic_begin(&f, path, &err), SDGEN_OK);
    fputs("longer", f.stream);
    assert_int_equal(sdg_atomic_commit(&f, 1, &err), SDGEN_OK);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, 6);

    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(directory), 0); /* so no temporary file was left behind */
    assert_int_equal(sdg_atomic_begin(&f, path, &err), SDGEN_ERR_IO);
    assert_int_equal(sdg_atomic_begin(&f, "/tmp", &err), SDGEN_ERR_IO);
    free(path);
}

static void a_full_disk_is_an_error(void **state)
{
    (void)state;
    struct sdg_atomicfile f = {.stream = fopen("/dev/full", "w")};
    if (!f.stream) skip();
    f.path = strdup("picture.png");
    fputs("text", f.stream);
    sdgen_error err;
    assert_int_equal(sdg_atomic_commit(&f, 1, &err), SDGEN_ERR_IO);
    assert_non_null(strstr(err.text, "picture.png"));
    assert_non_null(strstr(err.text, "No space left"));
}

static void only_files_are_mapped(void **state)
{
    (void)state;
    struct sdg_filemap map;
    sdgen_error err;
    assert_int_equal(sdg_filemap_open(&map, "/tmp", &err), SDGEN_ERR_IO);
    assert_string_equal(err.text, "/tmp: is a directory, not a file");
    assert_int_equal(sdg_filemap_open(&map, "/dev/null", &err), SDGEN_ERR_IO);
    assert_int_equal(sdg_filemap_open(&map, "/tmp/no/such", &err), SDGEN_ERR_IO);
    assert_int_equal(sdg_filemap_open(&map, "LICENSE", &err), SDGEN_OK);
    assert_memory_equal(map.data, "MIT", 3);
    sdg_filemap_close(&map);
    sdg_filemap_close(&map);
}

struct squares {
    size_t values[1000];
    int environment_ok[1000];
    volatile double tiny;
};

static void square(void *arg, size_t task, int worker)
{
    struct squares *s = arg;
    (void)worker;
    s->values[task] += task * task;
    s->environment_ok[task] = fegetround() == FE_TONEAREST && s->tiny / 4 > 0;
}

static void every_task_runs_once_in_the_default_environment(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 5; threads++) {
        struct squares *s = calloc(1, sizeof *s);
        s->tiny = 0x1p-1022;
        fesetround(FE_UPWARD);
        sdg_parallel_for(threads, 1000, square, s);
        assert_int_equal(fegetround(), FE_UPWARD);
        fesetround(FE_TONEAREST);
        for (size_t i = 0; i < 1000; i++) {
            assert_int_equal(s->values[i], i * i);
            assert_true(s->environment_ok[i]);
        }
        free(s);
    }
    sdg_parallel_for(3, 0, square, NULL);
    assert_true(sdg_physical_cores() >= 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(error_text_is_one_clean_line),
        cmocka_unit_test(arena_measures_what_it_needs),
        cmocka_unit_test(widening_follows_the_formats),
        cmocka_unit_test(shapes_cannot_overflow),
        cmocka_unit_test(atomic_file_appears_whole_or_not_at_all),
        cmocka_unit_test(a_full_disk_is_an_error),
        cmocka_unit_test(only_files_are_mapped),
        cmocka_unit_test(every_task_runs_once_in_the_default_environment),
    };
    return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
