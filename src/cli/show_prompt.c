/* show_prompt.c - see show_prompt.h.
 *
 *     network lora: style:0.8                    what <name:arguments> asks for
 *     part 2 of 2, weight 0.5                    a side of AND
 *       call 0 to 5: text 1                      what counts at which model call
 *     text 1: a (red:1.2) cat
 *     chunk 1 of 1: start, 3 tokens, 74 x end
 *          2    736  1.2   red</w>               place in the text, id, weight, piece
 *
 * A prompt of one text is shown without the lines about parts and texts, and one without weights
 * without their column. */
#define _GNU_SOURCE
#include "cli/show_prompt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/utf8.h"

struct screen {
    const struct sdg_tokenizer *tokenizer;
    bool colour, weights;
};

#define BOLD "\033[1m"
#define DIM "\033[2m"
#define RED "\033[31m"
#define YELLOW "\033[33m"
#define BLUE "\033[36m"
#define PLAIN "\033[0m"

bool sdg_show_colour(const char *name)
{
    const char *off = getenv("NO_COLOR"), *term = getenv("TERM");
    if (name && strcmp(name, "auto") != 0) return strcmp(name, "always") == 0;
    if (off && *off) return false;
    return isatty(STDOUT_FILENO) && term && strcmp(term, "dumb") != 0;
}

static const char *paint(const struct screen *s, const char *colour)
{
    return s->colour ? colour : "";
}

/* Stronger ones are warm, weaker ones cool. */
static const char *colour_of(double weight)
{
    if (weight == 1) return "";
    if (weight < 1) return BLUE;
    return weight < 1.3 ? YELLOW : RED;
}

/* ---- tokens of a chunk ---- */

/* Places that hold something: behind them are end tokens of weight 1. A prompt that spells out the
 * end token at the end of a chunk gives the encoder the same ids. */
static size_t fill_of(const struct sdg_chunks *c, size_t chunk)
{
    const int32_t *ids = c->ids + chunk * SDG_CHUNK_LENGTH + 1;
    const float *weights = c->weights + chunk * SDG_CHUNK_LENGTH + 1;
    size_t n = SDG_CHUNK_TEXT;
    while (n > 0 && ids[n - 1] == SDG_TOKEN_END && weights[n - 1] == 1) n--;
    return n;
}

/* ---- table ---- */

/* Line breaks and the like must not break the table. */
static void print_text(const char *text)
{
    for (uint32_t code; (code = sdg_utf8_next(&text)) != 0;) {
        char bytes[4];
        if (sdg_utf8_is_control(code)) code = ' ';
        fwrite(bytes, 1, sdg_utf8_encode(bytes, code), stdout);
    }
}

static void show_chunk(const struct screen *s, const struct sdg_chunks *c, size_t chunk,
                       size_t *shown)
{
    const size_t n = fill_of(c, chunk), first = chunk * SDG_CHUNK_LENGTH + 1;
    printf("%schunk %zu of %zu:%s start, %zu token%s, %zu x end\n", paint(s, BOLD), chunk + 1,
           c->count, paint(s, PLAIN), n, n == 1 ? "" : "s", SDG_CHUNK_LENGTH - 1 - n);
    for (size_t i = first; i < first + n; i++) {
        const double weight = (double)c->weights[i];
        const char *colour = paint(s, colour_of(weight));
        printf("%s%6zu %6d%s  ", paint(s, DIM), ++*shown, (int)c->ids[i], paint(s, PLAIN));
        if (s->weights) printf("%s%-6.4g%s ", colour, weight, *colour ? PLAIN : "");
        printf("%s%s%s\n", colour, sdg_token_piece(s->tokenizer, c->ids[i]), *colour ? PLAIN : "");
    }
}

static void show_text(const struct screen *s, const struct sdg_chunks *c)
{
    size_t shown = 0;
    for (size_t i = 0; i < c->count; i++) show_chunk(s, c, i, &shown);
    if (c->dropped)
        printf("%s%zu token%s cut off%s\n", paint(s, RED), c->dropped,
               c->dropped == 1 ? " is" : "s are", paint(s, PLAIN));
}

static void show_part(const struct screen *s, const struct sdg_prompt *p, size_t part)
{
    const struct sdg_prompt_part *x = &p->parts[part];
    int from = 0;
    printf("%spart %zu of %zu%s, weight %.10g\n", paint(s, BOLD), part + 1, p->part_count,
           paint(s, PLAIN), x->weight);
    for (size_t i = 0; i < x->count; i++) {
        printf("  call");
        if (i + 1 == x->count)
            printf(" %d on", from);
        else if (x->turns[i].until > from)
            printf("s %d to %d", from, x->turns[i].until);
        else
            printf(" %d", from);
        printf(": text %zu\n", x->turns[i].text + 1);
        from = x->turns[i].until + 1;
    }
}

