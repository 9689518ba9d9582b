/* fuzz_safetensors.c - any bytes as a safetensors file. The length of the header is set right for
 * every other input, so that mutations reach what lies behind it. */
#include "fuzz.h"
#include "readable.h"

enum { LENGTH = 8 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    read_anything(data, size);
    /* The same as a header whose last bracket ends it; what follows are the numbers. */
    size_t header = size;
    while (header > 0 && data[header - 1] != '}') header--;
    uint8_t *framed = malloc(LENGTH + size);
    if (!framed) abort();
    for (size_t i = 0; i < LENGTH; i++) framed[i] = (uint8_t)(header >> 8 * i & 0xff);
    if (size) memcpy(framed + LENGTH, data, size);
    read_anything(framed, LENGTH + size);
    free(framed);
    return 0;
}
