/* matmul_avx2.c - matmul.inc for AVX2: 6 rows by 2 vectors, 12 sums of 16 registers. */
#include "vec_avx2.h"

enum { MR = 6, NV = 2, NR = NV * VF };
#include "vec/matmul.inc"