void sdg_show_prompt(const struct sdg_prompt *p, const struct sdg_tokenizer *t, bool colour)
{
    const struct screen s = {.tokenizer = t, .colour = colour, .weights = p->weighted};
    const bool simple = p->text_count == 1 && p->part_count == 1 && p->parts[0].weight == 1;
    for (size_t i = 0; i < p->network_count; i++) {
        printf("%snetwork%s ", paint(&s, BOLD), paint(&s, PLAIN));
        print_text(p->networks[i].name);
        fputs(": ", stdout);
        print_text(p->networks[i].arguments);
        putchar('\n');
    }
    for (size_t i = 0; i < p->part_count && !simple; i++) show_part(&s, p, i);
    for (size_t i = 0; i < p->text_count; i++) {
        if (!simple) {
            printf("%stext %zu:%s ", paint(&s, BOLD), i + 1, paint(&s, PLAIN));
            print_text(p->texts[i].text);
            putchar('\n');
        }
        show_text(&s, &p->texts[i].chunks);
    }
}

/* ---- JSON ---- */

static void json_text(const char *text)
{
    putchar('"');
    for (uint32_t code; (code = sdg_utf8_next(&text)) != 0;) {
        char bytes[4];
        if (code == '"' || code == '\\')
            printf("\\%c", (int)code);
        else if (code < 32 || code == 127)
            printf("\\u%04x", (unsigned)code);
        else
            fwrite(bytes, 1, sdg_utf8_encode(bytes, code), stdout);
    }
    putchar('"');
}

/* JSON has no infinity and no NaN. */
static void json_number(double x)
{
    if (x - x == 0)
        printf("%.9g", x);
    else
        fputs("null", stdout);
}

/* [a, b, ...] over the tokens of all chunks, paddings left out. */
static void json_tokens(const char *name, const struct sdg_chunks *c, const struct sdg_tokenizer *t,
                        char what)
{
    const char *between = "";
    printf("\"%s\": [", name);
    for (size_t i = 0; i < c->count; i++) {
        const size_t first = i * SDG_CHUNK_LENGTH + 1, n = fill_of(c, i);
        for (size_t k = first; k < first + n; k++, between = ", ") {
            fputs(between, stdout);
            if (what == 'i')
                printf("%d", (int)c->ids[k]);
            else if (what == 'w')
                json_number((double)c->weights[k]);
            else
                json_text(sdg_token_piece(t, c->ids[k]));
        }
    }
    fputs("], ", stdout);
}

static void json_chunks(const struct sdg_chunks *c)
{
    fputs("\"chunks\": [", stdout);
    for (size_t i = 0; i < c->count; i++) {
        fputs(i ? ", [" : "[", stdout);
        for (size_t k = 0; k < SDG_CHUNK_LENGTH; k++)
            printf("%s%d", k ? ", " : "", (int)c->ids[i * SDG_CHUNK_LENGTH + k]);
        putchar(']');
    }
    putchar(']');
}

static void json_parts(const struct sdg_prompt *p)
{
    fputs("\"parts\": [", stdout);
    for (size_t i = 0; i < p->part_count; i++) {
        fputs(i ? ", {\"weight\": " : "{\"weight\": ", stdout);
        json_number(p->parts[i].weight);
        fputs(", \"turns\": [", stdout);
        for (size_t k = 0; k < p->parts[i].count; k++)
            printf("%s{\"until\": %d, \"text\": %zu}", k ? ", " : "", p->parts[i].turns[k].until,
                   p->parts[i].turns[k].text);
        fputs("]}", stdout);
    }
    fputs("], ", stdout);
}

void sdg_show_prompt_json(const struct sdg_prompt *p, const struct sdg_tokenizer *t)
{
    fputs("{\"networks\": [", stdout);
    for (size_t i = 0; i < p->network_count; i++) {
        fputs(i ? ", {\"name\": " : "{\"name\": ", stdout);
        json_text(p->networks[i].name);
        fputs(", \"arguments\": ", stdout);
        json_text(p->networks[i].arguments);
        putchar('}');
    }
    fputs("], ", stdout);
    json_parts(p);
    fputs("\"texts\": [", stdout);
    for (size_t i = 0; i < p->text_count; i++) {
        const struct sdg_chunks *c = &p->texts[i].chunks;
        fputs(i ? ", {\"text\": " : "{\"text\": ", stdout);
        json_text(p->texts[i].text);
        fputs(", ", stdout);
        json_tokens("ids", c, t, 'i');
        json_tokens("weights", c, t, 'w');
        json_tokens("pieces", c, t, 'p');
        printf("\"dropped\": %zu, ", c->dropped);
        json_chunks(c);
        putchar('}');
    }
    fputs("]}\n", stdout);
}
