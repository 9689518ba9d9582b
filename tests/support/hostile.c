/* hostile.c - see hostile.h. Zip records as PKWARE APPNOTE.TXT lays them out, filled as torch.save
 * fills them unless a test asks otherwise. */
#define _GNU_SOURCE
#include "tests/support/hostile.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

enum { FLAG_UTF8 = 0x0800, FLAG_DESCRIPTOR = 8, MEMORY_LIMIT = 200 * 1000 * 1000 };

/* ---- bytes ---- */

void test_bytes_add(struct test_bytes *b, const void *data, size_t size)
{
    if (b->size + size > b->room) {
        b->room = 2 * (b->size + size);
        b->data = realloc(b->data, b->room);
        assert_non_null(b->data);
    }
    if (size) memcpy(b->data + b->size, data, size);
    b->size += size;
}

void test_bytes_number(struct test_bytes *b, uint64_t value, int width)
{
    for (int i = 0; i < width; i++) {
        const uint8_t byte = (uint8_t)(value >> 8 * i);
        test_bytes_add(b, &byte, 1);
    }
}

void test_bytes_read(struct test_bytes *b, const char *path)
{
    char part[4096];
    size_t n;
    FILE *f = fopen(path, "rb");
    if (!f) fail_msg("%s: cannot open", path);
    while ((n = fread(part, 1, sizeof part, f)) > 0) test_bytes_add(b, part, n);
    fclose(f);
}

void test_bytes_free(struct test_bytes *b)
{
    free(b->data);
    *b = (struct test_bytes) {0};
}

void test_safetensors(struct test_bytes *b, const char *header, size_t body)
{
    test_bytes_number(b, strlen(header), 8);
    test_bytes_add(b, header, strlen(header));
    for (size_t i = 0; i < body; i++) test_bytes_number(b, 0, 1);
}

/* ---- zip ---- */

static unsigned flags_of(const struct test_zip_entry *e)
{
    return e->sizes ? FLAG_UTF8 : FLAG_UTF8 | FLAG_DESCRIPTOR;
}

static void add_local(struct test_zip *z, const struct test_zip_entry *e, size_t name_size)
{
    struct test_bytes *b = &z->out;
    const char *name = e->local_name ? e->local_name : e->name;
    const size_t size = e->local_name ? strlen(name) : name_size;
    const uint64_t said = e->sizes ? e->size + (uint64_t)e->local_size_off : 0;
    z->last = b->size;
    test_bytes_add(b, "PK\3\4\0\0", 6);
    test_bytes_number(b, flags_of(e) ^ e->local_flags, 2);
    test_bytes_number(b, e->method ^ e->local_method, 2);
    test_bytes_number(b, 0, 8); /* date, CRC */
    test_bytes_number(b, said, 4);
    test_bytes_number(b, said, 4);
    test_bytes_number(b, size, 2);
    test_bytes_number(b, e->padding ? 4 + e->padding : 0, 2);
    test_bytes_add(b, name, size);
    if (e->padding) {
        test_bytes_add(b, "FB", 2);
        test_bytes_number(b, e->padding, 2);
        for (size_t i = 0; i < e->padding; i++) test_bytes_add(b, "Z", 1);
    }
    test_bytes_add(b, e->data, e->size);
    if (e->sizes) return;
    test_bytes_add(b, "PK\7\10", 4);
    test_bytes_number(b, 0, 4);
    test_bytes_number(b, e->size, 4);
    test_bytes_number(b, e->size, 4);
}

