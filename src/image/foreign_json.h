/* foreign_json.h - JSON that other programs leave in pictures, read with limits. */
#ifndef SDG_IMAGE_FOREIGN_JSON_H
#define SDG_IMAGE_FOREIGN_JSON_H

#include <cjson/cJSON.h>
#include "image/settings.h"

enum { SDG_JSON_VALUES = 200000, SDG_JSON_DEPTH = 100 };

/* Parses text; free with cJSON_Delete. NaN and Infinity, which Python writes, are read as null;
 * whole numbers of more than 15 digits (seeds) become strings, as a double would change them.
 * `what` is what messages call it. Errors: SDGEN_ERR_FORMAT (no JSON, too many values, too deep),
 * SDGEN_ERR_MEMORY. */
SDGEN_MUST_CHECK sdgen_status sdg_foreign_open(cJSON **json, const char *text, const char *what,
                                               sdgen_error *err);

/* A string, number or truth value as text: its own or in `buffer`; "True" and "False" as Python
 * says it. NULL for null, arrays and objects. */
const char *sdg_foreign_text(char buffer[SDG_NUMBER_SIZE], const cJSON *item);

/* Which path is which field. */
struct sdg_foreign_key {
    const char *key;
    enum sdg_field field;
};

/* Puts everything below `object` into *s: what is in keys[count], by its path ("model.name"), under
 * its field, the rest under SDG_FIELD_OTHER and its path. Null, [] and {} say nothing and are left
 * out. A list of numbers becomes a text with blanks. */
SDGEN_MUST_CHECK sdgen_status sdg_foreign_take(struct sdg_settings *s, const cJSON *object,
                                               const struct sdg_foreign_key *keys, size_t count,
                                               sdgen_error *err);

/* Puts one item, when it has a text. */
SDGEN_MUST_CHECK sdgen_status sdg_foreign_put(struct sdg_settings *s, enum sdg_field field,
                                              const char *name, const cJSON *item,
                                              sdgen_error *err);

/* Removes the member from the object and hands it out (cJSON_Delete), or NULL. */
cJSON *sdg_foreign_detach(cJSON *object, const char *key);

#endif
