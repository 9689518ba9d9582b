/* test_chunks.c - prompts as rows of 77: where each program cuts. Prompts are written as letters:
 * "x" stands for the word "a", "," for a comma. What is expected was worked out by hand from
 * A1111's modules/sd_hijack_clip.py, ComfyUI's comfy/sd1_clip.py and stable-diffusion.cpp's
 * src/conditioning/conditioner.hpp. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "text/prompt.h"

enum { WORD = 320, LONGEST = 1024 };

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

/* text += n copies of c, with blanks. */
static void add(char *text, char c, size_t n)
{
    size_t at = strlen(text);
    for (size_t i = 0; i < n; i++) {
        text[at++] = c == ',' ? ',' : 'a';
        text[at++] = ' ';
    }
    text[at] = 0;
}

static void chunk(struct sdg_chunks *c, const char *text, const struct sdg_tokenizer *t,
                  enum sdg_chunking how)
{
    sdgen_error error;
    if (sdg_chunk_prompt(c, text, t, how, &error) != SDGEN_OK) fail_msg("%s", error.text);
    for (size_t i = 0; i < c->count; i++) {
        assert_int_equal(c->ids[i * SDG_CHUNK_LENGTH], SDG_TOKEN_START);
        assert_int_equal(c->ids[(i + 1) * SDG_CHUNK_LENGTH - 1], SDG_TOKEN_END);
    }
}

/* How many places of the chunk are not padding; none of the prompts spells out the end token. */
static size_t filled(const struct sdg_chunks *c, size_t i)
{
    size_t n = 0;
    while (c->ids[i * SDG_CHUNK_LENGTH + 1 + n] != SDG_TOKEN_END) n++;
    for (size_t k = n + 1; k < SDG_CHUNK_LENGTH; k++)
        assert_int_equal(c->ids[i * SDG_CHUNK_LENGTH + k], SDG_TOKEN_END);
    return n;
}

/* The fills of all chunks, as "75 3". */
static void check_fills(const char *text, const struct sdg_tokenizer *t, const char *want)
{
    struct sdg_chunks c = {0};
    char found[256] = "";
    chunk(&c, text, t, SDG_CHUNKS_A1111);
    for (size_t i = 0; i < c.count; i++)
        snprintf(found + strlen(found), sizeof found - strlen(found), "%s%zu", i ? " " : "",
                 filled(&c, i));
    assert_string_equal(found, want);
    assert_int_equal(c.dropped, 0);
    sdg_chunks_free(&c);
}

/* words before a comma, words behind it, further commas and words */
static void check_cut(const struct sdg_tokenizer *t, size_t before, size_t behind, const char *want)
{
    char text[LONGEST] = "";
    add(text, 'x', before);
    add(text, ',', 1);
    add(text, 'x', behind);
    check_fills(text, t, want);
}

static void test_one_chunk(void **state)
{
    char text[LONGEST] = "";
    check_fills("", *state, "0"); /* still one chunk */
    check_fills(" ", *state, "0");
    check_fills("a cat", *state, "2");
    add(text, 'x', 75);
    check_fills(text, *state, "75");
}

static void test_plain_cut(void **state)
{
    char text[LONGEST] = "";
    add(text, 'x', 76);
    check_fills(text, *state, "75 1");
    add(text, 'x', 75);
    check_fills(text, *state, "75 75 1");
}

static void test_cut_at_a_comma(void **state)
{
    check_cut(*state, 54, 20, "75");    /* fits: nothing to cut */
    check_cut(*state, 55, 20, "56 20"); /* comma at place 55 of 75: 20 back, the farthest */
    check_cut(*state, 54, 21, "75 1");  /* 21 back: too far */
    check_cut(*state, 60, 30, "61 30");
    check_cut(*state, 74, 3, "75 3"); /* the comma is the last that fits */
    check_cut(*state, 75, 3, "75 4"); /* the comma overflows itself */
    check_cut(*state, 0, 80, "75 6"); /* a comma far away */
}

