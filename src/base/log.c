/* log.c - see log.h. */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/utf8.h"

void sdg_log(const struct sdg_log *log, int level, const char *format, ...)
{
    if (!log || !log->fn) return;
    char text[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    sdg_utf8_clean(text);
    log->fn(log->user, level, text);
}
