/* show_prompt.h - a prompt that was taken apart, for `sdgen tokens`. */
#ifndef SDG_CLI_SHOW_PROMPT_H
#define SDG_CLI_SHOW_PROMPT_H

#include <stdbool.h>
#include "text/prompt.h"

/* Tokens, weights, chunks and schedule as a table on stdout, in colours if wanted. */
void sdg_show_prompt(const struct sdg_prompt *p, const struct sdg_tokenizer *t, bool colour);

/* The same as one JSON object on one line. */
void sdg_show_prompt_json(const struct sdg_prompt *p, const struct sdg_tokenizer *t);

/* Do people look at stdout, and do they want colours? name: auto, always, never or NULL (auto: a
 * terminal, unless NO_COLOR is set, see no-color.org). */
bool sdg_show_colour(const char *name);

#endif
