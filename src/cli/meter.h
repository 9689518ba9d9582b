/* meter.h - how far a file is, in percent on stderr: a line that redraws itself in a terminal, else
 * a line for every tenth. And messages in between. */
#ifndef SDG_CLI_METER_H
#define SDG_CLI_METER_H

#include <stdbool.h>
#include "base/log.h"

struct sdg_meter {
    const char *what; /* "writing x.gguf" */
    bool quiet;
    int shown; /* percent, -1: nothing yet */
    bool line_open;
    struct sdg_log log; /* for those who have something to say */
};

void sdg_meter_init(struct sdg_meter *m, const char *what, bool quiet);
void sdg_meter_show(void *meter, double share); /* 0 to 1 */
void sdg_meter_wipe(struct sdg_meter *m);

#endif
