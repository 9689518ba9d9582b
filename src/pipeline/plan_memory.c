/* plan_memory.c - which plan of memory.h a run follows.
 *
 * Everything here is counted, nothing is timed, so a run under the same limit is the same run
 * everywhere. What is counted, stage by stage:
 *
 *   base      the program with its model opened, as the system reports it, and some room
 *   packed    of the stage's own network and of those that live on
 *   work      the arena as a dry run of the stage leaves it
 *   streamed  pages of weights that are not packed, on their way
 *   tables    rows of the text encoders' embeddings
 *   building  in place of the last three, while weights are being packed */
#define _GNU_SOURCE
#include "pipeline/memory.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ops/packs.h"
#include "pipeline/txt2img.h"

enum {
    ROOM = 8 << 20,        /* PNG buffers of small pictures, texts, the allocator's own */
    THREAD = 256 << 10,    /* touched of a thread's stack */
    BATCH = 128 << 20,     /* of what is being packed, at most */
    STRIP_BYTES = 4 << 20, /* of small strips */
    PIXEL = 9,             /* bytes of a pixel in the making of a PNG */
};

/* ---- counting -------------------------------------------------------------------------------- */

/* Physical memory of the process now. */
static size_t resident(void)
{
    unsigned long size = 0, pages = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (f && fscanf(f, "%lu %lu", &size, &pages) != 2) pages = 0;
    if (f) fclose(f);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

size_t sdg_memory_base(const struct sdgen_engine *e)
{
    return resident() + ROOM + (size_t)e->threads * THREAD;
}

/* Rows of the tables of tokens are read in place, and bring their neighbours along. */
static size_t embeddings(const struct sdgen_engine *e)
{
    const struct sdg_weights *files[SDG_ENGINE_FILES];
    const size_t count = sdg_engine_files(files, e);
    size_t bytes = 0;
    for (size_t f = 0; f < count; f++)
        for (size_t i = 0; i < files[f]->count; i++)
            if (strstr(files[f]->entries[i].name, ".token_embedding."))
                bytes += sdg_tensor_bytes(&files[f]->entries[i].tensor);
    return bytes;
}

/* While a group is packed: originals of a batch, which may be wider than what becomes of them. */
static size_t building(const struct sdgen_engine *e, int group)
{
    double originals = 0, packed = 1;
    for (size_t i = 0; i < sdg_packs_count(e->packs); i++) {
        const struct sdg_pack_row row = sdg_packs_row(e->packs, i);
        originals += (double)sdg_tensor_bytes(row.weight);
        packed += (double)row.bytes;
    }
    const double wider = originals > packed ? originals / packed : 1;
    const size_t all = 2 * sdg_packs_bytes(e->packs, group), batch = (size_t)(BATCH * wider);
    return all < batch ? all : batch;
}

/* The stage without what is packed of its own network. */
static size_t around(const struct sdg_plan *p, const struct sdgen_engine *e, int stage, bool builds)
{
    const struct sdg_memory *m = &p->memory;
    size_t bytes = m->work[stage] + m->streamed[stage];
    if (stage == SDG_GROUP_TEXT) bytes += embeddings(e);
    if (stage == SDG_GROUP_VAE) bytes += PIXEL * p->width * p->height;
    if (builds && m->held + building(e, stage) > bytes) bytes = m->held + building(e, stage);
    for (int g = 0; g < SDG_GROUPS; g++)
        if (g != stage && m->lives[g]) bytes += m->packed[g];
    return e->base_bytes + bytes;
}

static size_t stage_peak(const struct sdg_plan *p, const struct sdgen_engine *e, int stage)
{
    const size_t packed = p->memory.packed[stage];
    return packed + around(p, e, stage, packed > 0);
}

static size_t peak_of(const struct sdg_plan *p, const struct sdgen_engine *e)
{
    size_t peak = 0;
    for (int s = 0; s < SDG_GROUPS; s++) {
        const size_t bytes = stage_peak(p, e, s);
        if (bytes > peak) peak = bytes;
    }
    return peak;
}

/* ---- the list -------------------------------------------------------------------------------- */

/* How much of a network is packed: all of it, what room is left for, nothing. */
enum share { ALL, REST, NONE };

/* Savings, and what they cost. A text encoder that is streamed makes each panel ready once a text,
 * no more work than packing it for the text. A VAE is needed at the end alone, and a UNet not while
 * it decodes; packing them anew takes a second or two a batch. Small strips leave fewer tasks to
 * share out. A UNet that takes a few images at a time reads its weights once for each few, and one
 * that is streamed packs at every step. Keys that are not kept are computed at every step. */
enum { UNET_STAYS = 1, VAE_STAYS = 2, SMALL_STRIPS = 4, BY_TWO = 8, ONE_BY_ONE = 16, NO_KEYS = 32 };
static const struct rung {
    enum share text, unet, vae;
    unsigned how;
} ladder[] = {
    {ALL, ALL, ALL, UNET_STAYS | VAE_STAYS},
    {NONE, ALL, ALL, UNET_STAYS | VAE_STAYS},
    {NONE, ALL, ALL, UNET_STAYS},
    {NONE, ALL, ALL, UNET_STAYS | SMALL_STRIPS},
    {NONE, ALL, ALL, 0},
    {NONE, ALL, ALL, SMALL_STRIPS},
    {NONE, ALL, ALL, SMALL_STRIPS | BY_TWO},
    {NONE, ALL, ALL, SMALL_STRIPS | ONE_BY_ONE},
    {NONE, REST, ALL, SMALL_STRIPS},
    {NONE, REST, ALL, SMALL_STRIPS | BY_TWO},
    {NONE, REST, ALL, SMALL_STRIPS | ONE_BY_ONE},
    {NONE, REST, REST, SMALL_STRIPS | BY_TWO},
    {NONE, REST, REST, SMALL_STRIPS | ONE_BY_ONE},
    {NONE, REST, REST, SMALL_STRIPS | ONE_BY_ONE | NO_KEYS},
};

enum { RUNGS = sizeof ladder / sizeof ladder[0] };

/* Choosing drops what is built, so what is chosen already is left alone. */
static void choose(const struct sdgen_engine *e, struct sdg_memory *m, int group, size_t budget)
{
    struct sdg_memory_state *now = e->memory;
    if (!now->chosen[group] || now->budget[group] != budget) {
        now->packed[group] = sdg_packs_choose(e->packs, group, budget);
        now->streamed[group] = sdg_packs_streamed(e->packs, group);
        now->budget[group] = budget;
        now->chosen[group] = true;
    }
    m->budget[group] = budget;
    m->packed[group] = now->packed[group];
    m->streamed[group] = now->streamed[group];
}

/* Packs of a group as many bytes as are left beside everything else. */
static void choose_rest(const struct sdg_plan *p, const struct sdgen_engine *e,
                        struct sdg_memory *m, int group)
{
    const size_t beside = around(p, e, group, true);
    if (beside < m->limit) choose(e, m, group, m->limit - beside);
}

/* No plan that packs all of something is worth a dry run where that alone is too much. */
static bool is_hopeless(const struct sdgen_engine *e, const struct rung *r, size_t limit)
{
    const enum share shares[] = {r->text, r->unet, r->unet, r->vae};
    const bool unet_stays = r->how & UNET_STAYS;
    const bool stays[] = {true, unet_stays, unet_stays, (r->how & VAE_STAYS) != 0};
    size_t together = 0, most = 0;
    for (int g = 0; g < SDG_GROUPS; g++) {
        const size_t bytes = shares[g] == ALL ? sdg_packs_bytes(e->packs, g) : 0;
        if (bytes > most) most = bytes;
        if (stays[g]) together += bytes;
    }
    return e->base_bytes + (together > most ? together : most) > limit;
}

static sdgen_status try_rung(struct sdg_plan *p, const struct sdgen_engine *e, const struct rung *r,
                             sdgen_error *err)
{
    struct sdg_memory *m = &p->memory;
    const enum share shares[] = {r->text, r->unet, r->unet, r->vae};
    sdgen_status status;
    m->lives[SDG_GROUP_TEXT] = r->text == ALL;
    m->lives[SDG_GROUP_UNET] = m->lives[SDG_GROUP_REFINER] = (r->how & UNET_STAYS) != 0;
    m->lives[SDG_GROUP_VAE] = (r->how & VAE_STAYS) != 0;
    m->strip_bytes = r->how & SMALL_STRIPS ? STRIP_BYTES : 0;
    m->group = r->how & ONE_BY_ONE ? 1 : r->how & BY_TWO ? 2 : 0;
    m->forgets_keys = (r->how & NO_KEYS) != 0;
    for (int g = 0; g < SDG_GROUPS; g++) choose(e, m, g, shares[g] == ALL ? SIZE_MAX : 0);
    SDG_TRY(sdg_txt2img_measure(e, p, true, err));
    for (int g = 0; g < SDG_GROUPS; g++)
        if (shares[g] == REST) choose_rest(p, e, m, g);
    m->peak = peak_of(p, e);
fail:
    return status;
}

/* ---- choosing -------------------------------------------------------------------------------- */

static size_t in_mib(size_t bytes)
{
    return (bytes + (1 << 20) - 1) >> 20;
}

/* The plan that needs least becomes plan->memory. */
static sdgen_status find_least(struct sdg_plan *p, const struct sdgen_engine *e, sdgen_error *err)
{
    struct sdg_memory least = {.peak = SIZE_MAX};
    sdgen_status status = SDGEN_OK;
    for (int i = 0; i < RUNGS; i++) {
        SDG_TRY(try_rung(p, e, &ladder[i], err));
        if (p->memory.peak < least.peak) least = p->memory;
    }
    p->memory = least;
fail:
    return status;
}

/* Offers a little more than the least: the program itself is not of the same size to the page each
 * time. */
static sdgen_status refuse(struct sdg_plan *p, const struct sdgen_engine *e, sdgen_error *err)
{
    const struct sdg_memory *m = &p->memory;
    sdgen_status status;
    SDG_TRY(find_least(p, e, err));
    const bool decoding = stage_peak(p, e, SDG_GROUP_VAE) == m->peak;
    return sdg_fail(err, SDGEN_ERR_MEMORY,
                    "--max-ram %zuM is too little for %zux%zu pixels, %d at once: the least is "
                    "--max-ram %zuM, or less for a smaller picture%s%s",
                    in_mib(e->max_ram), p->width, p->height, p->batch, in_mib(m->peak) + 2,
                    p->batch > 1 ? " or --batch-size" : "",
                    decoding && !p->tiling.h ? " or with --vae-tiling" : "");
fail:
    return status;
}

static sdgen_status climb_down(struct sdg_plan *p, const struct sdgen_engine *e, sdgen_error *err)
{
    sdgen_status status = SDGEN_OK;
    for (int i = 0; i < RUNGS; i++) {
        if (is_hopeless(e, &ladder[i], p->memory.limit)) continue;
        SDG_TRY(try_rung(p, e, &ladder[i], err));
        if (p->memory.peak <= p->memory.limit) return SDGEN_OK;
    }
    status = refuse(p, e, err);
fail:
    return status;
}

double sdg_memory_machine(void)
{
    double limit = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);
    static const char *const files[] = {"/sys/fs/cgroup/memory.max",
                                        "/sys/fs/cgroup/memory/memory.limit_in_bytes"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        FILE *f = fopen(files[i], "re");
        double value;
        if (f && fscanf(f, "%lf", &value) == 1 && value < limit) limit = value; /* not "max" */
        if (f) fclose(f);
    }
    return limit;
}

