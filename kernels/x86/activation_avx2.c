/* activation_avx2.c - the kernels of activation.inc with AVX2, FMA and F16C. */
#include "vec_avx2.h"

#include "vec/activation.inc"
