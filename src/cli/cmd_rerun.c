/* cmd_rerun.c - `sdgen rerun IMAGE`: draws a picture again.
 *
 * What the picture says becomes a command line of `generate` (rerun_words.c), the user's own
 * options come behind it, and `generate` runs: so every check and every message is the same, and
 * --print can show what is meant. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "cli/commands.h"
#include "cli/message.h"
#include "cli/modeldir.h"
#include "cli/options.h"
#include "cli/picture.h"
#include "cli/rerun.h"

enum { GO_ON = -1 };

struct work {
    struct sdg_rerun_options own;
    const struct sdg_command *command;
    struct sdg_picture picture;
    struct sdg_rerun rerun;
    struct sdg_words passed; /* the user's options of generate, and what they say */
    struct sdg_generate_options user;
    const char **folders; /* --model-dir, [folder_count], pointers into argv */
    size_t folder_count;
};

/* ---- whose option is it ---- */

static bool spelled(const char *word, size_t length, const char *spellings)
{
    for (const char *s = spellings; s && *s;) {
        const size_t n = strcspn(s, "|");
        if (n == length && strncmp(s, word, n) == 0) return true;
        s += n + (s[n] != 0);
    }
    return false;
}

static const struct sdg_arg *find_option(const struct sdg_command *c, const char *name,
                                         size_t length, char letter)
{
    for (const struct sdg_arg *a = c->args; a; a = sdg_arg_next(a)) {
        if (a->kind == SDG_ARG_GROUP || a->kind == SDG_ARG_OPERAND) continue;
        if (letter ? a->letter == letter
                   : spelled(name, length, a->name) || spelled(name, length, a->aliases))
            return a;
    }
    return NULL;
}

static bool takes_value(const struct sdg_arg *a)
{
    return a->kind != SDG_ARG_FLAG && a->kind != SDG_ARG_HELP && a->kind != SDG_ARG_HELP_ALL &&
           a->kind != SDG_ARG_VERSION;
}

/* The options of generate in one word. *wants_next: the value of the last is the next word. Returns
 * -1, or the exit status after the complaint about an unknown one. */
static int note_options(struct work *w, bool *wants_next, char *word)
{
    struct sdg_rerun *r = &w->rerun;
    const bool spelled_out = word[1] == '-';
    const size_t length = spelled_out ? strcspn(word + 2, "=") : 0;
    for (const char *s = word + 1; *s; s++) {
        const struct sdg_arg *a = find_option(r->generate, word + 2, length, spelled_out ? 0 : *s);
        if (!a) {
            struct sdg_generate_options unused = sdg_generate_defaults();
            char command[] = "generate", *words[] = {command, word, NULL};
            return sdg_args_parse(&unused, r->generate, 2, words);
        }
        r->given[r->given_count++] = a;
        if (spelled_out || takes_value(a)) {
            *wants_next = takes_value(a) && !a->without && /* else only "--name=value" has one */
                          !(spelled_out ? word[2 + length] : s[1]);
            break;
        }
    }
    return GO_ON;
}

/* An option of rerun itself into w->own; false when it is none. `next` may be NULL. */
static bool own_option(struct work *w, int *end, bool *took_next, char *word, char *next)
{
    const size_t length = word[1] == '-' ? strcspn(word + 2, "=") : 0;
    const struct sdg_arg *a = find_option(w->command, word + 2, length, length ? 0 : word[1]);
    if (!a || (!length && word[2])) return false;
    char command[] = "rerun", *words[] = {command, word, next};
    *took_next = takes_value(a) && !(length && word[2 + length]) && next;
    *end = sdg_args_parse(&w->own, w->command, *took_next ? 3 : 2, words);
    if (strcmp(a->name, "model-dir") == 0 && *end == GO_ON)
        w->folders[w->folder_count++] = w->own.model_dir;
    return true;
}

/* Sorts argv into the picture, options of rerun, and options of generate. */
static int sort_words(struct work *w, int argc, char **argv)
{
    int end = GO_ON;
    for (int i = 1; i < argc && end == GO_ON; i++) {
        bool next = false;
        if (argv[i][0] != '-' || !argv[i][1]) {
            if (w->own.path) return sdg_say_usage("one IMAGE at a time, not %s too", argv[i]);
            w->own.path = argv[i];
        } else if (own_option(w, &end, &next, argv[i], i + 1 < argc ? argv[i + 1] : NULL)) {
            i += next;
        } else {
            end = note_options(w, &next, argv[i]);
            sdg_words_add(&w->passed, argv[i]);
            if (next && i + 1 < argc) sdg_words_add(&w->passed, argv[++i]);
        }
    }
    if (end == GO_ON && !w->own.path)
        return sdg_say_usage("name a picture; see sdgen rerun --help");
    return end;
}

