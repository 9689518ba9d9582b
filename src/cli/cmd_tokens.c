/* cmd_tokens.c - `sdgen tokens`: how a text is cut into tokens and chunks, with which weights, and
 * which text counts when.
 *
 * With --raw a text is only tokenised. Without it the text is a prompt in the language of the
 * program that --like names. */
#define _GNU_SOURCE
#include "cli/commands.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cli/message.h"
#include "cli/options.h"
#include "cli/show_prompt.h"
#include "pipeline/convention.h"

struct work {
    const struct sdg_tokens_options *options;
    struct sdg_prompt_rules rules;
    struct sdg_tokenizer *tokenizer;
    struct sdg_tokens tokens;
    struct sdg_prompt prompt;
    bool colour;
};

/* ---- one text ---- */

static sdgen_status show_raw(struct work *w, const char *text, size_t length, sdgen_error *err)
{
    const bool json = w->options->json;
    sdgen_status status;
    w->tokens.count = 0;
    SDG_TRY(sdg_tokenize(&w->tokens, text, length, w->tokenizer, err));
    fputs(json ? "{\"ids\": [" : "", stdout);
    for (size_t i = 0; i < w->tokens.count; i++)
        printf("%s%d", i == 0 ? "" : json ? ", " : " ", (int)w->tokens.ids[i]);
    fputs(json ? "]}\n" : "\n", stdout);
fail:
    return status;
}

/* text[length] ends with a 0 behind it. */
static sdgen_status work_on(struct work *w, const char *text, size_t length, sdgen_error *err)
{
    sdgen_status status;
    if (w->options->raw) return show_raw(w, text, length, err);
    if (strlen(text) < length)
        return sdg_fail(err, SDGEN_ERR_ARG,
                        "a prompt ends at a NUL byte, and this one has more "
                        "behind it; --raw takes it along");
    SDG_TRY(sdg_prompt_parse(&w->prompt, text, &w->rules, w->tokenizer, err));
    if (w->options->json)
        sdg_show_prompt_json(&w->prompt, w->tokenizer);
    else
        sdg_show_prompt(&w->prompt, w->tokenizer, w->colour);
fail:
    return status;
}

/* ---- the command ---- */

static int each_line(struct work *w, FILE *in, const char *name)
{
    char *line = NULL;
    size_t room = 0, number = 0;
    ssize_t length;
    sdgen_error error;
    int result = SDG_EXIT_OK;
    while (result == SDG_EXIT_OK && (errno = 0, length = getdelim(&line, &room, '\n', in)) >= 0) {
        number++;
        if (length > 0 && line[length - 1] == '\n') line[--length] = 0;
        if (work_on(w, line, (size_t)length, &error) != SDGEN_OK)
            result = sdg_say_failure("%s: line %zu: %s", name, number, error.text);
    }
    /* getdelim reports a read error and missing memory alike. */
    if (result == SDG_EXIT_OK && !feof(in))
        result =
            sdg_say_failure("%s: cannot be read after line %zu: %s", name, number, strerror(errno));
    free(line);
    return result;
}

static int from_file(struct work *w)
{
    const char *path = w->options->file;
    if (strcmp(path, "-") == 0) return each_line(w, stdin, "standard input");
    FILE *in = fopen(path, "rb");
    if (!in) return sdg_say_failure("%s: %s", path, strerror(errno));
    int result = each_line(w, in, path);
    fclose(in);
    return result;
}

static sdgen_status set_rules(struct work *w, sdgen_error *err)
{
    const struct sdg_convention *convention;
    sdgen_status status;
    SDG_TRY(sdg_convention_find(&convention, w->options->like, err));
    w->rules = (struct sdg_prompt_rules) {
        .language = w->options->literal ? SDG_PROMPT_PLAIN : convention->language,
        .chunking = convention->chunking,
        .steps = w->options->steps ? w->options->steps : convention->steps,
        .negative = w->options->negative != 0,
    };
    if (w->options->prompt_language && !w->options->literal)
        SDG_TRY(sdg_prompt_language_find(&w->rules.language, w->options->prompt_language, err));
    w->colour = sdg_show_colour(w->options->color);
    status = sdg_tokenizer_create(&w->tokenizer, err);
fail:
    return status;
}

int sdg_cmd_tokens(int argc, char **argv)
{
    struct sdg_tokens_options o = {0};
    struct work w = {.options = &o};
    sdgen_error error;
    int result = sdg_args_parse(&o, sdg_command_find("tokens"), argc, argv);
    if (result >= 0) return result;
    if (!o.prompt == !o.file)
        return sdg_say_usage(
            "give either a text with -p or a file with --file; see sdgen tokens --help");
    if (set_rules(&w, &error) != SDGEN_OK)
        result = sdg_say_failure("%s", error.text);
    else if (o.file)
        result = from_file(&w);
    else if (work_on(&w, o.prompt, strlen(o.prompt), &error) != SDGEN_OK)
        result = sdg_say_failure("%s", error.text);
    else
        result = SDG_EXIT_OK;
    sdg_tokens_free(&w.tokens);
    sdg_prompt_free(&w.prompt);
    sdg_tokenizer_destroy(w.tokenizer);
    if (fflush(stdout) != 0 || ferror(stdout))
        return sdg_say_failure("the output cannot be written");
    return result;
}
