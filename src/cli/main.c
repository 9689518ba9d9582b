/* main.c - chooses the command: sdgen [COMMAND] ... Without one, `generate` is meant. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/help.h"
#include "cli/message.h"
#include "base/names.h"
#include "sdgen.h"

static int unknown_command(const char *word)
{
    const struct sdg_command *c, *nearest = NULL;
    int best = 0;
    for (int i = 0; (c = sdg_command_at(i)) != NULL; i++) {
        const int distance = sdg_name_distance(word, c->name);
        if (nearest && distance >= best) continue;
        nearest = c;
        best = distance;
    }
    return sdg_say_usage("no command %s; the nearest is %s (options begin with a dash)", word,
                         nearest->name);
}

static int help(int argc, char **argv)
{
    const struct sdg_command *c = argc > 2 ? sdg_command_find(argv[2]) : sdg_command_at(0);
    if (!c) return unknown_command(argv[2]);
    sdg_help_print(stdout, c, false);
    return SDG_EXIT_OK;
}

/* What `make install` calls; not in --help. */
static int print_document(int argc, char **argv)
{
    if (strcmp(argv[1], "--man") == 0) {
        sdg_man_print(stdout);
        return SDG_EXIT_OK;
    }
    if (argc > 2 && sdg_completion_print(stdout, argv[2])) return SDG_EXIT_OK;
    return sdg_say_usage("--completion: bash or zsh");
}

static int run(int argc, char **argv)
{
    if (argc < 2) {
        sdg_help_print(stderr, sdg_command_at(0), false);
        return SDG_EXIT_USAGE;
    }
    const char *first = argv[1];
    if (strcmp(first, "help") == 0) return help(argc, argv);
    if (strcmp(first, "--man") == 0 || strcmp(first, "--completion") == 0)
        return print_document(argc, argv);
    if (first[0] == '-') return sdg_command_at(0)->run(argc, argv);
    const struct sdg_command *c = sdg_command_find(first);
    return c ? c->run(argc - 1, argv + 1) : unknown_command(first);
}

int main(int argc, char **argv)
{
    const int status = run(argc, argv);
    /* A reader that has seen enough (head, less) is no failure; a full disk is. */
    if ((fflush(stdout) != 0 || ferror(stdout)) && errno != EPIPE && status == SDG_EXIT_OK)
        return sdg_say_failure("standard output: %s", strerror(errno));
    return status;
}
