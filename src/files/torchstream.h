/* torchstream.h - pickles and plain numbers behind each other, as the older forms of torch.save
 * write them. */
#ifndef SDG_FILES_TORCHSTREAM_H
#define SDG_FILES_TORCHSTREAM_H

#include "files/pickle.h"

struct sdg_torchstream {
    const char *path, *part; /* for messages: the file, and what is being read of it */
    const uint8_t *data;     /* [size] */
    size_t size, at;
    sdgen_error *err;
};

/* Runs the next pickle. p holds what pickle.h asks for beside names and bytes; its pool keeps the
 * values. */
SDGEN_MUST_CHECK sdgen_status sdg_torchstream_pickle(struct sdg_pickle_value *result,
                                                     struct sdg_torchstream *s,
                                                     struct sdg_pickle *p);

/* A little-endian number of 4 or 8 bytes, with its sign. */
SDGEN_MUST_CHECK sdgen_status sdg_torchstream_number(int64_t *number, struct sdg_torchstream *s,
                                                     size_t width);

/* The next `size` bytes, as they lie in the file. */
SDGEN_MUST_CHECK sdgen_status sdg_torchstream_bytes(const uint8_t **bytes,
                                                    struct sdg_torchstream *s, uint64_t size);

/* "PATH: PART, byte N: ...", with N where the stream is. */
sdgen_status sdg_torchstream_refuse(const struct sdg_torchstream *s, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
