/* winograd_neon.c - winograd.inc for 64-bit ARM. */
#include "vec_neon.h"

#include "vec/winograd.inc"
