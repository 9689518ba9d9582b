/* merging.c - see merging.h. */
#include "convert/merging.h"

#include <string.h>

#include "weights/arch_names.h"
#include "convert/blockweights.h"
#include "weights/keys.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

enum { CHUNK = 1 << 12 /* numbers at a time */ };

static const char *const networks[] = {SDG_KEY_UNET, SDG_KEY_VAE,    SDG_KEY_TAESD,
                                       SDG_KEY_CLIP, SDG_KEY_CLIP_0, SDG_KEY_CLIP_1};
enum { NETWORKS = COUNT(networks) };

struct merging {
    const struct sdg_merge_options *o;
    struct sdg_joined a;
    struct sdg_weights b, c;
    struct sdg_block_weights weights;
    bool mixed[NETWORKS];
};

static int network_of(const char *name)
{
    int n = 0;
    while (n < NETWORKS && !sdg_name_after(name, networks[n])) n++;
    return n;
}

/* ---- numbers ---- */

/* x[count] = the numbers that another model has for those of a, from number first on. Where a has
 * more input channels, those behind the other's are a's own, which y has. */
static void fetch(float *x, const struct sdg_tensor *other, const struct sdg_tensor *a,
                  const float *y, size_t first, size_t count)
{
    if (sdg_tensor_count(other) == sdg_tensor_count(a)) {
        sdg_tensor_widen(x, other, first, count);
        return;
    }
    const size_t theirs = (size_t)(other->shape[1] * other->shape[2] * other->shape[3]);
    const size_t ours = (size_t)(a->shape[1] * a->shape[2] * a->shape[3]);
    for (size_t i = 0; i < count; i++) {
        const size_t out = (first + i) / ours, rest = (first + i) % ours;
        if (rest < theirs)
            sdg_tensor_widen(&x[i], other, out * theirs + rest, 1);
        else
            x[i] = y[i];
    }
}

/* Channels that only a has stay as they are, whatever the sum. */
static void keep_own(float *y, const float *own, const struct sdg_tensor *a,
                     const struct sdg_tensor *other, size_t first, size_t count)
{
    const size_t theirs = (size_t)(other->shape[1] * other->shape[2] * other->shape[3]);
    const size_t ours = (size_t)(a->shape[1] * a->shape[2] * a->shape[3]);
    for (size_t i = 0; i < count; i++)
        if ((first + i) % ours >= theirs) y[i] = own[i];
}

static void sum(float *y, const float *b, double x, size_t count)
{
    const float mine = (float)(1 - x), other = (float)x;
    for (size_t i = 0; i < count; i++) y[i] = mine * y[i] + other * b[i];
}

static void add(float *y, const float *b, const float *c, double x, size_t count)
{
    const float factor = (float)x;
    for (size_t i = 0; i < count; i++) y[i] = y[i] + factor * (b[i] - c[i]);
}

static void mix(const struct merging *m, float *y, const struct sdg_entry *e, size_t first,
                size_t count)
{
    const double x = sdg_block_weight(&m->weights, e->name);
    const struct sdg_tensor *b = &sdg_weights_find(&m->b, e->name)->tensor;
    float xb[CHUNK], xc[CHUNK];
    const bool narrow = sdg_tensor_count(b) != sdg_tensor_count(&e->tensor);
    sdg_tensor_widen(y, &e->tensor, first, count);
    fetch(xb, b, &e->tensor, y, first, count);
    if (m->o->method == SDG_MERGE_ADD)
        fetch(xc, &sdg_weights_find(&m->c, e->name)->tensor, &e->tensor, y, first, count);
    if (m->o->method == SDG_MERGE_SUM)
        sum(y, xb, x, count);
    else
        add(y, xb, xc, x, count);
    if (!narrow) return;
    sdg_tensor_widen(xb, &e->tensor, first, count);
    keep_own(y, xb, &e->tensor, b, first, count);
}

static void values(void *user, float *y, const struct sdg_out *t, int part, size_t first,
                   size_t count)
{
    const struct merging *m = user;
    for (size_t at = 0; at < count; at += CHUNK)
        mix(m, y + at, t->parts[part], first + at, count - at < CHUNK ? count - at : CHUNK);
}

static void let_go(void *user)
{
    const struct merging *m = user;
    sdg_weights_let_go_all(&m->b);
    sdg_weights_let_go_all(&m->c);
}

/* ---- do they belong together ---- */

/* The same extents but for those of 1: a 1x1 convolution is a matrix. */
static bool same_shape(const struct sdg_tensor *a, const struct sdg_tensor *b)
{
    int i = 0, j = 0;
    for (;;) {
        while (i < a->rank && a->shape[i] == 1) i++;
        while (j < b->rank && b->shape[j] == 1) j++;
        if (i == a->rank || j == b->rank) return i == a->rank && j == b->rank;
        if (a->shape[i++] != b->shape[j++]) return false;
    }
}

/* The first convolution of an inpainting or editing UNet beside that of a plain one. */
static bool is_wider(const struct sdg_entry *e, const struct sdg_tensor *other)
{
    const struct sdg_tensor *a = &e->tensor;
    return strcmp(e->name, SDG_KEY_UNET "input_blocks.0.0.weight") == 0 && a->rank == 4 &&
           other->rank == 4 && a->shape[0] == other->shape[0] && a->shape[1] > other->shape[1] &&
           a->shape[2] == other->shape[2] && a->shape[3] == other->shape[3];
}

static bool is_mixed(const struct merging *m, const struct sdg_entry *e)
{
    const int n = network_of(e->name);
    return n < NETWORKS && m->mixed[n] && sdg_dtype_is_float(e->tensor.dtype);
}

