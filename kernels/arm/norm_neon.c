/* norm_neon.c - norm.inc for 64-bit ARM. */
#include "vec_neon.h"

#include "vec/norm.inc"
