/* completion.c - completion scripts for bash and zsh, from the tables of options. */
#include "cli/help.h"

#include <string.h>

#include "cli/commands.h"

/* ---- bash ---- */

/* "-m|--model|--other" as a pattern of `case`, or the words with blanks between them. */
static void put_spellings(FILE *out, const struct sdg_arg *a, const char *between)
{
    if (a->letter) fprintf(out, "-%c%s", a->letter, between);
    fprintf(out, "--%s", a->name);
    for (const char *s = a->aliases; s;) {
        const size_t n = strcspn(s, "|");
        fprintf(out, "%s--%.*s", between, (int)n, s);
        s = s[n] ? s + n + 1 : NULL;
    }
}

static void put_choices(FILE *out, const struct sdg_arg *a)
{
    char one[SDG_CHOICE_SIZE];
    const char *choice;
    for (int i = 0; (choice = sdg_arg_choice(one, a, i)) != NULL; i++)
        fprintf(out, "%s%s", i ? " " : "", choice);
}

/* What completes the value of an option: the branch of the option in the command's `case`. */
static void bash_value(FILE *out, const struct sdg_arg *a)
{
    if (!a->value) return;
    fputs("        ", out);
    put_spellings(out, a, "|");
    if (a->kind == SDG_ARG_FILE || a->kind == SDG_ARG_FOLDER)
        fprintf(out, ") _sdgen_files %s; return ;;\n", a->kind == SDG_ARG_FILE ? "-f" : "-d");
    else if (a->kind == SDG_ARG_CHOICE || a->kind == SDG_ARG_NAME || a->kind == SDG_ARG_SWITCH) {
        fputs(") COMPREPLY=($(compgen -W '", out);
        put_choices(out, a);
        fputs("' -- \"$word\")); return ;;\n", out);
    } else
        fputs(") return ;;\n", out); /* a number or a text: nothing to offer */
}

static void bash_command(FILE *out, const struct sdg_command *c)
{
    bool operand = false;
    fprintf(out, "    %s)\n        case $previous in\n", c->name);
    for (const struct sdg_arg *a = c->args; a; a = sdg_arg_next(a)) {
        operand |= a->kind == SDG_ARG_OPERAND;
        if (a->kind != SDG_ARG_GROUP && a->kind != SDG_ARG_OPERAND) bash_value(out, a);
    }
    fputs("        esac\n        options='", out);
    for (const struct sdg_arg *a = c->args; a; a = sdg_arg_next(a))
        if (a->kind != SDG_ARG_GROUP && a->kind != SDG_ARG_OPERAND) {
            put_spellings(out, a, " ");
            putc(' ', out);
        }
    fputs("'\n", out);
    if (operand) fputs("        case $word in -*) ;; *) _sdgen_files -f; return ;; esac\n", out);
    fputs("        ;;\n", out);
}

static void bash(FILE *out)
{
    const struct sdg_command *c;
    fputs("# bash completion for sdgen; written by: sdgen --completion bash\n"
          "_sdgen_files() {\n"
          "    compopt -o filenames\n"
          "    mapfile -t COMPREPLY < <(compgen \"$1\" -- \"$word\")\n"
          "}\n"
          "_sdgen() {\n"
          "    local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}\n"
          "    local command=${COMP_WORDS[1]} options\n"
          "    COMPREPLY=()\n"
          "    case $command in\n"
          "    -*) command=generate ;;\n"
          "    esac\n"
          "    if [ \"$COMP_CWORD\" -eq 1 ] && [ \"${word#-}\" = \"$word\" ]; then\n"
          "        COMPREPLY=($(compgen -W 'help",
          out);
    for (int i = 0; (c = sdg_command_at(i)) != NULL; i++) fprintf(out, " %s", c->name);
    fputs("' -- \"$word\"))\n"
          "        return\n"
          "    fi\n"
          "    case $command in\n",
          out);
    for (int i = 0; (c = sdg_command_at(i)) != NULL; i++) bash_command(out, c);
    fputs("    esac\n"
          "    COMPREPLY=($(compgen -W \"$options\" -- \"$word\"))\n"
          "}\n"
          "complete -F _sdgen sdgen\n",
          out);
}

/* ---- zsh ---- */

/* Text inside '...[...]': quotes and brackets escaped. */
static void zsh_text(FILE *out, const char *s)
{
    for (; *s; s++) {
        if (*s == '\'')
            fputs("'\\''", out);
        else if (*s == '[' || *s == ']' || *s == ':' || *s == '\\')
            fprintf(out, "\\%c", *s);
        else
            putc(*s, out);
    }
}

/* '--name[what it means]:FILE:_files' */
static void zsh_spec(FILE *out, const struct sdg_arg *a, const char *dashes, const char *name,
                     size_t length)
{
    fprintf(out, "            '%s%.*s[", dashes, (int)length, name);
    zsh_text(out, a->brief[0] ? a->brief : a->name);
    putc(']', out);
    if (a->value) fprintf(out, "%s:%s:", a->without ? ":" : "", a->value);
    if (a->kind == SDG_ARG_FILE) fputs("_files", out);
    if (a->kind == SDG_ARG_FOLDER) fputs("_files -/", out);
    if (a->kind == SDG_ARG_CHOICE || a->kind == SDG_ARG_NAME || a->kind == SDG_ARG_SWITCH) {
        putc('(', out);
        put_choices(out, a);
        putc(')', out);
    }
    fputs("' \\\n", out);
}

static void zsh_row(FILE *out, const struct sdg_arg *a)
{
    if (a->kind == SDG_ARG_GROUP) return;
    if (a->kind == SDG_ARG_OPERAND) {
        fprintf(out, "            '1:%s:_files' \\\n", a->name);
        return;
    }
    if (a->letter) zsh_spec(out, a, "-", &a->letter, 1);
    zsh_spec(out, a, "--", a->name, strlen(a->name));
    for (const char *s = a->aliases; s;) {
        const size_t n = strcspn(s, "|");
        zsh_spec(out, a, "--", s, n);
        s = s[n] ? s + n + 1 : NULL;
    }
}

static void zsh(FILE *out)
{
    const struct sdg_command *c;
    fputs("#compdef sdgen\n"
          "# zsh completion for sdgen; written by: sdgen --completion zsh\n"
          "_sdgen() {\n"
          "    local command=$words[2]\n"
          "    case $command in\n"
          "    -*) command=generate ;;\n"
          "    *)\n"
          "        if (( CURRENT == 2 )); then\n"
          "            compadd help",
          out);
    for (int i = 0; (c = sdg_command_at(i)) != NULL; i++) fprintf(out, " %s", c->name);
    fputs("\n            return\n"
          "        fi\n"
          "        shift words; (( CURRENT-- )) ;;\n"
          "    esac\n"
          "    case $command in\n",
          out);
    for (int i = 0; (c = sdg_command_at(i)) != NULL; i++) {
        fprintf(out, "    %s)\n        _arguments \\\n", c->name);
        for (const struct sdg_arg *a = c->args; a; a = sdg_arg_next(a)) zsh_row(out, a);
        fputs("        ;;\n", out);
    }
    fputs("    esac\n}\n_sdgen \"$@\"\n", out);
}

bool sdg_completion_print(FILE *out, const char *shell)
{
    if (strcmp(shell, "bash") == 0)
        bash(out);
    else if (strcmp(shell, "zsh") == 0)
        zsh(out);
    else
        return false;
    return true;
}
