/* norm_avx512.c - the kernels of norm.inc with AVX-512. */
#include "vec_avx512.h"

#include "vec/norm.inc"