/* What the user's options of generate say, checked before anything is read. */
static int read_user(struct work *w)
{
    char command[] = "generate";
    char **argv = calloc(w->passed.count + 2, sizeof *argv);
    if (!argv || w->passed.failed) {
        free(argv);
        return sdg_say_failure("out of memory");
    }
    argv[0] = command;
    for (size_t i = 0; i < w->passed.count; i++) argv[i + 1] = w->passed.at[i];
    w->user = sdg_generate_defaults();
    const int end = sdg_args_parse(&w->user, w->rerun.generate, (int)w->passed.count + 1, argv);
    free(argv);
    return end;
}

/* ---- model and VAE ---- */

static void mark(struct work *w, enum sdg_field field)
{
    const size_t at = w->picture.settings.at[field];
    if (at) w->rerun.used[at - 1] = true;
}

/* Finds the file for --model or --vae. What it is called in messages is `what`. */
static bool find_file(struct work *w, const char *option, const char *what,
                      const struct sdg_wanted *wanted)
{
    char *path = NULL;
    const enum sdg_found found = sdg_modeldir_find(&path, wanted, w->folders, w->folder_count);
    if (found == SDG_FOUND_BY_NAME)
        sdg_say("%s %s found by its name; %s", what, path,
                wanted->hash ? "its hash is of a kind that sdgen does not compute"
                             : "the picture does not say its hash");
    if (found != SDG_FOUND_NOT) sdg_words_option(&w->rerun.words, option, path);
    free(path);
    return found != SDG_FOUND_NOT;
}

static void compare(const char *path, const char *what, const char *hash)
{
    if (path && hash && !sdg_modeldir_matches(path, hash))
        sdg_say("%s %s is not the one of the picture, whose hash is %s", what, path, hash);
}

static int choose_model(struct work *w)
{
    const struct sdg_settings *s = &w->picture.settings;
    const struct sdg_wanted wanted = {.hash = sdg_settings_value(s, SDG_FIELD_MODEL_HASH),
                                      .name = sdg_settings_value(s, SDG_FIELD_MODEL)};
    const char *name = wanted.name ? wanted.name : "a model it does not name";
    const char *hash = wanted.hash ? wanted.hash : "not said";
    mark(w, SDG_FIELD_MODEL_HASH);
    mark(w, SDG_FIELD_MODEL);
    if (sdg_rerun_given(&w->rerun, "model")) {
        compare(w->user.load.model_path, "model", wanted.hash);
        return GO_ON;
    }
    if (w->folder_count && find_file(w, "model", "model", &wanted)) return GO_ON;
    if (w->own.print) {
        sdg_say("no model: the picture was drawn with %s (hash %s)", name, hash);
        return GO_ON;
    }
    if (w->folder_count) {
        sdg_say("no model: %s (hash %s) is in none of the folders; name a checkpoint with -m", name,
                hash);
        return SDG_EXIT_FAILURE;
    }
    return sdg_say_usage("no model: the picture was drawn with %s (hash %s); name it with -m, or "
                         "the folder it lies in with --model-dir",
                         name, hash);
}

static void choose_vae(struct work *w)
{
    const struct sdg_settings *s = &w->picture.settings;
    const struct sdg_wanted wanted = {.hash = sdg_settings_value(s, SDG_FIELD_VAE_HASH),
                                      .name = sdg_settings_value(s, SDG_FIELD_VAE)};
    const bool own =
        !wanted.name || strcmp(wanted.name, "None") == 0 || strcmp(wanted.name, "Automatic") == 0;
    bool found = own && !wanted.hash;
    if (sdg_rerun_given(&w->rerun, "vae")) {
        compare(w->user.load.vae_path, "VAE", wanted.hash);
        found = true;
    }
    if (!found) found = w->folder_count && find_file(w, "vae", "VAE", &wanted);
    if (!found) return; /* reported with the rest */
    mark(w, SDG_FIELD_VAE_HASH);
    mark(w, SDG_FIELD_VAE);
}

