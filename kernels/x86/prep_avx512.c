/* prep_avx512.c - prep.inc for avx512. */
#include "vec_avx512.h"

#include "vec/prep.inc"
