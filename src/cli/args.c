/* args.c - see args.h: the parser. */
#include "cli/args.h"

#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/help.h"
#include "cli/message.h"
#include "base/names.h"
#include "sdgen.h"

enum { GO_ON = -1 };

/* ---- finding rows and names ---- */

const struct sdg_arg *sdg_arg_next(const struct sdg_arg *a)
{
    a++;
    if (!a->name) a = a->then;
    return a;
}

const struct sdg_arg *sdg_args_find(const struct sdg_command *command, const char *name)
{
    for (const struct sdg_arg *a = command->args; a; a = sdg_arg_next(a))
        if (strcmp(a->name, name) == 0) return a;
    return NULL;
}

/* Is the first `length` characters of `name` one of `spellings`, exactly? */
static bool spelled(const char *name, size_t length, const char *spellings)
{
    for (const char *s = spellings; s;) {
        const char *end = strchr(s, '|');
        const size_t n = end ? (size_t)(end - s) : strlen(s);
        if (n == length && strncmp(s, name, n) == 0) return true;
        s = end ? end + 1 : NULL;
    }
    return false;
}

static bool is_option(const struct sdg_arg *a)
{
    return a->kind != SDG_ARG_GROUP && a->kind != SDG_ARG_OPERAND;
}

static bool takes_value(const struct sdg_arg *a)
{
    return a->kind != SDG_ARG_FLAG && a->kind != SDG_ARG_HELP && a->kind != SDG_ARG_HELP_ALL &&
           a->kind != SDG_ARG_VERSION;
}

static const struct sdg_arg *find_long(const struct sdg_command *c, const char *name, size_t length)
{
    for (const struct sdg_arg *a = c->args; a; a = sdg_arg_next(a))
        if (is_option(a) && (spelled(name, length, a->name) || spelled(name, length, a->aliases)))
            return a;
    return NULL;
}

static const struct sdg_arg *find_short(const struct sdg_command *c, char letter)
{
    for (const struct sdg_arg *a = c->args; a; a = sdg_arg_next(a))
        if (is_option(a) && a->letter && a->letter == letter) return a;
    return NULL;
}

const char *sdg_arg_choice(char buffer[SDG_CHOICE_SIZE], const struct sdg_arg *arg, int i)
{
    if (arg->choice) return arg->choice(i);
    const char *s = arg->choices;
    for (; s && i > 0; i--) {
        s = strchr(s, '|');
        if (s) s++;
    }
    if (!s) return NULL;
    snprintf(buffer, SDG_CHOICE_SIZE, "%.*s", (int)strcspn(s, "|"), s);
    return buffer;
}

/* The known spelling that is nearest to `name`, as one of '|'-separated `spellings`; updates *best
 * and copies it to `nearest`. */
static void consider(char nearest[SDG_CHOICE_SIZE], int *best, const char *name,
                     const char *spellings)
{
    char one[SDG_CHOICE_SIZE];
    const struct sdg_arg list = {.choices = spellings};
    for (int i = 0; sdg_arg_choice(one, &list, i); i++) {
        int d = sdg_name_distance(name, one);
        if (d > 1 && name[0] && strncmp(one, name, strlen(name)) == 0) d = 1; /* cut short */
        if (d >= *best) continue;
        *best = d;
        strcpy(nearest, one);
    }
}

static int unknown_option(const struct sdg_command *c, const char *word, size_t length)
{
    char name[SDG_CHOICE_SIZE], nearest[SDG_CHOICE_SIZE] = "";
    int best = 1000;
    const size_t dashes = strspn(word, "-");
    snprintf(name, sizeof name, "%.*s", (int)(length - dashes), word + dashes);
    for (const struct sdg_arg *a = c->args; a && word[1] == '-'; a = sdg_arg_next(a))
        if (is_option(a)) {
            consider(nearest, &best, name, a->name);
            consider(nearest, &best, name, a->aliases);
        }
    if (nearest[0])
        return sdg_say_usage("no option %.*s; the nearest is --%s", (int)length, word, nearest);
    return sdg_say_usage("no option %.*s; sdgen %s --help lists them", (int)length, word, c->name);
}

