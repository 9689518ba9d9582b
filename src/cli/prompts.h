/* prompts.h - a file of prompts, one a line. */
#ifndef SDG_CLI_PROMPTS_H
#define SDG_CLI_PROMPTS_H

#include <stddef.h>

struct sdg_prompts {
    char **texts; /* [count] */
    int *lines;   /* [count] line numbers in the file, from 1 */
    int count;
};

/* Reads a file, or the standard input for "-". Lines end at \n or \r\n; a byte-order mark at the
 * start and lines of nothing but blanks are skipped. Says what is wrong. Returns -1 or the exit
 * status. */
int sdg_prompts_read(struct sdg_prompts *p, const char *path);
void sdg_prompts_free(struct sdg_prompts *p);

#endif
