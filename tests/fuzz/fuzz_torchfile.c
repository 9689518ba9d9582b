/* fuzz_torchfile.c - any bytes as a zip archive of torch.save; and the same with the checksums of
 * its entries taken for not computed, so that mutations reach the pickle. */
#include "fuzz.h"
#include "readable.h"

enum { CENTRAL = 46, CRC_AT = 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    read_anything(data, size);
    uint8_t *copy = malloc(size + 1);
    if (!copy) abort();
    if (size) memcpy(copy, data, size);
    for (size_t i = 0; i + CENTRAL <= size; i++)
        if (memcmp(copy + i, "PK\1\2", 4) == 0) memset(copy + i + CRC_AT, 0, 4);
    read_anything(copy, size);
    free(copy);
    return 0;
}
