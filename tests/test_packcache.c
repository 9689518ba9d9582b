/* test_packcache.c - packed weights that are kept in a file: found again, told from a stale,
 * damaged or foreign one, written by several processes at once, and done without where there is no
 * room; the pictures are the same all the time. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sdgen.h"
#include "tests/support/npy.h"
#include "tests/support/testmodel.h"

enum { SIDE = 64, BYTES = SIDE * SIDE * 3, PATH = 512, WRITERS = 4 };

/* What a load said about packed weights. */
struct said {
    char text[2048];
    int warnings;
};

static void listen(void *user, int level, const char *message)
{
    struct said *s = user;
    s->warnings += level <= SDGEN_LOG_WARN;
    if (!strstr(message, "pack")) return;
    const size_t used = strlen(s->text);
    snprintf(s->text + used, sizeof s->text - used, "%s\n", message);
}

struct bench {
    char *folder, model[PATH], cache[PATH];
    uint8_t want[BYTES]; /* the picture without a cache */
};

static int keep(void *user, const sdgen_image *image)
{
    memcpy(user, image->rgb, BYTES);
    return 0;
}

/* Loads with the folder as cache (NULL: none) and draws. */
static struct said draw_as(uint8_t rgb[BYTES], const struct bench *b, const char *cache,
                           const char *isa, int threads)
{
    struct said said = {.warnings = 0};
    sdgen_error error;
    sdgen_engine *engine;
    sdgen_load_params load = sdgen_load_defaults();
    load.model_path = b->model;
    load.cache = cache;
    load.isa = isa;
    load.threads = threads;
    load.log = listen;
    load.user = &said;
    if (sdgen_load(&engine, &load, &error) != SDGEN_OK) fail_msg("%s", error.text);
    sdgen_image_params p = sdgen_image_defaults();
    p.prompt = "a fox";
    p.width = p.height = SIDE;
    p.steps = 2;
    p.seed = 1;
    if (sdgen_generate(engine, &p, keep, rgb, &error) != SDGEN_OK) fail_msg("%s", error.text);
    sdgen_free(engine);
    return said;
}

/* The same, which must say `wanted` and draw the picture of always. */
static void expect(const struct bench *b, const char *what, const char *wanted)
{
    uint8_t rgb[BYTES];
    const struct said said = draw_as(rgb, b, b->cache, NULL, 2);
    if (!strstr(said.text, wanted)) fail_msg("%s: said %s, not: %s", what, said.text, wanted);
    if (memcmp(rgb, b->want, BYTES) != 0) fail_msg("%s: another picture", what);
    assert_int_equal(said.warnings, 0);
}
#define HIT " MiB from "
#define MADE " MiB written to "

static struct bench open_bench(void)
{
    struct bench b = {.folder = test_folder_make()};
    snprintf(b.model, PATH, "%s/model.safetensors", b.folder);
    snprintf(b.cache, PATH, "%s/cache", b.folder);
    test_micro_write(b.model, SDG_F16);
    draw_as(b.want, &b, NULL, NULL, 2);
    return b;
}

/* Visits the files of the cache folder; returns how many there are. */
static int files_of(const struct bench *b, char path[PATH])
{
    int count = 0;
    DIR *folder = opendir(b->cache);
    for (const struct dirent *e; folder && (e = readdir(folder));) {
        if (e->d_name[0] == '.') continue;
        const int length = snprintf(path, PATH, "%s/%s", b->cache, e->d_name);
        assert_true(length < PATH);
        count++;
    }
    if (folder) closedir(folder);
    return count;
}

static void close_bench(struct bench *b)
{
    char path[PATH];
    while (files_of(b, path)) unlink(path);
    rmdir(b->cache);
    test_folder_remove(b->folder);
}

/* ---- files that change ---- */

static struct stat look(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return st;
}

