/* writing.c - see writing.h. */
#include "cli/writing.h"

#include <stdio.h>
#include <stdlib.h>

#include "cli/message.h"
#include "cli/signals.h"
#include "text/tokenizer_files.h"

enum { TEXTS = 2 };

int sdg_writing(struct sdg_convert_options *o, struct sdg_meter *m,
                sdgen_status (*work)(struct sdg_convert_result *r, const void *what,
                                     sdgen_error *err),
                const void *what)
{
    sdgen_error error = {0};
    struct sdg_convert_result result;
    char *texts[TEXTS] = {NULL, NULL};
    struct sdg_sidetext files[TEXTS];
    sdgen_status status = SDGEN_OK;
    o->progress = sdg_meter_show;
    o->progress_user = m;
    o->log = &m->log;
    o->cancel = sdg_signals_install();
    if (o->to == SDG_TO_FOLDER) {
        status = sdg_tokenizer_files(&texts[0], &texts[1], &error);
        files[0] = (struct sdg_sidetext) {"vocab.json", texts[0]};
        files[1] = (struct sdg_sidetext) {"merges.txt", texts[1]};
        o->texts = files;
        o->text_count = TEXTS;
    }
    sdg_signals_hold(true); /* what is there for a while is cleared away first */
    if (status == SDGEN_OK) status = work(&result, what, &error);
    sdg_signals_hold(false);
    sdg_meter_wipe(m);
    for (int i = 0; i < TEXTS; i++) free(texts[i]);
    if (status == SDGEN_OK) {
        if (!m->quiet) sdg_say("%zu tensors, %.1f MB", result.tensors, (double)result.bytes / 1e6);
        printf("%s\n", o->out);
        return SDG_EXIT_OK;
    }
    sdg_say("%s", error.text);
    if (status == SDGEN_ERR_CANCELLED && sdg_signals_exit_status())
        return sdg_signals_exit_status();
    return status == SDGEN_ERR_ARG ? SDG_EXIT_USAGE : SDG_EXIT_FAILURE;
}
