/* test_tokenizer.c - CLIP's tokenizer against transformers' CLIPTokenizer: tests/golden/tokens.tsv
 * holds texts of every kind and every code point of Unicode (tools/golden_tokens.py describes the
 * lines). Beside it: what the tables must look like, UTF-8 that is none, and texts made to take
 * forever. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "text/tokenizer.h"
#include "text/unicode.h"

static const char golden_path[] = "tests/golden/tokens.tsv";

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

static void tokenize(struct sdg_tokens *out, const char *text, size_t length,
                     const struct sdg_tokenizer *t)
{
    sdgen_error error;
    out->count = 0;
    if (sdg_tokenize(out, text, length, t, &error) != SDGEN_OK) fail_msg("%s", error.text);
}

static uint32_t fnv(uint32_t hash, uint32_t word)
{
    for (int i = 0; i < 4; i++, word >>= 8) hash = (hash ^ (word & 255)) * 16777619u;
    return hash;
}

static uint32_t fnv_ids(uint32_t hash, const struct sdg_tokens *tokens)
{
    for (size_t i = 0; i < tokens->count; i++) hash = fnv(hash, (uint32_t)tokens->ids[i]);
    return hash;
}

#define FNV_START 0x811c9dc5u

/* ---- the golden file ---- */

/* Undoes \xNN in place; returns the length. */
static size_t unescape(char *text)
{
    char *to = text;
    for (const char *from = text; *from; to++) {
        unsigned byte;
        if (from[0] == '\\' && sscanf(from, "\\x%2x", &byte) == 1) {
            *to = (char)byte;
            from += 4;
        } else {
            *to = *from++;
        }
    }
    return (size_t)(to - text);
}

static bool same_ids(const struct sdg_tokens *tokens, char *want)
{
    size_t i = 0;
    for (char *end; *want; want = end, i++) {
        long id = strtol(want, &end, 10);
        if (i >= tokens->count || tokens->ids[i] != id) return false;
    }
    return i == tokens->count;
}

static uint32_t hash_range(const struct sdg_tokenizer *t, struct sdg_tokens *tokens,
                           const char *prefix, unsigned first, unsigned last)
{
    uint32_t hash = FNV_START;
    for (uint32_t c = first; c <= last; c++) {
        char text[8];
        size_t length = strlen(prefix);
        memcpy(text, prefix, length);
        length += sdg_utf8_encode(text + length, c);
        tokenize(tokens, text, length, t);
        hash = fnv(fnv_ids(hash, tokens), 0xffffffff);
    }
    return hash;
}

static bool check_range(const struct sdg_tokenizer *t, struct sdg_tokens *tokens, const char *alone,
                        const char *behind, const char *range)
{
    unsigned first, last;
    if (sscanf(range, "%x %x", &first, &last) != 2) return false;
    return hash_range(t, tokens, "", first, last) == strtoul(alone, NULL, 16) &&
           hash_range(t, tokens, "a", first, last) == strtoul(behind, NULL, 16);
}

struct tally {
    size_t texts, ranges, wrong;
};

static void check_line(struct tally *tally, const struct sdg_tokenizer *t,
                       struct sdg_tokens *tokens, char *line)
{
    char *fields[4] = {NULL}, *rest = line;
    bool right;
    for (size_t i = 0; i < 4 && rest; i++) fields[i] = strsep(&rest, "\t");
    if (fields[3] && fields[0][0] == 'R') {
        tally->ranges++;
        right = check_range(t, tokens, fields[1], fields[2], fields[3]);
    } else {
        assert_non_null(fields[2]);
        tokenize(tokens, fields[2], unescape(fields[2]), t);
        tally->texts++;
        if (fields[0][0] == 'T')
            right = same_ids(tokens, fields[1]);
        else
            right = fnv_ids(FNV_START, tokens) == strtoul(fields[1], NULL, 16);
    }
    if (right) return;
    tally->wrong++;
    print_error("wrong tokens: %s %s (%s)\n", fields[0], fields[fields[3] ? 3 : 2], fields[1]);
}

static void test_same_as_transformers(void **state)
{
    struct tally tally = {0};
    struct sdg_tokens tokens = {0};
    char *line = NULL;
    size_t room = 0;
    ssize_t length;
    FILE *in = fopen(golden_path, "r");
    assert_non_null(in);
    while ((length = getdelim(&line, &room, '\n', in)) > 0) {
        line[length - 1] = 0;
        check_line(&tally, *state, &tokens, line);
    }
    fclose(in);
    free(line);
    sdg_tokens_free(&tokens);
    assert_int_equal(tally.wrong, 0);
    assert_true(tally.texts >= 20000);
    assert_int_equal(tally.ranges, (0x110000 - 0x800) / 256);
}

