/* infotext_parse.h - reads A1111's parameters text, as A1111, Forge, SD.Next, stable-diffusion.cpp,
 * sdgen and many others write it. */
#ifndef SDG_IMAGE_INFOTEXT_PARSE_H
#define SDG_IMAGE_INFOTEXT_PARSE_H

#include "image/settings.h"

/* Fills *s (zeroed) with every value of the text and sets s->program by its Version. What A1111
 * would conclude from an old Version is added as implied values. Cost linear in the length. Any
 * text is readable: without a line of parameters all of it is prompt. Errors: SDGEN_ERR_MEMORY,
 * SDGEN_ERR_FORMAT for more values than SDG_SETTINGS_MAX. */
SDGEN_MUST_CHECK sdgen_status sdg_infotext_parse(struct sdg_settings *s, const char *text,
                                                 sdgen_error *err);

/* A JSON string (RFC 8259) at text[length], quotes included, in place: returns the decoded length,
 * or SIZE_MAX, text untouched, when it is none or holds what a C string cannot (U+0000, half a
 * surrogate pair). */
size_t sdg_json_unquote(char *text, size_t length);

#endif
