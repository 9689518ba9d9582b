/* commands.h - the commands of sdgen: one cmd_*.c each, which runs it, and one row in options*.c,
 * which describes it. argv[0] is the command's name; each returns the exit status of the program.
 */
#ifndef SDG_CLI_COMMANDS_H
#define SDG_CLI_COMMANDS_H

#include "cli/args.h"

int sdg_cmd_generate(int argc, char **argv);
int sdg_cmd_inspect(int argc, char **argv);
int sdg_cmd_tokens(int argc, char **argv);
int sdg_cmd_list(int argc, char **argv);
int sdg_cmd_info(int argc, char **argv);
int sdg_cmd_rerun(int argc, char **argv);
int sdg_cmd_convert(int argc, char **argv);
int sdg_cmd_merge(int argc, char **argv);

extern const struct sdg_command sdg_command_generate; /* options_generate.c */
extern const struct sdg_command sdg_command_bench;    /* cmd_bench.c */
extern const struct sdg_command sdg_command_convert;  /* options_convert.c */
extern const struct sdg_command sdg_command_merge;

/* The i-th command, the one that is meant when none is named first; NULL past the end. */
const struct sdg_command *sdg_command_at(int i);
/* By name, or NULL. */
const struct sdg_command *sdg_command_find(const char *name);

#endif
