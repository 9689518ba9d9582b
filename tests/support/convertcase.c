/* convertcase.c - see convertcase.h. */
#define _GNU_SOURCE
#include <dirent.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/support/checkpoint.h"
#include "tests/support/convertcase.h"
#include "weights/keys.h"

static char folder[512];

char *test_in(const char *name)
{
    static char paths[8][600];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st, (void)kind, (void)at;
    return remove(path);
}

void test_clear(const char *name)
{
    nftw(test_in(name), remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

int test_convert_begin(void **state)
{
    const char *top = getenv("TMPDIR");
    (void)state;
    snprintf(folder, sizeof folder, "%s/sdgen-convert-XXXXXX", top ? top : "/tmp");
    return mkdtemp(folder) ? 0 : -1;
}

int test_convert_end(void **state)
{
    (void)state;
    return nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* Number of entries in the folder. */
int test_file_count(void)
{
    DIR *d = opendir(folder);
    struct dirent *e;
    int count = 0;
    assert_non_null(d);
    while ((e = readdir(d))) count += e->d_name[0] != '.';
    closedir(d);
    return count;
}

void test_open(struct sdg_weights *w, const char *path)
{
    sdgen_error err = {0};
    if (sdg_weights_open(w, path, &err) != SDGEN_OK) fail_msg("%s", err.text);
}

struct sdg_convert_options test_options(const char *from, const char *to)
{
    return (struct sdg_convert_options) {
        .join = {.path = from}, .out = to, .to = sdg_target_of(to)};
}

struct sdg_convert_result test_convert(const struct sdg_convert_options *o)
{
    struct sdg_convert_result r = {0};
    sdgen_error err = {0};
    if (sdg_convert(&r, o, &err) != SDGEN_OK) fail_msg("%s", err.text);
    return r;
}

void test_convert_plain(const char *from, const char *to)
{
    struct sdg_convert_options o = test_options(test_in(from), test_in(to));
    o.overwrite = 1;
    test_convert(&o);
}

void test_expect_same(const struct sdg_tensor *a, const struct sdg_tensor *b, const char *name)
{
    if (a->dtype != b->dtype || a->rank != b->rank ||
        memcmp(a->shape, b->shape, (size_t)a->rank * sizeof *a->shape) != 0 ||
        memcmp(a->data, b->data, sdg_tensor_bytes(a)) != 0)
        fail_msg("%s is not what it was", name);
}

void test_write_family(const char *name, const char *to)
{
    struct test_checkpoint f;
    test_checkpoint_read(&f, name, "small");
    test_checkpoint_write(test_in(to), &f, TEST_STOCK);
}

/* a.safetensors again, with a running average of the UNet (the same bytes, turned over), position
 * numbers, and what training leaves. */
void test_write_leftovers(const char *from, const char *to)
{
    enum { MORE = 2 };
    static const int64_t ids[4] = {0, 1, 2, 3};
    static const float betas[4] = {0.1f, 0.2f, 0.3f, 0.4f};
    struct sdg_weights a;
    struct sdg_writer w;
    sdgen_error err = {0};
    test_open(&a, test_in(from));
    struct sdg_write_tensor *list = calloc(2 * a.count + MORE, sizeof *list);
    char(*names)[SDG_KEY_SIZE] = calloc(a.count, sizeof *names);
    size_t count = 0;
    for (size_t i = 0; i < a.count; i++) {
        const struct sdg_entry *e = &a.entries[i];
        for (int twin = 0; twin < 2; twin++) {
            struct sdg_write_tensor *t = &list[count];
            if (twin && strncmp(e->name, "model.diffusion_model.", 22) != 0) continue;
            *t = (struct sdg_write_tensor) {
                .name = e->name, .dtype = e->tensor.dtype, .rank = e->tensor.rank, .user = e};
            memcpy(t->shape, e->tensor.shape, sizeof t->shape);
            if (twin) {
                size_t n = (size_t)snprintf(names[i], sizeof names[i], "model_ema.");
                for (const char *c = e->name + 6; *c; c++)
                    if (*c != '.') names[i][n++] = *c;
                t->name = names[i];
            }
            count++;
        }
    }
    list[count++] = (struct sdg_write_tensor) {
        .name = "cond_stage_model.transformer.text_model.embeddings.position_ids",
        .dtype = SDG_I64,
        .rank = 2,
        .shape = {1, 4}};
    list[count++] =
        (struct sdg_write_tensor) {.name = "betas", .dtype = SDG_F32, .rank = 1, .shape = {4}};
    if (sdg_write_safetensors(&w, test_in(to), list, count, NULL, 0, &err) != SDGEN_OK)
        fail_msg("%s", err.text);
    for (size_t i = 0; i < count; i++) {
        const struct sdg_entry *e = list[i].user;
        const size_t bytes = (size_t)list[i].bytes;
        unsigned char *data = malloc(bytes + 1);
        memcpy(data,
               e                          ? e->tensor.data
               : list[i].dtype == SDG_I64 ? (const void *)ids
                                          : betas,
               bytes);
        for (size_t b = 0; b < bytes && strncmp(list[i].name, "model_ema.", 10) == 0; b++)
            data[b] ^= 0x80;
        assert_int_equal(sdg_write_numbers(&w, data, bytes, &err), SDGEN_OK);
        free(data);
    }
    assert_int_equal(sdg_write_commit(&w, 1, &err), SDGEN_OK);
    free(list);
    free(names);
    sdg_weights_close(&a);
}
