/* progress.h - what stderr shows while pictures are made: a bar that redraws itself, plain lines,
 * JSON lines, or nothing; and messages in between. */
#ifndef SDG_CLI_PROGRESS_H
#define SDG_CLI_PROGRESS_H

#include <stdbool.h>
#include "sdgen.h"

enum sdg_progress_mode {
    SDG_PROGRESS_BAR,
    SDG_PROGRESS_LINES,
    SDG_PROGRESS_JSON,
    SDG_PROGRESS_NONE
};

struct sdg_progress_view {
    enum sdg_progress_mode mode;
    int level;           /* messages above it are not shown: SDGEN_LOG_* */
    int prompts, prompt; /* in all, and the one at work, from 0 */
    double start;        /* clock when the program began */
    double sampling,
        sampling_share; /* clock and share when the first step of all began; 0: not yet */
    double batch;       /* clock when the first step of this batch began */
    double printed;     /* clock of the last plain line */
    double picture;     /* clock when the picture before was finished */
    bool line_open;     /* a bar stands on the last line */
};

/* name: "auto", "bar", "json" or "none". */
void sdg_progress_init(struct sdg_progress_view *v, const char *name, bool verbose, bool quiet);

void sdg_progress_show(struct sdg_progress_view *v, const sdgen_progress *p);

/* Wipes the bar, so that other text can stand there. */
void sdg_progress_wipe(struct sdg_progress_view *v);

/* A message of the library, below the bar. */
void sdg_progress_message(struct sdg_progress_view *v, int level, const char *message);

/* Says that a picture is written: its name on stdout, seed and time on stderr. */
void sdg_progress_written(struct sdg_progress_view *v, const sdgen_image *image, const char *name);

#endif
