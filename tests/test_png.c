/* test_png.c - PNG files taken apart again by a reader of its own: chunks, CRCs, deflate, row
 * filters (PNG, W3C Recommendation, sections 5, 9 and 10). Also rounding to bytes, and what is left
 * on the disk when writing fails. tools/golden_image.py made the goldens with Pillow, diffusers
 * and A1111's formula. */
#define _GNU_SOURCE
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>
#include <zlib.h>

#include "base/utf8.h"
#include "image/png.h"
#include "tests/support/floats.h"
#include "tests/support/npy.h"

static sdgen_error err;

/* ---- a reader ---- */

struct picture {
    int width, height;
    uint8_t *rgb;  /* [height][width][3] */
    uint8_t *text; /* type and data of the text chunk, or NULL */
    size_t text_length;
};

static uint32_t u32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint8_t *read_file(const char *path, size_t *size)
{
    FILE *f = fopen(path, "rb");
    if (!f) fail_msg("%s cannot be opened", path);
    fseek(f, 0, SEEK_END);
    *size = (size_t)ftell(f);
    rewind(f);
    uint8_t *data = malloc(*size + 1);
    assert_non_null(data);
    assert_int_equal(fread(data, 1, *size, f), *size);
    fclose(f);
    return data;
}

static int paeth(int a, int b, int c)
{
    const int p = a + b - c, pa = abs(p - a), pb = abs(p - b), pc = abs(p - c);
    return pa <= pb && pa <= pc ? a : pb <= pc ? b : c;
}

/* Undoes the filter of each row. rows [height][1 + 3*width], the filter's number first. */
static void unfilter(struct picture *image, const uint8_t *rows)
{
    const size_t width = 3 * (size_t)image->width;
    for (int y = 0; y < image->height; y++) {
        const uint8_t *in = rows + (size_t)y * (width + 1);
        uint8_t *out = image->rgb + (size_t)y * width;
        assert_in_range(in[0], 0, 4);
        const uint8_t *above = y ? out - width : NULL;
        for (size_t x = 0; x < width; x++) {
            const int a = x >= 3 ? out[x - 3] : 0, b = above ? above[x] : 0;
            const int c = x >= 3 && above ? above[x - 3] : 0;
            const int guess[] = {0, a, b, (a + b) / 2, paeth(a, b, c)};
            out[x] = (uint8_t)(in[x + 1] + guess[in[0]]);
        }
    }
}

static void read_pixels(struct picture *image, const uint8_t *deflated, size_t length)
{
    uLongf size = (uLongf)image->height * (1 + 3 * (uLongf)image->width), got = size + 1;
    uint8_t *rows = malloc(got);
    image->rgb = malloc(size);
    assert_non_null(rows);
    assert_non_null(image->rgb);
    assert_int_equal(uncompress(rows, &got, deflated, (uLong)length), Z_OK);
    assert_int_equal(got, size);
    unfilter(image, rows);
    free(rows);
}

static struct picture read_png(const char *path)
{
    static const uint8_t header_tail[] = {8, 2, 0, 0, 0}; /* 8 bits, RGB, not interlaced */
    struct picture image = {0};
    size_t size, at = 8;
    uint8_t *file = read_file(path, &size);
    assert_true(size > 8);
    assert_memory_equal(file, "\x89PNG\r\n\x1a\n", 8);
    char order[64] = "";
    while (at < size) {
        assert_true(size - at >= 12);
        const size_t length = u32(file + at);
        const uint8_t *type = file + at + 4, *data = type + 4;
        assert_true(length <= size - at - 12);
        assert_int_equal(u32(data + length), crc32(0, type, (uInt)(length + 4)));
        strncat(order, (const char *)type, 4);
        if (memcmp(type, "IHDR", 4) == 0) {
            assert_int_equal(length, 13);
            assert_memory_equal(data + 8, header_tail, sizeof header_tail);
            image.width = (int)u32(data);
            image.height = (int)u32(data + 4);
        } else if (memcmp(type, "IDAT", 4) == 0)
            read_pixels(&image, data, length);
        else if (memcmp(type, "IEND", 4) != 0) {
            image.text = malloc(length + 4);
            assert_non_null(image.text);
            memcpy(image.text, type, length + 4);
            image.text_length = length + 4;
        }
        at += length + 12;
    }
    if (strcmp(order, "IHDRIDATIEND") != 0 && strcmp(order, "IHDRtEXtIDATIEND") != 0 &&
        strcmp(order, "IHDRiTXtIDATIEND") != 0)
        fail_msg("chunks: %s", order);
    free(file);
    return image;
}

