/* test_prompt.c - what prompts mean: against a second reading of them by other means
 * (tools/prompt_twin.py writes tests/golden/prompts.tsv and describes its lines), what the schedule
 * of texts selects at each call, and prompts that are made to hurt.
 *
 *     build/tests/test_prompt FILE      compares another file of prompt_twin.py */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "text/prompt_parts.h"

enum { STEPS = 9, BASE_STEPS = 6, MOST_WEIGHTS = 4096 };

static int setup(void **state)
{
    struct sdg_tokenizer *t;
    if (sdg_tokenizer_create(&t, NULL) != SDGEN_OK) return 1;
    *state = t;
    return 0;
}

static int teardown(void **state)
{
    sdg_tokenizer_destroy(*state);
    return 0;
}

static struct sdg_prompt_rules rules_of(char mode)
{
    struct sdg_prompt_rules r = {.language = SDG_PROMPT_A1111, .steps = STEPS};
    if (mode == 'N') r.negative = true;
    if (mode == 'H' || mode == 'F') r.base_steps = BASE_STEPS;
    if (mode == 'O' || mode == 'F') r.old_editing = true;
    if (mode == 'C') r.language = SDG_PROMPT_COMFYUI, r.chunking = SDG_CHUNKS_COMFYUI;
    if (mode == 'K') r.language = SDG_PROMPT_COMPEL, r.chunking = SDG_CHUNKS_TRUNCATE;
    if (mode == 'S') r.language = SDG_PROMPT_SDCPP, r.chunking = SDG_CHUNKS_SDCPP;
    return r;
}

/* ---- the structure as text ---- */

struct shown {
    struct sdg_text text;
    double weights[MOST_WEIGHTS];
    size_t count;
};

static void put(struct shown *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(struct shown *s, const char *format, ...)
{
    char line[64];
    va_list args;
    va_start(args, format);
    const int n = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    assert_true(sdg_text_add(&s->text, line, (size_t)n));
}

static void put_escaped(struct shown *s, const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        static const char special[] = "\\\t\n", letters[] = "\\tn";
        const char *at = text[i] ? strchr(special, text[i]) : NULL;
        if (at)
            put(s, "\\%c", letters[at - special]);
        else
            assert_true(sdg_text_add(&s->text, text + i, 1));
    }
}

static void put_weight(struct shown *s, double weight)
{
    if (s->count < MOST_WEIGHTS) s->weights[s->count++] = weight;
}

static bool put_segments(struct shown *s, char mode, const char *text, size_t length)
{
    struct sdg_segments segments = {0};
    struct sdg_prompt ignored = {0};
    sdgen_status status = mode == 'C'
                              ? sdg_attention_comfyui(&segments, &ignored, text, length, NULL)
                          : mode == 'S' ? sdg_attention_sdcpp(&segments, text, length, NULL)
                                        : sdg_attention_a1111(&segments, text, length, NULL);
    for (size_t i = 0; status == SDGEN_OK && i < segments.count; i++) {
        put(s, "{");
        put_escaped(s, segments.text.at + segments.at[i].start, segments.at[i].length);
        put(s, segments.at[i].ends_chunk ? "}!" : "}");
        put_weight(s, segments.at[i].weight);
    }
    sdg_segments_free(&segments);
    sdg_prompt_free(&ignored);
    return status == SDGEN_OK;
}

static void show(struct shown *s, char mode, const char *prompt, const struct sdg_tokenizer *t)
{
    struct sdg_prompt p = {0};
    const struct sdg_prompt_rules rules = rules_of(mode);
    s->text.count = s->count = 0;
    put(s, "%s", "");
    const sdgen_status status = sdg_prompt_parse(&p, prompt, &rules, t, NULL);
    if (status != SDGEN_OK) put(s, status == SDGEN_ERR_ARG ? "no weight" : "failed");
    for (size_t i = 0; i < p.network_count; i++) {
        put(s, "<");
        put_escaped(s, p.networks[i].name, strlen(p.networks[i].name));
        put(s, "|");
        put_escaped(s, p.networks[i].arguments, strlen(p.networks[i].arguments));
        put(s, ">");
    }
    const bool parts = mode != 'C' && mode != 'S';
    for (size_t i = 0; parts && i < p.part_count; i++) {
        put(s, "&");
        put_weight(s, p.parts[i].weight);
        for (size_t k = 0; k < p.parts[i].count; k++)
            put(s, "%d=%zu,", p.parts[i].turns[k].until, p.parts[i].turns[k].text);
    }
    for (size_t i = 0; i < p.text_count; i++) {
        if (parts) put(s, "#");
        assert_true(put_segments(s, mode, p.texts[i].text, strlen(p.texts[i].text)));
    }
    sdg_prompt_free(&p);
}

