/* help.c - `sdgen COMMAND --help` from the command's table: groups, one row an option (or two that
 * are joined), what it means on the right, wrapped. */
#include "cli/help.h"

#include <string.h>

enum { COLUMN = 32, WIDTH = 80, TEXT_SIZE = 1024 };

/* Text that grows in a fixed place; what does not fit is cut. */
struct text {
    char s[TEXT_SIZE];
    size_t used;
};

static void add(struct text *t, const char *s)
{
    const size_t n = strlen(s), room = sizeof t->s - 1 - t->used;
    memcpy(t->s + t->used, s, n < room ? n : room);
    t->used += n < room ? n : room;
    t->s[t->used] = 0;
}

/* "-m, --model" */
static void add_spelling(struct text *t, const struct sdg_arg *a)
{
    if (a->kind == SDG_ARG_OPERAND) {
        add(t, a->name);
        return;
    }
    const char letter[] = {'-', a->letter, ',', ' ', 0};
    if (a->letter) add(t, letter);
    add(t, "--");
    add(t, a->name);
}

/* "brief: a, b, c" */
static void add_meaning(struct text *t, const struct sdg_arg *a)
{
    char one[SDG_CHOICE_SIZE];
    const char *choice;
    if (t->used && a->brief[0]) add(t, "; ");
    add(t, a->brief);
    for (int i = 0; !a->unlisted && (choice = sdg_arg_choice(one, a, i)) != NULL; i++) {
        add(t, i ? ", " : ": ");
        add(t, choice);
    }
}

/* Prints text from column `column` on, broken at blanks. */
static void print_wrapped(FILE *out, const char *s, int column)
{
    const size_t room = (size_t)(WIDTH - 1 - column);
    while (strlen(s) > room) {
        size_t cut = room;
        while (cut > 0 && s[cut] != ' ') cut--;
        if (cut == 0) cut = room;
        fprintf(out, "%.*s\n%*s", (int)cut, s, column, "");
        s += cut + (s[cut] == ' ');
    }
    fprintf(out, "%s\n", s);
}

/* Prints the row at `a` and those joined to it; returns the last of them. all: rare ones too. */
static const struct sdg_arg *print_row(FILE *out, const struct sdg_arg *a, bool all)
{
    struct text left = {.used = 0}, right = {.used = 0};
    const char *value = a->value, *without = a->without;
    add(&left, a->letter || a->kind == SDG_ARG_OPERAND ? "  " : "      ");
    add_spelling(&left, a);
    add_meaning(&right, a);
    for (; a[1].name && a[1].joined && (all || !a[1].rare); a++) {
        add(&left, ", ");
        add_spelling(&left, a + 1);
        add_meaning(&right, a + 1);
        value = a[1].value;
        without = a[1].without;
    }
    if (value) {
        add(&left, without ? " [" : " ");
        add(&left, value);
        if (without) add(&left, "]");
    }
    fprintf(out, "%-*s", COLUMN, left.s);
    if (left.used >= COLUMN) fprintf(out, "\n%*s", COLUMN, "");
    print_wrapped(out, right.s, COLUMN);
    return a;
}

void sdg_help_print(FILE *out, const struct sdg_command *command, bool all)
{
    fprintf(out, "usage: sdgen %s %s\n", command->name, command->synopsis);
    print_wrapped(out, command->brief, 0);
    for (const struct sdg_arg *a = command->args; a; a = sdg_arg_next(a)) {
        if (a->rare && !all) continue;
        if (a->kind == SDG_ARG_GROUP)
            fprintf(out, "%s:\n", a->name);
        else
            a = print_row(out, a, all);
    }
    if (command->notes) print_wrapped(out, command->notes, 0);
}
