/* cmd_tokens.c - `sdgen tokens`: how a text is cut into tokens and chunks.
 *
 * With --raw a text is only tokenised. Without it the text is a prompt, read as --like says: what
 * it would mean there and sdgen cannot do is refused, as it is when a picture is drawn. */
#define _GNU_SOURCE
#include "cli/commands.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cli/message.h"
#include "cli/options.h"
#include "text/chunks.h"

struct work {
    const struct sdg_tokens_options *options;
    struct sdg_tokenizer *tokenizer;
    struct sdg_tokens tokens;
    struct sdg_chunks chunks;
    enum sdg_chunking chunking;
};

/* ---- showing ---- */

static void print_ids(const int32_t *ids, size_t n, const char *between)
{
    for (size_t i = 0; i < n; i++) printf("%s%d", i ? between : "", (int)ids[i]);
}

/* The letters of pieces are printable; two of them mean something to JSON. */
static void print_json_piece(const char *piece)
{
    putchar('"');
    for (; *piece; piece++) {
        if (*piece == '"' || *piece == '\\') putchar('\\');
        putchar(*piece);
    }
    putchar('"');
}

static void show_json(const struct work *w)
{
    fputs("{\"ids\": [", stdout);
    print_ids(w->tokens.ids, w->tokens.count, ", ");
    if (!w->options->raw) {
        fputs("], \"pieces\": [", stdout);
        for (size_t i = 0; i < w->tokens.count; i++) {
            if (i) fputs(", ", stdout);
            print_json_piece(sdg_token_piece(w->tokenizer, w->tokens.ids[i]));
        }
        printf("], \"dropped\": %zu, \"chunks\": [", w->chunks.dropped);
        for (size_t i = 0; i < w->chunks.count; i++) {
            fputs(i ? ", [" : "[", stdout);
            print_ids(w->chunks.ids + i * SDG_CHUNK_LENGTH, SDG_CHUNK_LENGTH, ", ");
            putchar(']');
        }
    }
    fputs("]}\n", stdout);
}

/* One token a line: its place in the text, its id, its piece. */
static void show_tokens(const struct work *w, const int32_t *ids, size_t n, size_t first)
{
    for (size_t i = 0; i < n; i++)
        printf("%6zu %6d  %s\n", first + i + 1, (int)ids[i], sdg_token_piece(w->tokenizer, ids[i]));
}

/* Tokens of the prompt in a chunk. Chunks are filled up with the end token, which a prompt may also
 * spell out: only the rest of the prompt tells them apart, so what is left of it is passed. */
static size_t chunk_fill(const int32_t *chunk, const int32_t *left, size_t n)
{
    size_t i = 0;
    while (i < SDG_CHUNK_TEXT && i < n && chunk[i + 1] == left[i]) i++;
    return i;
}

static void show_text(const struct work *w)
{
    size_t shown = 0;
    if (w->options->raw) {
        print_ids(w->tokens.ids, w->tokens.count, " ");
        putchar('\n');
        return;
    }
    for (size_t i = 0; i < w->chunks.count; i++) {
        const int32_t *left = w->tokens.count ? w->tokens.ids + shown : NULL;
        size_t n = chunk_fill(w->chunks.ids + i * SDG_CHUNK_LENGTH, left, w->tokens.count - shown);
        printf("chunk %zu of %zu: start, %zu token%s, %zu x end\n", i + 1, w->chunks.count, n,
               n == 1 ? "" : "s", SDG_CHUNK_LENGTH - 1 - n);
        show_tokens(w, left, n, shown);
        shown += n;
    }
    if (w->chunks.dropped)
        printf("%zu tokens are cut off, from \"%s\" on\n", w->chunks.dropped,
               sdg_token_piece(w->tokenizer, w->tokens.ids[shown]));
}

/* ---- one text ---- */

/* text[length] ends with a 0 behind it. */
static sdgen_status work_on(struct work *w, const char *text, size_t length, sdgen_error *err)
{
    sdgen_status status = SDGEN_OK;
    const struct sdg_tokens_options *o = w->options;
    w->tokens.count = 0;
    if (!o->raw && strlen(text) < length)
        return sdg_fail(err, SDGEN_ERR_ARG,
                        "a prompt ends at a NUL byte, and this one has more "
                        "behind it; --raw takes it along");
    if (!o->raw && !o->literal && w->chunking == SDG_CHUNKS_A1111)
        SDG_TRY(sdg_prompt_is_plain(text, err));
    SDG_TRY(sdg_tokenize(&w->tokens, text, length, w->tokenizer, err));
    if (!o->raw) SDG_TRY(sdg_chunk_prompt(&w->chunks, text, w->tokenizer, w->chunking, err));
    if (o->json)
        show_json(w);
    else
        show_text(w);
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

int sdg_cmd_tokens(int argc, char **argv)
{
    struct sdg_tokens_options o = {0};
    sdgen_error error;
    int result = sdg_args_parse(&o, sdg_command_find("tokens"), argc, argv);
    if (result >= 0) return result;
    if (!o.prompt == !o.file)
        return sdg_say_usage(
            "give either a text with -p or a file with --file; see sdgen tokens --help");
    struct work w = {.options = &o, .chunking = SDG_CHUNKS_A1111};
    if (o.like && strcmp(o.like, "diffusers") == 0) w.chunking = SDG_CHUNKS_TRUNCATE;
    if (sdg_tokenizer_create(&w.tokenizer, &error) != SDGEN_OK)
        return sdg_say_failure("%s", error.text);
    if (o.file)
        result = from_file(&w);
    else if (work_on(&w, o.prompt, strlen(o.prompt), &error) != SDGEN_OK)
        result = sdg_say_failure("%s", error.text);
    else
        result = SDG_EXIT_OK;
    sdg_tokens_free(&w.tokens);
    sdg_chunks_free(&w.chunks);
    sdg_tokenizer_destroy(w.tokenizer);
    if (fflush(stdout) != 0 || ferror(stdout))
        return sdg_say_failure("the output cannot be written");
    return result;
}
