/* signals.h - Ctrl-C and its relatives. The first SIGINT, SIGTERM or SIGHUP raises the cancel flag:
 * the step at work is dropped and the program ends in order. The second ends it at once, but never
 * in the middle of writing a file. A signal that was ignored when the program started (nohup, a
 * background job of a script) stays ignored. */
#ifndef SDG_CLI_SIGNALS_H
#define SDG_CLI_SIGNALS_H

#include <stdbool.h>

/* Installs the handlers; also ignores SIGPIPE and SIGXFSZ, so that a closed pipe and the end of a
 * file-size limit are errors of write(2) like others. Returns the cancel flag. */
const volatile int *sdg_signals_install(void);

/* 128 + number of the signal that came, or 0. */
int sdg_signals_exit_status(void);

/* Between hold(true) and hold(false) a second signal waits. */
void sdg_signals_hold(bool on);

#endif
