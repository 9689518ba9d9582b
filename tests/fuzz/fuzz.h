/* fuzz.h - the one function of a fuzz target, called by LLVM's libFuzzer with every input it
 * invents. */
#ifndef SDG_TESTS_FUZZ_FUZZ_H
#define SDG_TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
