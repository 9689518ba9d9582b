/* imagetext.c - see imagetext.h: which format it is, the list of texts, and how bytes become UTF-8.
 * The formats are read in imagetext_png.c and imagetext_containers.c, Exif in imagetext_exif.c. */
#define _GNU_SOURCE
#include "image/imagetext.h"

#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "image/imagetext_parts.h"

/* ---- the list ---- */

void sdg_imagetext_free(struct sdg_imagetext *t)
{
    for (size_t i = 0; i < t->count; i++) {
        free(t->entries[i].keyword);
        free(t->entries[i].text);
    }
    free(t->entries);
    *t = (struct sdg_imagetext) {0};
}

const char *sdg_imagetext_find(const struct sdg_imagetext *t, const char *keyword)
{
    for (size_t i = 0; i < t->count; i++)
        if (strcmp(t->entries[i].keyword, keyword) == 0) return t->entries[i].text;
    return NULL;
}

/* ---- characters ---- */

static bool all_utf8(const uint8_t *bytes, size_t length)
{
    for (size_t i = 0, n; i < length; i += n)
        if ((n = sdg_utf8_length(bytes + i, length - i)) == 0) return false;
    return true;
}

/* One unit of UTF-16, or a pair (The Unicode Standard, section 3.9, D91). Halves of a pair give
 * U+FFFD. */
static size_t utf16_decode(uint32_t *code, const uint8_t *p, size_t length, bool big)
{
    if (length < 2) {
        *code = SDG_UTF8_REPLACEMENT;
        return length;
    }
    const uint32_t first = big ? (uint32_t)p[0] << 8 | p[1] : (uint32_t)p[1] << 8 | p[0];
    *code = first;
    if (first < 0xD800 || first >= 0xE000) return 2;
    *code = SDG_UTF8_REPLACEMENT;
    if (first >= 0xDC00 || length < 4) return 2;
    const uint32_t second = big ? (uint32_t)p[2] << 8 | p[3] : (uint32_t)p[3] << 8 | p[2];
    if (second < 0xDC00 || second >= 0xE000) return 2;
    *code = 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
    return 4;
}

static size_t decode(uint32_t *code, const uint8_t *p, size_t length,
                     enum sdg_imagetext_encoding how)
{
    switch (how) {
    case SDG_TEXT_UTF8: return sdg_utf8_decode(code, (const char *)p, length);
    case SDG_TEXT_UTF16BE: return utf16_decode(code, p, length, true);
    case SDG_TEXT_UTF16LE: return utf16_decode(code, p, length, false);
    default: *code = *p; return 1;
    }
}

/* bytes[length] as a C string of UTF-8, or NULL when out of memory. A byte becomes at most three.
 */
static char *to_utf8(size_t *used, const uint8_t *bytes, size_t length,
                     enum sdg_imagetext_encoding how)
{
    char *text = malloc(3 * length + 1);
    if (!text) return NULL;
    *used = 0;
    for (size_t i = 0; i < length;) {
        uint32_t code;
        i += decode(&code, bytes + i, length - i, how);
        *used += sdg_utf8_encode(text + *used, code);
    }
    while (*used && text[*used - 1] == 0) (*used)--;
    text[*used] = 0;
    return text;
}

/* Zeros inside of text[used] become U+FFFD, so that the text stays whole as a C string. */
static char *without_zeros(char *text, size_t *used)
{
    size_t zeros = 0, at = 0;
    for (size_t i = 0; i < *used; i++) zeros += text[i] == 0;
    if (!zeros) return text;
    char *copy = malloc(*used + 2 * zeros + 1);
    for (size_t i = 0; copy && i < *used; i++) {
        if (text[i])
            copy[at++] = text[i];
        else
            at += sdg_utf8_encode(copy + at, SDG_UTF8_REPLACEMENT);
    }
    if (copy) copy[at] = 0;
    *used = at;
    free(text);
    return copy;
}

