/* foreign.h - files that people give to an image generator and that hold no weights it can read. */
#ifndef SDG_FILES_FOREIGN_H
#define SDG_FILES_FOREIGN_H

#include <stddef.h>
#include <stdint.h>

/* What data [size] is and what to do about it, as "is a ...: do ..."; NULL when it is not known. */
const char *sdg_foreign_form(const uint8_t *data, size_t size);

#endif
