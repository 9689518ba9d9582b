/* widen_avx512.c - the kernels of widen.inc with AVX-512. */
#include "vec_avx512.h"

#include "vec/widen.inc"
