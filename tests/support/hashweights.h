/* hashweights.h - weights and inputs of test models from an integer hash of name and index,
 * bit-equal with tools/hashweights.py, which explains them. */
#ifndef SDG_TESTS_SUPPORT_HASHWEIGHTS_H
#define SDG_TESTS_SUPPORT_HASHWEIGHTS_H

#include <stddef.h>
#include <stdint.h>

/* y [product of shape]: the weight `name` (full single-file name). */
void test_hash_weight(float *y, const char *name, const int64_t *shape, int rank);

/* y [count]: an input of variance 1. */
void test_hash_input(float *y, const char *name, size_t count);

/* y [count]: token ids below vocab. */
void test_hash_ids(int32_t *y, const char *name, size_t count, uint32_t vocab);

#endif