/* ---- against the second reading ---- */

static bool same_weight(double a, double b)
{
    return a == b || (isnan(a) && isnan(b)) || nextafter(a, b) == b;
}

static bool same_weights(const struct shown *s, const char *fields)
{
    size_t i = 0;
    for (; *fields && *fields != '\n'; i++) {
        char *end;
        const double want = strtod(fields, &end);
        if (end == fields || i >= s->count || !same_weight(s->weights[i], want)) return false;
        fields = end + (*end == ' ');
    }
    return i == s->count;
}

/* Undoes \t, \n and \\ in place. */
static void unescape(char *text)
{
    char *to = text;
    for (; *text; text++) {
        if (*text == '\\') {
            text++;
            *to++ = *text == 't' ? '\t' : *text == 'n' ? '\n' : *text;
        } else {
            *to++ = *text;
        }
    }
    *to = 0;
}

static char *cut(char **rest)
{
    char *field = *rest, *tab = strchr(field, '\t');
    assert_non_null(tab);
    *tab = 0;
    *rest = tab + 1;
    return field;
}

static size_t compare_file(const char *path, const struct sdg_tokenizer *t)
{
    static char line[1 << 16];
    static struct shown s;
    size_t count = 0, wrong = 0;
    FILE *in = fopen(path, "rb");
    if (!in) fail_msg("%s cannot be read", path);
    while (fgets(line, sizeof line, in)) {
        char *rest = line, *mode = cut(&rest), *prompt = cut(&rest), *want = cut(&rest);
        unescape(prompt);
        show(&s, *mode, prompt, t);
        count++;
        if (strcmp(s.text.at, want) == 0 && same_weights(&s, rest)) continue;
        if (wrong++ < 5)
            print_message("line %zu: %s \"%s\"\n   want %s\n  found %s\n", count, mode, prompt,
                          want, s.text.at);
    }
    fclose(in);
    sdg_text_free(&s.text);
    if (wrong) fail_msg("%zu of %zu prompts are read otherwise", wrong, count);
    return count;
}

static void test_golden(void **state)
{
    assert_true(compare_file("tests/golden/prompts.tsv", *state) > 5000);
}

static const char *file_to_compare; /* from the command line */

static void test_given_file(void **state)
{
    print_message("%zu prompts are read alike\n", compare_file(file_to_compare, *state));
}

/* ---- what counts when ---- */

static void parse(struct sdg_prompt *p, const char *text, const struct sdg_prompt_rules *rules,
                  const struct sdg_tokenizer *t)
{
    sdgen_error error;
    if (sdg_prompt_parse(p, text, rules, t, &error) != SDGEN_OK) fail_msg("%s", error.text);
}

/* The texts at calls 0, 1, ... as "a,b,b". */
static void check_calls(const char *prompt, int steps, const char *want,
                        const struct sdg_tokenizer *t)
{
    const struct sdg_prompt_rules rules = {.language = SDG_PROMPT_A1111, .steps = steps};
    struct sdg_prompt p = {0};
    char found[256] = "";
    parse(&p, prompt, &rules, t);
    for (int call = 0; call < steps; call++)
        snprintf(found + strlen(found), sizeof found - strlen(found), "%s%s", call ? "," : "",
                 p.texts[sdg_prompt_text_at(&p.parts[0], call)].text);
    assert_string_equal(found, want);
    sdg_prompt_free(&p);
}

