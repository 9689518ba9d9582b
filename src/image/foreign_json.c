/* foreign_json.c - see foreign_json.h. cJSON (RFC 8259) does the parsing; what goes into it is
 * bounded first, because a value costs it some 70 bytes, and a text may hold one per two bytes. */
#define _GNU_SOURCE
#include "image/foreign_json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXACT_DIGITS = 15, PATH = 256, FLAT_DEPTH = 6 };

/* ---- before cJSON ---- */

/* Where copying stands. */
struct cleaner {
    const char *from;
    char *to;
    int depth;
    size_t values;
};

static void copy(struct cleaner *c, size_t length)
{
    memcpy(c->to, c->from, length);
    c->from += length;
    c->to += length;
}

static void copy_string(struct cleaner *c)
{
    size_t n = 1;
    while (c->from[n] && c->from[n] != '"') n += c->from[n] == '\\' && c->from[n + 1] ? 2 : 1;
    copy(c, c->from[n] ? n + 1 : n);
}

static void copy_number(struct cleaner *c)
{
    const size_t sign = c->from[0] == '-', digits = strspn(c->from + sign, "0123456789");
    const char after = c->from[sign + digits];
    const bool quote = digits > EXACT_DIGITS && after != '.' && after != 'e' && after != 'E';
    if (quote) *c->to++ = '"';
    copy(c, sign + digits ? sign + digits : 1);
    if (quote) *c->to++ = '"';
}

/* The length of a Python number that JSON does not have, or 0. */
static size_t no_number(const char *s)
{
    if (strncmp(s, "NaN", 3) == 0) return 3;
    if (strncmp(s, "Infinity", 8) == 0) return 8;
    return strncmp(s, "-Infinity", 9) == 0 ? 9 : 0;
}

/* False when there are too many values or brackets within brackets. */
static bool clean(struct cleaner *c)
{
    size_t n;
    while (*c->from) {
        if (*c->from == '"') {
            copy_string(c);
        } else if ((n = no_number(c->from)) != 0) {
            memcpy(c->to, "null", 4);
            c->to += 4;
            c->from += n;
        } else if (*c->from == '-' || (*c->from >= '0' && *c->from <= '9')) {
            copy_number(c);
        } else {
            c->values += *c->from == ',' || *c->from == '[' || *c->from == '{';
            c->depth += (*c->from == '[' || *c->from == '{') - (*c->from == ']' || *c->from == '}');
            if (c->values > SDG_JSON_VALUES || c->depth > SDG_JSON_DEPTH) return false;
            copy(c, 1);
        }
    }
    *c->to = 0;
    return true;
}

sdgen_status sdg_foreign_open(cJSON **json, const char *text, const char *what, sdgen_error *err)
{
    const size_t length = strlen(text);
    /* "NaN" grows by one in three, a number by two in sixteen. */
    char *cleaned = malloc(length + length / 3 + 3);
    *json = NULL;
    if (!cleaned) return sdg_fail(err, SDGEN_ERR_MEMORY, "out of memory for %s", what);
    struct cleaner c = {.from = text, .to = cleaned};
    const bool fits = clean(&c);
    if (fits) *json = cJSON_Parse(cleaned);
    free(cleaned);
    if (!fits)
        return sdg_fail(err, SDGEN_ERR_FORMAT, "%s: more than %d values, or nested beyond %d", what,
                        SDG_JSON_VALUES, SDG_JSON_DEPTH);
    if (!*json) return sdg_fail(err, SDGEN_ERR_FORMAT, "%s: no valid JSON", what);
    return SDGEN_OK;
}

/* ---- after cJSON ---- */

const char *sdg_foreign_text(char buffer[SDG_NUMBER_SIZE], const cJSON *item)
{
    if (cJSON_IsString(item)) return item->valuestring;
    if (cJSON_IsBool(item)) return cJSON_IsTrue(item) ? "True" : "False";
    if (!cJSON_IsNumber(item)) return NULL;
    sdg_number_text(buffer, item->valuedouble);
    return buffer;
}

sdgen_status sdg_foreign_put(struct sdg_settings *s, enum sdg_field field, const char *name,
                             const cJSON *item, sdgen_error *err)
{
    char buffer[SDG_NUMBER_SIZE];
    const char *text = sdg_foreign_text(buffer, item);
    return text ? sdg_settings_put(s, field, name, text, strlen(text), err) : SDGEN_OK;
}

static bool all_scalars(const cJSON *array)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, array)
    {
        if (cJSON_IsArray(item) || cJSON_IsObject(item)) return false;
    }
    return true;
}

/* A list as text: numbers of a known field with blanks between them, else as JSON. */
static sdgen_status put_list(struct sdg_settings *s, enum sdg_field field, const char *path,
                             const cJSON *item, sdgen_error *err)
{
    char *text = cJSON_PrintUnformatted(item);
    if (!text) return sdg_fail(err, SDGEN_ERR_MEMORY, "out of memory for a picture's text");
    size_t length = strlen(text);
    const char *from = text;
    if (field != SDG_FIELD_OTHER) {
        for (char *c = text; *c; c++)
            if (*c == ',') *c = ' ';
        from++; /* without the brackets */
        length -= 2;
    }
    const sdgen_status status = sdg_settings_put(s, field, path, from, length, err);
    cJSON_free(text);
    return status;
}

struct taking {
    struct sdg_settings *s;
    const struct sdg_foreign_key *keys;
    size_t count;
    sdgen_error *err;
};

/* Everything below `item`, whose path is given. */
static sdgen_status take(const struct taking *t, const char *path, const cJSON *item, int depth)
{
    sdgen_status status = SDGEN_OK;
    char name[PATH];
    int index = 0;
    enum sdg_field field = SDG_FIELD_OTHER;
    for (size_t i = 0; i < t->count && field == SDG_FIELD_OTHER; i++)
        if (strcmp(t->keys[i].key, path) == 0) field = t->keys[i].field;
    const bool array = cJSON_IsArray(item);
    if (!array && !cJSON_IsObject(item)) return sdg_foreign_put(t->s, field, path, item, t->err);
    if (!item->child) return SDGEN_OK;
    if (array && all_scalars(item)) return put_list(t->s, field, path, item, t->err);
    if (depth == FLAT_DEPTH) return put_list(t->s, SDG_FIELD_OTHER, path, item, t->err);
    for (const cJSON *child = item->child; child; child = child->next, index++) {
        if (array)
            snprintf(name, sizeof name, "%s[%d]", path, index);
        else
            snprintf(name, sizeof name, "%s%s%s", path, path[0] ? "." : "", child->string);
        SDG_TRY(take(t, name, child, depth + 1));
    }
fail:
    return status;
}

sdgen_status sdg_foreign_take(struct sdg_settings *s, const cJSON *object,
                              const struct sdg_foreign_key *keys, size_t count, sdgen_error *err)
{
    const struct taking t = {.s = s, .keys = keys, .count = count, .err = err};
    return take(&t, "", object, 0);
}

cJSON *sdg_foreign_detach(cJSON *object, const char *key)
{
    return cJSON_DetachItemFromObjectCaseSensitive(object, key);
}
