/* memory.h - what a run keeps in memory, and when: the plan that --max-ram asks for.
 *
 * Three kinds of memory count: the work arena, whose size a dry run tells; packed weights, whose
 * size their notes tell (ops/packs.h); and what lies around them: the program itself, pages of the
 * checkpoint that are mapped while they are read. A run goes through three stages, text, sampling
 * and decoding, each of which reads the weights of one network. So a plan says which groups of
 * packed weights live through all stages and which for theirs alone, how many bytes of each are
 * packed (the rest is streamed from the file), how many images go through the UNet together, and
 * how tall the strips of the operations are. None of this changes a bit of the picture.
 *
 * There is a fixed list of plans, from the fastest to the smallest; the first that fits is taken
 * (plan_memory.c). Without a limit it is the first one: everything stays packed. */
#ifndef SDG_PIPELINE_MEMORY_H
#define SDG_PIPELINE_MEMORY_H

#include <stdbool.h>
#include "base/arena.h"
#include "base/status.h"

struct sdgen_engine;
struct sdg_plan;

/* Stages of a run (the refiner's is the end of sampling, where there is one), and the groups of
 * packed weights (ops/packs.h) that they read. */
enum { SDG_GROUP_TEXT, SDG_GROUP_UNET, SDG_GROUP_REFINER, SDG_GROUP_VAE, SDG_GROUPS };

struct sdg_memory {
    size_t limit;              /* bytes; 0: none, and what follows is not looked at but for work */
    bool lives[SDG_GROUPS];    /* packed weights stay behind their stage */
    size_t budget[SDG_GROUPS]; /* bytes that may be packed; SIZE_MAX: all */
    size_t strip_bytes;        /* ops.strip_bytes */
    bool forgets_keys;         /* cross-attention's keys are computed at every call */
    size_t group;              /* images through the UNet at once; 0: as many as there are */
    size_t work[SDG_GROUPS];   /* peak of the arena at each stage */
    size_t held;               /* of the arena, from the first stage to the last */
    size_t packed[SDG_GROUPS], streamed[SDG_GROUPS];
    size_t peak; /* of everything */
};

/* What an engine remembers from one plan to the next. */
struct sdg_memory_state {
    bool chosen[SDG_GROUPS]; /* what of its packed weights is chosen now */
    size_t budget[SDG_GROUPS], packed[SDG_GROUPS], streamed[SDG_GROUPS];
    size_t key[SDG_GROUPS]; /* the arena of the last plan at each stage, had it no packed weights */
    struct sdg_memory last; /* limit 0: none */
    size_t done;            /* bytes of weights whose pages were let go since all were */
};

/* "3G", "1.2G", "800M", bytes; G, M and K are powers of 1024. Errors: SDGEN_ERR_ARG. */
SDGEN_MUST_CHECK sdgen_status sdg_memory_parse(size_t *bytes, const char *text, sdgen_error *err);

/* Chooses plan->memory under the engine's limit and measures the run under it. Errors:
 * SDGEN_ERR_MEMORY: not even the smallest plan fits, with what would. */
SDGEN_MUST_CHECK sdgen_status sdg_plan_memory(struct sdg_plan *plan, const struct sdgen_engine *e,
                                              sdgen_error *err);
void sdg_memory_announce(const struct sdg_plan *plan, const struct sdgen_engine *e);

/* Bytes of memory that this process may use: physical, or less under a cgroup's limit. */
double sdg_memory_machine(void);
/* Bytes of memory that the process takes up beside weights and arena, once its model is opened. */
size_t sdg_memory_base(const struct sdgen_engine *e);
/* Peak of the arena over all stages. */
size_t sdg_memory_work(const struct sdg_memory *m);

/* A stage begins: what other stages leave behind is given back, what this one reads is packed.
 * `work` holds nothing above its mark. Nothing without a limit. Errors: SDGEN_ERR_MEMORY,
 * SDGEN_ERR_CANCELLED. */
SDGEN_MUST_CHECK sdgen_status sdg_memory_enter(const struct sdgen_engine *e,
                                               const struct sdg_memory *m, int stage,
                                               struct sdg_arena *work, const volatile int *cancel,
                                               sdgen_error *err);

/* Gives back the pages of the checkpoint's files, which come back as they are read. Nothing without
 * a limit. */
void sdg_memory_tidy(const struct sdgen_engine *e);
/* Weights of `bytes` have been let go. */
void sdg_memory_done(const struct sdgen_engine *e, size_t bytes);

#endif