/* ---- reading values ---- */

static bool read_whole(int64_t *value, const char *text)
{
    const char *digits = text + (text[0] == '-' || text[0] == '+');
    if (!digits[0] || digits[strspn(digits, "0123456789")]) return false;
    errno = 0;
    *value = strtoll(text, NULL, 10);
    return errno == 0;
}

static bool read_real(double *value, const char *text)
{
    char *end;
    if (!text[0] || text[strspn(text, "0123456789.eE+-")]) return false; /* no hex, nan, inf */
    *value = strtod(text, &end);
    return *end == 0 && isfinite(*value);
}

static int wrong_number(const struct sdg_arg *a, const char *called, const char *text)
{
    if (a->kind == SDG_ARG_REAL)
        return sdg_say_usage("%s %s: must be a number from %.10g to %.10g", called, text, a->min,
                             a->max);
    return sdg_say_usage("%s %s: must be a whole number from %.19g to %.19g", called, text, a->min,
                         a->max);
}

static int read_size(int field[2], const struct sdg_arg *a, const char *called, const char *text)
{
    char *end = NULL, *rest = NULL;
    const long w = text[0] >= '0' && text[0] <= '9' ? strtol(text, &end, 10) : -1;
    long h = -1;
    if (end && *end == 0 && a->value[0] == 'N') { /* a square, where help says so */
        h = w;
        rest = end;
    } else if (end && (*end == 'x' || *end == 'X') && end[1] >= '0' && end[1] <= '9') {
        h = strtol(end + 1, &rest, 10);
    }
    const long least = (long)a->min, most = (long)a->max;
    if (!rest || *rest || w < least || h < least || w > most || h > most)
        return sdg_say_usage("%s %s: must be a size such as 512x768, sides from %ld to %ld", called,
                             text, least, most);
    field[0] = (int)w;
    field[1] = (int)h;
    return GO_ON;
}

static int read_switch(int *field, const char *called, const char *text)
{
    const bool on = strcmp(text, "on") == 0;
    if (!on && strcmp(text, "off") != 0)
        return sdg_say_usage("%s %s: must be on or off", called, text);
    *field = on;
    return GO_ON;
}

static int read_choice(const char **field, const struct sdg_arg *a, const char *called,
                       const char *text)
{
    char one[SDG_CHOICE_SIZE], nearest[SDG_CHOICE_SIZE] = "";
    int best = 1000;
    for (int i = 0; sdg_arg_choice(one, a, i); i++)
        if (strcmp(one, text) == 0) {
            *field = text;
            return GO_ON;
        }
    consider(nearest, &best, text, a->choices);
    return sdg_say_usage("%s %s: no such choice; the nearest is %s", called, text, nearest);
}

int sdg_args_value(void *values, const struct sdg_arg *a, const char *called, const char *text)
{
    void *field = (char *)values + a->at;
    int64_t whole;
    double real;
    switch (a->kind) {
    case SDG_ARG_INT:
    case SDG_ARG_INT64:
        /* Bounds are doubles: exact up to 2^53, and the comparison of a larger one is safe. */
        if (!read_whole(&whole, text) || (double)whole < a->min || (double)whole > a->max)
            return wrong_number(a, called, text);
        if (a->kind == SDG_ARG_INT)
            *(int *)field = (int)whole;
        else
            *(int64_t *)field = whole;
        return GO_ON;
    case SDG_ARG_REAL:
        if (!read_real(&real, text) || real < a->min || real > a->max)
            return wrong_number(a, called, text);
        *(double *)field = real;
        return GO_ON;
    case SDG_ARG_SIZE: return read_size(field, a, called, text);
    case SDG_ARG_SWITCH: return read_switch(field, called, text);
    case SDG_ARG_CHOICE: return read_choice(field, a, called, text);
    default: *(const char **)field = text; return GO_ON;
    }
}

/* ---- walking through argv ---- */

struct walk {
    const struct sdg_command *command;
    void *values;
    int argc, at; /* argv[at] is the word at work */
    char **argv;
};

