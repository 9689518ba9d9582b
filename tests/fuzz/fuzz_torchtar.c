/* fuzz_torchtar.c - any bytes as a tar archive of before PyTorch 0.1.12; and the same as whole
 * records whose headers have the right checksums. A third time they are cut in three, which become
 * the members of an archive. */
#include "fuzz.h"
#include "readable.h"

enum { BLOCK = 512, RECORD = 20 * BLOCK, SUM = 148, MAGIC = 257 };

static void set_sum(uint8_t *header)
{
    unsigned sum = 0;
    memset(header + SUM, ' ', 8);
    for (int i = 0; i < BLOCK; i++) sum += header[i];
    for (int i = 5; i >= 0; i--) {
        header[SUM + i] = (uint8_t)('0' + sum % 8);
        sum /= 8;
    }
    header[SUM + 6] = 0;
}

static void read_records(const uint8_t *data, size_t size)
{
    const size_t whole = (size / RECORD + 1) * RECORD;
    uint8_t *copy = calloc(whole, 1);
    if (!copy) abort();
    if (size) memcpy(copy, data, size);
    for (size_t at = 0; at + BLOCK <= size; at += BLOCK)
        if (memcmp(copy + at + MAGIC, "ustar", 5) == 0) set_sum(copy + at);
    read_anything(copy, whole);
    free(copy);
}

/* One member at `at`; gives what follows it. */
static size_t add_member(uint8_t *out, size_t at, const char *name, const uint8_t *data,
                         size_t size)
{
    uint8_t *header = out + at;
    size_t rest = size;
    memcpy(header, name, strlen(name));
    memcpy(header + MAGIC, "ustar  ", 8);
    memset(header + 124, '0', 11);
    for (int i = 10; i >= 0; i--) {
        header[124 + i] = (uint8_t)('0' + rest % 8);
        rest /= 8;
    }
    header[156] = '0';
    set_sum(header);
    if (size) memcpy(header + BLOCK, data, size);
    return at + BLOCK + (size + BLOCK - 1) / BLOCK * BLOCK;
}

/* The first two bytes say where the bytes are cut. */
static void read_members(const uint8_t *data, size_t size)
{
    size_t cuts[4] = {0}, at = 0;
    uint8_t *out = calloc(size + 9 * BLOCK + RECORD, 1);
    if (!out) abort();
    if (size >= 2) {
        cuts[1] = (size - 2) * data[0] / 256;
        cuts[2] = cuts[1] + (size - 2 - cuts[1]) * data[1] / 256;
        cuts[3] = size - 2;
    }
    static const char *const names[] = {"pickle", "tensors", "storages"};
    for (int i = 0; i < 3; i++)
        at = add_member(out, at, names[i], size >= 2 ? data + 2 + cuts[i] : data,
                        cuts[i + 1] - cuts[i]);
    read_anything(out, (at / RECORD + 1) * RECORD);
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    read_anything(data, size);
    read_records(data, size);
    read_members(data, size);
    return 0;
}
