/* binder.c - see binder.h. */
#define _GNU_SOURCE
#include "weights/binder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "weights/arch_names.h"
#include "weights/keys.h"
#include "files/pool.h"
#include "files/read.h"

enum { NAME_SIZE = 512, SHAPE_SIZE = 128, PROBLEM_SIZE = NAME_SIZE + 2 * SHAPE_SIZE + 64 };

static const char ema_prefix[] = "model_ema.", ema_drops[] = "model.";

/* What the network's tensor `name` is called in the file. */
static void full_name(char out[NAME_SIZE], const struct sdg_filebinder *b, const char *name)
{
    if (!b->ema) {
        snprintf(out, NAME_SIZE, "%s%s", b->prefix, name);
        return;
    }
    char plain[NAME_SIZE];
    snprintf(plain, NAME_SIZE, "%s%s", b->prefix, name);
    const char *p = sdg_name_after(plain, ema_drops);
    size_t used = (size_t)snprintf(out, NAME_SIZE, "%s", ema_prefix);
    for (p = p ? p : plain; *p && used + 1 < NAME_SIZE; p++)
        if (*p != '.') out[used++] = *p;
    out[used] = 0;
}

/* Same extents; with squeeze, [o,i] and [o,i,1,1] are the same too. */
static bool same_shape(const struct sdg_tensor *t, const int64_t *shape, int rank, bool squeeze)
{
    const int least = t->rank < rank ? t->rank : rank, most = t->rank < rank ? rank : t->rank;
    if (least != most && !(squeeze && least == 2 && most == 4)) return false;
    for (int d = 0; d < least; d++)
        if (t->shape[d] != shape[d]) return false;
    const int64_t *longer = t->rank < rank ? shape : t->shape;
    for (int d = least; d < most; d++)
        if (longer[d] != 1) return false;
    return true;
}

/* A missing fused tensor of queries, keys and values was wanted as three: one problem. */
static bool joined(const struct sdg_filebinder *b, const struct sdg_bind_problem *p)
{
    for (size_t i = b->problem_count; i > 0; i--) {
        struct sdg_bind_problem *q = &b->problems[i - 1];
        if (q->found || q->rank != p->rank || strcmp(q->name, p->name) != 0) continue;
        q->shape[0] += p->shape[0];
        return true;
    }
    return false;
}

static void record(struct sdg_filebinder *b, const char *name, const int64_t *shape, int rank,
                   const struct sdg_entry *found)
{
    struct sdg_bind_problem p = {.rank = rank, .found = found};
    memcpy(p.shape, shape, (size_t)rank * sizeof *shape);
    char stored[SDG_KEY_SIZE];
    sdgen_error err;
    if (!b->speller && sdg_speller_create(&b->speller, b->file, &err) != SDGEN_OK)
        b->speller = NULL;
    if (b->speller) sdg_speller_stored(stored, b->speller, name);
    p.name = strdup(b->speller ? stored : name);
    if (p.name && !found && joined(b, &p)) {
        free(p.name);
        return;
    }
    *(found ? &b->misshaped : &b->missing) += 1;
    if (p.name && b->problem_count == b->problem_room) {
        const size_t room = b->problem_room ? 2 * b->problem_room : 16;
        void *grown = realloc(b->problems, room * sizeof *b->problems);
        if (grown) {
            b->problems = grown;
            b->problem_room = room;
        }
    }
    if (p.name && b->problem_count < b->problem_room)
        b->problems[b->problem_count++] = p;
    else
        free(p.name);
}

/* Biases and gains are read at every step. Left in the file each would hold on to a piece of it
 * that is many times as large, since the system maps what lies around a page that is read. */
static void keep_vector(struct sdg_filebinder *b, struct sdg_tensor *t)
{
    enum { LARGEST = 256 << 10 };
    const size_t bytes = sdg_tensor_bytes(t);
    if (!b->keeper || bytes > LARGEST || !sdg_weights_is_mapped(b->file, t->data)) return;
    void *copy = sdg_pool_alloc(&b->keeper->owned, bytes);
    if (!copy) return; /* it may as well be read where it is */
    memcpy(copy, t->data, bytes);
    t->data = copy;
}

