/* log.h - messages for the user, through the callback the caller gave to sdgen_load. */
#ifndef SDG_BASE_LOG_H
#define SDG_BASE_LOG_H

#include "sdgen.h"

struct sdg_log {
    sdgen_log_fn fn; /* NULL: silent */
    void *user;
};

/* One line; level is SDGEN_LOG_*. log may be NULL. Control characters become '?'. */
void sdg_log(const struct sdg_log *log, int level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
