/* message.c - see message.h. */
#include "cli/message.h"

#include <stdio.h>

enum { MESSAGE_SIZE = 4096 };

static void say(const char *format, va_list args)
{
    char text[MESSAGE_SIZE];
    vsnprintf(text, sizeof text, format, args);
    for (unsigned char *c = (unsigned char *)text; *c; c++)
        if (*c < 0x20 || *c == 0x7f) *c = '?';
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
