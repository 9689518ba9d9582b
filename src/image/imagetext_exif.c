/* imagetext_exif.c - texts of Exif data (Exif 2.32 on TIFF 6.0) and of XMP packets.
 *
 * A TIFF structure is a header, then directories of 12-byte entries: tag, type, count, value or
 * where it lies. Two directories matter here: the first, and the Exif directory it points to; so
 * the reader follows one pointer and cannot be led in circles.
 *
 * UserComment starts with eight bytes that name its encoding. "UNICODE" means UTF-16, but in which
 * order the bytes stand is said nowhere: piexif, which A1111 uses, writes big endian whatever the
 * file's order, others little endian. The zero halves of ASCII characters tell. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

#include "image/imagetext_parts.h"

enum {
    TAG_DESCRIPTION = 0x010E,
    TAG_MAKE = 0x010F,
    TAG_MODEL = 0x0110,
    TAG_SOFTWARE = 0x0131,
    TAG_EXIF = 0x8769,
    TAG_USER_COMMENT = 0x9286,
    TAG_XP_COMMENT = 0x9C9C,
    ENTRY = 12,
    COMMENT_HEAD = 8
};

struct tiff {
    const struct sdg_imagetext_reader *r;
    const uint8_t *data;
    size_t size;
    bool big;
    uint32_t exif; /* where the Exif directory lies, 0: nowhere */
};

static uint32_t get(const struct tiff *f, size_t at, size_t bytes)
{
    uint32_t v = 0;
    for (size_t i = 0; i < bytes; i++) v = v << 8 | f->data[at + (f->big ? i : bytes - 1 - i)];
    return v;
}

static enum sdg_imagetext_encoding utf16_order(const uint8_t *p, size_t length, bool big)
{
    size_t zeros[2] = {0, 0};
    for (size_t i = 0; i < length; i++) zeros[i & 1] += p[i] == 0;
    if (zeros[0] != zeros[1]) big = zeros[0] > zeros[1];
    return big ? SDG_TEXT_UTF16BE : SDG_TEXT_UTF16LE;
}

static sdgen_status add_utf16(const struct sdg_imagetext_reader *r, const char *keyword,
                              const uint8_t *p, size_t length, bool big)
{
    if (length >= 2 && ((p[0] == 0xFE && p[1] == 0xFF) || (p[0] == 0xFF && p[1] == 0xFE)))
        return sdg_imagetext_add(r, keyword, p + 2, length - 2,
                                 p[0] == 0xFE ? SDG_TEXT_UTF16BE : SDG_TEXT_UTF16LE);
    return sdg_imagetext_add(r, keyword, p, length, utf16_order(p, length, big));
}

static sdgen_status user_comment(const struct tiff *f, const uint8_t *p, size_t length)
{
    if (length < COMMENT_HEAD) return SDGEN_OK;
    const uint8_t *text = p + COMMENT_HEAD;
    const size_t left = length - COMMENT_HEAD;
    if (memcmp(p, "UNICODE", 7) == 0) return add_utf16(f->r, "UserComment", text, left, f->big);
    if (memcmp(p, "JIS", 4) == 0)
        for (size_t i = 0; i < left; i++)
            if (text[i] >= 0x80 || text[i] == 0x1B)
                return sdg_fail(f->r->err, SDGEN_ERR_FORMAT,
                                "%s: its UserComment is in JIS, which sdgen does not decode",
                                f->r->path);
    if (memcmp(p, "ASCII", 5) == 0 || memcmp(p, "JIS", 4) == 0 ||
        memcmp(p, "\0\0\0\0\0\0\0", COMMENT_HEAD) == 0)
        return sdg_imagetext_add(f->r, "UserComment", text, left, SDG_TEXT_UTF8_OR_LATIN1);
    /* No known head: some writers leave it out. */
    return sdg_imagetext_add(f->r, "UserComment", p, length, SDG_TEXT_UTF8_OR_LATIN1);
}

/* Bytes of a value of `type`, 0 for those that hold no text and no pointer. */
static size_t type_size(uint32_t type)
{
    switch (type) {
    case 1:            /* BYTE */
    case 2:            /* ASCII */
    case 7: return 1;  /* UNDEFINED */
    case 4:            /* LONG */
    case 13: return 4; /* IFD */
    default: return 0;
    }
}

static const char *text_name(uint32_t tag)
{
    switch (tag) {
    case TAG_DESCRIPTION: return "ImageDescription";
    case TAG_MAKE: return "Make";
    case TAG_MODEL: return "Model";
    case TAG_SOFTWARE: return "Software";
    default: return NULL;
    }
}

