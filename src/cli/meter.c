/* meter.c - see meter.h. */
#include "cli/meter.h"

#include <stdio.h>
#include <unistd.h>

#include "cli/message.h"

void sdg_meter_wipe(struct sdg_meter *m)
{
    if (m->line_open) fputs("\r\033[K", stderr);
    m->line_open = false;
}

static void on_log(void *user, int level, const char *message)
{
    struct sdg_meter *m = user;
    if (level == SDGEN_LOG_VERBOSE || (m->quiet && level != SDGEN_LOG_WARN)) return;
    sdg_meter_wipe(m);
    sdg_say("%s", message);
}

void sdg_meter_init(struct sdg_meter *m, const char *what, bool quiet)
{
    *m = (struct sdg_meter) {.what = what, .quiet = quiet, .shown = -1, .log = {on_log, m}};
}

void sdg_meter_show(void *meter, double share)
{
    struct sdg_meter *m = meter;
    const int percent = (int)(100 * share);
    if (m->quiet || percent == m->shown) return;
    if (isatty(STDERR_FILENO)) {
        fprintf(stderr, "\r%3d %%", percent);
        fflush(stderr);
        m->line_open = true;
    } else if (percent / 10 == m->shown / 10 && m->shown >= 0) {
        return;
    } else {
        sdg_say("%s: %d %%", m->what, percent / 10 * 10);
    }
    m->shown = percent;
}
