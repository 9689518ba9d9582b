/* npy.c - see npy.h. Format: NumPy's NEP 1. */
#define _GNU_SOURCE
#include "tests/support/npy.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

enum { PREFIX = 10 }; /* magic, version, length of the dictionary */

static const char *after(const char *dictionary, const char *key, const char *path)
{
    const char *p = strstr(dictionary, key);
    if (!p) fail_msg("%s: no %s in the header", path, key);
    return p + strlen(key);
}

static size_t parse_type(struct test_npy *a, const char *dictionary, const char *path)
{
    static const char *const names[] = {"'<f4'", "'<i4'", "'|u1'"};
    static const size_t sizes[] = {4, 4, 1};
    const char *p = after(dictionary, "'descr': ", path);
    for (int i = 0; i < 3; i++)
        if (strncmp(p, names[i], strlen(names[i])) == 0) {
            a->type = (enum test_npy_type)i;
            return sizes[i];
        }
    fail_msg("%s: type %.8s", path, p);
    return 0;
}

static void parse_shape(struct test_npy *a, const char *dictionary, const char *path)
{
    const char *p = after(dictionary, "'shape': (", path);
    a->count = 1;
    while (*p != ')') {
        char *end;
        assert_true(a->rank < TEST_NPY_RANK);
        a->shape[a->rank] = strtoul(p, &end, 10);
        if (end == p) fail_msg("%s: shape %.16s", path, p);
        a->count *= a->shape[a->rank++];
        p = end + strspn(end, ", ");
    }
}

struct test_npy test_npy_read(const char *directory, const char *name)
{
    char path[4096], dictionary[1024];
    unsigned char prefix[PREFIX];
    struct test_npy a = {0};
    snprintf(path, sizeof path, "%s%s%s", directory ? directory : "", directory ? "/" : "", name);
    FILE *f = fopen(path, "rb");
    if (!f) fail_msg("%s: not there", path);
    if (fread(prefix, 1, PREFIX, f) != PREFIX || memcmp(prefix, "\x93NUMPY\x01\x00", 8) != 0)
        fail_msg("%s: not a NumPy file of version 1.0", path);
    const size_t length = prefix[8] + 256u * prefix[9];
    assert_true(length < sizeof dictionary && (length + PREFIX) % 64 == 0);
    assert_int_equal(fread(dictionary, 1, length, f), length);
    dictionary[length] = 0;
    assert_int_equal(dictionary[length - 1], '\n');
    after(dictionary, "'fortran_order': False", path);
    const size_t size = parse_type(&a, dictionary, path);
    parse_shape(&a, dictionary, path);
    a.data = malloc(a.count * size + 1); /* one byte more, to see that nothing follows */
    assert_non_null(a.data);
    if (fread(a.data, 1, a.count * size + 1, f) != a.count * size)
        fail_msg("%s: not as long as its shape says", path);
    fclose(f);
    return a;
}

void test_npy_free(struct test_npy *a)
{
    free(a->data);
    *a = (struct test_npy) {0};
}

char *test_folder_make(void)
{
    const char *base = getenv("TMPDIR");
    char *path = NULL;
    if (asprintf(&path, "%s/sdgen-test-XXXXXX", base && *base ? base : "/tmp") < 0) return NULL;
    if (!mkdtemp(path)) fail_msg("cannot make %s", path);
    return path;
}

void test_folder_remove(char *path)
{
    if (!path) return;
    DIR *d = opendir(path);
    for (struct dirent *e; d && (e = readdir(d));) {
        char file[4096];
        snprintf(file, sizeof file, "%s/%s", path, e->d_name);
        if (e->d_name[0] != '.') unlink(file);
    }
    if (d) closedir(d);
    rmdir(path);
    free(path);
}
