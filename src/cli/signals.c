/* signals.c - see signals.h. Handlers have no argument for state, so the state is here, private to
 * this file; everything the handler calls is async-signal-safe (POSIX.1-2017, 2.4.3). */
#define _GNU_SOURCE
#include "cli/signals.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

static volatile int cancel;              /* read by the library between pieces of work */
static volatile sig_atomic_t first;      /* the signal that raised it */
static volatile sig_atomic_t held, last; /* last: the signal that waits for the end of a hold */

static void on_signal(int number)
{
    static const char text[] = "\nsdgen: stopping; once more to end at once\n";
    const int saved = errno;
    if (!first) {
        first = number;
        cancel = 1;
        if (write(STDERR_FILENO, text, sizeof text - 1) < 0) {
            /* nobody listens: no reason not to stop */
        }
    } else if (held)
        last = number;
    else
        _exit(128 + number);
    errno = saved;
}

const volatile int *sdg_signals_install(void)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action, before;
    memset(&action, 0, sizeof action);
    sigemptyset(&action.sa_mask);
    action.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &action, NULL);
    sigaction(SIGXFSZ, &action, NULL);
    action.sa_handler = on_signal;
    action.sa_flags = SA_RESTART;
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        if (sigaction(numbers[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
            sigaction(numbers[i], &action, NULL);
    return &cancel;
}

int sdg_signals_exit_status(void)
{
    return first ? 128 + (int)first : 0;
}

void sdg_signals_hold(bool on)
{
    held = on;
    if (!on && last) _exit(128 + (int)last);
}
