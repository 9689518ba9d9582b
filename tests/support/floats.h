/* floats.h - golden arrays of f32 in the tests of src/sampling and of whole runs. */
#ifndef SDG_TESTS_SUPPORT_FLOATS_H
#define SDG_TESTS_SUPPORT_FLOATS_H

#include <stddef.h>
#include "files/weights.h"

struct test_floats {
    float *data;
    size_t count;
};

/* The tensor whose name the format gives, widened to f32. Fails the test when there is none. Free
 * with test_floats_free. */
struct test_floats test_golden(const struct sdg_weights *w, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void test_floats_free(struct test_floats *f);

/* The value of a metadata key; fails the test when there is none. */
const char *test_metadata(const struct sdg_weights *w, const char *key);

/* max |a - b| / max |b| over count values: 0 for equal arrays, NaN compares as infinity. */
double test_ratio(const float *a, const float *b, size_t count);

/* max |a - b| */
double test_difference(const float *a, const float *b, size_t count);

#endif