static sdgen_status compare(const struct merging *m, const struct sdg_weights *w, sdgen_error *err)
{
    size_t missing = 0, bent = 0;
    const struct sdg_entry *first = NULL;
    for (size_t i = 0; i < m->a.all.count; i++) {
        const struct sdg_entry *e = &m->a.all.entries[i];
        if (!is_mixed(m, e)) continue;
        const struct sdg_entry *other = sdg_weights_find(w, e->name);
        if (other && sdg_dtype_is_float(other->tensor.dtype) &&
            (same_shape(&e->tensor, &other->tensor) || is_wider(e, &other->tensor)))
            continue;
        if (!first) first = e;
        missing += !other;
        bent += other != NULL;
    }
    if (!first) return SDGEN_OK;
    const struct sdg_entry *other = sdg_weights_find(w, first->name);
    char wanted[96], found[96];
    sdg_shape_text(wanted, sizeof wanted, first->tensor.shape, first->tensor.rank);
    if (other) sdg_shape_text(found, sizeof found, other->tensor.shape, other->tensor.rank);
    return sdg_fail(
        err, SDGEN_ERR_MODEL,
        "%s does not go with %s: %zu tensors missing, %zu of another shape or type, the "
        "first: %.150s %s, %s%s",
        w->path, m->a.all.path, missing, bent, first->name, wanted,
        other ? "there " : "which is not there", other ? found : "");
}

static bool has_network(const struct sdg_weights *w, const char *prefix)
{
    for (size_t i = 0; i < w->count; i++)
        if (sdg_name_after(w->entries[i].name, prefix)) return true;
    return false;
}

/* Which networks are mixed: those that all have, but the VAE only where it is asked for. */
static sdgen_status choose(struct merging *m, sdgen_error *err)
{
    sdgen_status status = SDGEN_OK;
    const bool add_too = m->o->method == SDG_MERGE_ADD;
    bool any = false;
    for (int n = 0; n < NETWORKS; n++) {
        const bool vae =
            strcmp(networks[n], SDG_KEY_VAE) == 0 || strcmp(networks[n], SDG_KEY_TAESD) == 0;
        if (!has_network(&m->a.all, networks[n]) || (vae && !m->o->vae)) continue;
        m->mixed[n] =
            has_network(&m->b, networks[n]) && (!add_too || has_network(&m->c, networks[n]));
        any |= m->mixed[n];
        if (!m->mixed[n])
            sdg_log(m->o->to.log, SDGEN_LOG_INFO, "%s* stays that of %s: the others have none",
                    networks[n], m->a.all.path);
    }
    if (!any)
        return sdg_fail(err, SDGEN_ERR_MODEL, "%s and %s have no network in common", m->a.all.path,
                        m->b.path);
    SDG_TRY(compare(m, &m->b, err));
    if (add_too) SDG_TRY(compare(m, &m->c, err));
fail:
    return status;
}

/* ---- all ---- */

static sdgen_status open_others(struct merging *m, sdgen_error *err)
{
    sdgen_status status = SDGEN_OK;
    if (m->o->method == SDG_MERGE_NONE) return SDGEN_OK;
    SDG_TRY(sdg_weights_open(&m->b, m->o->b, err));
    SDG_TRY(sdg_keys_canonical(&m->b, err));
    if (m->o->method == SDG_MERGE_ADD) {
        SDG_TRY(sdg_weights_open(&m->c, m->o->c, err));
        SDG_TRY(sdg_keys_canonical(&m->c, err));
    }
    SDG_TRY(choose(m, err));
    SDG_TRY(sdg_block_weights_read(&m->weights, m->o->block_weights, m->o->alpha, &m->a.all, err));
fail:
    return status;
}

static void mark(struct sdg_outputs *outputs, const struct merging *m)
{
    for (size_t i = 0; i < outputs->count; i++) {
        struct sdg_out *t = &outputs->list[i];
        t->computed =
            is_mixed(m, t->parts[0]) && sdg_block_weight(&m->weights, t->parts[0]->name) != 0;
    }
}

static void merging_destroy(struct merging *m)
{
    sdg_weights_close(&m->b);
    sdg_weights_close(&m->c);
    sdg_joined_close(&m->a);
}

sdgen_status sdg_merge(struct sdg_convert_result *r, const struct sdg_merge_options *o,
                       sdgen_error *err)
{
    sdgen_status status;
    struct merging m = {.o = o};
    struct sdg_outputs outputs = {0};
    struct sdg_typing *typing = NULL;
    struct sdg_out_stream s = {.values = values, .let_go = let_go, .user = &m};
    struct sdg_join_options join = o->to.join;
    join.no_ema = o->method != SDG_MERGE_NONE;
    SDG_TRY(sdg_typing_create(&typing, o->to.type, o->to.rules, err));
    if (sdg_typing_quantises(typing) && o->to.to != SDG_TO_GGUF) {
        status = sdg_fail(err, SDGEN_ERR_ARG, "%s: quantised types are for .gguf files", o->to.out);
        goto fail;
    }
    SDG_TRY(sdg_target_check(o->to.out, o->to.to, o->to.overwrite, err));
    SDG_TRY(sdg_joined_open(&m.a, &join, err));
    SDG_TRY(open_others(&m, err));
    SDG_TRY(sdg_outputs_plan(&outputs, &m.a, sdg_convert_keys(&o->to), o->to.to == SDG_TO_GGUF,
                             typing, err));
    mark(&outputs, &m);
    SDG_TRY(sdg_convert_write(&s, &outputs, &m.a, &o->to, err));
    sdg_convert_tell(&o->to, &outputs, &m.a, &s);
    *r = (struct sdg_convert_result) {outputs.count, s.all};
fail:
    sdg_outputs_destroy(&outputs);
    merging_destroy(&m);
    sdg_typing_destroy(typing);
    return status;
}
