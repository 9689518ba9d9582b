/* fuzz_weights.c - any bytes as a checkpoint: safetensors, zip and pickle readers, whichever the
 * content asks for. A file is refused with one line of text, or every tensor of it can be read to
 * its last byte. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "fuzz.h"
#include "weights/weights.h"

/* Reads the ends of every tensor, and one byte of each page between, so that the sanitizer sees a
 * view that points outside. */
static unsigned touch(const struct sdg_weights *w)
{
    unsigned sum = 0;
    for (size_t i = 0; i < w->count; i++) {
        const struct sdg_entry *entry = &w->entries[i];
        const unsigned char *bytes = entry->tensor.data;
        size_t size = 0;
        if (!sdg_shape_bytes(&size, entry->tensor.shape, entry->tensor.rank,
                             sdg_dtype_size(entry->tensor.dtype)))
            abort();
        if (sdg_weights_find(w, entry->name) != entry) abort();
        for (size_t at = 0; at < size; at += 4096) sum += bytes[at];
        if (size > 0) sum += bytes[size - 1];
    }
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64];
    struct sdg_weights weights;
    sdgen_error error;
    int fd = memfd_create("checkpoint", 0);
    if (fd < 0 || (size > 0 && write(fd, data, size) != (ssize_t)size)) abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (sdg_weights_open(&weights, path, &error) == SDGEN_OK) {
        volatile unsigned sink = touch(&weights);
        (void)sink;
    } else if (error.text[0] == '\0' || strchr(error.text, '\n')) {
        abort();
    }
    sdg_weights_close(&weights);
    close(fd);
    return 0;
}
