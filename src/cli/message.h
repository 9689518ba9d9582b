/* message.h - what the program says when it cannot go on: one line on stderr, "sdgen: ...". */
#ifndef SDG_CLI_MESSAGE_H
#define SDG_CLI_MESSAGE_H

#include <stdarg.h>

/* Exit statuses: the command line is wrong, or something it names is (a file, the disk, memory). */
enum { SDG_EXIT_OK = 0, SDG_EXIT_FAILURE = 1, SDG_EXIT_USAGE = 2 };

/* Prints "sdgen: " and the line; control characters (names may be hostile) become '?'. */
void sdg_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The same, and returns the exit status that fits. */
int sdg_say_usage(const char *format, ...) __attribute__((format(printf, 1, 2)));
int sdg_say_failure(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
