/* test_picklescan.c - the scanner of pickles against what Python finds in the same files
 * (tests/golden/torch/scan.tsv); verdicts; names that are put together; pickles in pickles; files
 * that are broken; work that grows with the bytes alone. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/support/hostile.h"
#include "files/picklescan.h"

#define FOLDER "tests/golden/torch/"

/* ---- Python's findings ---- */

static uint64_t count_of(const struct sdg_scan *s, const char *name)
{
    for (unsigned i = 0; i < 256; i++)
        if (s->ops[i] && strcmp(s->ops[i]->name, name) == 0) return s->histogram[i];
    fail_msg("no operation %s", name);
    return 0;
}

/* operations: "NAME=count ..."; names: "module.name ..." in order. */
static void compare(const struct sdg_scan *s, const char *file, char *operations, char *names)
{
    uint64_t total = 0;
    size_t n = 0;
    for (char *word; (word = strsep(&operations, " "));) {
        const char *name = strsep(&word, "=");
        const uint64_t wanted = strtoull(word, NULL, 10);
        if (count_of(s, name) != wanted)
            fail_msg("%s: %s: %d times, not %d", file, name, (int)count_of(s, name), (int)wanted);
        total += wanted;
    }
    assert_int_equal(s->operations, total);
    for (const char *name; names && *names && (name = strsep(&names, " ")); n++) {
        char have[256];
        assert_true(n < s->global_count);
        const struct sdg_scan_global *g = &s->globals[n];
        snprintf(have, sizeof have, "%.*s.%.*s", (int)g->module_size, (const char *)g->module,
                 (int)g->name_size, (const char *)g->name);
        if (strcmp(have, name) != 0)
            fail_msg("%s: name %d is %s, not %s", file, (int)n, have, name);
    }
    assert_int_equal(n, s->global_count);
    for (size_t i = 0; i < s->pickle_count; i++) assert_true(s->pickles[i].ended);
}

static void scan_named(struct sdg_scan *s, struct test_bytes *b, const char *file)
{
    char name[128];
    sdgen_error err = {0};
    snprintf(name, sizeof name, FOLDER "%s", file);
    test_bytes_read(b, name);
    if (sdg_scan_file(s, file, b->data, b->size, &err) != SDGEN_OK) fail_msg("%s", err.text);
}

static void test_as_python(void **state)
{
    struct test_bytes list = {0};
    size_t files = 0;
    (void)state;
    test_bytes_read(&list, FOLDER "scan.tsv");
    test_bytes_add(&list, "", 1);
    char *rest = (char *)list.data;
    for (char *line; (line = strsep(&rest, "\n"));) {
        if (line[0] == '#' || line[0] == 0) continue;
        struct test_bytes b = {0};
        struct sdg_scan s;
        const char *file = strsep(&line, "\t");
        char *operations = strsep(&line, "\t");
        scan_named(&s, &b, file);
        assert_int_equal(s.pickle_count,
                         strncmp(file, "legacy", 6) == 0 || strstr(file, "legacy_") ? 5 : 1);
        compare(&s, file, operations, line);
        if (strncmp(file, "refused", 7) != 0) assert_true(sdg_scan_worst(&s) <= SDG_VERDICT_INERT);
        sdg_scan_free(&s);
        test_bytes_free(&b);
        files++;
    }
    assert_true(files >= 20);
    test_bytes_free(&list);
}

/* ---- verdicts ---- */