/* Without a limit: everything stays packed. */
static sdgen_status plan_freely(struct sdg_plan *p, const struct sdgen_engine *e, sdgen_error *err)
{
    static const double gib = 0x1p-30;
    struct sdg_memory *m = &p->memory;
    const double limit = sdg_memory_machine();
    const sdgen_status status = sdg_txt2img_measure(e, p, true, err);
    if (status != SDGEN_OK) return status;
    if ((double)p->work_bytes > limit)
        return sdg_fail(err, SDGEN_ERR_MEMORY,
                        "%zux%zu pixels, %d at once, need %.1f GiB to work in and there are %.1f; "
                        "choose a smaller picture or --batch-size",
                        p->width, p->height, p->batch, (double)p->work_bytes * gib, limit * gib);
    for (int g = 0; g < SDG_GROUPS; g++) {
        m->lives[g] = true;
        m->budget[g] = SIZE_MAX;
        m->packed[g] = sdg_packs_bytes(e->packs, g);
        m->work[g] = p->work_bytes; /* pages that were touched stay */
    }
    m->peak = peak_of(p, e);
    return SDGEN_OK;
}

sdgen_status sdg_plan_memory(struct sdg_plan *p, const struct sdgen_engine *e, sdgen_error *err)
{
    struct sdg_memory *m = &p->memory;
    struct sdg_memory_state *now = e->memory;
    size_t key[SDG_GROUPS];
    sdgen_status status;
    *m = (struct sdg_memory) {.limit = e->max_ram};
    if (!m->limit) return plan_freely(p, e, err);
    SDG_TRY(sdg_txt2img_measure(e, p, false, err));
    memcpy(key, m->work, sizeof key);
    if (now->last.limit && memcmp(key, now->key, sizeof key) == 0) {
        *m = now->last; /* a run of the same shape, whose weights are perhaps still packed */
        p->work_bytes = sdg_memory_work(m);
        return SDGEN_OK;
    }
    now->last.limit = 0;
    SDG_TRY(climb_down(p, e, err));
    memcpy(now->key, key, sizeof key);
    now->last = *m;
fail:
    return status;
}