/* ---- known by heart ---- */

static void check_ids(const struct sdg_tokenizer *t, const char *text, size_t length,
                      const char *want)
{
    struct sdg_tokens tokens = {0};
    char copy[256];
    snprintf(copy, sizeof copy, "%s", want);
    tokenize(&tokens, text, length, t);
    bool same = same_ids(&tokens, copy);
    sdg_tokens_free(&tokens);
    if (!same) fail_msg("%s: not %s", text, want);
}

static void test_well_known_prompts(void **state)
{
    check_ids(*state, "a photo of an astronaut riding a horse on mars", 46,
              "320 1125 539 550 18376 6765 320 4558 525 7496");
    check_ids(*state, "Hello, World! 123", 17, "3306 267 1002 256 272 273 274");
    check_ids(*state, "it's a dog's life, don't", 24, "585 568 320 1929 568 970 267 847 713");
    check_ids(*state, "x\0y", 3, "343 444 344");
    check_ids(*state, "", 0, "");
    check_ids(*state, " \n\t", 3, "");
}

static void test_special_strings(void **state)
{
    check_ids(*state, "a<|endoftext|>b", 15, "320 49407 321");
    check_ids(*state, "<|StartOfText|>x", 16, "49406 343");
    check_ids(*state, "<|EndOfText|>", 13, "27 347 40786 4160 91 285");
}

/* The ids that tokenize() appends to stay. */
static void test_appends(void **state)
{
    struct sdg_tokens tokens = {0};
    sdgen_error error;
    assert_int_equal(sdg_tokenize(&tokens, "a", 1, *state, &error), SDGEN_OK);
    assert_int_equal(sdg_tokenize(&tokens, "horse", 5, *state, &error), SDGEN_OK);
    assert_int_equal(tokens.count, 2);
    assert_int_equal(tokens.ids[0], 320);
    assert_int_equal(tokens.ids[1], 4558);
    sdg_tokens_free(&tokens);
    assert_null(tokens.ids);
}

static void test_pieces(void **state)
{
    static const struct {
        int32_t id;
        const char *piece;
    } known[] = {
        {0, "!"},
        {93, "~"},
        {94, "¡"},
        {187, "ÿ"},
        {188, "Ā"},
        {255, "Ń"},
        {256, "!</w>"},
        {320, "a</w>"},
        {SDG_TOKEN_COMMA, ",</w>"},
        {512, "in"},
        {49405, "jekyll</w>"},
        {SDG_TOKEN_START, "<|startoftext|>"},
        {SDG_TOKEN_END, "<|endoftext|>"},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        assert_string_equal(sdg_token_piece(*state, known[i].id), known[i].piece);
    /* All of them, each with its 0, hashed as a whole (from vocab.json's contents). */
    uint32_t hash = FNV_START;
    for (int32_t id = 0; id <= SDG_TOKEN_END; id++)
        for (const char *c = sdg_token_piece(*state, id), *end = c + strlen(c); c <= end; c++)
            hash = (hash ^ (unsigned char)*c) * 16777619u;
    assert_int_equal(hash, 0x078faf33);
    assert_null(sdg_token_piece(*state, -1));
    assert_null(sdg_token_piece(*state, 49408));
}

/* ---- bytes that are not UTF-8 ---- */

static void test_broken_utf8(void **state)
{
    /* The decoded text in a notation of its own: '?' is U+FFFD. As Python's errors="replace". */
    static const struct {
        const char *bytes, *want;
    } known[] = {
        {"a\x80z", "a?z"},
        {"a\xc2z", "a?z"},
        {"\xc0\xaf", "??"},             /* overlong '/' */
        {"\xe0\x80\xaf", "???"},        /* overlong again */
        {"\xf0\x80\x80\xaf", "????"},   /* and again */
        {"\xed\xa0\x80", "???"},        /* a surrogate */
        {"\xf4\x90\x80\x80", "????"},   /* above U+10FFFF */
        {"\xf5\xff", "??"},             /* never a lead byte */
        {"\xe2\x82", "?"},              /* cut off */
        {"\xe2\x82z", "?z"},            /* cut off by a letter */
        {"\xf0\x9f\x92", "?"},          /* the same with four */
        {"\xf0\x9f\x92\xf0", "??"},     /* cut off by another beginning */
        {"\xe2\x28\xa1", "?(?"},        /* the middle is missing */
        {"\xf0\x9f\x98\x80\x80", "E?"}, /* one too many behind an emoji */
    };
    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        struct sdg_codes codes = {0};
        assert_true(sdg_codes_decode(&codes, known[i].bytes, strlen(known[i].bytes)));
        assert_int_equal(codes.count, strlen(known[i].want));
        for (size_t k = 0; k < codes.count; k++) {
            char c = known[i].want[k];
            assert_int_equal(codes.at[k], c == '?' ? 0xfffd : c == 'E' ? 0x1f600 : (uint32_t)c);
        }
        sdg_codes_free(&codes);
    }
}

