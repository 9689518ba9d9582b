/* npy.h - reads the NumPy files that a traced run writes. */
#ifndef SDG_TESTS_SUPPORT_NPY_H
#define SDG_TESTS_SUPPORT_NPY_H

#include <stddef.h>

enum test_npy_type { TEST_NPY_F32, TEST_NPY_I32, TEST_NPY_U8 };
enum { TEST_NPY_RANK = 8 };

struct test_npy {
    enum test_npy_type type;
    int rank;
    size_t shape[TEST_NPY_RANK], count;
    void *data; /* [count] of the type, C order */
};

/* Reads directory/name (or `name` alone when directory is NULL): format version 1.0, little-endian
 * '<f4',
 * '<i4' or '|u1', C order. Fails the test when the file is anything else or not exactly as long as
 * its shape. Free with test_npy_free. */
struct test_npy test_npy_read(const char *directory, const char *name);
void test_npy_free(struct test_npy *a);

/* mkdtemp under $TMPDIR or /tmp; test_folder_remove deletes the files in it and the folder, and
 * frees the name. */
char *test_folder_make(void);
void test_folder_remove(char *path);

#endif