static void set_time(const char *path, const struct stat *st, int later)
{
    struct timespec times[2] = {st->st_atim, st->st_mtim};
    times[1].tv_sec += later;
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void turn(const char *path, off_t at)
{
    uint8_t byte;
    const int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 1;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

static uint8_t *read_all(const char *path, size_t *size)
{
    *size = (size_t)look(path).st_size;
    uint8_t *data = malloc(*size);
    FILE *f = fopen(path, "rb");
    assert_non_null(data);
    assert_non_null(f);
    assert_int_equal(fread(data, 1, *size, f), *size);
    fclose(f);
    return data;
}

static void test_found_again(void **state)
{
    (void)state;
    struct bench b = open_bench();
    char path[PATH];
    expect(&b, "first", MADE);
    const struct stat before = look((files_of(&b, path), path));
    expect(&b, "second", HIT);
    const struct stat after = look(path);
    assert_int_equal(before.st_ino, after.st_ino);
    assert_int_equal(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);

    /* The same by another spelling of the path; another way of computing has a file of its own. */
    uint8_t rgb[BYTES], other[BYTES];
    char spelled[PATH];
    snprintf(spelled, PATH, "%s/./model.safetensors", b.folder);
    struct bench again = b;
    memcpy(again.model, spelled, PATH);
    expect(&again, "spelled otherwise", HIT);
    assert_non_null(strstr(draw_as(rgb, &b, b.cache, "c", 2).text, MADE));
    draw_as(other, &b, NULL, "c", 2);
    assert_memory_equal(rgb, other, BYTES);
    assert_int_equal(files_of(&b, path), 2);
    expect(&b, "beside another way", HIT);
    close_bench(&b);
}

/* Whatever about the model changes, its packed form is made anew. */
static void test_stale(void **state)
{
    (void)state;
    struct bench b = open_bench();
    char path[PATH], copy[PATH];
    size_t size;
    expect(&b, "first", MADE);
    struct stat st = look(b.model);
    set_time(b.model, &st, 1);
    expect(&b, "another time", "the model has changed");
    expect(&b, "another time, again", HIT);

    st = look(b.model); /* the same bytes and time in another file */
    uint8_t *data = read_all(b.model, &size);
    snprintf(copy, PATH, "%s/copy", b.folder);
    FILE *f = fopen(copy, "wb");
    assert_int_equal(fwrite(data, 1, size, f), size);
    fclose(f);
    free(data);
    assert_int_equal(rename(copy, b.model), 0);
    set_time(b.model, &st, 0);
    expect(&b, "another inode", "the model has changed");
    expect(&b, "another inode, again", HIT);

    st = look(b.model); /* another weight, same time and inode */
    turn(b.model, (1 << 20) - 2);
    set_time(b.model, &st, 0);
    draw_as(b.want, &b, NULL, NULL, 2);
    expect(&b, "another weight", "the model has changed");
    expect(&b, "another weight, again", HIT);

    test_micro_write(b.model, SDG_F32); /* another size */
    draw_as(b.want, &b, NULL, NULL, 2);
    expect(&b, "another size", "the model has changed");
    expect(&b, "another size, again", HIT);
    assert_int_equal(files_of(&b, path), 1);
    close_bench(&b);
}

/* A file that is not what was written is never used, and replaced. */
static void test_damaged(void **state)
{
    (void)state;
    struct bench b = open_bench();
    char path[PATH];
    size_t size;
    expect(&b, "first", MADE);
    assert_int_equal(files_of(&b, path), 1);
    uint8_t *data = read_all(path, &size);
    const char *samples = memmem(data, size, "\nsamples ", 9);
    assert_non_null(samples);
    const off_t line = (off_t)((const uint8_t *)samples - data) + 9;
    const char *list = memmem(data, size, "\npack ", 6);
    const off_t row = (off_t)((const uint8_t *)list - data) + 6;
    const struct {
        const char *what, *wanted;
        off_t at;
    } turned[] = {
        {"its first byte", "another version", 0},
        {"the number of its layout", "another version", 35},
        {"the way", "another way", 42},
        {"an entry of its list", "list of weights", row},
        {"the samples", "damaged", line},
        {"the end of the samples", "damaged", line + 64},
        {"its last pack", "damaged", 0}, /* below */
    };
    for (size_t i = 0; i < sizeof turned / sizeof turned[0]; i++) {
        off_t at = turned[i].at;
        if (i ==
            sizeof turned / sizeof turned[0] - 1) /* every page of the image: some is sampled */
            for (off_t page = (line + 65 + 4095) / 4096 * 4096; page < (off_t)size; page += 4096)
                turn(path, page);
        else
            turn(path, at);
        expect(&b, turned[i].what, turned[i].wanted);
        expect(&b, turned[i].what, HIT);
    }
    const off_t lengths[] = {0, 1, line, line + 64, 4096, (off_t)size - 1, (off_t)size + 1};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        assert_int_equal(truncate(path, lengths[i]), 0);
        expect(&b, "another length", "cut short");
        expect(&b, "another length", HIT);
    }
    free(data);
    close_bench(&b);
}

/* Processes that write at once all end well and leave one file, and what a dead one left is gone.
 */
static void test_at_once(void **state)
{
    (void)state;
    struct bench b = open_bench();
    char path[PATH], left[PATH + 8];
    expect(&b, "first", MADE);
    assert_int_equal(files_of(&b, path), 1);
    snprintf(left, sizeof left, "%s.abcdef", path);
    FILE *f = fopen(left, "wb");
    assert_non_null(f);
    fclose(f);
    turn(path, 0);
    pid_t writers[WRITERS];
    for (int i = 0; i < WRITERS; i++) {
        writers[i] = fork();
        if (writers[i] == 0) { /* one thread: OpenMP's do not live through a fork */
            uint8_t rgb[BYTES];
            const struct said said = draw_as(rgb, &b, b.cache, NULL, 1);
            _exit(said.warnings != 0 || memcmp(rgb, b.want, BYTES) != 0);
        }
    }
    for (int i = 0; i < WRITERS; i++) {
        int status;
        assert_int_equal(waitpid(writers[i], &status, 0), writers[i]);
        assert_int_equal(status, 0);
    }
    assert_int_equal(files_of(&b, path), 1);
    expect(&b, "after all", HIT);
    close_bench(&b);
}

/* Without a place or room there is a warning and the picture of always. */
static void test_no_room(void **state)
{
    (void)state;
    struct bench b = open_bench();
    uint8_t rgb[BYTES];
    char below[2 * PATH], path[PATH];
    snprintf(below, sizeof below, "%s/below", b.model);
    struct said said = draw_as(rgb, &b, below, NULL, 2);
    assert_non_null(strstr(said.text, "are not kept"));
    assert_int_equal(said.warnings, 1);
    assert_memory_equal(rgb, b.want, BYTES);

    const pid_t child = fork(); /* a "disk" on which no file grows beyond 64 kB */
    if (child == 0) {
        const struct rlimit limit = {1 << 16, 1 << 16};
        signal(SIGXFSZ, SIG_IGN);
        if (setrlimit(RLIMIT_FSIZE, &limit) != 0) _exit(2);
        said = draw_as(rgb, &b, b.cache, NULL, 1);
        _exit(said.warnings != 1 || !strstr(said.text, "no room for") ||
              memcmp(rgb, b.want, BYTES) != 0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(files_of(&b, path), 0);
    close_bench(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_found_again), cmocka_unit_test(test_stale),
        cmocka_unit_test(test_damaged),     cmocka_unit_test(test_at_once),
        cmocka_unit_test(test_no_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
