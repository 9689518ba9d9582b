/* man.c - the manual page of all commands, from their tables, in the man macros of troff
 * (groff_man(7)). `make install` writes it; `sdgen --man | man -l -` shows it. */
#include "cli/help.h"

#include <string.h>

#include "cli/commands.h"
#include "sdgen.h"

/* Text for troff: backslash and dash are special everywhere, a dot or quote at the start of a line,
 * where ours may stand. */
static void put(FILE *out, const char *s)
{
    if (*s == '.' || *s == '\'') fputs("\\&", out);
    for (; *s; s++) {
        if (*s == '\\')
            fputs("\\e", out);
        else if (*s == '-')
            fputs("\\-", out);
        else
            putc(*s, out);
    }
}

static void put_bold(FILE *out, const char *dashes, const char *s, size_t length)
{
    char word[SDG_CHOICE_SIZE];
    snprintf(word, sizeof word, "%s%.*s", dashes, (int)length, s);
    fputs("\\fB", out);
    put(out, word);
    fputs("\\fR", out);
}

static void put_spellings(FILE *out, const struct sdg_arg *a)
{
    const char letter[] = {a->letter, 0};
    if (a->kind == SDG_ARG_OPERAND) {
        fprintf(out, "\\fI%s\\fR\n", a->name);
        return;
    }
    if (a->letter) {
        put_bold(out, "-", letter, 1);
        fputs(", ", out);
    }
    put_bold(out, "--", a->name, strlen(a->name));
    for (const char *s = a->aliases; s;) {
        const size_t n = strcspn(s, "|");
        fputs(", ", out);
        put_bold(out, "--", s, n);
        s = s[n] ? s + n + 1 : NULL;
    }
    if (a->value) fprintf(out, a->without ? " [\\fI%s\\fR]" : " \\fI%s\\fR", a->value);
    putc('\n', out);
}

static void put_meaning(FILE *out, const struct sdg_arg *a)
{
    char one[SDG_CHOICE_SIZE];
    const char *choice;
    put(out, a->brief);
    for (int i = 0; (choice = sdg_arg_choice(one, a, i)) != NULL; i++) {
        fputs(i ? ", " : a->brief[0] ? ": " : "", out);
        put(out, choice);
    }
    if (a->brief[0]) fputs(".\n", out);
    if (a->more) {
        put(out, a->more);
        putc('\n', out);
    }
}

static void put_options(FILE *out, const struct sdg_command *command)
{
    for (const struct sdg_arg *a = command->args; a; a = sdg_arg_next(a)) {
        if (a->kind == SDG_ARG_GROUP) {
            fprintf(out, ".SS %s\n", a->name);
            continue;
        }
        fputs(".TP\n", out);
        put_spellings(out, a);
        put_meaning(out, a);
    }
}

static const char head[] =
    ".SH NAME\n"
    "sdgen \\- draws pictures from Stable Diffusion checkpoints on the processor\n"
    ".SH DESCRIPTION\n"
    "A checkpoint and a prompt go in, PNG files come out. Their names are printed on the standard\n"
    "output, everything else on the standard error. Each file carries the parameters it was made\n"
    "with, in the form that AUTOMATIC1111's web interface writes and reads.\n";

static const char tail[] =
    ".SH EXIT STATUS\n"
    ".TP\n0\nEverything that was asked for is written.\n"
    ".TP\n1\nA file, the disk or the memory does not allow it.\n"
    ".TP\n2\nThe command line is wrong.\n"
    ".TP\n130, 143\nStopped by SIGINT (Ctrl\\-C) or SIGTERM. Pictures that were finished are "
    "kept,\n"
    "nothing half\\-written is left. A second signal ends the program at once.\n"
    ".SH ENVIRONMENT\n"
    ".TP\n\\fBSDGEN_ISA\\fR\nStands in for \\fB\\-\\-isa\\fR.\n"
    ".TP\n\\fBSDGEN_THREADS\\fR\nStands in for \\fB\\-\\-threads\\fR.\n"
    ".SH EXAMPLES\n"
    ".TP\n\\fBsdgen \\-m v1\\-5\\-pruned\\-emaonly.safetensors \\-p \"a cat\"\\fR\nA picture,\n"
    "output.png.\n"
    ".TP\n\\fBsdgen \\-m model.ckpt \\-p \"a cat\" \\-n blurry \\-b 4 \\-s 7 \\-o "
    "cat\\-%03d.png\\fR\n"
    "Four of them, with the seeds 7 to 10.\n"
    ".TP\n\\fBsdgen \\-m model.safetensors \\-\\-prompt\\-file prompts.txt \\-o '{seed}.png'\\fR\n"
    "One for each line of a file.\n";

void sdg_man_print(FILE *out)
{
    const struct sdg_command *c;
    fprintf(out, ".TH SDGEN 1 \"\" \"sdgen %s\" \"User Commands\"\n", sdgen_version());
    fputs(head, out);
    for (int i = 0; (c = sdg_command_at(i)) != NULL; i++) {
        fprintf(out, ".SH \"SDGEN %s\"\n.B sdgen %s\n", c->name, c->name);
        put(out, c->synopsis);
        fputs("\n.PP\n", out);
        put(out, c->brief);
        putc('\n', out);
        put_options(out, c);
        if (c->notes) {
            fputs(".PP\n", out);
            put(out, c->notes);
            putc('\n', out);
        }
    }
    fputs(tail, out);
}
