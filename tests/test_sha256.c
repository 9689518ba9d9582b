/* test_sha256.c - SHA-256 against the examples of NIST (FIPS 180-4 example values, CAVS) and the
 * cache of hashes, whose faults must never be seen. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "files/hashcache.h"

static const char abc_hash[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
static const char abd_hash[] = "a52d159f262b2c6ddb724a61840befc36eb30c88877a4030b65cbe86298449c9";

static void digest(char hex[SDG_SHA256_HEX], const char *text, size_t size, size_t piece)
{
    struct sdg_sha256 s;
    sdg_sha256_init(&s);
    for (size_t i = 0; i < size; i += piece)
        sdg_sha256_update(&s, text + i, size - i < piece ? size - i : piece);
    sdg_sha256_hex(hex, &s);
}

static void test_known_answers(void **state)
{
    static const struct {
        const char *text, *hash;
    } known[] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", abc_hash},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
        {"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrl"
         "mn"
         "opqrsmnopqrstnopqrstu",
         "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"},
    };
    char hex[SDG_SHA256_HEX];
    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        digest(hex, known[i].text, strlen(known[i].text), 1000);
        assert_string_equal(hex, known[i].hash);
    }
}

static void test_a_million_letters_in_any_pieces(void **state)
{
    static const size_t pieces[] = {1, 55, 63, 64, 65, 119, 1000, 1000000};
    char hex[SDG_SHA256_HEX], *text = malloc(1000000);
    (void)state;
    assert_non_null(text);
    memset(text, 'a', 1000000);
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        digest(hex, text, 1000000, pieces[i]);
        assert_string_equal(hex,
                            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    }
    free(text);
}

/* ---- the cache: a home of its own, with one file to hash ---- */

struct home {
    char dir[128], file[160];
};

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

static int set_up(void **state)
{
    struct home *h = calloc(1, sizeof *h);
    const char *directory = getenv("TMPDIR");
    snprintf(h->dir, sizeof h->dir, "%s/sdgen-home-XXXXXX", directory ? directory : "/tmp");
    if (!mkdtemp(h->dir)) return -1;
    snprintf(h->file, sizeof h->file, "%s/model", h->dir);
    write_file(h->file, "abc");
    setenv("XDG_CACHE_HOME", h->dir, 1);
    *state = h;
    return 0;
}