static void test_verdicts(void **state)
{
    static const struct {
        const char *module, *name;
        enum sdg_verdict verdict;
    } names[] = {
        {"torch._utils", "_rebuild_tensor_v2", SDG_VERDICT_TENSOR},
        {"torch", "FloatStorage", SDG_VERDICT_TENSOR},
        {"torch", "float32", SDG_VERDICT_TENSOR},
        {"collections", "OrderedDict", SDG_VERDICT_TENSOR},
        {"numpy.core.multiarray", "scalar", SDG_VERDICT_INERT},
        {"pytorch_lightning.callbacks", "X", SDG_VERDICT_INERT},
        {"torch._utils", "_rebuild_sparse_tensor", SDG_VERDICT_UNREAD},
        {"torch.nn.modules.linear", "Linear", SDG_VERDICT_UNKNOWN},
        {"transformers", "X", SDG_VERDICT_UNKNOWN},
        {"osx", "system", SDG_VERDICT_UNKNOWN},
        {"builtins", "print", SDG_VERDICT_UNKNOWN},
        {"os", "system", SDG_VERDICT_DANGEROUS},
        {"os.path", "join", SDG_VERDICT_DANGEROUS},
        {"__builtin__", "eval", SDG_VERDICT_DANGEROUS},
        {"builtins", "getattr", SDG_VERDICT_DANGEROUS},
        {"torch._utils", "os.system", SDG_VERDICT_DANGEROUS},
        {"collections", "OrderedDict.__init__.__globals__", SDG_VERDICT_DANGEROUS},
        {"", "", SDG_VERDICT_UNKNOWN},
    };
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *reason;
        const enum sdg_verdict v =
            sdg_scan_judge(&reason, (const uint8_t *)names[i].module, strlen(names[i].module),
                           (const uint8_t *)names[i].name, strlen(names[i].name));
        if (v != names[i].verdict)
            fail_msg("%s.%s is called %s", names[i].module, names[i].name, sdg_verdict_name(v));
        assert_int_equal(reason != NULL, v == SDG_VERDICT_DANGEROUS || v == SDG_VERDICT_UNREAD);
    }
}

/* ---- names that are put together, pickles in pickles ---- */

static void scan(struct sdg_scan *s, const void *data, size_t size)
{
    sdgen_error err = {0};
    if (sdg_scan_file(s, "x", data, size, &err) != SDGEN_OK) fail_msg("%s", err.text);
}

static void expect(const char *what, const char *data, size_t size, const char *name,
                   const char *note, enum sdg_verdict worst)
{
    struct sdg_scan s;
    bool named = !name, noted = !note;
    scan(&s, data, size);
    for (size_t i = 0; i < s.global_count; i++)
        named |= name && s.globals[i].name_size == strlen(name) &&
                 memcmp(s.globals[i].name, name, strlen(name)) == 0;
    for (size_t i = 0; i < s.note_count; i++) noted |= note && strstr(s.notes[i].text, note);
    if (!named) fail_msg("%s: %s is not listed", what, name);
    if (!noted) fail_msg("%s: no note \"%s\"", what, note);
    if (sdg_scan_worst(&s) != worst)
        fail_msg("%s: the worst is %s", what, sdg_verdict_name(sdg_scan_worst(&s)));
    sdg_scan_free(&s);
}

