/* hostile.h - builds weight files byte by byte, right and wrong ones, and opens them at a distance:
 * in a process of their own, so that a crash is a finding and peak memory can be measured. */
#ifndef SDG_TESTS_SUPPORT_HOSTILE_H
#define SDG_TESTS_SUPPORT_HOSTILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "files/weights.h"

/* Bytes that grow; {0} is empty. */
struct test_bytes {
    uint8_t *data; /* [size] */
    size_t size, room;
};
void test_bytes_add(struct test_bytes *b, const void *data, size_t size);
void test_bytes_number(struct test_bytes *b, uint64_t value, int width); /* little-endian */
void test_bytes_read(struct test_bytes *b, const char *path);            /* appends a file */
void test_bytes_free(struct test_bytes *b);

/* Appends a safetensors file: the header's length, the header, body bytes of zero. */
void test_safetensors(struct test_bytes *b, const char *header, size_t body);

/* ---- zip ---- */

/* What is unusual about an entry; all zero: as torch.save writes it. */
struct test_zip_entry {
    const char *name;
    size_t name_size; /* 0: strlen(name) */
    const void *data;
    size_t size;
    const char *local_name;      /* NULL: name */
    unsigned flags, local_flags; /* exclusive or'ed to the right ones */
    unsigned method, local_method;
    int64_t size_off, packed_off, local_off; /* added to what the directory says */
    int64_t local_size_off;                  /* the local header says a size, wrong by this */
    unsigned disk;
    bool zip64;     /* sizes and place stand in a zip64 extra field */
    bool zip64_cut; /* that field is two bytes short */
    bool sizes;     /* the local header says the size, no data descriptor */
    bool ghost;     /* only in the directory: shares the local header of the entry before */
    size_t padding; /* extra bytes before the payload */
};

/* What is unusual about the end records; added to, or instead of, what is right. */
struct test_zip_end {
    int64_t count_off, directory_off, size_off; /* in the classic record */
    int64_t wide_off, wide_count_off;           /* in the zip64 record: directory, count */
    int64_t locator_off;                        /* where the locator says the zip64 record is */
    unsigned disk, wide_disk;
    bool no_zip64, all_ones;
    const char *comment, *behind; /* behind: bytes after the end */
};

struct test_zip {
    struct test_bytes out, directory;
    size_t count, last; /* last: offset of the last local header */
};
void test_zip_add(struct test_zip *z, const struct test_zip_entry *e);
void test_zip_end(struct test_zip *z, const struct test_zip_end *end);
void test_zip_free(struct test_zip *z);

/* Appends a whole checkpoint: top folder "archive", the pickle, storage "0" of body bytes 0, 1, ...
 */
void test_torch(struct test_bytes *b, const void *pickle, size_t pickle_size, size_t body);

/* ---- opening ---- */

/* A file of its own in $TMPDIR or /tmp. */
char *test_file_make(void);
void test_file_write(const char *path, const struct test_bytes *b);
void test_file_remove(char *path);

struct test_opened {
    bool crashed;
    sdgen_status status;
    char text[1024];
    long peak; /* bytes of memory that opening took at most; mapped pages count */
};

/* Opens the file in a child process and reads every number of it. */
struct test_opened test_open_apart(const char *path);

/* Fails the test unless the file was refused with one line that names it and holds `wanted` (NULL:
 * anything), without a crash and, in a build without sanitizers, below 200 MB. */
void test_refused(const char *what, const char *path, const char *wanted);

/* The sum of all bytes of all tensors, so that a view outside of memory is touched. Checks that
 * each is found by its name. */
unsigned test_touch(const struct sdg_weights *w);

/* Whether peak memory means something. */
bool test_is_plain_build(void);

#endif