static void want(struct sdg_binder *self, const char *name, const int64_t *shape, int rank,
                 unsigned flags, struct sdg_tensor *slot)
{
    struct sdg_filebinder *b = (struct sdg_filebinder *)self;
    char full[NAME_SIZE];
    full_name(full, b, name);
    *slot = (struct sdg_tensor) {0};
    const struct sdg_entry *e = sdg_weights_find(b->file, full);
    if (!e) {
        if (!(flags & SDG_OPTIONAL)) record(b, full, shape, rank, NULL);
        return;
    }
    unsigned char *taken = &b->taken[e - b->file->entries];
    b->used += !*taken;
    *taken = 1;
    if (!same_shape(&e->tensor, shape, rank, flags & SDG_SQUEEZE) ||
        !sdg_dtype_is_float(e->tensor.dtype)) {
        record(b, full, shape, rank, e);
        return;
    }
    *slot = e->tensor; /* with the wanted shape: what was squeezed has the same elements */
    slot->rank = rank;
    memset(slot->shape, 0, sizeof slot->shape);
    memcpy(slot->shape, shape, (size_t)rank * sizeof *shape);
    if (rank == 1) keep_vector(b, slot);
}

sdgen_status sdg_filebinder_init(struct sdg_filebinder *b, const struct sdg_weights *file,
                                 const struct sdg_log *log, sdgen_error *err)
{
    *b = (struct sdg_filebinder) {.binder = {.want = want}, .file = file, .log = log, .prefix = ""};
    b->taken = calloc(file->count + 1, 1);
    if (!b->taken) return sdg_fail(err, SDGEN_ERR_MEMORY, "%s: out of memory", file->path);
    return SDGEN_OK;
}

void sdg_filebinder_destroy(struct sdg_filebinder *b)
{
    for (size_t i = 0; i < b->problem_count; i++) free(b->problems[i].name);
    free(b->problems);
    free(b->taken);
    sdg_speller_destroy(b->speller);
    *b = (struct sdg_filebinder) {0};
}

void sdg_filebinder_network(struct sdg_filebinder *b, const char *prefix, bool ema)
{
    b->prefix = prefix;
    b->ema = ema;
}

char *sdg_bind_problem_text(char *text, size_t size, const struct sdg_bind_problem *p)
{
    char wanted[SHAPE_SIZE], found[SHAPE_SIZE];
    sdg_shape_text(wanted, sizeof wanted, p->shape, p->rank);
    if (!p->found) {
        snprintf(text, size, "%s is missing (want %s)", p->name, wanted);
        return text;
    }
    const struct sdg_tensor *t = &p->found->tensor;
    sdg_shape_text(found, sizeof found, t->shape, t->rank);
    snprintf(text, size, "%s: want %s%s, the file has %s %s", p->name,
             sdg_dtype_is_float(t->dtype) ? "" : "numbers with a fraction, ", wanted,
             sdg_dtype_name(t->dtype), found);
    return text;
}

sdgen_status sdg_filebinder_finish(const struct sdg_filebinder *b, sdgen_error *err)
{
    const size_t problems = b->missing + b->misshaped;
    if (problems == 0) return SDGEN_OK;
    char first[PROBLEM_SIZE] = "(out of memory)", text[PROBLEM_SIZE];
    if (b->problem_count) sdg_bind_problem_text(first, sizeof first, &b->problems[0]);
    for (size_t i = 0; b->log && i < b->problem_count; i++)
        sdg_log(b->log, SDGEN_LOG_ERROR, "%s: %s", b->file->path,
                sdg_bind_problem_text(text, sizeof text, &b->problems[i]));
    return sdg_fail(err, SDGEN_ERR_MODEL,
                    "%s: %zu tensors missing, %zu of the wrong shape or type, the first: %s; the "
                    "file is damaged or not what its names say ('sdgen inspect' lists all)",
                    b->file->path, b->missing, b->misshaped, first);
}

bool sdg_is_leftover(const char *name)
{
    static const char *const starts[] = {
        "model_ema.",   "sqrt_",          "log_one_minus", "posterior_",
        "lvlb_weights", "alphas_cumprod", "betas",         "embedding_manager."};
    static const char *const ends[] = {".position_ids", "logit_scale", "denoiser.sigmas"};
    static const char *const flags[] = {"v_pred",    "ztsnr",    "edm_vpred.sigma_max",
                                        "edm_mean",  "edm_std",  "edm_vpred.sigma_min",
                                        "vae_scale", "vae_shift"};
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++)
        if (strcmp(name, flags[i]) == 0) return true;
    for (size_t i = 0; i < sizeof starts / sizeof starts[0]; i++)
        if (sdg_name_after(name, starts[i])) return true;
    const size_t length = strlen(name);
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        const size_t n = strlen(ends[i]);
        if (length >= n && strcmp(name + length - n, ends[i]) == 0) return true;
    }
    return false;
}

bool sdg_has_ema(const struct sdg_weights *w)
{
    for (size_t i = 0; i < w->count; i++)
        if (sdg_name_after(w->entries[i].name, "model_ema.diffusion_model")) return true;
    return false;
}
