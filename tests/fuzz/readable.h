/* readable.h - what must hold after any bytes went through a weight reader. */
#ifndef SDG_TESTS_FUZZ_READABLE_H
#define SDG_TESTS_FUZZ_READABLE_H

#include <stdlib.h>
#include <string.h>
#include "weights/read.h"

/* Refused with one line, or every name is found and every number can be read. */
static inline void read_anything(const uint8_t *data, size_t size)
{
    struct sdg_weights w = {.path = malloc(sizeof "input")};
    sdgen_error err = {0};
    unsigned sum = 0;
    if (!w.path) abort();
    memcpy(w.path, "input", sizeof "input");
    if (sdg_weights_parse(&w, data, size, &err) != SDGEN_OK) {
        if (strncmp(err.text, "input: ", 7) != 0 || strchr(err.text, '\n')) abort();
        w.count = 0;
    }
    for (size_t i = 0; i < w.count; i++) {
        const struct sdg_tensor *t = &w.entries[i].tensor;
        const size_t bytes = sdg_tensor_bytes(t);
        if (sdg_weights_find(&w, w.entries[i].name) != &w.entries[i] || !t->data) abort();
        for (size_t k = 0; k < bytes; k++) sum += ((const uint8_t *)t->data)[k];
    }
    volatile unsigned sink = sum; /* so that the reading is not left out */
    (void)sink;
    sdg_weights_close(&w);
}

#endif