static void test_calls(void **state)
{
    check_calls("a", 3, "a,a,a", *state);
    check_calls("[a:b:2]", 5, "a,a,a,b,b", *state); /* "until 2" is three calls */
    check_calls("[a:b:.5]", 6, "a,a,a,a,b,b", *state);
    check_calls("[a|b]", 5, "a,a,b,a,b", *state); /* the first once more */
    check_calls("[a|b|]", 5, "a,a,b,,a", *state);
    check_calls("[a:b:0]", 2, "b,b", *state);
    check_calls("[a:b:9]", 2, "a,a", *state);
}

static void test_behind_the_end(void **state)
{
    struct sdg_prompt_turn turns[] = {{2, 7}, {4, 8}};
    const struct sdg_prompt_part part = {.turns = turns, .count = 2};
    (void)state;
    assert_int_equal(sdg_prompt_text_at(&part, 2), 7);
    assert_int_equal(sdg_prompt_text_at(&part, 4), 8);
    assert_int_equal(sdg_prompt_text_at(&part, 5), 7);
}

static void test_rules(void **state)
{
    struct sdg_prompt p = {0};
    struct sdg_prompt_rules rules = {.language = SDG_PROMPT_A1111, .steps = 10};
    parse(&p, "(a) <lora:x:1> AND b BREAK :2", &rules, *state);
    assert_int_equal(p.part_count, 2);
    assert_int_equal(p.network_count, 1);
    assert_true(p.weighted);
    assert_int_equal(p.texts[1].chunks.count, 1);
    rules.no_attention = true; /* brackets are text, the rest is not */
    parse(&p, "(a) <lora:x:1> AND b BREAK :2", &rules, *state);
    assert_int_equal(p.part_count, 2);
    assert_int_equal(p.network_count, 1);
    assert_false(p.weighted);
    assert_int_equal(p.texts[0].chunks.tokens, 3);
    rules.language = SDG_PROMPT_PLAIN;
    parse(&p, "(a:1.3) AND [b|c] <lora:x:1>", &rules, *state);
    assert_int_equal(p.part_count, 1);
    assert_int_equal(p.parts[0].count, 1);
    assert_int_equal(p.network_count, 0);
    assert_false(p.weighted);
    assert_string_equal(p.texts[0].text, "(a:1.3) AND [b|c] <lora:x:1>");
    sdg_prompt_free(&p);
}

static void test_error_names_the_place(void **state)
{
    struct sdg_prompt p = {0};
    sdgen_error error;
    const struct sdg_prompt_rules rules = {.language = SDG_PROMPT_A1111, .steps = 10};
    const char *prompt = "\xc3\xa9 (a:1.2.3)";
    assert_int_equal(sdg_prompt_parse(&p, prompt, &rules, *state, &error), SDGEN_ERR_ARG);
    assert_non_null(strstr(error.text, "character 6"));
    assert_non_null(strstr(error.text, "1.2.3"));
    assert_null(p.texts);
}

/* ---- compel ---- */

/* Sections S, members M of a blend and their factors, fragments and weights; "error" for none. */
static void show_compel(struct shown *s, const char *prompt)
{
    struct sdg_compel c = {0};
    struct sdg_prompt p = {0};
    s->text.count = 0;
    if (sdg_compel_parse(&c, &p, prompt, strlen(prompt), NULL) != SDGEN_OK) put(s, "error");
    for (size_t i = 0; i < c.section_count; i++) {
        const struct sdg_compel_section *section = &c.sections[i];
        put(s, "S%.9g:", section->weight);
        for (size_t k = section->first; k < section->first + section->count; k++) {
            const struct sdg_compel_member *m = &c.members[k];
            put(s, "M%.9g:", m->factor);
            for (size_t j = m->first; j < m->first + m->count; j++)
                put(s, "{%.*s}%.15g", (int)c.segments.at[j].length,
                    c.segments.text.at + c.segments.at[j].start, c.segments.at[j].weight);
        }
    }
    for (size_t i = 0; i < p.network_count; i++) put(s, "<%s>", p.networks[i].arguments);
    sdg_compel_free(&c);
    sdg_prompt_free(&p);
}

