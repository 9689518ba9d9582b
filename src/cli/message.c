/* message.c - see message.h. */
#include "cli/message.h"

#include <stdio.h>
#include <cjson/cJSON.h>

#include "base/utf8.h"

enum { MESSAGE_SIZE = 4096 };

static void say(const char *format, va_list args)
{
    char text[MESSAGE_SIZE];
    vsnprintf(text, sizeof text, format, args);
    sdg_utf8_clean(text);
    fprintf(stderr, "sdgen: %s\n", text);
}

void sdg_say(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say(format, args);
    va_end(args);
}

int sdg_say_usage(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say(format, args);
    va_end(args);
    return SDG_EXIT_USAGE;
}

int sdg_say_failure(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say(format, args);
    va_end(args);
    return SDG_EXIT_FAILURE;
}

int sdg_say_json(cJSON *root)
{
    char *text = root ? cJSON_Print(root) : NULL;
    cJSON_Delete(root);
    if (!text) return sdg_say_failure("out of memory");
    for (const char *start = text, *end = text; *start; start = end) {
        const uint32_t code = sdg_utf8_next(&end);
        if (code >= 0x20 && sdg_utf8_is_control(code))
            printf("\\u%04x", (unsigned)code);
        else
            fwrite(start, 1, (size_t)(end - start), stdout);
    }
    putchar('\n');
    cJSON_free(text);
    return SDG_EXIT_OK;
}
