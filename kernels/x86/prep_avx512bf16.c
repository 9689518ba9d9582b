/* prep_avx512bf16.c - prep.inc with the instruction that rounds to bf16. */
#include "vec_avx512bf16.h"

#include "vec/prep.inc"
