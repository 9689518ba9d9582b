/* activation_neon.c - activation.inc for 64-bit ARM. */
#include "vec_neon.h"

#include "vec/activation.inc"
