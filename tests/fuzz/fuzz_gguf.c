/* fuzz_gguf.c - any bytes as a GGUF file. Magic and version are set right for every other input, so
 * that mutations reach what lies behind them. */
#include "fuzz.h"
#include "readable.h"

enum { FRONT = 8 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    read_anything(data, size);
    uint8_t *framed = malloc(FRONT + size);
    if (!framed) abort();
    memcpy(framed, "GGUF\3\0\0\0", FRONT);
    if (size) memcpy(framed + FRONT, data, size);
    read_anything(framed, FRONT + size);
    free(framed);
    return 0;
}
