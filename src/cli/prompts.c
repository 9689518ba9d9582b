/* prompts.c - see prompts.h. */
#define _GNU_SOURCE
#include "cli/prompts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/message.h"

enum { GO_ON = -1, MAX_PROMPTS = 1000000 };

static int append(struct sdg_prompts *p, const char *text, int line)
{
    if ((p->count & (p->count - 1)) == 0) { /* full at powers of two: double */
        const size_t room = p->count ? 2 * (size_t)p->count : 1;
        char **texts = realloc(p->texts, room * sizeof *texts);
        if (texts) p->texts = texts;
        int *lines = realloc(p->lines, room * sizeof *lines);
        if (lines) p->lines = lines;
        if (!texts || !lines) return sdg_say_failure("out of memory for the prompts");
    }
    p->texts[p->count] = strdup(text);
    if (!p->texts[p->count]) return sdg_say_failure("out of memory for the prompts");
    p->lines[p->count++] = line;
    return GO_ON;
}

static void cut_line_end(char *text)
{
    size_t n = strlen(text);
    if (n && text[n - 1] == '\n') text[--n] = 0;
    if (n && text[n - 1] == '\r') text[--n] = 0;
}

static int read_lines(struct sdg_prompts *p, FILE *in, const char *path)
{
    static const char mark[] = "\xEF\xBB\xBF";
    char *line = NULL;
    size_t room = 0;
    ssize_t length;
    int end = GO_ON;
    errno = 0;
    for (int number = 1; end == GO_ON && (length = getline(&line, &room, in)) >= 0; number++) {
        char *text = line;
        if (strlen(line) != (size_t)length) {
            end = sdg_say_failure("%s, line %d: holds a zero byte; prompts are UTF-8 text", path,
                                  number);
            break;
        }
        if (number == 1 && strncmp(text, mark, sizeof mark - 1) == 0) text += sizeof mark - 1;
        cut_line_end(text);
        if (text[strspn(text, " \t")] == 0) continue;
        if (p->count == MAX_PROMPTS)
            end = sdg_say_failure("%s: more than %d prompts", path, MAX_PROMPTS);
        else
            end = append(p, text, number);
    }
    if (end == GO_ON && ferror(in)) end = sdg_say_failure("%s: %s", path, strerror(errno));
    free(line);
    return end;
}

int sdg_prompts_read(struct sdg_prompts *p, const char *path)
{
    const int standard = strcmp(path, "-") == 0;
    *p = (struct sdg_prompts) {0};
    FILE *in = standard ? stdin : fopen(path, "re");
    if (!in) return sdg_say_failure("--prompt-file %s: %s", path, strerror(errno));
    int end = read_lines(p, in, standard ? "standard input" : path);
    if (!standard) fclose(in);
    if (end == GO_ON && p->count == 0)
        end = sdg_say_failure("--prompt-file %s: holds no prompt", path);
    return end;
}

void sdg_prompts_free(struct sdg_prompts *p)
{
    for (int i = 0; i < p->count; i++) free(p->texts[i]);
    free(p->texts);
    free(p->lines);
    *p = (struct sdg_prompts) {0};
}
