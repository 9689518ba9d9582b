/* winograd_avx512bf16.c - winograd.inc where one instruction rounds to bf16. What it defines for
 * f32 is AVX-512's, with nothing to gain here. */
#include "vec_avx512bf16.h"

#include "vec/winograd.inc"