/* An option without a value: sets its flag, or prints what it asks for. */
static int act(struct walk *w, const struct sdg_arg *a)
{
    if (a->kind == SDG_ARG_HELP || a->kind == SDG_ARG_HELP_ALL) {
        sdg_help_print(stdout, w->command, a->kind == SDG_ARG_HELP_ALL);
        return SDG_EXIT_OK;
    }
    if (a->kind == SDG_ARG_VERSION) {
        printf("sdgen %s\n", sdgen_version());
        return SDG_EXIT_OK;
    }
    *(int *)(void *)((char *)w->values + a->at) = 1;
    return GO_ON;
}

/* The next word as the value of an option. Another option in its place is most likely a slip. */
static int next_value(struct walk *w, const struct sdg_arg *a, const char *called)
{
    const char *text = w->at + 1 < w->argc ? w->argv[w->at + 1] : NULL;
    if (a->without && (!text || text[0] == '-'))
        return sdg_args_value(w->values, a, called, a->without);
    if (!text) return sdg_say_usage("%s needs a value (%s)", called, a->value);
    if (strncmp(text, "--", 2) == 0 && find_long(w->command, text + 2, strlen(text + 2)))
        return sdg_say_usage("%s needs a value (%s), not the option %s; if it is meant, write "
                             "--%s=%s",
                             called, a->value, text, a->name, text);
    w->at++;
    return sdg_args_value(w->values, a, called, text);
}

static int parse_long(struct walk *w)
{
    const char *word = w->argv[w->at], *equals = strchr(word, '=');
    const size_t length = equals ? (size_t)(equals - word) : strlen(word);
    const struct sdg_arg *a = find_long(w->command, word + 2, length - 2);
    char called[SDG_CHOICE_SIZE];
    if (!a) return unknown_option(w->command, word, length);
    snprintf(called, sizeof called, "%.*s", (int)length, word);
    if (!takes_value(a)) return equals ? sdg_say_usage("%s takes no value", called) : act(w, a);
    return equals ? sdg_args_value(w->values, a, called, equals + 1) : next_value(w, a, called);
}

/* One word of short options: flags up to the first that takes a value, which is the rest of the
 * word or the next one. */
static int parse_short(struct walk *w)
{
    for (const char *s = w->argv[w->at] + 1; *s; s++) {
        const struct sdg_arg *a = find_short(w->command, *s);
        const char called[] = {'-', *s, 0};
        if (!a) return unknown_option(w->command, w->argv[w->at], strlen(w->argv[w->at]));
        if (takes_value(a))
            return s[1] ? sdg_args_value(w->values, a, called, s + 1) : next_value(w, a, called);
        const int end = act(w, a);
        if (end != GO_ON) return end;
    }
    return GO_ON;
}

/* The first operand that has no value yet. */
static int parse_operand(struct walk *w)
{
    const char *word = w->argv[w->at];
    const struct sdg_arg *last = NULL;
    for (const struct sdg_arg *a = w->command->args; a; a = sdg_arg_next(a)) {
        if (a->kind != SDG_ARG_OPERAND) continue;
        const char **field = (const char **)(void *)((char *)w->values + a->at);
        last = a;
        if (*field) continue;
        *field = word;
        return GO_ON;
    }
    if (last) return sdg_say_usage("one %s at a time, not %s too", last->name, word);
    return sdg_say_usage("%s: is neither an option nor the value of one (put text with spaces in "
                         "quotes)",
                         word);
}

int sdg_args_parse(void *values, const struct sdg_command *command, int argc, char **argv)
{
    struct walk w = {.command = command, .values = values, .argc = argc, .argv = argv};
    bool operands_only = false;
    for (w.at = 1; w.at < argc; w.at++) {
        const char *word = argv[w.at];
        int end;
        if (operands_only || word[0] != '-' || word[1] == 0)
            end = parse_operand(&w);
        else if (strcmp(word, "--") == 0) {
            operands_only = true;
            continue;
        } else
            end = word[1] == '-' ? parse_long(&w) : parse_short(&w);
        if (end != GO_ON) return end;
    }
    return GO_ON;
}