/* A1111 writes "name [hash]". */
static void choose_refiner(struct work *w)
{
    char text[256];
    const char *value = sdg_settings_value(&w->picture.settings, SDG_FIELD_REFINER);
    if (!value) return;
    snprintf(text, sizeof text, "%s", value);
    struct sdg_wanted wanted = {.name = text};
    char *bracket = strrchr(text, '[');
    if (bracket && bracket > text && text[strlen(text) - 1] == ']') {
        text[strlen(text) - 1] = 0;
        bracket[-1] = 0;
        wanted.hash = bracket + 1;
    }
    bool found = sdg_rerun_given(&w->rerun, "refiner");
    if (found)
        compare(w->user.load.refiner_path, "refiner", wanted.hash);
    else
        found = w->folder_count && find_file(w, "refiner", "refiner", &wanted);
    if (found) mark(w, SDG_FIELD_REFINER); /* else reported with the rest */
}

/* Networks from files of their own, which a picture knows by name alone. */
static void choose_parts(struct work *w)
{
    static const struct {
        enum sdg_field field;
        const char *option;
    } rows[] = {{SDG_FIELD_UNET, "unet"},
                {SDG_FIELD_CLIP_L, "clip-l"},
                {SDG_FIELD_CLIP_G, "clip-g"},
                {SDG_FIELD_TAESD, "taesd"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *name = sdg_settings_value(&w->picture.settings, rows[i].field);
        const struct sdg_wanted wanted = {.name = name};
        if (!name) continue;
        if (sdg_rerun_given(&w->rerun, rows[i].option) ||
            (w->folder_count &&
             find_file(w, rows[i].option, sdg_field_name(rows[i].field), &wanted)))
            mark(w, rows[i].field); /* else reported with the rest */
    }
}

/* ---- the command ---- */

/* Is there anything that a terminal would obey? */
static bool steers(const char *word)
{
    while (*word) {
        const uint32_t code = sdg_utf8_next(&word);
        if (sdg_utf8_is_control(code) && code != '\n' && code != '\t') return true;
    }
    return false;
}

/* In $'...' (POSIX.1-2024, Shell Command Language, section 2.2.4), all but ASCII in octal. */
static void print_escaped(const char *word)
{
    fputs("$'", stdout);
    for (; *word; word++) {
        const unsigned char c = (unsigned char)*word;
        if (c < 0x20 || c >= 0x7f)
            printf("\\%03o", c);
        else
            printf(c == '\'' || c == '\\' ? "\\%c" : "%c", c);
    }
    putchar('\'');
}

/* One word as a shell reads it. */
static void print_word(const char *word)
{
    static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                               "-_=./,:+@%";
    putchar(' ');
    if (word[0] && word[strspn(word, safe)] == 0) {
        fputs(word, stdout);
        return;
    }
    if (steers(word)) {
        print_escaped(word);
        return;
    }
    putchar('\'');
    for (; *word; word++) {
        if (*word == '\'')
            fputs("'\\''", stdout);
        else
            putchar(*word);
    }
    putchar('\'');
}

static int go(struct work *w)
{
    struct sdg_words *words = &w->rerun.words;
    sdg_words_add(words, "generate");
    int end = choose_model(w);
    if (end != GO_ON) return end;
    choose_vae(w);
    choose_refiner(w);
    choose_parts(w);
    sdg_rerun_words(&w->rerun);
    for (size_t i = 0; i < w->passed.count; i++) sdg_words_add(words, w->passed.at[i]);
    if (words->failed) return sdg_say_failure("out of memory");
    if (!w->user.quiet) sdg_rerun_report(&w->rerun);
    if (!w->own.print) return sdg_cmd_generate((int)words->count, words->at);
    fputs("sdgen", stdout);
    for (size_t i = 0; i < words->count; i++) print_word(words->at[i]);
    putchar('\n');
    return SDG_EXIT_OK;
}

int sdg_cmd_rerun(int argc, char **argv)
{
    int end;
    struct work *w = calloc(1, sizeof *w);
    if (!w) return sdg_say_failure("out of memory");
    w->command = sdg_command_find("rerun");
    w->rerun.generate = sdg_command_find("generate");
    size_t letters = 1; /* short options come several to a word */
    for (int i = 1; i < argc; i++) letters += strlen(argv[i]);
    w->rerun.given = calloc(letters, sizeof *w->rerun.given);
    w->folders = calloc((size_t)argc, sizeof *w->folders);
    end =
        w->rerun.given && w->folders ? sort_words(w, argc, argv) : sdg_say_failure("out of memory");
    if (end == GO_ON) end = read_user(w);
    if (end == GO_ON) end = sdg_picture_open(&w->picture, w->own.path);
    w->rerun.settings = &w->picture.settings;
    if (end == GO_ON) end = go(w);
    sdg_words_free(&w->rerun.words);
    sdg_words_free(&w->passed);
    sdg_picture_close(&w->picture);
    free(w->rerun.given);
    free(w->folders);
    free(w);
    return end;
}
