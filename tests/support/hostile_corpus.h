/* hostile_corpus.h - small weight files that must be refused, each wrong in its own way. */
#ifndef SDG_TESTS_SUPPORT_HOSTILE_CORPUS_H
#define SDG_TESTS_SUPPORT_HOSTILE_CORPUS_H

#include "tests/support/hostile.h"

struct test_hostile {
    const char *what;    /* in words */
    const char *wanted;  /* what the message must hold */
    struct test_bytes b; /* the file; free with test_bytes_free */
};

/* File i of a corpus; false behind the last one. */
bool test_hostile_safetensors(struct test_hostile *h, size_t i);
bool test_hostile_pickle(struct test_hostile *h, size_t i);
bool test_hostile_zip(struct test_hostile *h, size_t i);

/* A right pickle for test_torch: {"a": f32 [4] in storage "0"}. */
extern const struct test_bytes test_good_pickle;

#endif
