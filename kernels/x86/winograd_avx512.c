/* winograd_avx512.c - winograd.inc for AVX-512. */
#include "vec_avx512.h"

#include "vec/winograd.inc"
