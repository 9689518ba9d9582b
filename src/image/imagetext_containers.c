/* imagetext_containers.c - texts of JPEG, WebP and GIF files: each a row of blocks that say how
 * long they are. */
#include <string.h>

#include "image/imagetext_parts.h"

static sdgen_status cut_off(const struct sdg_imagetext_reader *r, size_t at)
{
    return sdg_fail(r->err, SDGEN_ERR_FORMAT,
                    "%s: %s: the block at %zu does not end before the file does", r->path,
                    r->t->format, at);
}

/* ---- JPEG (ITU-T T.81, annex B; Exif 2.32 section 4.7; XMP part 3, section 1.1.3) ---- */

enum { SOF0 = 0xC0, DHT = 0xC4, JPG = 0xC8, DAC = 0xCC, SOF15 = 0xCF };
enum { RST0 = 0xD0, SOI = 0xD8, EOI = 0xD9, SOS = 0xDA, APP1 = 0xE1, COM = 0xFE, TEM = 0x01 };

static sdgen_status jpeg_segment(const struct sdg_imagetext_reader *r, int marker, const uint8_t *p,
                                 size_t length)
{
    static const char xmp[] = "http://ns.adobe.com/xap/1.0/";
    if (marker >= SOF0 && marker <= SOF15 && marker != DHT && marker != JPG && marker != DAC &&
        length >= 5) {
        r->t->height = (uint32_t)p[1] << 8 | p[2];
        r->t->width = (uint32_t)p[3] << 8 | p[4];
    }
    if (marker == COM) return sdg_imagetext_add(r, "comment", p, length, SDG_TEXT_UTF8_OR_LATIN1);
    if (marker != APP1) return SDGEN_OK;
    if (length >= 6 && memcmp(p, "Exif\0", 5) == 0) return sdg_exif_texts(r, p, length);
    if (length >= sizeof xmp && memcmp(p, xmp, sizeof xmp) == 0)
        return sdg_xmp_texts(r, p + sizeof xmp, length - sizeof xmp);
    return SDGEN_OK;
}

/* Up to the start of the scan: behind it come pixels. */
sdgen_status sdg_jpeg_texts(const struct sdg_imagetext_reader *r, const uint8_t *data, size_t size)
{
    sdgen_status status = SDGEN_OK;
    size_t at = 2;
    while (at + 1 < size) {
        if (data[at] != 0xFF)
            return sdg_fail(r->err, SDGEN_ERR_FORMAT, "%s: JPEG: no marker at %zu", r->path, at);
        const int marker = data[at + 1];
        if (marker == 0xFF) { /* a fill byte */
            at++;
            continue;
        }
        at += 2;
        if (marker == TEM || (marker >= RST0 && marker <= SOI)) continue;
        if (marker == EOI || marker == SOS) break;
        const size_t length = size - at >= 2 ? (size_t)data[at] << 8 | data[at + 1] : 0;
        if (length < 2 || length > size - at) return cut_off(r, at);
        SDG_TRY(jpeg_segment(r, marker, data + at + 2, length - 2));
        at += length;
    }
fail:
    return status;
}

/* ---- WebP (RFC 9649): RIFF chunks ---- */

static uint32_t little(const uint8_t *p, size_t bytes)
{
    uint32_t v = 0;
    for (size_t i = bytes; i-- > 0;) v = v << 8 | p[i];
    return v;
}

static void webp_size(struct sdg_imagetext *t, const uint8_t *type, const uint8_t *p, size_t length)
{
    if (memcmp(type, "VP8X", 4) == 0 && length >= 10) {
        t->width = 1 + little(p + 4, 3);
        t->height = 1 + little(p + 7, 3);
    } else if (memcmp(type, "VP8 ", 4) == 0 && length >= 10) {
        t->width = little(p + 6, 2) & 0x3FFF;
        t->height = little(p + 8, 2) & 0x3FFF;
    } else if (memcmp(type, "VP8L", 4) == 0 && length >= 5) {
        const uint32_t bits = little(p + 1, 4);
        t->width = 1 + (bits & 0x3FFF);
        t->height = 1 + (bits >> 14 & 0x3FFF);
    }
}

sdgen_status sdg_webp_texts(const struct sdg_imagetext_reader *r, const uint8_t *data, size_t size)
{
    sdgen_status status = SDGEN_OK;
    for (size_t at = 12; at < size;) {
        if (size - at < 8) return cut_off(r, at);
        const uint8_t *type = data + at, *p = type + 8;
        const size_t length = little(type + 4, 4);
        if (length > size - at - 8) return cut_off(r, at);
        webp_size(r->t, type, p, length);
        if (memcmp(type, "EXIF", 4) == 0) SDG_TRY(sdg_exif_texts(r, p, length));
        if (memcmp(type, "XMP ", 4) == 0) SDG_TRY(sdg_xmp_texts(r, p, length));
        at += 8 + length;
        if (length & 1 && at < size) at++; /* chunks begin at even places */
    }
fail:
    return status;
}

/* ---- GIF (GIF89a): comment extensions ---- */

/* Walks over sub-blocks from *at to behind the empty one that ends them, gathers their data. */
static bool gif_blocks(uint8_t *text, size_t *used, size_t room, const uint8_t *data, size_t size,
                       size_t *at)
{
    while (*at < size) {
        const size_t length = data[*at];
        (*at)++;
        if (!length) return true;
        if (length > size - *at) return false;
        if (text && length <= room - *used) {
            memcpy(text + *used, data + *at, length);
            *used += length;
        }
        *at += length;
    }
    return false;
}

static size_t gif_colours(uint8_t flags)
{
    return flags & 0x80 ? (size_t)3 << ((flags & 7) + 1) : 0;
}

sdgen_status sdg_gif_texts(const struct sdg_imagetext_reader *r, const uint8_t *data, size_t size)
{
    enum { HEADER = 13, IMAGE = 10, COMMENT = 0xFE, LONGEST = 65536 };
    sdgen_status status = SDGEN_OK;
    uint8_t text[LONGEST];
    if (size < HEADER) return cut_off(r, 0);
    r->t->width = little(data + 6, 2);
    r->t->height = little(data + 8, 2);
    size_t at = HEADER + gif_colours(data[10]);
    while (at < size && data[at] != ';') {
        size_t used = 0;
        const bool extension = data[at] == '!',
                   comment = extension && at + 1 < size && data[at + 1] == COMMENT;
        if (!extension && (data[at] != ',' || size - at <= IMAGE)) return cut_off(r, at);
        at += extension ? 2 : IMAGE + gif_colours(data[at + 9]) + 1;
        if (!gif_blocks(comment ? text : NULL, &used, sizeof text, data, size, &at))
            return cut_off(r, at);
        if (comment) SDG_TRY(sdg_imagetext_add(r, "comment", text, used, SDG_TEXT_UTF8_OR_LATIN1));
    }
fail:
    return status;
}
