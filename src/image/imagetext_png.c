/* imagetext_png.c - texts of a PNG file (ISO/IEC 15948, W3C Recommendation): chunks as in section
 * 5.3, tEXt 11.3.4.3 (Latin-1), zTXt 11.3.4.4 (the same, packed), iTXt 11.3.4.5 (UTF-8, packed or
 * not).
 *
 * A chunk that does not end before the file does is damage, and so is a text whose checksum is
 * wrong: a changed digit would make another picture. Packed texts unpack into a buffer that doubles
 * up to SDG_IMAGETEXT_BYTES and no further, whatever they promise. */
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "image/imagetext_parts.h"

enum { SIGNATURE = 8, CHUNK = 12, KEYWORD_MAX = 79, FIRST_BUFFER = 4096 };

struct bytes {
    const uint8_t *at;
    size_t length;
};

static uint32_t get_u32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Cuts the text before the next zero byte off *rest, with the zero. False when there is none. */
static bool cut(struct bytes *head, struct bytes *rest)
{
    const uint8_t *zero = rest->length ? memchr(rest->at, 0, rest->length) : NULL;
    if (!zero) return false;
    *head = (struct bytes) {rest->at, (size_t)(zero - rest->at)};
    rest->at += head->length + 1;
    rest->length -= head->length + 1;
    return true;
}

static sdgen_status damaged(const struct sdg_imagetext_reader *r, const char *what,
                            const char *keyword)
{
    return sdg_fail(r->err, SDGEN_ERR_FORMAT, "%s: PNG text %s: %s", r->path, keyword, what);
}

/* A zlib stream (RFC 1950) into *out, allocated. */
static sdgen_status unpack(uint8_t **out, size_t *length, const struct sdg_imagetext_reader *r,
                           const char *keyword, struct bytes packed)
{
    sdgen_status status = SDGEN_OK;
    z_stream z = {0};
    size_t room = FIRST_BUFFER;
    int end = Z_OK;
    z.next_in = (Bytef *)(uintptr_t)packed.at; /* zlib's interface predates const */
    z.avail_in = (uInt)packed.length;
    *out = malloc(room);
    if (!*out || inflateInit(&z) != Z_OK)
        return sdg_fail(r->err, SDGEN_ERR_MEMORY, "%s: out of memory for its text", r->path);
    for (;;) {
        z.next_out = *out + z.total_out;
        z.avail_out = (uInt)(room - z.total_out);
        end = inflate(&z, Z_NO_FLUSH);
        if (end != Z_OK || z.avail_out) break;
        if (room >= SDG_IMAGETEXT_BYTES) {
            status = damaged(r, "too long for a picture's text", keyword);
            break;
        }
        uint8_t *more = realloc(*out, room *= 2);
        if (!more) {
            status = sdg_fail(r->err, SDGEN_ERR_MEMORY, "%s: out of memory for its text", r->path);
            break;
        }
        *out = more;
    }
    *length = z.total_out;
    inflateEnd(&z);
    if (status == SDGEN_OK && end != Z_STREAM_END)
        status = damaged(r, "its compressed data is damaged", keyword);
    return status;
}

static sdgen_status add_packed(const struct sdg_imagetext_reader *r, const char *keyword,
                               struct bytes packed, enum sdg_imagetext_encoding encoding)
{
    uint8_t *text = NULL;
    size_t length = 0;
    sdgen_status status = unpack(&text, &length, r, keyword, packed);
    if (status == SDGEN_OK) status = sdg_imagetext_add(r, keyword, text, length, encoding);
    free(text);
    return status;
}

/* iTXt behind the keyword: flag, method, language, translated keyword, text. */
static sdgen_status international(const struct sdg_imagetext_reader *r, const char *keyword,
                                  struct bytes rest)
{
    struct bytes skipped;
    if (rest.length < 2) return damaged(r, "its chunk is cut off", keyword);
    const uint8_t packed = rest.at[0], method = rest.at[1];
    rest.at += 2;
    rest.length -= 2;
    if (!cut(&skipped, &rest) || !cut(&skipped, &rest))
        return damaged(r, "its chunk is cut off", keyword);
    if (packed > 1 || (packed && method))
        return damaged(r, "packed in a way that PNG does not have", keyword);
    return packed ? add_packed(r, keyword, rest, SDG_TEXT_UTF8)
                  : sdg_imagetext_add(r, keyword, rest.at, rest.length, SDG_TEXT_UTF8);
}

static sdgen_status text_chunk(const struct sdg_imagetext_reader *r, const uint8_t *chunk,
                               size_t length)
{
    char keyword[KEYWORD_MAX + 1];
    struct bytes name, rest = {chunk + 8, length};
    if (!cut(&name, &rest) || !name.length || name.length > KEYWORD_MAX)
        return damaged(r, "a chunk without keyword", "?");
    for (size_t i = 0; i < name.length; i++) /* keywords that matter are ASCII */
        keyword[i] = name.at[i] >= 0x20 && name.at[i] < 0x7f ? (char)name.at[i] : '?';
    keyword[name.length] = 0;
    if (crc32(0, chunk + 4, (uInt)(length + 4)) != get_u32(chunk + 8 + length))
        return damaged(r, "wrong checksum", keyword);
    if (memcmp(chunk + 4, "iTXt", 4) == 0) return international(r, keyword, rest);
    if (memcmp(chunk + 4, "tEXt", 4) == 0)
        return sdg_imagetext_add(r, keyword, rest.at, rest.length, SDG_TEXT_LATIN1);
    if (!rest.length || rest.at[0] != 0)
        return damaged(r, "packed in a way that PNG does not have", keyword);
    rest.at++;
    rest.length--;
    return add_packed(r, keyword, rest, SDG_TEXT_LATIN1);
}

sdgen_status sdg_png_texts(const struct sdg_imagetext_reader *r, const uint8_t *data, size_t size)
{
    sdgen_status status = SDGEN_OK;
    for (size_t at = SIGNATURE; at < size;) {
        const uint8_t *chunk = data + at;
        const size_t left = size - at;
        const uint32_t length = left >= CHUNK ? get_u32(chunk) : 0;
        if (left < CHUNK || length > left - CHUNK)
            return sdg_fail(r->err, SDGEN_ERR_FORMAT,
                            "%s: PNG: the chunk at %zu does not end before the file does", r->path,
                            at);
        const uint8_t *type = chunk + 4;
        if (memcmp(type, "IEND", 4) == 0) break;
        if (memcmp(type, "IHDR", 4) == 0 && length >= 8) {
            r->t->width = get_u32(chunk + 8);
            r->t->height = get_u32(chunk + 12);
        }
        if (memcmp(type, "tEXt", 4) == 0 || memcmp(type, "zTXt", 4) == 0 ||
            memcmp(type, "iTXt", 4) == 0)
            SDG_TRY(text_chunk(r, chunk, length));
        else if (memcmp(type, "eXIf", 4) == 0)
            SDG_TRY(sdg_exif_texts(r, chunk + 8, length));
        at += CHUNK + length;
    }
fail:
    return status;
}
