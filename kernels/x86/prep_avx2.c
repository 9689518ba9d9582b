/* prep_avx2.c - prep.inc for avx2. */
#include "vec_avx2.h"

#include "vec/prep.inc"
