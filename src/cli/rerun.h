/* rerun.h - what a picture says, as a command line of `generate`; shared by cmd_rerun.c and
 * rerun_words.c. */
#ifndef SDG_CLI_RERUN_H
#define SDG_CLI_RERUN_H

#include "cli/args.h"
#include "image/settings.h"

struct sdg_words {
    char **at; /* [count], NULL behind the last */
    size_t count, capacity;
    bool failed; /* out of memory */
};
void sdg_words_add(struct sdg_words *w, const char *word);
/* "--name=value" */
void sdg_words_option(struct sdg_words *w, const char *name, const char *value);
void sdg_words_free(struct sdg_words *w);

struct sdg_rerun {
    const struct sdg_command *generate;
    const struct sdg_settings *settings;
    const struct sdg_arg **given; /* [given_count] options of generate that the user gave */
    size_t given_count;
    struct sdg_words words;      /* the command line that comes of it */
    bool used[SDG_SETTINGS_MAX]; /* settings that took part, or need not */
};

/* Did the user give this option of generate? */
bool sdg_rerun_given(const struct sdg_rerun *r, const char *name);

/* Adds an option for every setting that sdgen can follow, but for model and VAE; what the user gave
 * is left out. Marks in r->used what took part. */
void sdg_rerun_words(struct sdg_rerun *r);

/* Says one line on stderr for each setting that could not be honoured. */
void sdg_rerun_report(const struct sdg_rerun *r);

#endif