static void picture_free(struct picture *image)
{
    free(image->rgb);
    free(image->text);
}

/* ---- a place to write ---- */

struct place {
    char *folder, path[512];
};

static int make_place(void **state)
{
    struct place *p = calloc(1, sizeof *p);
    if (!p) return -1;
    p->folder = test_folder_make();
    snprintf(p->path, sizeof p->path, "%s/x.png", p->folder);
    *state = p;
    return 0;
}

static int remove_place(void **state)
{
    struct place *p = *state;
    test_folder_remove(p->folder);
    free(p);
    return 0;
}

static int count_files(const char *folder)
{
    int count = 0;
    DIR *d = opendir(folder);
    assert_non_null(d);
    while (readdir(d)) count++;
    closedir(d);
    return count - 2; /* "." and ".." */
}

/* ---- the tests ---- */

enum content { NOISE, RAMP, FLAT, CONTENTS };

static void fill(uint8_t *rgb, int width, int height, enum content what)
{
    uint32_t state = 12345;
    for (int y = 0; y < height; y++)
        for (int i = 0; i < 3 * width; i++) {
            state = state * 1664525 + 1013904223;
            const int values[] = {(int)(state >> 24), y + i, 200};
            *rgb++ = (uint8_t)values[what];
        }
}

static void pixels_come_back(void **state)
{
    static const int sizes[][2] = {{1, 1}, {3, 2}, {64, 64}, {257, 5}, {8, 1000}, {512, 384}};
    const struct place *p = *state;
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++)
        for (int what = 0; what < CONTENTS; what++) {
            const int width = sizes[s][0], height = sizes[s][1];
            const size_t bytes = 3 * (size_t)width * (size_t)height;
            uint8_t *rgb = malloc(bytes);
            assert_non_null(rgb);
            fill(rgb, width, height, (enum content)what);
            assert_int_equal(sdg_png_write(p->path, rgb, width, height, "parameters",
                                           what ? "a cat" : NULL, 1, &err),
                             SDGEN_OK);
            struct picture back = read_png(p->path);
            assert_int_equal(back.width, width);
            assert_int_equal(back.height, height);
            assert_memory_equal(back.rgb, rgb, bytes);
            assert_int_equal(back.text != NULL, what != NOISE);
            picture_free(&back);
            free(rgb);
        }
    assert_int_equal(count_files(p->folder), 1);
}

static void text_chunks_are_those_of_pillow(void **state)
{
    const struct place *p = *state;
    const uint8_t pixel[3] = {1, 2, 3};
    struct sdg_weights golden;
    assert_int_equal(sdg_weights_open(&golden, "tests/golden/image.safetensors", &err), SDGEN_OK);
    const int cases = atoi(test_metadata(&golden, "cases"));
    bool seen_latin1 = false, seen_utf8 = false;
    for (int i = 0; i < cases; i++) {
        char key[32];
        snprintf(key, sizeof key, "%d.chunk", i);
        const struct sdg_entry *chunk = sdg_weights_find(&golden, key);
        assert_non_null(chunk);
        snprintf(key, sizeof key, "%d.text", i);
        const char *text = test_metadata(&golden, key);
        assert_int_equal(sdg_png_write(p->path, pixel, 1, 1, "parameters", text, 1, &err),
                         SDGEN_OK);
        struct picture back = read_png(p->path);
        assert_int_equal(back.text_length, sdg_tensor_count(&chunk->tensor));
        assert_memory_equal(back.text, chunk->tensor.data, back.text_length);
        seen_latin1 |= memcmp(back.text, "tEXt", 4) == 0;
        seen_utf8 |= memcmp(back.text, "iTXt", 4) == 0;
        picture_free(&back);
    }
    assert_true(seen_latin1 && seen_utf8);
    sdg_weights_close(&golden);
}

/* Prompts come from the command line and may be anything; the chunk must be UTF-8 all the same. */
static void malformed_text_is_repaired(void **state)
{
    static const char text[] = "a\xFF\xC0\x80\xED\xA0\x80\xF5z\xE2\x82";
    static const char want[] = "iTXtk\0\0\0\0\0a\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"
                               "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBDz\xEF\xBF\xBD";
    const struct place *p = *state;
    const uint8_t pixel[3] = {1, 2, 3};
    assert_int_equal(sdg_png_write(p->path, pixel, 1, 1, "k", text, 1, &err), SDGEN_OK);
    struct picture back = read_png(p->path);
    assert_int_equal(back.text_length, sizeof want - 1);
    assert_memory_equal(back.text, want, sizeof want - 1);
    picture_free(&back);
}