void test_zip_add(struct test_zip *z, const struct test_zip_entry *e)
{
    struct test_bytes *b = &z->directory;
    const size_t name_size = e->name_size ? e->name_size : strlen(e->name);
    if (!e->ghost) add_local(z, e, name_size);
    const uint64_t size = e->size + (uint64_t)e->size_off,
                   packed = e->size + (uint64_t)e->packed_off,
                   local = z->last + (uint64_t)e->local_off;
    test_bytes_add(b, "PK\1\2\0\0\0\0", 8);
    test_bytes_number(b, flags_of(e) ^ e->flags, 2);
    test_bytes_number(b, e->method, 2);
    test_bytes_number(b, 0, 8); /* date, CRC */
    test_bytes_number(b, e->zip64 ? UINT32_MAX : packed, 4);
    test_bytes_number(b, e->zip64 ? UINT32_MAX : size, 4);
    test_bytes_number(b, name_size, 2);
    test_bytes_number(b, e->zip64 ? (e->zip64_cut ? 26 : 28) : 0, 2);
    test_bytes_number(b, 0, 2);
    test_bytes_number(b, e->disk, 2);
    test_bytes_number(b, 0, 6); /* attributes */
    test_bytes_number(b, e->zip64 ? UINT32_MAX : local, 4);
    test_bytes_add(b, e->name, name_size);
    if (e->zip64) {
        test_bytes_number(b, 1, 2);
        test_bytes_number(b, e->zip64_cut ? 22 : 24, 2);
        test_bytes_number(b, size, 8);
        test_bytes_number(b, packed, 8);
        test_bytes_number(b, local, e->zip64_cut ? 6 : 8);
    }
    z->count++;
}

/* The zip64 end record and its locator. */
static void end_wide(struct test_zip *z, const struct test_zip_end *end, uint64_t directory)
{
    struct test_bytes *b = &z->out;
    const uint64_t at = b->size, count = z->count + (uint64_t)end->wide_count_off;
    test_bytes_add(b, "PK\6\6", 4);
    test_bytes_number(b, 44, 8);
    test_bytes_number(b, 0, 4); /* versions */
    test_bytes_number(b, end->wide_disk, 4);
    test_bytes_number(b, end->wide_disk, 4);
    test_bytes_number(b, count, 8);
    test_bytes_number(b, count, 8);
    test_bytes_number(b, z->directory.size, 8);
    test_bytes_number(b, directory + (uint64_t)end->wide_off, 8);
    test_bytes_add(b, "PK\6\7\0\0\0\0", 8);
    test_bytes_number(b, at + (uint64_t)end->locator_off, 8);
    test_bytes_number(b, 1, 4);
}

void test_zip_end(struct test_zip *z, const struct test_zip_end *end)
{
    struct test_bytes *b = &z->out;
    const uint64_t directory = b->size;
    const char *comment = end->comment ? end->comment : "";
    test_bytes_add(b, z->directory.data, z->directory.size);
    if (!end->no_zip64) end_wide(z, end, directory);
    test_bytes_add(b, "PK\5\6", 4);
    test_bytes_number(b, end->disk, 2);
    test_bytes_number(b, end->disk, 2);
    for (int i = 0; i < 2; i++)
        test_bytes_number(b, end->all_ones ? UINT64_MAX : z->count + (uint64_t)end->count_off, 2);
    test_bytes_number(b, end->all_ones ? UINT64_MAX : z->directory.size + (uint64_t)end->size_off,
                      4);
    test_bytes_number(b, end->all_ones ? UINT64_MAX : directory + (uint64_t)end->directory_off, 4);
    test_bytes_number(b, strlen(comment), 2);
    test_bytes_add(b, comment, strlen(comment));
    if (end->behind) test_bytes_add(b, end->behind, strlen(end->behind));
}

void test_zip_free(struct test_zip *z)
{
    test_bytes_free(&z->out);
    test_bytes_free(&z->directory);
}