static sdgen_status entry(struct tiff *f, size_t at)
{
    const uint32_t tag = get(f, at, 2), type = get(f, at + 2, 2), count = get(f, at + 4, 4);
    const size_t unit = type_size(type), length = unit * count;
    const size_t value = length <= 4 ? at + 8 : get(f, at + 8, 4);
    if (!unit || value > f->size || length > f->size - value) return SDGEN_OK; /* not for us */
    if (tag == TAG_EXIF && unit == 4 && count == 1) f->exif = get(f, value, 4);
    if (unit != 1) return SDGEN_OK;
    if (tag == TAG_USER_COMMENT) return user_comment(f, f->data + value, length);
    if (tag == TAG_XP_COMMENT) return add_utf16(f->r, "XPComment", f->data + value, length, false);
    const char *name = text_name(tag);
    return name ? sdg_imagetext_add(f->r, name, f->data + value, length, SDG_TEXT_UTF8_OR_LATIN1)
                : SDGEN_OK;
}

static sdgen_status directory(struct tiff *f, size_t at)
{
    sdgen_status status = SDGEN_OK;
    if (at > f->size || f->size - at < 2) return SDGEN_OK;
    const size_t count = get(f, at, 2), fits = (f->size - at - 2) / ENTRY;
    for (size_t i = 0; i < count && i < fits; i++) SDG_TRY(entry(f, at + 2 + i * ENTRY));
fail:
    return status;
}

sdgen_status sdg_exif_texts(const struct sdg_imagetext_reader *r, const uint8_t *data, size_t size)
{
    sdgen_status status = SDGEN_OK;
    struct tiff f = {.r = r, .data = data, .size = size};
    if (size >= 6 && memcmp(data, "Exif\0\0", 6) == 0) {
        f.data += 6;
        f.size -= 6;
    }
    if (f.size < 8) return SDGEN_OK;
    f.big = f.data[0] == 'M';
    if (memcmp(f.data, f.big ? "MM\0*" : "II*\0", 4) != 0) return SDGEN_OK;
    SDG_TRY(directory(&f, get(&f, 4, 4)));
    if (f.exif) SDG_TRY(directory(&f, f.exif));
fail:
    return status;
}

/* ---- XMP ---- */

/* The five entities of XML 1.0, section 4.6, and character numbers, in place. */
static size_t unescape(uint8_t *p, size_t length)
{
    static const struct {
        const char *name;
        size_t length;
        char letter;
    } entities[] = {{"&amp;", 5, '&'},   {"&lt;", 4, '<'},   {"&gt;", 4, '>'},  {"&quot;", 6, '"'},
                    {"&apos;", 6, '\''}, {"&#10;", 5, '\n'}, {"&#xA;", 5, '\n'}};
    size_t used = 0;
    for (size_t i = 0; i < length;) {
        size_t step = 1;
        uint8_t c = p[i];
        for (size_t k = 0; c == '&' && step == 1 && k < sizeof entities / sizeof *entities; k++)
            if (length - i >= entities[k].length &&
                memcmp(p + i, entities[k].name, entities[k].length) == 0) {
                c = (uint8_t)entities[k].letter;
                step = entities[k].length;
            }
        p[used++] = c;
        i += step;
    }
    return used;
}

sdgen_status sdg_xmp_texts(const struct sdg_imagetext_reader *r, const uint8_t *data, size_t size)
{
    /* Where stable-diffusion.cpp puts its parameters in a WebP file. */
    static const char open[] = "<sdcpp:parameters>", close[] = "</sdcpp:parameters>";
    const uint8_t *start = size ? memmem(data, size, open, sizeof open - 1) : NULL;
    if (!start) return sdg_imagetext_add(r, "XMP", data, size, SDG_TEXT_UTF8);
    start += sizeof open - 1;
    const size_t left = size - (size_t)(start - data);
    const uint8_t *end = left ? memmem(start, left, close, sizeof close - 1) : NULL;
    if (!end) return sdg_fail(r->err, SDGEN_ERR_FORMAT, "%s: its XMP packet is cut off", r->path);
    const size_t length = (size_t)(end - start);
    uint8_t *copy = malloc(length + 1);
    if (!copy) return sdg_fail(r->err, SDGEN_ERR_MEMORY, "%s: out of memory for its text", r->path);
    memcpy(copy, start, length);
    const sdgen_status status =
        sdg_imagetext_add(r, "parameters", copy, unescape(copy, length), SDG_TEXT_UTF8);
    free(copy);
    return status;
}