/* ---- telling --------------------------------------------------------------------------------- */

static void tell_network(const struct sdgen_engine *e, const struct sdg_memory *m, int group)
{
    static const char *const names[] = {"text encoder", "UNet", "refiner", "VAE"};
    const size_t all = sdg_packs_bytes(e->packs, group);
    if (all == 0) return;
    if (m->packed[group] < all)
        sdg_log(&e->log, SDGEN_LOG_VERBOSE, "memory: %s: %zu of %zu MiB packed, the rest streamed",
                names[group], m->packed[group] >> 20, all >> 20);
    else
        sdg_log(&e->log, SDGEN_LOG_VERBOSE, "memory: %s: %zu MiB packed%s", names[group], all >> 20,
                m->lives[group] ? "" : " for its stage");
}

void sdg_memory_announce(const struct sdg_plan *p, const struct sdgen_engine *e)
{
    const struct sdg_memory *m = &p->memory;
    for (int g = 0; g < SDG_GROUPS && m->limit; g++) tell_network(e, m, g);
    if (m->limit)
        sdg_log(&e->log, SDGEN_LOG_INFO, "memory: %zu MiB at most, %zu of them to work in%s",
                in_mib(m->peak), in_mib(p->work_bytes),
                m->group == 1   ? ", images go through the UNet one by one"
                : m->group == 2 ? ", images go through the UNet by twos"
                                : "");
    else
        sdg_log(&e->log, SDGEN_LOG_VERBOSE,
                "memory: %zu MiB at most, %zu of them packed weights, %zu to work in",
                in_mib(m->peak), sdg_packs_bytes(e->packs, -1) >> 20, in_mib(p->work_bytes));
}