/* What compel 2.5.1's PromptParser says. */
static void test_compel(void **state)
{
    static const char *const cases[][2] = {
        {"a cat", "S1:M1:{a cat}1"},
        {"a red+ cat--", "S1:M1:{a}1{red}1.1{cat}0.81"},
        {"(a red cat)1.3 sits", "S1:M1:{a red cat}1.3{sits}1"},
        {"\"a red cat\"- sits", "S1:M1:{a red cat}0.9{sits}1"},
        {"((red)1.5 cat)0.5", "S1:M1:{red}0.75{cat}0.5"},
        {"a (big (red)+ cat)++, sits", "S1:M1:{a}1{big}1.21{red}1.331{cat}1.21{, sits}1"},
        {"a \\(cat\\)", "S1:M1:{a (cat)}1"},
        {"a+b well-known c-", "S1:M1:{a+b well-known}1{c}0.9"},
        {"(cat).attend(1.2) x", "S1:M1:{cat}1.2{x}1"},
        {"(a, b.)+", "S1:M1:{a , b .}1.1"},
        {"(\"a cat\", \"a dog\").blend(1, .5)", "S1:M0.666666667:{a cat}1M0.333333333:{a dog}1"},
        {"(\"a\", \"b\").blend(1, -0.5, no_normalize)", "S1:M1:{a}1M-0.5:{b}1"},
        {"(\"a\", \"b+\").and()", "S1:M1:{a}1S1:M1:{b}1.1"},
        {"(\"a\", \"b\").and(1, .5)", "S1:M1:{a}1S0.5:M1:{b}1"},
        {"a withLora(x, 0.5) b", "S1:M1:{a b}1<x:0.5>"},
        {"(unclosed", "S1:M1:{(unclosed}1"},
        {"a,b", "S1:M1:{a, b}1"},
        {"\"a \\\"b\\\" c\"+", "S1:M1:{a \"b\" c}1.1"},
        {"(\"a\", \"b\").and() more", "S1:M1:{a}1S1:M1:{b}1"},
        {"word1.3", "S1:M1:{word1.3}1"},
        {"(word) 1.3", "S1:M1:{word 1.3}1"},
        {"(\"a(\", \"b\").blend(1, 1)", "S1:M0.5:{a(}1M0.5:{b}1"},
        {"(\"a\", \"b\").blend(1)", "error"},
        {"(\"a\", \"b\").blend(1, 1) more", "error"},
        {"a cat.swap(dog)", "error"},
        {"cat.", "S1:M1:{cat.}1"},
    };
    static struct shown s;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        show_compel(&s, cases[i][0]);
        assert_string_equal(s.text.at, cases[i][1]);
    }
    sdg_text_free(&s.text);
}

/* (1 + tan) of embeddings_provider.py: at weight 0.5 the fragment is half hidden. */
static void test_compel_pieces(void **state)
{
    const struct sdg_prompt_rules rules = {
        .language = SDG_PROMPT_COMPEL, .chunking = SDG_CHUNKS_TRUNCATE, .steps = 1};
    struct sdg_prompt p = {0};
    parse(&p, "a cat+", &rules, *state);
    assert_int_equal(p.texts[0].piece_count, 0); /* nothing to sum */
    parse(&p, "a (big cat)0.5 b", &rules, *state);
    const struct sdg_prompt_text *t = &p.texts[0];
    assert_int_equal(t->piece_count, 2);
    assert_int_equal(t->section_count, 1);
    assert_true(fabs(t->pieces[0].factor - 0.5) < 1e-12 && fabs(t->pieces[1].factor - 0.5) < 1e-12);
    assert_null(t->pieces[0].hidden);
    for (size_t i = 0; i < SDG_CHUNK_LENGTH; i++)
        assert_int_equal(t->pieces[1].hidden[i], i == 2 || i == 3);
    assert_true(t->pieces[0].chunks.weights[2] == 0.5f);
    parse(&p, "(\"a\", \"b\").and(1, .25)", &rules, *state);
    t = &p.texts[0];
    assert_int_equal(t->section_count, 2);
    assert_int_equal(t->piece_count, 3);
    assert_true(t->pieces[1].factor == 0.25 && t->pieces[2].factor == 0.75);
    assert_int_equal(t->pieces[2].chunks.tokens, 0);
    assert_int_equal(t->chunks.count, 2);
    sdg_prompt_free(&p);
}

