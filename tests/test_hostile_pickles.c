/* test_hostile_pickles.c - the PyTorch files that mean harm of tests/golden/hostile.tsv, each in a
 * process of its own: refused for the reason that stands beside it, nothing run and nothing written
 * (their payloads would leave a file in the current folder; tools/make_hostile_pickles.py --prove
 * shows that they do in Python). The scanner goes through the same files and calls none of their
 * calls harmless. */
#define _GNU_SOURCE
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>
#include <cmocka.h>

#include "tests/support/hostile.h"
#include "tests/support/npy.h"
#include "files/picklescan.h"

#define CORPUS "tests/golden/hostile.tsv"

struct hostile {
    char *what, *wanted;
    uint8_t *file; /* [size] */
    size_t size;
};

static struct hostile *cases;
static size_t case_count;
static char *folder, path[512], back[512];

/* ---- reading the corpus ---- */

static size_t from_base64(uint8_t *out, const char *text)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint32_t bits = 0;
    size_t size = 0;
    for (int n = 0; *text && *text != '='; text++) {
        const char *digit = strchr(digits, *text);
        assert_non_null(digit);
        bits = bits << 6 | (uint32_t)(digit - digits);
        n += 6;
        if (n < 8) continue;
        n -= 8;
        out[size++] = (uint8_t)(bits >> n & 255);
    }
    return size;
}

static void read_case(struct hostile *h, char *line)
{
    char *fields[4] = {0};
    for (int i = 0; i < 4; i++) fields[i] = strsep(&line, "\t");
    assert_non_null(fields[3]);
    h->what = strdup(fields[0]);
    h->wanted = strdup(fields[1]);
    h->size = (size_t)strtoul(fields[2], NULL, 10);
    uint8_t *packed = malloc(strlen(fields[3]) + 1);
    h->file = malloc(h->size + 1);
    assert_true(h->what && h->wanted && packed && h->file);
    uLongf size = h->size;
    const size_t packed_size = from_base64(packed, fields[3]);
    assert_int_equal(uncompress(h->file, &size, packed, packed_size), Z_OK);
    assert_int_equal(size, h->size);
    free(packed);
}

static int set_up(void **state)
{
    struct test_bytes b = {0};
    (void)state;
    test_bytes_read(&b, CORPUS);
    test_bytes_add(&b, "", 1);
    char *rest = (char *)b.data;
    for (char *line; (line = strsep(&rest, "\n"));) {
        if (line[0] == '#' || line[0] == 0) continue;
        cases = realloc(cases, (case_count + 1) * sizeof *cases);
        assert_non_null(cases);
        read_case(&cases[case_count++], line);
    }
    test_bytes_free(&b);
    folder = test_folder_make();
    assert_non_null(getcwd(back, sizeof back));
    assert_int_equal(chdir(folder), 0);
    snprintf(path, sizeof path, "%s/model.ckpt", folder);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    assert_int_equal(chdir(back), 0);
    unlink(path);
    test_folder_remove(folder);
    for (size_t i = 0; i < case_count; i++) {
        free(cases[i].what);
        free(cases[i].wanted);
        free(cases[i].file);
    }
    free(cases);
    return 0;
}

/* ---- tests ---- */

/* Files in the current folder. */
static size_t files(void)
{
    size_t count = 0;
    DIR *d = opendir(".");
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));) count += e->d_name[0] != '.';
    closedir(d);
    return count;
}

static void test_refused_for_the_reason(void **state)
{
    (void)state;
    assert_true(case_count >= 300);
    for (size_t i = 0; i < case_count; i++) {
        const struct test_bytes b = {cases[i].file, cases[i].size, 0};
        test_file_write(path, &b);
        test_refused(cases[i].what, path, cases[i].wanted);
        if (files() != 1) fail_msg("%s: wrote a file", cases[i].what);
    }
}

static bool same(const uint8_t *text, uint32_t size, const char *wanted, size_t wanted_size)
{
    return size == wanted_size && memcmp(text, wanted, size) == 0;
}

/* Whether the scan lists module.name and calls it unknown or worse. */
static bool lists(const struct sdg_scan *s, const char *full_name)
{
    for (size_t i = 0; i < s->global_count; i++) {
        const struct sdg_scan_global *g = &s->globals[i];
        const size_t size = strlen(full_name);
        if (size == g->module_size + g->name_size + 1 &&
            same(g->module, g->module_size, full_name, g->module_size) &&
            same(g->name, g->name_size, full_name + g->module_size + 1, g->name_size))
            return g->verdict >= SDG_VERDICT_UNREAD;
    }
    return false;
}

/* Cases named "call ..." call that name; those that are refused for a name refer to it. */
static void test_scanned(void **state)
{
    size_t named = 0;
    (void)state;
    for (size_t i = 0; i < case_count; i++) {
        static const char call[] = "call ", refers[] = "it refers to ";
        const struct hostile *h = &cases[i];
        const char *name = NULL;
        struct sdg_scan s;
        sdgen_error err = {0};
        const sdgen_status status = sdg_scan_file(&s, "model.ckpt", h->file, h->size, &err);
        if (strncmp(h->what, call, sizeof call - 1) == 0) name = h->what + sizeof call - 1;
        if (strncmp(h->wanted, refers, sizeof refers - 1) == 0)
            name = h->wanted + sizeof refers - 1;
        if (strncmp(h->what, "tar: ", 5) == 0) name = NULL; /* not all pickles of it are walked */
        if (name) {
            assert_int_equal(status, SDGEN_OK);
            if (!lists(&s, name)) fail_msg("%s: the scan does not list %s", h->what, name);
            named++;
        }
        assert_true(s.global_count <= 10000 && s.note_count <= 1000);
        sdg_scan_free(&s);
    }
    assert_true(named >= 150);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused_for_the_reason),
        cmocka_unit_test(test_scanned),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