static void test_utf8_round_trip(void **state)
{
    (void)state;
    for (uint32_t c = 0; c <= 0x10ffff; c += c == 0xd7ff ? 0x801 : 1) {
        char bytes[4];
        uint32_t back;
        size_t size = sdg_utf8_encode(bytes, c);
        assert_int_equal(sdg_utf8_decode(&back, bytes, size), size);
        assert_int_equal(back, c);
    }
}

/* ---- composition ---- */

static void check_nfc(const uint32_t *from, size_t n, const uint32_t *want, size_t wanted)
{
    struct sdg_codes in = {0}, out = {0};
    for (size_t i = 0; i < n; i++) assert_true(sdg_codes_push(&in, from[i]));
    assert_true(sdg_codes_nfc(&out, &in));
    assert_int_equal(out.count, wanted);
    assert_memory_equal(out.at, want, wanted * sizeof *want);
    sdg_codes_free(&in);
    sdg_codes_free(&out);
}
#define CODES(...) (const uint32_t[]) {__VA_ARGS__}, sizeof((const uint32_t[]) {__VA_ARGS__}) / 4

/* Examples of UAX #15, figures 3 to 6 and section 1.3. */
static void test_composition(void **state)
{
    (void)state;
    check_nfc(CODES('e', 0x301), CODES(0xe9));
    check_nfc(CODES(0x212b), CODES(0xc5)); /* angstrom: a letter */
    check_nfc(CODES('s', 0x323, 0x307), CODES(0x1e69));
    check_nfc(CODES('s', 0x307, 0x323), CODES(0x1e69)); /* the order of typing does not matter */
    check_nfc(CODES(0x1e0b, 0x323), CODES(0x1e0d, 0x307));
    check_nfc(CODES('q', 0x307, 0x323), CODES('q', 0x323, 0x307));
    check_nfc(CODES(0x301, 'e'), CODES(0x301, 'e'));         /* no base */
    check_nfc(CODES('e', 0x300, 0x301), CODES(0xe8, 0x301)); /* the first blocks the second */
    check_nfc(CODES(0x958), CODES(0x915, 0x93c));            /* excluded from composition */
    check_nfc(CODES(0x1112, 0x1161, 0x11ab), CODES(0xd55c)); /* Hangul */
    check_nfc(CODES(0xd558, 0x11ab), CODES(0xd55c));
    check_nfc(CODES(0xd55c, 0x11ab), CODES(0xd55c, 0x11ab)); /* it has its trailing consonant */
    check_nfc(CODES(0x1112, 0x11ab), CODES(0x1112, 0x11ab));
}

/* ---- texts that would take forever if a cost were quadratic ---- */

static void check_long(const struct sdg_tokenizer *t, const char *unit, size_t copies)
{
    size_t size = strlen(unit);
    struct sdg_tokens tokens = {0};
    char *text = malloc(size * copies);
    assert_non_null(text);
    for (size_t i = 0; i < copies; i++) memcpy(text + i * size, unit, size);
    tokenize(&tokens, text, size * copies, t);
    assert_true(tokens.count > 0);
    free(text);
    sdg_tokens_free(&tokens);
}

static void test_a_million_bytes(void **state)
{
    check_long(*state, "a", 1000000);
    check_long(*state, "!", 1000000);
    check_long(*state, "antidisestablishmentarianism", 40000);
    check_long(*state, "\xcc\x81\xcc\xa3", 250000); /* marks in the wrong order: one run to sort */
    check_long(*state, "\xf0\x9f\x99\x82", 250000);
    check_long(*state, "<|endoftext", 90000);
    check_long(*state, "<|STARTOFTEXT|>", 60000);
    check_long(*state, "\xff", 300000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_as_transformers),
        cmocka_unit_test(test_well_known_prompts),
        cmocka_unit_test(test_special_strings),
        cmocka_unit_test(test_appends),
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_broken_utf8),
        cmocka_unit_test(test_utf8_round_trip),
        cmocka_unit_test(test_composition),
        cmocka_unit_test(test_a_million_bytes),
    };
    return cmocka_run_group_tests_name("tokenizer", tests, setup, teardown);
}
