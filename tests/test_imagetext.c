/* test_imagetext.c - pictures and texts that mean harm: lengths beyond the file, packed gigabytes,
 * a million chunks, ten megabytes of brackets. What is read from good ones: test_infotext_parse.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <zlib.h>

#include "image/foreign_readers.h"
#include "image/infotext_parse.h"

/* ---- files that mean harm ---- */

struct buffer {
    uint8_t *at;
    size_t used, room;
};

static void append(struct buffer *b, const void *data, size_t length)
{
    if (b->used + length > b->room) {
        b->room = 2 * (b->used + length) + 64;
        b->at = realloc(b->at, b->room);
        assert_non_null(b->at);
    }
    memcpy(b->at + b->used, data, length);
    b->used += length;
}

static void append_u32(struct buffer *b, uint32_t v)
{
    const uint8_t bytes[4] = {(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8),
                              (uint8_t)v};
    append(b, bytes, 4);
}

static void append_chunk(struct buffer *b, const char *type, const void *data, size_t length)
{
    append_u32(b, (uint32_t)length);
    const size_t start = b->used;
    append(b, type, 4);
    append(b, data, length);
    append_u32(b, (uint32_t)crc32(0, b->at + start, (uInt)(b->used - start)));
}

static struct buffer png_start(void)
{
    struct buffer b = {0};
    append(&b, "\x89PNG\r\n\x1a\n", 8);
    append_chunk(&b, "IHDR", "\0\0\0\x08\0\0\0\x08\x08\x02\0\0\0", 13);
    return b;
}

/* Refused with one line that has `word` in it; the buffer is freed. */
static void refused(struct buffer b, const char *word)
{
    struct sdg_imagetext t = {0};
    sdgen_error err = {0};
    assert_int_equal(sdg_imagetext_read(&t, b.at, b.used, "p", &err), SDGEN_ERR_FORMAT);
    if (!strstr(err.text, word)) fail_msg("no '%s' in: %s", word, err.text);
    assert_null(t.entries);
    free(b.at);
}

static void a_length_beyond_the_file_is_refused(void **state)
{
    (void)state;
    struct buffer b = png_start();
    append_u32(&b, 0xffffffff);
    append(&b, "tEXtparameters\0x____", 20);
    refused(b, "does not end before the file does");
    b = png_start();
    append(&b, "\0\0\0", 3);
    refused(b, "does not end before the file does");
}

static void a_wrong_checksum_is_refused(void **state)
{
    (void)state;
    struct buffer b = png_start();
    append_chunk(&b, "tEXt", "parameters\0a cat", 16);
    b.at[b.used - 6] ^= 1;
    refused(b, "checksum");
}

/* 1 GiB of zeros packed into a megabyte: stopped at the limit. */
static void bombs_do_not_go_off(void **state)
{
    (void)state;
    enum { BLOCK = 1 << 20 };
    z_stream z = {0};
    uint8_t *zeros = calloc(1, BLOCK), *out = malloc(4 * BLOCK);
    assert_non_null(zeros);
    assert_non_null(out);
    assert_int_equal(deflateInit(&z, 9), Z_OK);
    memcpy(out, "parameters\0\0", 12);
    z.next_out = out + 12;
    z.avail_out = 4 * BLOCK - 12;
    for (int i = 0; i < 1024; i++) {
        z.next_in = zeros;
        z.avail_in = BLOCK;
        assert_int_equal(deflate(&z, i == 1023 ? Z_FINISH : Z_NO_FLUSH),
                         i == 1023 ? Z_STREAM_END : Z_OK);
    }
    deflateEnd(&z);
    struct buffer b = png_start();
    append_chunk(&b, "zTXt", out, 12 + z.total_out);
    refused(b, "too long");
    free(zeros);
    free(out);
}

static void damaged_streams_are_refused(void **state)
{
    (void)state;
    struct buffer b = png_start();
    append_chunk(&b, "zTXt", "parameters\0\0not zlib", 20);
    refused(b, "damaged");
    b = png_start();
    append_chunk(&b, "iTXt", "parameters\0\1\7\0\0x", 16);
    refused(b, "packed in a way");
    b = png_start();
    append_chunk(&b, "iTXt", "parameters\0\1", 12);
    refused(b, "cut off");
}