static void every_code_point_is_read(void **state)
{
    (void)state;
    for (uint32_t c = 1; c <= 0x10FFFF; c++) {
        char text[5] = {0};
        if (c < 0x80)
            text[0] = (char)c;
        else {
            const int more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
            text[0] = (char)((more == 1 ? 0xC0 : more == 2 ? 0xE0 : 0xF0) | c >> (6 * more));
            for (int i = 1; i <= more; i++) text[i] = (char)(0x80 | (c >> (6 * (more - i)) & 63));
        }
        const char *s = text;
        const bool surrogate = c >= 0xD800 && c < 0xE000;
        const uint32_t got = sdg_utf8_next(&s);
        if (got != (surrogate ? SDG_UTF8_REPLACEMENT : c))
            fail_msg("U+%04X read as U+%04X", c, got);
        if (!surrogate) assert_int_equal(*s, 0);
    }
}

static void refuse(const struct place *p, const char *path, const char *words)
{
    const uint8_t pixel[3] = {1, 2, 3};
    const int before = count_files(p->folder);
    assert_int_equal(sdg_png_write(path, pixel, 1, 1, NULL, NULL, 0, &err), SDGEN_ERR_IO);
    if (!strstr(err.text, words)) fail_msg("wanted \"%s\", got: %s", words, err.text);
    assert_int_equal(count_files(p->folder), before);
}

static void failures_leave_nothing(void **state)
{
    const struct place *p = *state;
    char path[600];
    snprintf(path, sizeof path, "%s/none/x.png", p->folder);
    refuse(p, path, "No such file");
    refuse(p, p->folder, "not a plain file");
    refuse(p, "/dev/full", "not a plain file");
    const uint8_t pixel[3] = {9, 9, 9};
    assert_int_equal(sdg_png_write(p->path, pixel, 1, 1, NULL, NULL, 0, &err), SDGEN_OK);
    refuse(p, p->path, "File exists");
    struct picture back = read_png(p->path); /* and the file that was there is untouched */
    assert_memory_equal(back.rgb, pixel, 3);
    picture_free(&back);
}

static void bytes_are_those_of_the_programs(void **state)
{
    (void)state;
    struct sdg_weights golden;
    assert_int_equal(sdg_weights_open(&golden, "tests/golden/image.safetensors", &err), SDGEN_OK);
    struct test_floats x = test_golden(&golden, "x");
    const struct sdg_entry *a1111 = sdg_weights_find(&golden, "a1111");
    const struct sdg_entry *diffusers = sdg_weights_find(&golden, "diffusers");
    assert_non_null(a1111);
    assert_non_null(diffusers);
    const int height = (int)a1111->tensor.shape[0], width = (int)a1111->tensor.shape[1];
    uint8_t *rgb = malloc(x.count);
    assert_non_null(rgb);
    sdg_image_to_rgb8(rgb, x.data, width, height, SDG_ROUND_TRUNCATE);
    assert_memory_equal(rgb, a1111->tensor.data, x.count);
    sdg_image_to_rgb8(rgb, x.data, width, height, SDG_ROUND_NEAREST_EVEN);
    assert_memory_equal(rgb, diffusers->tensor.data, x.count);
    free(rgb);
    test_floats_free(&x);
    sdg_weights_close(&golden);
}

static void not_a_number_is_black(void **state)
{
    (void)state;
    const float x[3] = {(float)strtod("nan", NULL), 1, -(float)strtod("nan", NULL)};
    uint8_t rgb[3] = {7, 7, 7};
    sdg_image_to_rgb8(rgb, x, 1, 1, SDG_ROUND_NEAREST_EVEN);
    assert_memory_equal(rgb, "\x00\xFF\x00", 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(pixels_come_back, make_place, remove_place),
        cmocka_unit_test_setup_teardown(text_chunks_are_those_of_pillow, make_place, remove_place),
        cmocka_unit_test_setup_teardown(malformed_text_is_repaired, make_place, remove_place),
        cmocka_unit_test(every_code_point_is_read),
        cmocka_unit_test_setup_teardown(failures_leave_nothing, make_place, remove_place),
        cmocka_unit_test(bytes_are_those_of_the_programs),
        cmocka_unit_test(not_a_number_is_black),
    };
    return cmocka_run_group_tests_name("png", tests, NULL, NULL);
}
