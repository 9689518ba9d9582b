/* matmul_avx512.c - matmul.inc for AVX-512: 14 rows by 2 vectors. */
#include "vec_avx512.h"

enum { MR = 14, NV = 2, NR = NV * VF };
#include "vec/matmul.inc"
