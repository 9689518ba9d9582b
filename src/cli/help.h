/* help.h - the texts that are made from the tables of options. All write to `out`. */
#ifndef SDG_CLI_HELP_H
#define SDG_CLI_HELP_H

#include <stdio.h>
#include "cli/args.h"

/* --help: at most 80 columns. all: the rare options too. */
void sdg_help_print(FILE *out, const struct sdg_command *command, bool all);

/* The manual page of all commands (groff's man macros), for `man sdgen`. */
void sdg_man_print(FILE *out);

/* Completion for a shell: "bash" or "zsh". Returns false for others. */
bool sdg_completion_print(FILE *out, const char *shell);

#endif
