/* fuzz_imagetext.c - any bytes as a picture file. Of PNG files the checksums are set right in every
 * other input, so that mutations reach what lies behind them. */
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include "fuzz.h"
#include "image/foreign_readers.h"

enum { SIGNATURE = 8, CHUNK = 12 };

static void read_picture(const uint8_t *data, size_t size)
{
    struct sdg_imagetext t = {0};
    struct sdg_settings s = {0};
    const char *text = NULL;
    sdgen_error err = {0};
    if (sdg_imagetext_read(&t, data, size, "input", &err) != SDGEN_OK) {
        if (strncmp(err.text, "input: ", 7) != 0 || t.entries) abort();
        return;
    }
    for (size_t i = 0; i < t.count; i++)
        if (!t.entries[i].keyword || !t.entries[i].text) abort();
    if (sdg_settings_read(&s, &text, &t, "input", &err) == SDGEN_OK) {
        if (!text) abort();
    } else if (strncmp(err.text, "input: ", 7) != 0 || s.items) {
        abort();
    }
    sdg_settings_free(&s);
    sdg_imagetext_free(&t);
}

static void set_checksums(uint8_t *png, size_t size)
{
    for (size_t at = SIGNATURE; at + CHUNK <= size;) {
        const uint8_t *p = png + at;
        const uint32_t length =
            (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
        if (length > size - at - CHUNK) return;
        const uint32_t crc = (uint32_t)crc32(0, p + 4, length + 4);
        for (size_t i = 0; i < 4; i++) png[at + 8 + length + i] = (uint8_t)(crc >> (24 - 8 * i));
        at += CHUNK + length;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    read_picture(data, size);
    uint8_t *copy = malloc(size + 1);
    if (!copy) abort();
    if (size) memcpy(copy, data, size);
    set_checksums(copy, size);
    read_picture(copy, size);
    free(copy);
    return 0;
}
