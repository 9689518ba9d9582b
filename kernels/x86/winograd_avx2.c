/* winograd_avx2.c - winograd.inc for AVX2. */
#include "vec_avx2.h"

#include "vec/winograd.inc"