void test_torch(struct test_bytes *b, const void *pickle, size_t pickle_size, size_t body)
{
    struct test_zip z = {0};
    struct test_bytes numbers = {0};
    for (size_t i = 0; i < body; i++) test_bytes_number(&numbers, i, 1);
    test_zip_add(&z, &(struct test_zip_entry) {
                         .name = "archive/data.pkl", .data = pickle, .size = pickle_size});
    test_zip_add(&z, &(struct test_zip_entry) {.name = "archive/data/0",
                                               .data = numbers.data,
                                               .size = numbers.size,
                                               .padding = 7});
    test_zip_add(&z,
                 &(struct test_zip_entry) {.name = "archive/version", .data = "3\n", .size = 2});
    test_zip_end(&z, &(struct test_zip_end) {0});
    test_bytes_add(b, z.out.data, z.out.size);
    test_zip_free(&z);
    test_bytes_free(&numbers);
}

/* ---- opening ---- */

char *test_file_make(void)
{
    const char *folder = getenv("TMPDIR");
    char *path = NULL;
    assert_true(asprintf(&path, "%s/sdgen-hostile-XXXXXX", folder ? folder : "/tmp") > 0);
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    return path;
}

void test_file_write(const char *path, const struct test_bytes *b)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(b->data, 1, b->size, f), b->size);
    assert_int_equal(fclose(f), 0);
}

void test_file_remove(char *path)
{
    unlink(path);
    free(path);
}

unsigned test_touch(const struct sdg_weights *w)
{
    unsigned sum = 0;
    for (size_t i = 0; i < w->count; i++) {
        const struct sdg_entry *e = &w->entries[i];
        const uint8_t *p = e->tensor.data;
        const size_t n = sdg_tensor_bytes(&e->tensor);
        assert_ptr_equal(sdg_weights_find(w, e->name), e);
        assert_non_null(p);
        for (size_t k = 0; k < n; k++) sum += p[k];
    }
    return sum;
}

/* A line of /proc/self/status in bytes, "VmHWM:" or "VmRSS:"; 0 where there is none. */
static long memory(const char *key)
{
    char line[256];
    long kilobytes = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, key, strlen(key)) == 0) kilobytes = atol(line + strlen(key));
    if (f) fclose(f);
    return kilobytes * 1024;
}

struct test_opened test_open_apart(const char *path)
{
    int ends[2], result;
    struct test_opened o = {0};
    assert_int_equal(pipe(ends), 0);
    fflush(NULL);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct sdg_weights w;
        sdgen_error err = {0};
        const long before = memory("VmRSS:");
        o.status = sdg_weights_open(&w, path, &err);
        memcpy(o.text, err.text, sizeof o.text);
        if (o.status == SDGEN_OK) {
            volatile unsigned sum = test_touch(&w);
            (void)sum;
        }
        o.peak = memory("VmHWM:") - before;
        sdg_weights_close(&w);
        _exit(write(ends[1], &o, sizeof o) != (ssize_t)sizeof o);
    }
    close(ends[1]);
    o.crashed = read(ends[0], &o, sizeof o) != (ssize_t)sizeof o;
    close(ends[0]);
    waitpid(child, &result, 0);
    o.crashed |= result != 0;
    return o;
}

void test_refused(const char *what, const char *path, const char *wanted)
{
    const struct test_opened o = test_open_apart(path);
    if (o.crashed) fail_msg("%s: crashed", what);
    if (o.status == SDGEN_OK) fail_msg("%s: was not refused", what);
    if (strncmp(o.text, path, strlen(path)) != 0 || o.text[strlen(path)] != ':' ||
        strlen(o.text) < strlen(path) + 10)
        fail_msg("%s: does not name the file: %s", what, o.text);
    for (const char *c = o.text; *c; c++)
        if ((unsigned char)*c < 0x20) fail_msg("%s: not one line: %s", what, o.text);
    if (wanted && !strstr(o.text, wanted)) fail_msg("%s: want \"%s\": %s", what, wanted, o.text);
    if (test_is_plain_build() && o.peak > MEMORY_LIMIT)
        fail_msg("%s: took %ld bytes of memory", what, o.peak);
}

bool test_is_plain_build(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return false;
#endif
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
    return false;
#endif
#endif
    return true;
}
