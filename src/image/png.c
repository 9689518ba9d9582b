/* png.c - see png.h. stb_image_write makes the picture; the text chunk is put in here, between the
 * header and the pixels, where readers that stop at the pixels still find it.
 *
 * PNG (ISO/IEC 15948, W3C Recommendation): section 5.3 chunk layout, 11.3.4.3 tEXt (Latin-1),
 * 11.3.4.5 iTXt (UTF-8). Which of the two follows Pillow (PngImagePlugin.PngInfo.add_text): tEXt
 * whenever Latin-1 can hold the text. */
#include "image/png.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/atomicfile.h"
#include "base/utf8.h"
#include "image/stb.h"

enum {
    SIGNATURE = 8,                       /* bytes before the first chunk */
    CHUNK = 12,                          /* length, type and CRC around a chunk's data */
    HEADER_END = SIGNATURE + CHUNK + 13, /* IHDR holds 13 bytes */
    LATIN1_LAST = 0xFF
};

/* ---- the text chunk ---- */

static void put_u32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++) p[i] = (uint8_t)(v >> (24 - 8 * i));
}

static bool fits_latin1(const char *text)
{
    uint32_t c;
    while ((c = sdg_utf8_next(&text)) != 0)
        if (c > LATIN1_LAST) return false;
    return true;
}

static size_t put_utf8(uint8_t *p, uint32_t c)
{
    if (c < 0x80) {
        p[0] = (uint8_t)c;
        return 1;
    }
    const size_t more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    p[0] = (uint8_t)(0xFF00 >> (more + 1) | c >> (6 * more)); /* 110..., 1110..., 11110... */
    for (size_t i = 1; i <= more; i++) p[i] = (uint8_t)(0x80 | (c >> (6 * (more - i)) & 0x3F));
    return more + 1;
}

/* Data of the chunk: keyword, NUL, then for iTXt two zero bytes (not compressed) and two empty
 * strings (language, translated keyword), then the text without a NUL. Returns its length. */
static size_t put_text(uint8_t *p, const char *keyword, const char *text, bool latin1)
{
    size_t used = strlen(keyword) + 1;
    uint32_t c;
    memcpy(p, keyword, used);
    for (int i = 0; !latin1 && i < 4; i++) p[used++] = 0;
    while ((c = sdg_utf8_next(&text)) != 0) {
        if (latin1)
            p[used++] = (uint8_t)c;
        else
            used += put_utf8(p + used, c);
    }
    return used;
}

/* A whole chunk, to be freed, or NULL when out of memory. */
static uint8_t *text_chunk(size_t *length, const char *keyword, const char *text)
{
    const bool latin1 = fits_latin1(text);
    /* A malformed byte becomes U+FFFD, three bytes of UTF-8. */
    uint8_t *chunk = malloc(CHUNK + strlen(keyword) + 5 + 3 * strlen(text));
    if (!chunk) return NULL;
    const size_t data = put_text(chunk + 8, keyword, text, latin1);
    put_u32(chunk, (uint32_t)data);
    memcpy(chunk + 4, latin1 ? "tEXt" : "iTXt", 4);
    put_u32(chunk + 8 + data, (uint32_t)crc32(0, chunk + 4, (uInt)(4 + data)));
    *length = CHUNK + data;
    return chunk;
}

/* ---- the file ---- */

sdgen_status sdg_png_write(const char *path, const uint8_t *rgb, int width, int height,
                           const char *keyword, const char *text, int overwrite, sdgen_error *err)
{
    struct sdg_atomicfile file = {0};
    sdgen_status status = SDGEN_OK;
    size_t png_length = 0, chunk_length = 0;
    uint8_t *chunk = NULL, *png = sdg_stb_png(&png_length, rgb, width, height);
    if (png && text) chunk = text_chunk(&chunk_length, keyword, text);
    if (!png || (text && !chunk)) {
        status = sdg_fail(err, SDGEN_ERR_MEMORY, "%s: out of memory for the PNG", path);
        goto fail;
    }
    SDG_TRY(sdg_atomic_begin(&file, path, err));
    fwrite(png, 1, HEADER_END, file.stream); /* an error stays in the stream until the commit */
    if (chunk) fwrite(chunk, 1, chunk_length, file.stream);
    fwrite(png + HEADER_END, 1, png_length - HEADER_END, file.stream);
    SDG_TRY(sdg_atomic_commit(&file, overwrite, err));
fail:
    sdg_atomic_abort(&file);
    free(chunk);
    free(png);
    return status;
}

/* ---- floats to bytes ---- */

static uint8_t to_byte(float x, enum sdg_rounding how)
{
    float v = x / 2 + 0.5f;
    if (!(v > 0)) return 0; /* NaN too */
    if (v > 1) v = 1;
    v *= 255;
    return (uint8_t)(how == SDG_ROUND_NEAREST_EVEN ? rintf(v) : v);
}

void sdg_image_to_rgb8(uint8_t *rgb, const float *x, int width, int height, enum sdg_rounding how)
{
    const size_t pixels = (size_t)width * (size_t)height;
    for (size_t i = 0; i < pixels; i++)
        for (size_t c = 0; c < 3; c++) rgb[3 * i + c] = to_byte(x[c * pixels + i], how);
}
