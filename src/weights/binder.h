/* binder.h - the binder that looks wanted tensors up in a checkpoint.
 *
 * One for each file: networks are bound one after another, with sdg_filebinder_network naming the
 * prefix that the network's tensors have in the file. It never stops at a fault: the user is to see
 * everything that is wrong with a file in one run. */
#ifndef SDG_WEIGHTS_BINDER_H
#define SDG_WEIGHTS_BINDER_H

#include "base/bind.h"
#include "base/log.h"
#include "base/status.h"
#include "files/weights.h"

/* A wanted tensor that the file lacks (found NULL), or has with another shape or as integers. */
struct sdg_bind_problem {
    char *name; /* in full, as it stands or ought to stand in the file, in its spelling */
    int64_t shape[4];
    int rank;
    const struct sdg_entry *found;
};

struct sdg_speller;

struct sdg_filebinder {
    struct sdg_binder binder; /* what the networks see; first member */
    const struct sdg_weights *file;
    struct sdg_weights *keeper; /* the same, where it is to keep copies of vectors; or NULL */
    const struct sdg_log *log;
    const char *prefix;
    bool ema;             /* this network's weights come from the running average */
    unsigned char *taken; /* [file->count] 1: some network uses the entry */
    size_t used, missing, misshaped;
    struct sdg_bind_problem *problems; /* [problem_count]: fewer than missing + misshaped only
                                          when memory ran out */
    size_t problem_count, problem_room;
    struct sdg_speller *speller; /* from the first problem on */
};

/* log may be NULL. Errors: SDGEN_ERR_MEMORY. */
SDGEN_MUST_CHECK sdgen_status sdg_filebinder_init(struct sdg_filebinder *b,
                                                  const struct sdg_weights *file,
                                                  const struct sdg_log *log, sdgen_error *err);
void sdg_filebinder_destroy(struct sdg_filebinder *b); /* accepts a zeroed one */

/* From now on names are below prefix, which must outlive the walk. With ema they are looked up
 * where LitEma keeps its averages (CompVis ldm/modules/ema.py): "model_ema." + the name without
 * "model." in front and without any dot, so model.diffusion_model.out.2.bias is
 * model_ema.diffusion_modelout2bias. */
void sdg_filebinder_network(struct sdg_filebinder *b, const char *prefix, bool ema);

/* SDGEN_OK, or SDGEN_ERR_MODEL with the number of problems and the first of them; each is one
 * SDGEN_LOG_ERROR line. */
SDGEN_MUST_CHECK sdgen_status sdg_filebinder_finish(const struct sdg_filebinder *b,
                                                    sdgen_error *err);

/* "name: want [320,4,3,3], the file has F16 [320,9,3,3]" into text. Returns text. */
char *sdg_bind_problem_text(char *text, size_t size, const struct sdg_bind_problem *p);

/* True for tensors that checkpoints carry along and no network needs: running averages, the
 * training schedule, position numbers, flags. They are no reason for doubt. */
bool sdg_is_leftover(const char *name);

/* Whether the file holds running averages of a UNet. */
bool sdg_has_ema(const struct sdg_weights *w);

#endif