static int tear_down(void **state)
{
    struct home *h = *state;
    nftw(h->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(h);
    return 0;
}

/* The path of the one entry in the cache. */
static void entry(char path[256], const struct home *h)
{
    char command[256];
    snprintf(command, sizeof command, "ls %s/sdgen/sha256/*", h->dir);
    FILE *p = popen(command, "r");
    assert_non_null(p);
    path[0] = 0;
    if (!fgets(path, 256, p)) path[0] = 0;
    assert_int_equal(pclose(p), 0);
    path[strcspn(path, "\n")] = 0;
}

/* Overwrites the first hash digit in the cache entry, so that a hit can be told from a new hash. */
static void forge(const struct home *h)
{
    char path[256], text[1024];
    entry(path, h);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    const size_t n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[n] = 0;
    char *hash = strstr(text, "ba7816bf");
    assert_non_null(hash);
    hash[0] = 'f';
    write_file(path, text);
}

static void expect(const struct home *h, const char *hash)
{
    char hex[SDG_SHA256_HEX];
    sdgen_error err;
    assert_int_equal(sdg_hash_file(hex, h->file, NULL, &err), SDGEN_OK);
    assert_string_equal(hex, hash);
}

static void test_second_time_from_the_cache(void **state)
{
    const struct home *h = *state;
    char forged[SDG_SHA256_HEX];
    memcpy(forged, abc_hash, sizeof forged);
    forged[0] = 'f';
    expect(h, abc_hash);
    forge(h);
    expect(h, forged);
}

static void test_changed_file_is_hashed_anew(void **state)
{
    const struct home *h = *state;
    expect(h, abc_hash);
    struct timespec old[2] = {{1000, 0}, {1000, 5}};
    write_file(h->file, "abd"); /* the same size: only the time differs */
    assert_int_equal(utimensat(AT_FDCWD, h->file, old, 0), 0);
    expect(h, abd_hash);
}

static void test_corrupt_entries_are_ignored(void **state)
{
    const struct home *h = *state;
    static const char *const junk[] = {"",
                                       "\n\n\n\n",
                                       "sdgen-sha256 1\n",
                                       "sdgen-sha256 1\n3 4 5 6\n",
                                       "sdgen-sha256 1\n3 4 5 6\nabc\n/x\n",
                                       "\x01\x02"};
    char path[256];
    for (size_t i = 0; i < sizeof junk / sizeof junk[0]; i++) {
        expect(h, abc_hash);
        entry(path, h);
        write_file(path, junk[i]);
        expect(h, abc_hash);
    }
    forge(h); /* the entry was written anew each time; cut it in the middle of the hash */
    entry(path, h);
    assert_int_equal(truncate(path, 60), 0);
    expect(h, abc_hash);
}

static void test_unwritable_cache_is_no_fault(void **state)
{
    const struct home *h = *state;
    char path[192];
    setenv("XDG_CACHE_HOME", h->file, 1); /* a file where a directory should be */
    expect(h, abc_hash);
    setenv("XDG_CACHE_HOME", "relative", 1); /* to be ignored; $HOME then counts */
    setenv("HOME", h->dir, 1);
    expect(h, abc_hash);
    assert_int_not_equal(access("relative", F_OK), 0);
    snprintf(path, sizeof path, "%s/.cache/sdgen/sha256", h->dir);
    assert_int_equal(access(path, F_OK), 0);
    unsetenv("HOME");
    unsetenv("XDG_CACHE_HOME");
    expect(h, abc_hash);
}

static void test_what_has_no_hash(void **state)
{
    const struct home *h = *state;
    char hex[SDG_SHA256_HEX];
    sdgen_error err;
    const atomic_bool stop = true;
    assert_int_equal(sdg_hash_file(hex, "/nonexistent", NULL, &err), SDGEN_ERR_IO);
    assert_int_equal(sdg_hash_file(hex, h->dir, NULL, &err), SDGEN_ERR_IO);
    assert_int_equal(sdg_hash_file(hex, h->file, &stop, &err), SDGEN_ERR_CANCELLED);
}

static void test_job(void **state)
{
    const struct home *h = *state;
    char hex[SDG_SHA256_HEX] = "x";
    struct sdg_hashjob *job = sdg_hashjob_start(h->file);
    assert_non_null(job);
    for (int i = 0; i < 2; i++) {
        sdg_hashjob_wait(job, hex);
        assert_string_equal(hex, abc_hash);
    }
    sdg_hashjob_free(job);
    job = sdg_hashjob_start("/nonexistent");
    sdg_hashjob_wait(job, hex);
    assert_string_equal(hex, "");
    sdg_hashjob_free(job);
    sdg_hashjob_wait(NULL, hex);
    sdg_hashjob_free(NULL);
    sdg_hashjob_free(sdg_hashjob_start("/dev/zero")); /* refused, not read for ever */
}

/* A big sparse file: freeing the job must not wait for all of it. The test ends, or it does not. */
static void test_free_stops_a_running_job(void **state)
{
    const struct home *h = *state;
    assert_int_equal(truncate(h->file, (off_t)1 << 42), 0);
    struct sdg_hashjob *job = sdg_hashjob_start(h->file);
    assert_non_null(job);
    sdg_hashjob_free(job);
}

int main(void)
{
#define WITH_HOME(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_answers),
        cmocka_unit_test(test_a_million_letters_in_any_pieces),
        WITH_HOME(test_second_time_from_the_cache),
        WITH_HOME(test_changed_file_is_hashed_anew),
        WITH_HOME(test_corrupt_entries_are_ignored),
        WITH_HOME(test_unwritable_cache_is_no_fault),
        WITH_HOME(test_what_has_no_hash),
        WITH_HOME(test_job),
        WITH_HOME(test_free_stops_a_running_job),
    };
    return cmocka_run_group_tests_name("sha256", tests, NULL, NULL);
}
