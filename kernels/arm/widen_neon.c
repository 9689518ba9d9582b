/* widen_neon.c - widen.inc for 64-bit ARM. */
#include "vec_neon.h"

#include "vec/widen.inc"
