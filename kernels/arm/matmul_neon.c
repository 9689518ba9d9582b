/* matmul_neon.c - matmul.inc for 64-bit ARM: 6 rows by 4 vectors, 24 sums of 32 registers, and 10
 * loads to 24 multiply-adds. */
#include "vec_neon.h"

enum { MR = 6, NV = 4, NR = NV * VF };
#include "vec/matmul.inc"
