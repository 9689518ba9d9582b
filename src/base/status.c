/* status.c - see status.h. */
#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/utf8.h"

sdgen_status sdg_fail(sdgen_error *err, sdgen_status code, const char *format, ...)
{
    if (!err) return code;
    va_list args;
    va_start(args, format);
    vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    sdg_utf8_clean(err->text);
    err->status = code;
    return code;
}