static void test_commas_in_a_row(void **state)
{
    char text[LONGEST] = "";
    add(text, 'x', 70);
    add(text, ',', 1);
    add(text, 'x', 4);
    add(text, ',', 1); /* the 76th is a comma: no way back, it opens the next chunk */
    add(text, 'x', 2);
    check_fills(text, *state, "75 3");
    add(text, 'x', 73); /* that comma is not remembered, and would be too far */
    check_fills(text, *state, "75 75 1");

    text[0] = 0;
    for (int i = 0; i < 16; i++) add(text, 'x', 10), add(text, ',', 1);
    check_fills(text, *state, "66 66 44");
}

static void test_ids_are_kept(void **state)
{
    struct sdg_chunks c = {0};
    char text[LONGEST] = "";
    add(text, 'x', 60);
    add(text, ',', 1);
    add(text, 'x', 18);
    chunk(&c, text, *state, SDG_CHUNKS_A1111);
    assert_int_equal(c.count, 2);
    assert_int_equal(c.tokens, 79);
    assert_int_equal(c.ids[1], WORD);
    assert_int_equal(c.ids[61], SDG_TOKEN_COMMA);
    assert_int_equal(c.ids[62], SDG_TOKEN_END);
    assert_int_equal(c.ids[SDG_CHUNK_LENGTH + 1], WORD);
    assert_int_equal(c.ids[SDG_CHUNK_LENGTH + 18], WORD);
    assert_int_equal(c.ids[SDG_CHUNK_LENGTH + 19], SDG_TOKEN_END);
    sdg_chunks_free(&c);
}

static void test_truncated(void **state)
{
    struct sdg_chunks c = {0};
    char text[LONGEST] = "";
    add(text, 'x', 60);
    add(text, ',', 1);
    add(text, 'x', 30);
    chunk(&c, text, *state, SDG_CHUNKS_TRUNCATE);
    assert_int_equal(c.count, 1);
    assert_int_equal(c.tokens, 91);
    assert_int_equal(c.dropped, 16);
    assert_int_equal(filled(&c, 0), 75);
    chunk(&c, "", *state, SDG_CHUNKS_TRUNCATE);
    assert_int_equal(c.count, 1);
    assert_int_equal(c.tokens + c.dropped, 0);
    assert_int_equal(filled(&c, 0), 0);
    sdg_chunks_free(&c);
}

static void test_padding_and_reuse(void **state)
{
    struct sdg_chunks c = {0};
    sdgen_error error;
    chunk(&c, "a cat", *state, SDG_CHUNKS_A1111);
    assert_int_equal(sdg_chunks_pad(&c, 3, &error), SDGEN_OK);
    assert_int_equal(c.count, 3);
    assert_int_equal(filled(&c, 0), 2);
    assert_int_equal(filled(&c, 1), 0);
    assert_int_equal(filled(&c, 2), 0);
    assert_int_equal(sdg_chunks_pad(&c, 2, &error), SDGEN_OK);
    assert_int_equal(c.count, 3);
    chunk(&c, "a dog a", *state, SDG_CHUNKS_A1111); /* what was there is forgotten */
    assert_int_equal(c.count, 1);
    assert_int_equal(filled(&c, 0), 3);
    sdg_chunks_free(&c);
    assert_null(c.ids);
}

/* ---- weights and the other ways to cut ---- */

/* Fills of the chunks of a prompt in a language, as check_fills. */
static void check_language(const char *text, enum sdg_prompt_language language,
                           enum sdg_chunking how, const struct sdg_tokenizer *t, const char *want)
{
    const struct sdg_prompt_rules rules = {.language = language, .chunking = how, .steps = 1};
    struct sdg_prompt p = {0};
    sdgen_error error;
    char found[256] = "";
    if (sdg_prompt_parse(&p, text, &rules, t, &error) != SDGEN_OK) fail_msg("%s", error.text);
    for (size_t i = 0; i < p.texts[0].chunks.count; i++)
        snprintf(found + strlen(found), sizeof found - strlen(found), "%s%zu", i ? " " : "",
                 filled(&p.texts[0].chunks, i));
    assert_string_equal(found, want);
    sdg_prompt_free(&p);
}