sdgen_status sdg_imagetext_add(const struct sdg_imagetext_reader *r, const char *keyword,
                               const uint8_t *bytes, size_t length,
                               enum sdg_imagetext_encoding encoding)
{
    struct sdg_imagetext *t = r->t;
    if (t->count == SDG_IMAGETEXT_ENTRIES)
        return sdg_fail(r->err, SDGEN_ERR_FORMAT, "%s: more than %d texts in one picture", r->path,
                        SDG_IMAGETEXT_ENTRIES);
    if (length > SDG_IMAGETEXT_BYTES || length > SDG_IMAGETEXT_TOTAL - t->total)
        return sdg_fail(r->err, SDGEN_ERR_FORMAT, "%s: text %s: too long for a picture's text",
                        r->path, keyword);
    if (encoding == SDG_TEXT_UTF8_OR_LATIN1)
        encoding = all_utf8(bytes, length) ? SDG_TEXT_UTF8 : SDG_TEXT_LATIN1;
    size_t used = 0;
    char *text = to_utf8(&used, bytes, length, encoding);
    if (text) text = without_zeros(text, &used);
    char *shrunk = text ? realloc(text, used + 1) : NULL;
    if (shrunk) text = shrunk;
    char *name = strdup(keyword);
    struct sdg_imagetext_entry *entries = realloc(t->entries, (t->count + 1) * sizeof *t->entries);
    if (entries) t->entries = entries;
    if (!text || !name || !entries) {
        free(text);
        free(name);
        return sdg_fail(r->err, SDGEN_ERR_MEMORY, "%s: out of memory for its text", r->path);
    }
    t->entries[t->count++] = (struct sdg_imagetext_entry) {.keyword = name, .text = text};
    t->total += length;
    return SDGEN_OK;
}

/* ---- formats ---- */

struct format {
    const char *name, *signature;
    size_t length, at;
    sdgen_status (*read)(const struct sdg_imagetext_reader *r, const uint8_t *data, size_t size);
};

static const struct format formats[] = {
    {"PNG", "\x89PNG\r\n\x1a\n", 8, 0, sdg_png_texts},
    {"JPEG", "\xff\xd8\xff", 3, 0, sdg_jpeg_texts},
    {"WebP", "WEBP", 4, 8, sdg_webp_texts},
    {"GIF", "GIF8", 4, 0, sdg_gif_texts},
    {"AVIF", "ftypavif", 8, 4, NULL},
    {"AVIF", "ftypavis", 8, 4, NULL},
    {"HEIC", "ftypheic", 8, 4, NULL},
    {"JPEG XL", "\xff\x0a", 2, 0, NULL},
    {"JPEG XL", "JXL ", 4, 4, NULL},
    {"TIFF", "II*\0", 4, 0, NULL},
    {"TIFF", "MM\0*", 4, 0, NULL},
    {"BMP", "BM", 2, 0, NULL},
};

sdgen_status sdg_imagetext_read(struct sdg_imagetext *t, const uint8_t *data, size_t size,
                                const char *path, sdgen_error *err)
{
    const struct sdg_imagetext_reader reader = {.t = t, .path = path, .err = err};
    const struct format *f = formats, *end = f + sizeof formats / sizeof formats[0];
    while (f < end &&
           (size < f->at + f->length || memcmp(data + f->at, f->signature, f->length) != 0))
        f++;
    if (f == end)
        return sdg_fail(err, SDGEN_ERR_FORMAT,
                        "%s: no picture that sdgen knows: PNG, JPEG, WebP, GIF", path);
    if (!f->read)
        return sdg_fail(err, SDGEN_ERR_FORMAT,
                        "%s: %s files are not read; there are PNG, JPEG, WebP and GIF", path,
                        f->name);
    t->format = f->name;
    const sdgen_status status = f->read(&reader, data, size);
    if (status != SDGEN_OK) sdg_imagetext_free(t);
    return status;
}
