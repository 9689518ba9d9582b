/* matmul_avx512bf16.c - matmul.inc with VDPBF16PS. The f32 product it also defines is AVX-512's,
 * with nothing to gain here. */
#include "vec_avx512bf16.h"

enum { MR = 14, NV = 2, NR = NV * VF };
#include "vec/matmul.inc"
