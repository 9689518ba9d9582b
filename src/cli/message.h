/* message.h - what the program says when it cannot go on: one line on stderr, "sdgen: ...". */
#ifndef SDG_CLI_MESSAGE_H
#define SDG_CLI_MESSAGE_H

#include <stdarg.h>

struct cJSON;

/* Exit statuses: the command line is wrong, or something it names is (a file, the disk, memory). */
enum { SDG_EXIT_OK = 0, SDG_EXIT_FAILURE = 1, SDG_EXIT_USAGE = 2 };

/* Prints "sdgen: " and the line; control characters (names may be hostile) become '?'. */
void sdg_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The same, and returns the exit status that fits. */
int sdg_say_usage(const char *format, ...) __attribute__((format(printf, 1, 2)));
int sdg_say_failure(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Prints root as JSON and frees it; NULL, or too little memory: a failure, said. Returns the exit
 * status. cJSON escapes what RFC 8259, section 7 asks for; DEL and C1 are escaped here, so that no
 * name in a file steers a terminal. */
int sdg_say_json(struct cJSON *root);

#endif
