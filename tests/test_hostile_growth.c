/* test_hostile_growth.c - work that grows with the bytes of a file and no faster: files that make
 * each reader of PyTorch's forms do as much as it can for a byte, in one size and in four times
 * that size. A reader whose work grew with the square would take 16 times as long. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "tests/support/hostile.h"
#include "files/picklescan.h"
#include "files/read.h"

enum { SMALL = 10000, LARGE = 4 * SMALL, TURNS = 3, GROWTH_MAX = 10, BATCH = 1000 };

#define REBUILD "ctorch._utils\n_rebuild_tensor_v2\n"
#define HEAD "\200\2\212\12l\374\234F\371 j\250P\31.\200\2M\351\3.\200\2}."

static void add(struct test_bytes *b, const char *text, size_t size)
{
    test_bytes_add(b, text, size);
}
#define ADD(b, text) add(b, text, sizeof(text) - 1)

static void add_text(struct test_bytes *b, const char *format, size_t i)
{
    char text[32];
    snprintf(text, sizeof text, format, i);
    ADD(b, "X");
    test_bytes_number(b, strlen(text), 4);
    test_bytes_add(b, text, strlen(text));
}

/* n tensors of one storage, in a zip archive. */
static void many_tensors(struct test_bytes *b, size_t n)
{
    struct test_bytes p = {0};
    ADD(&p, "\200\2}(X\1\0\0\0f" REBUILD "q\1((X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0000"
            "X\3\0\0\0cpuK\4tQq\0K\0K\4\205q\2K\1\205q\3tRu");
    for (size_t i = 0; i < n; i++) {
        if (i % BATCH == 0) ADD(&p, "(");
        add_text(&p, "t%zu", i);
        ADD(&p, "h\1(h\0K\0h\2h\3tR");
        if ((i + 1) % BATCH == 0) ADD(&p, "u");
    }
    ADD(&p, ".");
    test_torch(b, p.data, p.size, 16);
    test_bytes_free(&p);
}

/* n storages of one number each, whose keys come in no order, in a stream of before 1.6. */
static void many_storages(struct test_bytes *b, size_t n)
{
    ADD(b, HEAD "\200\2}(X\1\0\0\0fNu");
    for (size_t i = 0; i < n; i++) {
        add_text(b, "t%zu", i);
        ADD(b, REBUILD "((X\7\0\0\0storagectorch\nFloatStorage\n");
        add_text(b, "%zu", i * 2654435761u % 4294967291u);
        ADD(b, "X\3\0\0\0cpuK\1NtQK\0K\1\205K\1\205tRs");
    }
    ADD(b, ".\200\2]");
    for (size_t i = n; i-- > 0;) {
        add_text(b, "%zu", i * 2654435761u % 4294967291u);
        ADD(b, "a");
    }
    ADD(b, ".");
    for (size_t i = 0; i < n; i++) {
        test_bytes_number(b, 1, 8);
        test_bytes_number(b, i, 4);
    }
}

/* Tuples in tuples, each remembered, none of any use. */
static void many_tuples(struct test_bytes *b, size_t n)
{
    struct test_bytes p = {0};
    ADD(&p, "\200\4]");
    for (size_t i = 0; i < n; i++) ADD(&p, ")\224\205\224\205\224\205\224\205\224\205\224a");
    ADD(&p, ".");
    test_torch(b, p.data, p.size, 16);
    test_bytes_free(&p);
}

/* Names and pickles in texts, for the scanner. */
static void many_names(struct test_bytes *b, size_t n)
{
    ADD(b, "\200\4");
    for (size_t i = 0; i < n; i++)
        ADD(b, "\214\2os\224\214\6system\224\223C\25\200\3C\20\200\2cos\nsystem\n)R...00");
    ADD(b, ".");
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The shortest of TURNS: the reader, which finds so many tensors, then the scanner. */
static double time_of(const struct test_bytes *b, size_t tensors)
{
    double best = 1e9;
    for (int i = 0; i < TURNS; i++) {
        struct sdg_weights w = {.path = strdup("memory")};
        struct sdg_scan s;
        sdgen_error err = {0};
        const double start = seconds();
        if (sdg_weights_parse(&w, b->data, b->size, &err) != SDGEN_OK) assert_int_equal(tensors, 0);
        if (tensors) assert_int_equal(w.count, tensors);
        sdg_weights_close(&w);
        assert_int_equal(sdg_scan_file(&s, "memory", b->data, b->size, &err), SDGEN_OK);
        sdg_scan_free(&s);
        const double taken = seconds() - start;
        if (taken < best) best = taken;
    }
    return best;
}

static void check(const char *what, void (*make)(struct test_bytes *, size_t), bool opens,
                  size_t more)
{
    struct test_bytes small = {0}, large = {0};
    make(&small, SMALL);
    make(&large, LARGE);
    const double a = time_of(&small, opens ? SMALL + more : 0),
                 b = time_of(&large, opens ? LARGE + more : 0);
    if (b > GROWTH_MAX * a + 0.002)
        fail_msg("%s: %zu bytes take %g s, %zu take %g s", what, small.size, a, large.size, b);
    test_bytes_free(&small);
    test_bytes_free(&large);
}

static void test_growth(void **state)
{
    (void)state;
    check("tensors", many_tensors, true, 1);
    check("storages", many_storages, true, 0);
    check("tuples", many_tuples, false, 0);
    check("names", many_names, false, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_growth)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
