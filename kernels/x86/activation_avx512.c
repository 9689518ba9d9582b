/* activation_avx512.c - the kernels of activation.inc with AVX-512. */
#include "vec_avx512.h"

#include "vec/activation.inc"
