/* output.h - what the pictures of a run are called.
 *
 * The pattern given with -o may hold %d (or %03d ...: the number of the image, from 1), {seed} and
 * %% in its last part. Several images need a number: a pattern without one gets "-1", "-2", ...
 * before its extension. Without --overwrite numbers whose file exists are passed over, and a single
 * picture that would replace a file gets a number too. */
#ifndef SDG_CLI_OUTPUT_H
#define SDG_CLI_OUTPUT_H

#include <stdbool.h>
#include "sdgen.h"

struct sdg_output {
    const char *pattern;
    bool overwrite;
    bool has_number, has_seed; /* %d, {seed} are in the pattern */
    bool needs_number;         /* names would meet without a number */
    long long number;          /* of the next image */
};

/* Checks the pattern, its directory (it must exist, be writable and not full) and what lies under
 * the name. prompts x count images will be written, about `bytes` each. Says what is wrong.
 * Returns -1 or the exit status. */
int sdg_output_plan(struct sdg_output *o, const char *pattern, bool overwrite, int prompts,
                    int count, long long bytes);

/* Writes the image under its name and hands out that name (free()). */
SDGEN_MUST_CHECK sdgen_status sdg_output_write(struct sdg_output *o, char **name,
                                               const sdgen_image *image, sdgen_error *error);

/* Exported for tests: the name of image `number`; number 0 means none, where the pattern has no %d.
 * NULL when out of memory. */
char *sdg_output_name(const struct sdg_output *o, long long number, long long seed);

#endif
