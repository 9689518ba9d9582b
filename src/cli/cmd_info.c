/* cmd_info.c - `sdgen info IMAGE`: how a picture was made, as it says itself. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cjson/cJSON.h>

#include "base/utf8.h"
#include "cli/commands.h"
#include "cli/message.h"
#include "cli/options.h"
#include "cli/picture.h"

enum { NAME_WIDTH = 26 };

/* ---- text ---- */

/* Pictures are strangers: what could move a cursor or ring a bell becomes '?'. Lines after the
 * first are indented. */
static void print_clean(const char *text, int indent)
{
    while (*text) {
        const char *start = text;
        const uint32_t c = sdg_utf8_next(&text);
        if (c == '\n')
            printf("\n%*s", indent, "");
        else if (c == '\t')
            putchar(' ');
        else if (sdg_utf8_is_control(c))
            putchar('?');
        else
            fwrite(start, 1, (size_t)(text - start), stdout);
    }
}

static void print_item(const struct sdg_setting *item, const char *name)
{
    const int length = (int)strlen(name);
    print_clean(name, 0);
    printf("%*s", length < NAME_WIDTH ? NAME_WIDTH - length : 1, "");
    print_clean(item->value, NAME_WIDTH);
    putchar('\n');
}

/* Known fields in the order of the list of fields, whatever the file's. */
static void print_fields(const struct sdg_settings *s, bool implied, const char *heading)
{
    bool first = true;
    for (int field = SDG_FIELD_OTHER + 1; field < SDG_FIELD_COUNT; field++) {
        const struct sdg_setting *item = s->at[field] ? &s->items[s->at[field] - 1] : NULL;
        if (!item || item->implied != implied) continue;
        if (first && heading) printf("\n%s\n", heading);
        first = false;
        print_item(item, sdg_field_name(item->field));
    }
}

static void print_others(const struct sdg_settings *s, bool implied, const char *heading)
{
    bool first = true;
    for (size_t i = 0; i < s->count; i++) {
        const struct sdg_setting *item = &s->items[i];
        if (item->field != SDG_FIELD_OTHER || item->implied != implied) continue;
        if (first) printf("\n%s\n", heading);
        first = false;
        print_item(item, item->name);
    }
}

static void print_text(const struct sdg_picture *p)
{
    const struct sdg_settings *s = &p->settings;
    print_clean(p->path, 0);
    printf(": %s", p->texts.format);
    if (p->texts.width) printf(", %ux%u", (unsigned)p->texts.width, (unsigned)p->texts.height);
    printf(", made by %s\n\n", sdg_program_name(s->program));
    print_fields(s, false, NULL);
    print_fields(s, true, "Meant, but not written:");
    print_others(s, true, "Meant, but not written, and not known to sdgen:");
    print_others(s, false, "Not known to sdgen:");
}

/* ---- JSON ---- */

/* As a number where it is one for JSON, digit by digit, else as a string. */
static void add_value(cJSON *object, const char *name, const struct sdg_setting *item)
{
    const char *v = item->value, *digits = v + (v[0] == '-');
    char *end = NULL;
    const bool plain = digits[0] >= '0' && digits[0] <= '9' &&
                       !(digits[0] == '0' && digits[1] >= '0' && digits[1] <= '9') &&
                       v[strspn(v, "-+.eE0123456789")] == 0;
    if (plain) strtod(v, &end);
    const char *dot = strchr(v, '.');
    const bool number = sdg_field_is_number(item->field) && end && *end == 0 &&
                        (!dot || (dot[1] >= '0' && dot[1] <= '9'));
    if (number)
        cJSON_AddRawToObject(object, name, v);
    else
        cJSON_AddStringToObject(object, name, v);
}

static int print_json(const struct sdg_picture *p)
{
    const struct sdg_settings *s = &p->settings;
    cJSON *root = cJSON_CreateObject();
    cJSON_AddStringToObject(root, "file", p->path);
    cJSON_AddStringToObject(root, "format", p->texts.format);
    cJSON_AddNumberToObject(root, "width", p->texts.width);
    cJSON_AddNumberToObject(root, "height", p->texts.height);
    cJSON_AddStringToObject(root, "program", sdg_program_name(s->program));
    cJSON *settings = cJSON_AddObjectToObject(root, "settings");
    cJSON *implied = cJSON_AddObjectToObject(root, "implied");
    cJSON *unknown = cJSON_AddArrayToObject(root, "unknown");
    for (size_t i = 0; i < s->count; i++) {
        const struct sdg_setting *item = &s->items[i];
        if (item->field != SDG_FIELD_OTHER || item->implied) {
            const char *name = item->field ? sdg_field_name(item->field) : item->name;
            add_value(item->implied ? implied : settings, name, item);
            continue;
        }
        cJSON *o = cJSON_CreateObject();
        cJSON_AddStringToObject(o, "name", item->name);
        cJSON_AddStringToObject(o, "value", item->value);
        cJSON_AddItemToArray(unknown, o);
    }
    cJSON_AddStringToObject(root, "text", p->text);
    return sdg_say_json(root);
}

/* Byte for byte into a file or a pipe; a terminal would obey what a stranger wrote. */
static void print_raw(const char *text)
{
    if (isatty(STDOUT_FILENO))
        print_clean(text, 0);
    else
        fputs(text, stdout);
    putchar('\n');
}

int sdg_cmd_info(int argc, char **argv)
{
    struct sdg_info_options o = {0};
    struct sdg_picture p;
    int end = sdg_args_parse(&o, sdg_command_find("info"), argc, argv);
    if (end >= 0) return end;
    if (!o.path) return sdg_say_usage("name a picture; see sdgen info --help");
    end = sdg_picture_open(&p, o.path);
    if (end < 0) {
        end = SDG_EXIT_OK;
        if (o.json)
            end = print_json(&p);
        else if (o.raw)
            print_raw(p.text);
        else
            print_text(&p);
    }
    sdg_picture_close(&p);
    return end;
}