/* ---- prompts made to hurt: each of them would take hours by the programs' own ways ---- */

enum { MANY = 10 << 20 };

/* before, unit as often as bytes allow, after; read in each of the modes. */
static void hurt(const char *modes, const char *before, const char *unit, const char *after,
                 size_t bytes, const struct sdg_tokenizer *t)
{
    const size_t n = bytes / strlen(unit), size = n * strlen(unit);
    char *text = malloc(strlen(before) + size + strlen(after) + 1), *at = text;
    assert_non_null(text);
    at += sprintf(at, "%s", before);
    for (size_t i = 0; i < n; i++, at += strlen(unit)) memcpy(at, unit, strlen(unit));
    strcpy(at, after);
    for (const char *mode = modes; *mode; mode++) {
        struct sdg_prompt p = {0};
        sdgen_error error;
        const struct sdg_prompt_rules rules = rules_of(*mode);
        const sdgen_status status = sdg_prompt_parse(&p, text, &rules, t, &error);
        if (status != SDGEN_OK && status != SDGEN_ERR_ARG)
            fail_msg("%s%s...: %s", before, unit, error.text);
        sdg_prompt_free(&p);
    }
    free(text);
}

static void test_ten_megabytes(void **state)
{
    static const char *const units[] = {"(", "[", "([", "[a|b", "\\("};
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        hurt("A", "", units[i], "", MANY, *state);
    hurt("CSK", "", "(", "", MANY, *state);
}

static void test_hostile(void **state)
{
    static const char *const units[] = {
        "(",        "[",       "(a",         "[a:",    "[a:b:1]",    ")",
        "]",        ":",       "|",          "\\",     "<",          "<a:",
        ":1)",      "(a:1.1)", "[(a])",      "BREAK ", "AND ",       "#\n",
        "\n#",      "<a:b>",   "((a)",       " ",      "[a|b]",      "a:1 AND ",
        "[[a:b:1]", "[:1]",    "(:1",        "\\\n",   "embedding:", " embedding:a",
        "(BREAK)",  "\"a",     "( ",         "\"(",    "\"a\" ",     "a- ",
        "(\"a\", ", "\\\"",    "withLora(a,"};
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        hurt("ACSK", "", units[i], "", 1 << 18, *state);
        hurt("ACSK", "[", units[i], ":1]", 1 << 17, *state);
        hurt("ACSK", "(", units[i], ":1)))))", 1 << 17, *state);
    }
}

/* Closed again, level by level. */
static void check_deep(const char *modes, size_t levels, const struct sdg_tokenizer *t)
{
    static const char *const pairs[][2] = {{"(", ")"},      {"[", "]"},   {"[a:", ":1]"},
                                           {"(a", ":1.0)"}, {"[a|", "]"}, {"([", "])"},
                                           {"(", ":1)"}};
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        const size_t n = strlen(pairs[i][1]);
        char *after = malloc(levels * n + 1);
        assert_non_null(after);
        for (size_t k = 0; k < levels; k++) memcpy(after + k * n, pairs[i][1], n);
        after[levels * n] = 0;
        hurt(modes, "", pairs[i][0], after, levels * strlen(pairs[i][0]), t);
        free(after);
    }
}

static void test_deep(void **state)
{
    check_deep("A", 1000000, *state);
    check_deep("CSK", 100000, *state);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_calls),
        cmocka_unit_test(test_behind_the_end),
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_error_names_the_place),
        cmocka_unit_test(test_compel),
        cmocka_unit_test(test_compel_pieces),
        cmocka_unit_test(test_ten_megabytes),
        cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_deep),
    };
    const struct CMUnitTest given[] = {cmocka_unit_test(test_given_file)};
    if (argc > 1) {
        file_to_compare = argv[1];
        return cmocka_run_group_tests_name("prompt file", given, setup, teardown);
    }
    return cmocka_run_group_tests_name("prompt", tests, setup, teardown);
}
