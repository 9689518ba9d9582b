/* torchtar_members.c - the archive around the oldest files of torch.save (torchtar.h): IEEE Std
 * 1003.1-2001, pax, sections "ustar Interchange Format" and "pax Extended Header", and GNU tar for
 * sizes in base 256. Python's tarfile, which wrote it, writes whole records. */
#include <string.h>

#include "files/torchforms.h"
#include "files/torchtar.h"

#define AGAIN "the file is damaged, download it again"

enum { BLOCK = 512, RECORD = 20 * BLOCK };

static const char *const member_names[SDG_TAR_MEMBERS] = {"storages", "tensors", "pickle",
                                                          "sys_info"};

/* A field of octal digits, perhaps between blanks, or of base 256 when its first bit is set. */
static bool read_field(uint64_t *number, const uint8_t *field, size_t size)
{
    size_t i = 0;
    *number = 0;
    if (field[0] == 0x80) {
        for (i = 1; i < size; i++) {
            if (*number >> 55) return false;
            *number = *number << 8 | field[i];
        }
        return true;
    }
    while (i < size && field[i] == ' ') i++;
    for (; i < size && field[i] >= '0' && field[i] <= '7'; i++)
        *number = *number << 3 | (field[i] - '0');
    return i == size || field[i] == ' ' || field[i] == 0;
}

/* The sum of a header's bytes, its own field counted as blanks. */
static bool is_header(const uint8_t *p)
{
    uint64_t sum = 0, said;
    for (int i = 0; i < BLOCK; i++) sum += i >= 148 && i < 156 ? ' ' : p[i];
    return memcmp(p + 257, "ustar", 5) == 0 && read_field(&said, p + 148, 8) && said == sum;
}

static enum sdg_tar_member member_of(const uint8_t *header)
{
    int i = 0;
    while (i < SDG_TAR_MEMBERS && strncmp((const char *)header, member_names[i], 100) != 0) i++;
    return (enum sdg_tar_member)i;
}

/* Bytes that a member of that size takes in the archive. */
static uint64_t blocks(uint64_t size)
{
    return (size / BLOCK + (size % BLOCK != 0)) * BLOCK;
}

/* A header with more about the next member, which Python's tarfile writes for a time with fractions
 * and for sizes above 8 GiB. */
static bool is_extended(const uint8_t *header)
{
    return header[156] == 'x';
}

bool sdg_torchtar_is(const uint8_t *data, size_t size)
{
    uint64_t more = 0;
    if (size < BLOCK || !is_header(data)) return false;
    if (!is_extended(data)) return member_of(data) < SDG_TAR_MEMBERS;
    if (!read_field(&more, data + 124, 12) || more > size || blocks(more) > size - BLOCK)
        return false;
    const uint8_t *next = data + BLOCK + blocks(more);
    return size - (size_t)(next - data) >= BLOCK && is_header(next) &&
           member_of(next) < SDG_TAR_MEMBERS;
}

static bool is_zero(const uint8_t *p, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (p[i]) return false;
    return true;
}

/* The header at file->at, with the size of what follows it; moves to that. */
static sdgen_status read_header(const uint8_t **header, uint64_t *size,
                                struct sdg_torchstream *file)
{
    sdgen_status status;
    if (file->size - file->at < BLOCK || !is_header(file->data + file->at) ||
        !read_field(size, file->data + file->at + 124, 12))
        return sdg_torchstream_refuse(file, "here should be the header of a member; " AGAIN);
    SDG_TRY(sdg_torchstream_bytes(header, file, BLOCK));
fail:
    return status;
}

/* The value of "size" among the lines "LENGTH key=value" of an extended header, if it is there. */
static bool read_extended(uint64_t *size, const uint8_t *text, uint64_t text_size)
{
    static const char key[] = "size=";
    for (uint64_t at = 0; at < text_size;) {
        uint64_t length = 0, i = at;
        for (; i < text_size && i < at + 8 && text[i] >= '0' && text[i] <= '9'; i++)
            length = 10 * length + (text[i] - '0');
        if (i == at || i >= text_size || text[i] != ' ' || length > text_size - at ||
            length <= i - at + 1 || text[at + length - 1] != '\n')
            return false;
        const uint8_t *line = text + i + 1, *end = text + at + length - 1;
        if ((uint64_t)(end - line) >= sizeof key - 1 && memcmp(line, key, sizeof key - 1) == 0) {
            line += sizeof key - 1;
            if (line == end || end - line > 18) return false;
            for (*size = 0; line < end; line++) {
                if (*line < '0' || *line > '9') return false;
                *size = 10 * *size + (*line - '0');
            }
        }
        at += length;
    }
    return true;
}

static sdgen_status read_member(struct sdg_torchstream members[], struct sdg_torchstream *file)
{
    sdgen_status status;
    const uint8_t *p = NULL, *data = NULL;
    uint64_t size = 0, wide = UINT64_MAX;
    SDG_TRY(read_header(&p, &size, file));
    if (is_extended(p)) {
        SDG_TRY(sdg_torchstream_bytes(&data, file, blocks(size)));
        if (!read_extended(&wide, data, size))
            return sdg_torchstream_refuse(file, "an extended header is malformed; " AGAIN);
        SDG_TRY(read_header(&p, &size, file));
        if (wide != UINT64_MAX) size = wide;
    }
    const enum sdg_tar_member m = member_of(p);
    if (m == SDG_TAR_MEMBERS || (p[156] != '0' && p[156] != 0))
        return sdg_torchstream_refuse(file,
                                      "it holds \"%.100s\", which PyTorch never put there; do not "
                                      "trust the file",
                                      (const char *)p);
    if (members[m].data)
        return sdg_torchstream_refuse(file, "%s is there twice; do not trust the file",
                                      member_names[m]);
    SDG_TRY(sdg_torchstream_bytes(&data, file, blocks(size)));
    members[m] = (struct sdg_torchstream) {.path = file->path,
                                           .part = member_names[m],
                                           .data = data,
                                           .size = (size_t)size,
                                           .err = file->err};
fail:
    return status;
}

/* All members; what follows the last one is empty. */
sdgen_status sdg_torchtar_open(struct sdg_torchstream members[SDG_TAR_MEMBERS],
                               struct sdg_torchstream *file)
{
    sdgen_status status = SDGEN_OK;
    if (file->size % RECORD != 0)
        return sdg_torchstream_refuse(file,
                                      "its %zu bytes are no whole records of %d; it was cut or "
                                      "changed, download it again",
                                      file->size, RECORD);
    while (file->at < file->size && !is_zero(file->data + file->at, BLOCK))
        SDG_TRY(read_member(members, file));
    if (!is_zero(file->data + file->at, file->size - file->at))
        return sdg_torchstream_refuse(file,
                                      "something follows the end of the archive; do not trust "
                                      "the file");
    for (int i = SDG_TAR_STORAGES; i <= SDG_TAR_PICKLE; i++)
        if (!members[i].data)
            return sdg_torchstream_refuse(file, "the archive holds no \"%s\"; " AGAIN,
                                          member_names[i]);
fail:
    return status;
}
