/* fuzz_torchlegacy.c - any bytes as a stream of before PyTorch 1.6; and any bytes behind the
 * pickles that always begin one: the object, the list of its storages, and these. */
#include "fuzz.h"
#include "readable.h"

/* The magic number, the protocol, and a sys_info. */
static const char head[] = "\200\2\212\12l\374\234F\371 j\250P\31.\200\2M\351\3.\200\2}.";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { HEAD = sizeof head - 1 };
    read_anything(data, size);
    uint8_t *framed = malloc(HEAD + size);
    if (!framed) abort();
    memcpy(framed, head, HEAD);
    if (size) memcpy(framed + HEAD, data, size);
    read_anything(framed, HEAD + size);
    free(framed);
    return 0;
}
