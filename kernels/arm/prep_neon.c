/* prep_neon.c - prep.inc for 64-bit ARM. */
#include "vec_neon.h"

#include "vec/prep.inc"
