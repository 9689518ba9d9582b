/* writing.h - what `convert` and `merge` share: a checkpoint is written under a meter, and Ctrl-C
 * leaves nothing behind. */
#ifndef SDG_CLI_WRITING_H
#define SDG_CLI_WRITING_H

#include "cli/meter.h"
#include "convert/convert.h"

/* Fills in what o needs beside the user's wishes (meter, cancel flag, the tokenizer of a folder),
 * calls work, says how it ended, and returns the exit status. o is part of *what. */
int sdg_writing(struct sdg_convert_options *o, struct sdg_meter *m,
                sdgen_status (*work)(struct sdg_convert_result *r, const void *what,
                                     sdgen_error *err),
                const void *what);

#endif