#define EXPECT(what, data, name, note, worst) \
    expect(what, data, sizeof(data) - 1, name, note, SDG_VERDICT_##worst)
#define OS "\214\2os"
#define SYSTEM "\214\6system"

static void test_put_together(void **state)
{
    (void)state;
    EXPECT("nothing", "\200\2}.", NULL, NULL, INERT);
    EXPECT("two texts", "\200\4" OS SYSTEM "\223.", "system", NULL, DANGEROUS);
    EXPECT("from the memo", "\200\4" OS "\224" SYSTEM "\22400h\0h\1\223.", "system", NULL,
           DANGEROUS);
    EXPECT("by number",
           "\200\4" OS "q\5" SYSTEM "r\6\0\0\0"
           "00h\5j\6\0\0\0\223.",
           "system", NULL, DANGEROUS);
    EXPECT("by lines", "\200\4" OS "p7\n" SYSTEM "p8\n00g7\ng8\n\223.", "system", NULL, DANGEROUS);
    EXPECT("overwritten", "\200\4\214\3abcq\5" OS "q\5" SYSTEM "q\006000h\5h\6\223.", "system",
           NULL, DANGEROUS);
    EXPECT("remembered after an overwriting",
           "\200\4Nq\0Nq\0Nq\0" OS "\224" SYSTEM "\224h\1h\2\223.", "system", NULL, DANGEROUS);
    EXPECT("below dropped values", "\200\4" OS "NN00(NN1" SYSTEM "\223.", "system", NULL,
           DANGEROUS);
    EXPECT("behind a dropped mark", "\200\4" OS "(0" SYSTEM "\223.", "system", NULL, DANGEROUS);
    EXPECT("doubled", "\200\4\214\4evalN0\214\10builtins2(N1\2230\214\10builtins\214\4eval\223.",
           "eval", NULL, DANGEROUS);
    EXPECT("old texts", "S'os'\nS'system'\n\223.", "system", NULL, DANGEROUS);
    EXPECT("made of numbers", "\200\4K\1K\2\223.", NULL, "makes up", DANGEROUS);
    EXPECT("from nowhere", "\200\4h\7h\10\223.", NULL, "makes up", DANGEROUS);
    EXPECT("INST", "(ios\nsystem\n.", "system", NULL, DANGEROUS);
    EXPECT("an extension", "\200\2\202\1.", NULL, "extension", DANGEROUS);
    EXPECT("a persistent line", "Pabc\n.", NULL, "line of text", UNKNOWN);
    EXPECT("protocol 9", "\200\2\200\11N.", NULL, "protocol", UNKNOWN);
    EXPECT("no operation", "\200\2\377", NULL, "no operation", UNKNOWN);
    EXPECT("behind the end", "\200\2N.\200\2cos\nsystem\n.", "system", NULL, DANGEROUS);
    EXPECT("behind the end, in lines", "\200\2N.cos\nsystem\n.", "system", NULL, DANGEROUS);
    EXPECT("before a broken end", "\200\2cos\nsystem\n\377\377", "system", "no operation",
           DANGEROUS);
    EXPECT("before a cut end", "\200\2cos\nsystem\nX\377\0\0\0", "system", "beyond", DANGEROUS);
    EXPECT("in bytes", "\200\3C\20\200\2cos\nsystem\n)R.N0.", "system", "inside", DANGEROUS);
    EXPECT("in bytes, in lines", "\200\3C\14cos\nsystem\n.0.", "system", "inside", DANGEROUS);
    EXPECT("in bytes of bytes", "\200\3C\25\200\3C\20\200\2cos\nsystem\n)R...", "system", "inside",
           DANGEROUS);
    EXPECT("in a text", "\200\2X\17\0\0\0\302\200\2cos\nsystem\n..", NULL, "when it is encoded",
           UNKNOWN);
    EXPECT("a text like any other", "\200\2X\5\0\0\0a.b.c.", NULL, NULL, INERT);
}

/* ---- floods ---- */

/* begin, n times text, end. */
static void flood(struct test_bytes *b, const char *begin, const char *text, size_t size, size_t n)
{
    test_bytes_add(b, "\200\4", 2);
    test_bytes_add(b, begin, strlen(begin));
    for (size_t i = 0; i < n; i++) test_bytes_add(b, text, size);
}

static void test_floods(void **state)
{
    static const struct {
        const char *begin, *text;
        size_t size;
    } floods[] = {
        {"", "N", 1},           {"", "(", 1},
        {"", "(N", 2},          {"]", "2", 1},
        {"", "Nq\377", 3},      {"", "cos\nsystem\n", 11},
        {"", "N.", 2},          {"", "\224N", 2},
        {"", "h\0", 2},         {"", "K\1K\1\2230", 6},
        {"", "\202\1", 2},      {"", "U\4N...", 6},
        {"(", "1(", 2},         {"", "Nr\377\377\17\0", 6},
        {"", "C\4\200\2N.", 6}, {"", "\377", 1},
    };
    (void)state;
    for (size_t i = 0; i < sizeof floods / sizeof *floods; i++) {
        struct test_bytes b = {0};
        struct sdg_scan s;
        flood(&b, floods[i].begin, floods[i].text, floods[i].size, 2000000 / floods[i].size);
        scan(&s, b.data, b.size);
        assert_true(s.operations <= b.size);
        assert_true(s.global_count <= 10000 && s.note_count <= 1000 && s.pickle_count <= 1000);
        sdg_scan_free(&s);
        test_bytes_free(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_as_python),
        cmocka_unit_test(test_verdicts),
        cmocka_unit_test(test_put_together),
        cmocka_unit_test(test_floods),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