static void test_break(void **state)
{
    check_language("a BREAK b a", SDG_PROMPT_A1111, SDG_CHUNKS_A1111, *state, "1 2");
    check_language("BREAK b", SDG_PROMPT_A1111, SDG_CHUNKS_A1111, *state, "0 1");
    check_language("a BREAK", SDG_PROMPT_A1111, SDG_CHUNKS_A1111, *state, "1");
    check_language("BREAK", SDG_PROMPT_A1111, SDG_CHUNKS_A1111, *state, "0");
    check_language("a BREAK BREAK b", SDG_PROMPT_A1111, SDG_CHUNKS_A1111, *state, "1 0 1");
    check_language("a BREAK b a", SDG_PROMPT_SDCPP, SDG_CHUNKS_SDCPP, *state, "1 2");
    check_language("BREAK b", SDG_PROMPT_SDCPP, SDG_CHUNKS_SDCPP, *state, "1");
    check_language("a BREAK BREAK b", SDG_PROMPT_SDCPP, SDG_CHUNKS_SDCPP, *state, "1 1");
    check_language("a BREAK b", SDG_PROMPT_COMFYUI, SDG_CHUNKS_COMFYUI, *state, "3");
}

static void test_slices(void **state)
{
    char text[LONGEST] = "";
    add(text, 'x', 70);
    add(text, ',', 1);
    add(text, 'x', 10);
    check_language(text, SDG_PROMPT_SDCPP, SDG_CHUNKS_SDCPP, *state, "75 6");
}

/* Groups of fewer than eight tokens move on whole. */
static void test_groups(void **state)
{
    char text[LONGEST] = "";
    add(text, 'x', 70);
    check_language(text, SDG_PROMPT_COMFYUI, SDG_CHUNKS_COMFYUI, *state, "70");
    strcat(text, "(a a a a a)");
    check_language(text, SDG_PROMPT_COMFYUI, SDG_CHUNKS_COMFYUI, *state, "75");
    strcat(text, "(a a)");
    check_language(text, SDG_PROMPT_COMFYUI, SDG_CHUNKS_COMFYUI, *state, "75 2");
    text[0] = 0;
    add(text, 'x', 70);
    strcat(text, "(a a a a a a a)");
    check_language(text, SDG_PROMPT_COMFYUI, SDG_CHUNKS_COMFYUI, *state, "70 7");
    text[0] = 0;
    add(text, 'x', 70);
    strcat(text, "(a a a a a a a a)");
    check_language(text, SDG_PROMPT_COMFYUI, SDG_CHUNKS_COMFYUI, *state, "75 3");
}

/* A weight follows its token over the comma into the next chunk. */
static void test_weights_move(void **state)
{
    const struct sdg_prompt_rules rules = {.language = SDG_PROMPT_A1111, .steps = 1};
    struct sdg_prompt p = {0};
    char text[LONGEST] = "";
    add(text, 'x', 60);
    strcat(text, ", (");
    add(text, 'x', 18);
    strcat(text, ":1.5)");
    assert_int_equal(sdg_prompt_parse(&p, text, &rules, *state, NULL), SDGEN_OK);
    const struct sdg_chunks *c = &p.texts[0].chunks;
    assert_int_equal(c->count, 2);
    for (size_t i = 0; i < SDG_CHUNK_LENGTH; i++) {
        assert_true(c->weights[i] == 1);
        assert_true(c->weights[SDG_CHUNK_LENGTH + i] == (i >= 1 && i <= 18 ? 1.5f : 1));
    }
    assert_true(p.weighted);
    assert_int_equal(p.tokens, 79);
    sdg_prompt_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_chunk),
        cmocka_unit_test(test_plain_cut),
        cmocka_unit_test(test_cut_at_a_comma),
        cmocka_unit_test(test_commas_in_a_row),
        cmocka_unit_test(test_ids_are_kept),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_padding_and_reuse),
        cmocka_unit_test(test_break),
        cmocka_unit_test(test_slices),
        cmocka_unit_test(test_groups),
        cmocka_unit_test(test_weights_move),
    };
    return cmocka_run_group_tests_name("chunks", tests, setup, teardown);
}