static void a_million_chunks_are_walked_over(void **state)
{
    (void)state;
    struct buffer b = png_start();
    for (int i = 0; i < 1000000; i++) append_chunk(&b, "aaAa", "", 0);
    append_chunk(&b, "tEXt", "parameters\0a cat", 16);
    struct sdg_imagetext t = {0};
    sdgen_error err;
    assert_int_equal(sdg_imagetext_read(&t, b.at, b.used, "p", &err), SDGEN_OK);
    assert_string_equal(sdg_imagetext_find(&t, "parameters"), "a cat");
    sdg_imagetext_free(&t);
    free(b.at);
    b = png_start();
    for (int i = 0; i < 1000000; i++) append_chunk(&b, "tEXt", "k\0v", 3);
    refused(b, "more than 256 texts");
}

static void others_are_refused_by_name(void **state)
{
    (void)state;
    struct buffer b = {0};
    append(&b,
           "\0\0\0\x1c"
           "ftypavif\0\0\0\0",
           16);
    refused(b, "AVIF");
    b = (struct buffer) {0};
    append(&b, "plain text", 10);
    refused(b, "no picture");
}

/* ---- texts that mean harm ---- */

/* Ten megabytes of each piece, over and over: linear readers end at once. */
static void long_lines_take_linear_time(void **state)
{
    (void)state;
    static const char *const pieces[] = {"a",
                                         " ",
                                         "a:\"",
                                         "aa:\"\\\",",
                                         "aa: \"x, ",
                                         "\\\"",
                                         "aa:\t",
                                         ":",
                                         "Negative prompt:\n",
                                         "\n",
                                         "\xe3\x80\x80",
                                         "\xff",
                                         "a1/"};
    enum { LENGTH = 10 << 20 };
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        const size_t piece = strlen(pieces[i]);
        char *text = malloc(LENGTH + 64);
        struct sdg_settings s = {0};
        sdgen_error err;
        size_t used = 0;
        assert_non_null(text);
        for (; used + piece < LENGTH; used += piece) memcpy(text + used, pieces[i], piece);
        strcpy(text + used, ", aa: 1, bb: 2, cc: 3");
        const sdgen_status status = sdg_infotext_parse(&s, text, &err);
        assert_true(status == SDGEN_OK || status == SDGEN_ERR_FORMAT); /* too many values */
        sdg_settings_free(&s);
        free(text);
    }
}

static void json_is_bounded(void **state)
{
    (void)state;
    struct sdg_settings s = {0};
    sdgen_error err;
    enum { DEEP = 1 << 20 };
    char *text = malloc(DEEP + 1);
    assert_non_null(text);
    memset(text, '[', DEEP);
    text[DEEP] = 0;
    assert_int_equal(sdg_read_invokeai(&s, text, &err), SDGEN_ERR_FORMAT);
    sdg_settings_free(&s);
    for (int i = 0; i < DEEP; i++) text[i] = i % 2 ? ',' : '1';
    text[0] = '[';
    assert_int_equal(sdg_read_comfyui(&s, text, &err), SDGEN_ERR_FORMAT);
    sdg_settings_free(&s);
    free(text);
}

/* A graph whose links go in circles ends. */
static void circles_end(void **state)
{
    (void)state;
    static const char graph[] =
        "{\"1\":{\"class_type\":\"KSampler\",\"inputs\":{\"seed\":[\"1\",0],\"steps\":[\"2\",0],"
        "\"cfg\":1,"
        "\"sampler_name\":\"euler\",\"model\":[\"1\",0],\"positive\":[\"2\",0],\"latent_image\":["
        "\"2\",0]}},"
        "\"2\":{\"class_type\":\"A\",\"inputs\":{\"value\":[\"2\",0],\"conditioning\":[\"2\",0],"
        "\"samples\":[\"2\",0],\"clip\":[\"2\",0]}}}";
    struct sdg_settings s = {0};
    sdgen_error err;
    assert_int_equal(sdg_read_comfyui(&s, graph, &err), SDGEN_OK);
    assert_string_equal(sdg_settings_value(&s, SDG_FIELD_SAMPLER), "euler");
    assert_null(sdg_settings_value(&s, SDG_FIELD_SEED));
    sdg_settings_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_length_beyond_the_file_is_refused),
        cmocka_unit_test(a_wrong_checksum_is_refused),
        cmocka_unit_test(bombs_do_not_go_off),
        cmocka_unit_test(damaged_streams_are_refused),
        cmocka_unit_test(a_million_chunks_are_walked_over),
        cmocka_unit_test(others_are_refused_by_name),
        cmocka_unit_test(long_lines_take_linear_time),
        cmocka_unit_test(json_is_bounded),
        cmocka_unit_test(circles_end),
    };
    return cmocka_run_group_tests_name("imagetext", tests, NULL, NULL);
}
