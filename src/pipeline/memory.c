/* memory.c - see memory.h: what happens when a stage begins. Which plan that follows is
 * plan_memory.c's. */
#define _GNU_SOURCE
#include "pipeline/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ops/packs.h"
#include "pipeline/engine.h"

sdgen_status sdg_memory_parse(size_t *bytes, const char *text, sdgen_error *err)
{
    static const char units[] = "KMGT";
    char *end;
    double value = strtod(text, &end);
    const char *unit = *end ? strchr(units, *end & ~0x20) : NULL; /* in either case */
    if (unit && *unit) {
        value *= exp2(10.0 * (double)(unit - units + 1));
        end++;
        if (strcmp(end, "iB") == 0) end += 2;
    }
    if (*end == 'B') end++;
    if (end == text || *end || !(value >= 1) || value > 0x1p60)
        return sdg_fail(err, SDGEN_ERR_ARG,
                        "--max-ram %s: no amount of memory; write it as 3G, 800M or in bytes",
                        text);
    *bytes = (size_t)value;
    return SDGEN_OK;
}

size_t sdg_memory_work(const struct sdg_memory *m)
{
    size_t most = 0;
    for (int g = 0; g < SDG_GROUPS; g++)
        if (m->work[g] > most) most = m->work[g];
    return most;
}

void sdg_memory_tidy(const struct sdgen_engine *e)
{
    const struct sdg_weights *files[SDG_ENGINE_FILES];
    const size_t count = e->max_ram ? sdg_engine_files(files, e) : 0;
    for (size_t i = 0; i < count; i++) sdg_weights_let_go_all(files[i]);
    e->memory->done = 0;
}

/* A page that is read brings its neighbours along, up to 2 MiB of them (Linux maps whole folios),
 * and those of weights that were let go long ago; so now and then all pages go. */
void sdg_memory_done(const struct sdgen_engine *e, size_t bytes)
{
    enum { OFTEN = 24 << 20 };
    e->memory->done += bytes;
    if (e->max_ram && e->memory->done > OFTEN) sdg_memory_tidy(e);
}

sdgen_status sdg_memory_enter(const struct sdgen_engine *e, const struct sdg_memory *m, int stage,
                              struct sdg_arena *work, const volatile int *cancel, sdgen_error *err)
{
    if (!m->limit) return SDGEN_OK;
    for (int g = 0; g < SDG_GROUPS; g++)
        if (g != stage && !m->lives[g]) sdg_packs_drop(e->packs, g);
    sdg_arena_give_back(work);
    sdg_memory_tidy(e);
    sdg_packs_cancel(e->packs, cancel);
    const sdgen_status status = sdg_packs_build(e->packs, stage, &e->kernels, e->threads, err);
    sdg_packs_cancel(e->packs, NULL); /* the flag is the caller's, for this call */
    return status;
}
