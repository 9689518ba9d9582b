/* fuzz_torchfile.c - any bytes as a zip archive of torch.save. */
#include "fuzz.h"
#include "readable.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    read_anything(data, size);
    return 0;
}
