/* convertcase.h - a folder of checkpoints to convert and to merge. */
#ifndef SDG_TESTS_SUPPORT_CONVERTCASE_H
#define SDG_TESTS_SUPPORT_CONVERTCASE_H

#include "convert/convert.h"

/* A folder for each test, which is removed with all that is in it. */
int test_convert_begin(void **state);
int test_convert_end(void **state);
char *test_in(const char *name);   /* a path in the folder; good for eight calls */
void test_clear(const char *name); /* removes a folder in it */
int test_file_count(void);

void test_open(struct sdg_weights *w, const char *path);

/* Fails the test when the two differ in type, shape or a byte. */
void test_expect_same(const struct sdg_tensor *a, const struct sdg_tensor *b, const char *name);

struct sdg_convert_options test_options(const char *from, const char *to);
struct sdg_convert_result test_convert(const struct sdg_convert_options *o);
void test_convert_plain(const char *from, const char *to); /* names in the folder */

/* A shrunk model in the stock spelling. */
void test_write_family(const char *name, const char *to);

/* The file `from` again, with a running average of the UNet (the same bytes, every eighth bit
 * turned over), position numbers, and what training leaves. */
void test_write_leftovers(const char *from, const char *to);

#endif
