/* args.h - options as a table: one row says how an option is spelled, what it takes, where its
 * value goes and what it means. From the same rows come the parser (args.c), --help (help.c), the
 * manual page (man.c) and shell completion (completion.c).
 *
 *     struct values { int steps; const char *output; };
 *     static const struct sdg_arg args[] = {
 *         {.name = "steps", .kind = SDG_ARG_INT, .at = offsetof(struct values, steps),
 *          .min = 1, .max = 1000, .value = "N", .brief = "sampler steps (20)"},
 *         {.name = "help", .letter = 'h', .kind = SDG_ARG_HELP, .brief = "this text"},
 *         {0}};
 *     const struct sdg_command command = {.name = "draw", .args = args, ...};
 *     int end = sdg_args_parse(&values, &command, argc, argv);
 *     if (end >= 0) return end;
 */
#ifndef SDG_CLI_ARGS_H
#define SDG_CLI_ARGS_H

#include <stdbool.h>
#include <stddef.h>

enum sdg_arg_kind {
    SDG_ARG_GROUP,  /* a heading: .name is its text */
    SDG_ARG_FLAG,   /* int: 1 when given */
    SDG_ARG_TEXT,   /* const char *, a pointer into argv */
    SDG_ARG_FILE,   /* const char *: a file (matters to completion) */
    SDG_ARG_FOLDER, /* const char * */
    SDG_ARG_CHOICE, /* const char *: one of .choices */
    SDG_ARG_NAME,   /* const char *: .choices or .choice(i) are known names, others are passed on */
    SDG_ARG_INT,    /* int, .min to .max */
    SDG_ARG_INT64,  /* int64_t, .min to .max */
    SDG_ARG_REAL,   /* double, .min to .max */
    SDG_ARG_SIZE,   /* int[2], both .min to .max: "512x768"; "512" if .value is "N|WxH" */
    SDG_ARG_SWITCH, /* int: 1 for on, 0 for off */
    SDG_ARG_OPERAND,  /* const char *: the argument without a dash; .name is what help calls it */
    SDG_ARG_HELP,     /* prints the command's help and ends */
    SDG_ARG_HELP_ALL, /* the same with the rare options */
    SDG_ARG_VERSION   /* prints the version and ends */
};

struct sdg_arg {
    const char *name;           /* without the dashes; NULL ends the table */
    const struct sdg_arg *then; /* there: the table that goes on, or NULL */
    char letter;                /* short spelling or 0 */
    enum sdg_arg_kind kind;
    size_t at; /* offsetof the value */
    double min, max;
    const char *value;            /* what help calls the value: "FILE" */
    const char *without;          /* the value where none follows; NULL: one must */
    const char *aliases;          /* other long spellings, separated by '|', or NULL */
    const char *choices;          /* "a|b|c" or NULL */
    const char *(*choice)(int i); /* or the i-th choice, NULL past the end */
    const char *brief;            /* for --help; may be "" in a joined row */
    const char *more;             /* further sentences for the manual page, or NULL */
    bool joined;                  /* stands on the line of the row before in --help */
    bool rare;                    /* --help leaves it to --help-all */
    bool unlisted;                /* --help does not list the choices */
};

struct sdg_command {
    const char *name, *synopsis; /* "inspect", "[options] FILE" */
    const char *brief;           /* one sentence */
    const char *notes;           /* further text under --help and in the manual, or NULL */
    const struct sdg_arg *args;
    int (*run)(int argc, char **argv);
};

/* Fills the struct at `values`, whose fields hold their defaults, from argv[1..]; argv[0] is the
 * command's name. "-v VALUE", "-vVALUE", "--name VALUE", "--name=VALUE", flags in one word ("-vq")
 * and "--" are understood; of an option that is given twice the last one counts. Returns -1 to go
 * on, else the exit status: 0 after --help, 2 after a line on stderr that says what is wrong. */
int sdg_args_parse(void *values, const struct sdg_command *command, int argc, char **argv);

/* Reads one value as the command line would; `called` is what to call it in a message
 * ("SDGEN_THREADS"). Returns -1 or the exit status. */
int sdg_args_value(void *values, const struct sdg_arg *arg, const char *called, const char *text);

/* The row behind a, or NULL; tables are not empty. */
const struct sdg_arg *sdg_arg_next(const struct sdg_arg *a);

/* The row of that name, or NULL. */
const struct sdg_arg *sdg_args_find(const struct sdg_command *command, const char *name);

/* i-th choice of a row into `buffer`, or NULL past the end. */
enum { SDG_CHOICE_SIZE = 64 };
const char *sdg_arg_choice(char buffer[SDG_CHOICE_SIZE], const struct sdg_arg *arg, int i);

#endif
